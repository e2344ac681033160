"""Work is kept: a commit and an uncommitted edit come through stop, archive and the loss of their sandbox.

One loop is enough here: what carries work in and out is the same on both, and its pieces are tested on both.
"""

from pathlib import Path

import pytest

from e2e.installation import Installation, rest, see, told, until_happened
from e2e.providers import hand_over
from e2e.work import COMMITTED, do_work
from git_repos import commit_in, git, refs_of
from taskdock.app import Dock, ports_of
from taskdock.core.errors import Conflict
from taskdock.services.sandboxes import ref_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One loop, see above."""
    return "asyncio"


async def all_ready(dock: Dock, task_id: str) -> None:
    """Wait until the task runs and its first tab is ready."""
    await see(
        dock,
        task_id,
        lambda view: view.task.at == "running" and view.tabs[0].status.value == "ready",
        "a running task with a ready tab",
    )


async def test_a_stopped_task_goes_on_with_its_files_as_they_were(soon: Installation, remote: Path) -> None:
    """Stop ends every process and keeps the sandbox; resume is the same generation, files and conversation."""
    async with soon.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=COMMITTED)
        work = await do_work(dock, receipt)
        before = (await dock.task(receipt.task_id)).tabs[0]
        await dock.stop_task(receipt.task_id)
        stopped = await rest(dock, receipt.task_id, "stopped")
        work.is_in_checkout(1)
        work.is_in_clone(1)
        await dock.resume_task(receipt.task_id)
        await all_ready(dock, receipt.task_id)
        after = await dock.task(receipt.task_id)
        history = told(await dock.history(receipt.task_id), "head", "uncommitted")
    work.is_in_checkout(1)
    assert (stopped.task.generation, after.task.generation, stopped.task.work_owed) == (1, 1, False)
    assert after.tabs[0].session_id == before.session_id
    collected = [entry for entry in history if entry[0] == "work.collected"]
    assert collected[-1] == ("work.collected", work.commit, 2)
    assert [entry[0] for entry in history if entry[0] in ("task.stopped", "task.resumed")] == [
        "task.stopped",
        "task.resumed",
    ]


async def test_an_archived_task_comes_back_in_a_new_sandbox(soon: Installation, remote: Path) -> None:
    """Archive leaves no sandbox and no hold on the branch; unarchive brings branch, commit and edit back."""
    async with soon.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=COMMITTED)
        work = await do_work(dock, receipt)
        await dock.archive_task(receipt.task_id)
        archived = await rest(dock, receipt.task_id, "archived")
        assert soon.sandboxes() == []
        work.is_in_clone(1)
        branch = archived.task.branch or ""
        other = await dock.create_task(repo=str(remote), prompt="Take the branch", branch=branch)
        with pytest.raises(Conflict, match=branch):
            await dock.unarchive_task(receipt.task_id)
        await dock.kill_task(other.task_id)
        await rest(dock, other.task_id, "killed")
        await dock.unarchive_task(receipt.task_id)
        await all_ready(dock, receipt.task_id)
        with pytest.raises(Conflict, match=branch):
            await dock.create_task(repo=str(remote), prompt="Take the branch", branch=branch)
        back = await dock.task(receipt.task_id)
    work.is_in_checkout(2)
    assert (back.task.generation, back.task.branch, back.task.head) == (2, branch, work.commit)
    assert git(work.checkout(2), "symbolic-ref", "--short", "HEAD") == branch


async def test_a_lost_sandbox_is_replaced_with_what_was_collected_last(
    soon: Installation, remote: Path
) -> None:
    """Destroyed behind our back: the copy made after the last turn comes back, and the history names its head."""
    async with ports_of(soon.config()) as ports, soon.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=COMMITTED)
        work = await do_work(dock, receipt, late=False)
        await see(dock, receipt.task_id, lambda view: view.task.kept == 1, "a copy of the edit")
        sandbox = (await dock.task(receipt.task_id)).task.sandbox
        await ports.sites.of(sandbox).provider.destroy(ref_of(sandbox), sandbox.owner)
        await until_happened(dock, receipt.task_id, "sandbox.lost")
        await all_ready(dock, receipt.task_id)
        history = told(await dock.history(receipt.task_id), "head", "work_owed", "generation")
    work.is_in_checkout(2)
    assert [entry for entry in history if str(entry[0]).startswith("sandbox.")] == [
        ("sandbox.created", 1),
        ("sandbox.lost", work.commit, True),
        ("sandbox.released",),
        ("sandbox.created", 2),
    ]


def nest(checkout: Path) -> None:
    """Put a repository into the checkout, whose content git does not take along."""
    inner = checkout / "vendored"
    inner.mkdir()
    git(inner, "init", "--quiet")
    commit_in(inner, {"lib.py": "only here\n"})
    hand_over(inner)


@pytest.mark.parametrize("way", ["archive", "retry"])
async def test_work_that_cannot_be_collected_stops_the_archive_by_name(
    soon: Installation, remote: Path, way: str
) -> None:
    """A repository inside the checkout is named; only force, or a retry that discards, releases the sandbox."""
    async with soon.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=COMMITTED)
        work = await do_work(dock, receipt)
        nest(work.checkout(1))
        await dock.archive_task(receipt.task_id)
        failed = await rest(dock, receipt.task_id, "error")
        await dock.retry_task(receipt.task_id)
        again = await rest(dock, receipt.task_id, "error")
        there = (work.checkout(1) / "vendored" / "lib.py").exists()
        if way == "archive":
            await dock.archive_task(receipt.task_id, force=True)
        else:
            await dock.retry_task(receipt.task_id, discard=True)
        archived = await rest(dock, receipt.task_id, "archived")
        history = told(await dock.history(receipt.task_id), "reason", "head")
    for view in (failed, again):
        assert view.task.failure is not None
        assert view.task.failure.reason == "work_not_collected: uncommitted changes in vendored"
        assert "archive --force" in view.task.failure.retry
    assert there
    assert ("work.given_up", "work_not_collected: uncommitted changes in vendored", work.commit) in history
    assert archived.task.head == work.commit
    refs = refs_of(soon.home / "repos" / work.repo_id, f"refs/taskdock/{work.task_id}/")
    assert refs[f"refs/taskdock/{work.task_id}/1"] == work.commit

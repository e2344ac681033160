"""Job requests: each kind is queued in milliseconds and touches no port; bad input leaves no row; equal jobs are joined."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from e2e.installation import QUICK
from e2e.test_request_path import Hanging, Untouchable, outside
from taskdock import app
from taskdock.app import Config, Dock
from taskdock.core.errors import Conflict, IdempotencyKeyReused, InvalidCommand, NotFound, Unsupported
from taskdock.core.job_record import NEEDS_STACK_TOOL, JobKind
from taskdock.services.receipts import JobReceipt

pytestmark = pytest.mark.anyio

REMOTE = "https://git.example.org/acme/api.git"
ASKED: dict[JobKind, dict[str, Any]] = {
    JobKind.SYNC_REPO: {},
    JobKind.RESTACK_REPO: {},
    JobKind.RESTACK_SUBTREE: {"branch": "one"},
    JobKind.REBASE_BRANCH: {"branch": "one"},
    JobKind.REPARENT_BRANCH: {"branch": "one", "parent": "two"},
    JobKind.REGISTER_EXISTING_BRANCH: {"branch": "one"},
}
"""Every kind that is asked for by its name, with what it needs."""


def a_tool(folder: Path) -> Path:
    """A program that aborts: a request path that would run it is noticed."""
    path = folder / "git-spice"
    path.write_text('#!/bin/sh\necho run >> "$0.ran"\nexit 70\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An installation with a stack tool of its own."""
    return Config(home=tmp_path / "home", figures=QUICK, drain_seconds=0.2, git_spice=a_tool(tmp_path))


@pytest.fixture
async def dock(config: Config) -> AsyncIterator[Dock]:
    """Nobody schedules, so what is asked for stays queued; one repo is registered."""
    async with app.open(config, schedule=False, outside=outside(Untouchable())) as dock:
        await dock.add_repo(REMOTE)
        yield dock


@pytest.mark.parametrize("kind", ASKED)
async def test_each_kind_is_queued_without_touching_a_port(dock: Dock, kind: JobKind) -> None:
    """The answer is a job's id and `queued`, and the job can be read at once."""
    receipt = await dock.request_job(REMOTE, kind, requested_by="ada", **ASKED[kind])
    job = await dock.job(receipt.job_id)
    assert (receipt.status, job.status.value, job.kind, job.requested_by) == ("queued", "queued", kind, "ada")
    assert {"branch": job.branch, "parent": job.parent}.items() >= ASKED[kind].items()
    assert [one.id for one in await dock.jobs(REMOTE)] == [receipt.job_id]
    assert [one.id for one in (await dock.branches(REMOTE)).jobs] == [receipt.job_id]


async def test_no_request_runs_git_or_the_stack_tool(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a git on the path that aborts and ports that hang for ever, requests are answered in milliseconds."""
    aborting = a_tool(tmp_path).rename(tmp_path / "git")
    a_tool(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    async with app.open(config, outside=outside(Hanging())) as dock:
        await dock.add_repo(REMOTE)
        began = time.perf_counter()
        for kind, more in ASKED.items():
            await dock.request_job(REMOTE, kind, **more)
        await dock.cancel_job((await dock.jobs(REMOTE))[0].id)
        mean_seconds = (time.perf_counter() - began) / (len(ASKED) + 1)
    assert mean_seconds < 0.25
    assert not aborting.with_name("git.ran").exists()
    assert not (tmp_path / "git-spice.ran").exists()


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        (JobKind.SYNC_REPO, {"branch": "one"}, "branch"),
        (JobKind.RESTACK_REPO, {"branch": "one"}, "branch"),
        (JobKind.RESTACK_SUBTREE, {}, "branch"),
        (JobKind.REBASE_BRANCH, {}, "branch"),
        (JobKind.REBASE_BRANCH, {"branch": "one", "parent": "two"}, "parent"),
        (JobKind.REPARENT_BRANCH, {"branch": "one"}, "parent"),
        (JobKind.REPARENT_BRANCH, {"branch": "one", "parent": "one"}, "branch"),
        (JobKind.REPARENT_BRANCH, {"branch": "one", "parent": "a b"}, "parent"),
        (JobKind.REGISTER_EXISTING_BRANCH, {"branch": "a..b"}, "branch"),
        (JobKind.REGISTER_EXISTING_BRANCH, {"branch": "--all"}, "branch"),
        (JobKind.UNDO, {}, "kind"),
    ],
)
async def test_bad_input_is_refused_and_leaves_no_row(
    dock: Dock, kind: JobKind, wrong: dict[str, Any], field: str
) -> None:
    """What does not fit a kind is refused with the field that is wrong."""
    before = await dock.reads.position()
    with pytest.raises(InvalidCommand) as refused:
        await dock.request_job(REMOTE, kind, **wrong)
    assert refused.value.field == field
    assert (await dock.jobs(REMOTE), await dock.reads.position()) == ([], before)


async def test_what_is_not_there_is_not_found(dock: Dock) -> None:
    """A repo that nobody added, a job that nobody asked for, and a job of another workspace."""
    job = await dock.request_job(REMOTE, JobKind.SYNC_REPO)
    for ask in (
        dock.request_job("https://git.example.org/acme/other", JobKind.SYNC_REPO),
        dock.jobs("https://git.example.org/acme/other"),
        dock.branches("acme/other"),
        dock.cancel_job("job-0"),
        dock.undo_job("job-0"),
        dock.job(job.job_id, workspace="two"),
        dock.cancel_job(job.job_id, workspace="two"),
    ):
        with pytest.raises(NotFound):
            await ask


@pytest.mark.parametrize("kind", NEEDS_STACK_TOOL)
async def test_a_kind_that_needs_the_stack_tool_is_refused_without_it(
    config: Config, kind: JobKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal says what is missing and how to get it; nothing is queued."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    config = Config(home=config.home, figures=QUICK)
    async with app.open(config, schedule=False) as dock:
        await dock.add_repo(REMOTE)
        with pytest.raises(Unsupported, match=r"needs git-spice.*install"):
            await dock.request_job(REMOTE, kind, **ASKED[kind])
        assert await dock.jobs(REMOTE) == []
        await dock.request_job(REMOTE, JobKind.SYNC_REPO)
        await dock.request_job(REMOTE, JobKind.REGISTER_EXISTING_BRANCH, branch="one")


async def test_an_equal_job_that_waits_is_joined(dock: Dock) -> None:
    """The same asked twice is one job and both get its id; anything else that differs is a job of its own."""
    first = await dock.request_job(REMOTE, JobKind.REBASE_BRANCH, branch="one", requested_by="ada")
    second = await dock.request_job(REMOTE, JobKind.REBASE_BRANCH, branch="one", requested_by="bob")
    other = await dock.request_job(REMOTE, JobKind.REBASE_BRANCH, branch="two")
    pushed = await dock.request_job(REMOTE, JobKind.REBASE_BRANCH, branch="one", push=True)
    assert (second.job_id, second.status) == (first.job_id, "queued")
    assert [job.id for job in await dock.jobs(REMOTE)] == [pushed.job_id, other.job_id, first.job_id]
    await dock.cancel_job(first.job_id)
    again = await dock.request_job(REMOTE, JobKind.REBASE_BRANCH, branch="one")
    assert again.job_id not in (first.job_id, other.job_id, pushed.job_id)


async def test_two_processes_that_ask_at_once_get_one_job(config: Config) -> None:
    """Two docks on one home ask for the same at the same time: one job, and both have its id."""
    async with (
        app.open(config, schedule=False) as one,
        app.open(config, schedule=False) as two,
    ):
        await one.add_repo(REMOTE)
        receipts = await _at_once(*(partial_ask(dock) for dock in (one, two) for _ in range(5)))
        jobs = await one.jobs(REMOTE)
    assert len(jobs) == 1
    assert {receipt.job_id for receipt in receipts} == {jobs[0].id}


Ask = Callable[[], Awaitable[JobReceipt]]


def partial_ask(dock: Dock) -> Ask:
    """Ask a dock for a sync."""
    return lambda: dock.request_job(REMOTE, JobKind.SYNC_REPO)


async def _at_once(*asks: Ask) -> list[JobReceipt]:
    receipts: list[JobReceipt] = []

    async def ask(one: Ask) -> None:
        receipts.append(await one())

    async with anyio.create_task_group() as group:
        for one in asks:
            group.start_soon(ask, one)
    return receipts


COMMANDS: dict[str, Callable[[Dock, str, dict[str, Any]], Awaitable[JobReceipt]]] = {
    "request": lambda dock, _, more: dock.request_job(REMOTE, JobKind.RESTACK_REPO, **more),
    "cancel": lambda dock, job, more: dock.cancel_job(job, **more),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_each_command_counts_once_under_its_key(dock: Dock, name: str) -> None:
    """The second answer is the first one; the key is refused for any other request."""
    job = (await dock.request_job(REMOTE, JobKind.SYNC_REPO)).job_id
    first = await COMMANDS[name](dock, job, {"key": "click"})
    position = await dock.reads.position()
    second = await COMMANDS[name](dock, job, {"key": "click"})
    assert (first.replayed, second.replayed, second.job_id) == (False, True, first.job_id)
    assert await dock.reads.position() == position
    with pytest.raises(IdempotencyKeyReused):
        await dock.request_job(REMOTE, JobKind.REBASE_BRANCH, branch="else", key="click")


async def test_a_cancelled_job_is_over_and_stays_so(dock: Dock) -> None:
    """A queued job ends at once; there is nothing left to end, and nothing to undo."""
    job = (await dock.request_job(REMOTE, JobKind.SYNC_REPO)).job_id
    assert (await dock.cancel_job(job)).status == "cancelled"
    with pytest.raises(Conflict, match="is over"):
        await dock.cancel_job(job)
    with pytest.raises(Conflict, match="changed nothing"):
        await dock.undo_job(job)
    assert [one.status.value for one in await dock.jobs(REMOTE)] == ["cancelled"]
    kinds = [one.event.kind.value for one in await dock.history((await dock.job(job)).repo_id)]
    assert kinds == ["repo.added", "job.queued", "job.cancelled"]

"""Failures: each step fails once for now, or for good; the history tells it, and a retry goes on."""

from pathlib import Path

import pytest

from e2e.installation import Installation, rest, see, told, until_happened
from git_repos import commit_to, make_remote
from taskdock.app import ports_of
from taskdock.services.sandboxes import ref_of

pytestmark = pytest.mark.anyio


async def test_each_step_fails_once_and_the_history_tells_all_of_it(
    place: Installation, remote: Path
) -> None:
    """Clone, name, sandbox, agent and session fail once, transiently: this is the whole history, in this order."""
    place.fail("clones.clone", "transient the line is down")
    place.fail("clones.branch_heads", "transient the clone is busy")
    place.fail("provider.ensure", "transient the box is shy")
    place.fail("access.ensure_service", "transient the agent is shy")
    place.fail("gateway.open_session", "transient the session is shy")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        await until_happened(dock, receipt.task_id, "work.collected")
        task = told(await dock.history(receipt.task_id), "step", "class", "attempt", "reason", "end")
        repo = told(await dock.history(receipt.repo_id), "class", "attempt", "reason")
    # After it comes the job that takes the task's new branch into the stack, as far as it got by now.
    assert [one for one in repo if not str(one[0]).startswith("job.")] == [
        ("repo.added",),
        ("repo.step_failed", "transient", 1, "the line is down"),
        ("repo.ready",),
    ]
    assert task == [
        ("task.created",),
        ("task.step_started", "init_enqueue_provision/wait_repo"),
        ("tab.opened",),
        ("message.sent",),
        ("task.provision_queued",),
        ("task.step_started", "init_ensure_name"),
        ("task.step_failed", "init_ensure_name", "transient", 1, "the clone is busy"),
        ("task.named",),
        ("task.step_started", "init_create_sandbox/create"),
        ("task.step_failed", "init_create_sandbox/create", "transient", 1, "the box is shy"),
        ("sandbox.created",),
        ("task.step_started", "init_ensure_agent"),
        ("task.step_failed", "init_ensure_agent", "transient", 1, "the agent is shy"),
        ("task.step_started", "init_create_session"),
        ("task.step_failed", "init_create_session", "transient", 1, "the session is shy"),
        ("tab.ready",),
        ("task.running",),
        ("turn.started",),
        ("turn.ended", "completed"),
        ("work.collected",),
    ]


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("clones.branch_heads", "init_ensure_name"),
        ("provider.ensure", "init_create_sandbox/create"),
        ("access.ensure_service", "init_ensure_agent"),
        ("gateway.open_session", "init_create_session"),
    ],
)
async def test_a_permanent_failure_is_shown_and_a_retry_goes_on(
    place: Installation, remote: Path, method: str, step: str
) -> None:
    """The task rests in error with step, class and reason, its tab is told in the same commit, and a retry runs it."""
    place.fail(method, "permanent it cannot be")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        failed = await rest(dock, receipt.task_id, "error")
        await dock.retry_task(receipt.task_id)
        running = await rest(dock, receipt.task_id, "running")
        last = (await dock.history(receipt.task_id))[-1]
    failure, tab = failed.task.failure, failed.tabs[0]
    assert failure is not None
    assert (failure.step, failure.failure_class.value, failure.reason, failure.attempts) == (
        step,
        "permanent",
        "it cannot be",
        1,
    )
    assert tab.status.value == "error"
    assert tab.failure is not None
    assert tab.failure.reason == "it cannot be"
    assert running.task.failure is None
    assert last is not None


async def test_a_missing_remote_fails_the_task_and_a_retry_clones_again(
    place: Installation, tmp_path: Path
) -> None:
    """The clone of a remote that does not exist fails for good; once it exists, retrying the task is enough."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(tmp_path / "later"), prompt="Add a note")
        failed = await rest(dock, receipt.task_id, "error")
        make_remote(tmp_path / "later")
        await dock.retry_task(receipt.task_id)
        await rest(dock, receipt.task_id, "running")
    assert failed.task.failure is not None
    assert failed.task.failure.step == "init_enqueue_provision/wait_repo"
    assert "later" in failed.task.failure.reason


async def test_a_branch_that_the_remote_has_is_refused_by_name(place: Installation, remote: Path) -> None:
    """An explicit branch that exists fails the naming with a sentence that names it."""
    commit_to(remote, "taken", {"a.txt": "a\n"}, "on a branch")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note", branch="taken")
        failed = await rest(dock, receipt.task_id, "error")
    assert failed.task.failure is not None
    assert failed.task.failure.reason.startswith("branch_exists: the repo has a branch 'taken'")


async def test_attempts_run_out(place: Installation, remote: Path) -> None:
    """A failure that never passes ends in error after the attempts of its step."""
    place.fail("provider.ensure", *["transient the box is shy"] * 5)
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        failed = await rest(dock, receipt.task_id, "error")
    assert failed.task.failure is not None
    assert (failed.task.failure.attempts, failed.task.failure.failure_class.value) == (5, "transient")


async def test_an_unknown_outcome_is_ensured_again(place: Installation, remote: Path) -> None:
    """A create whose answer was lost is asked again under the same name, and makes one sandbox."""
    place.fail("provider.ensure", "unknown the answer was lost")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        await rest(dock, receipt.task_id, "running")
    assert len(place.sandboxes()) == 1


async def test_a_sandbox_lost_while_running_is_replaced_without_anybody(
    soon: Installation, remote: Path
) -> None:
    """A sandbox destroyed behind our back is replaced by itself: the history says so, and the tab is ready again."""
    async with ports_of(soon.config()) as ports, soon.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        await until_happened(dock, receipt.task_id, "work.collected")
        sandbox = (await dock.task(receipt.task_id)).task.sandbox
        await ports.sites.of(sandbox).provider.destroy(ref_of(sandbox), sandbox.owner)
        await until_happened(dock, receipt.task_id, "sandbox.lost")
        again = await see(
            dock,
            receipt.task_id,
            lambda view: view.task.at == "running" and view.tabs[0].status.value == "ready",
            "a ready tab in another sandbox",
        )
        kinds = [one.event.kind.value for one in await dock.history(receipt.task_id)]
    assert (again.task.generation, again.task.failure) == (2, None)
    assert "task.failed" not in kinds


async def test_a_prompt_that_nobody_can_tell_of_is_not_sent_again(place: Installation, remote: Path) -> None:
    """The answer to a prompt is lost and the agent cannot be asked: the message says so, and only the user sends again."""
    place.fail("gateway.prompt", "unknown the line broke")
    place.fail("gateway.delivery", "unreachable the server is gone")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        view = await see(dock, receipt.task_id, lambda view: view.tabs[0].held, "a held queue")
        messages = await dock.messages(receipt.tab_id or "")
        view = await see(
            dock, receipt.task_id, lambda view: view.tabs[0].status.value == "ready", "a new session"
        )
    assert [(message.status.value, message.reason) for message in messages] == [
        ("failed", "delivery_unknown")
    ]
    assert view.tabs[0].session == 2


async def test_a_prompt_that_was_proven_not_sent_is_sent(place: Installation, remote: Path) -> None:
    """The answer to a prompt is lost before the agent saw it: the evidence says so, and it is sent in the next try."""
    place.fail("gateway.prompt", "unknown the line broke")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo hello")
        await see(
            dock,
            receipt.task_id,
            lambda view: view.tabs[0].last_end is not None and view.tabs[0].last_end.value == "completed",
            "a completed turn",
        )
        messages = await dock.messages(receipt.tab_id or "")
    assert [message.status.value for message in messages] == ["delivered"]

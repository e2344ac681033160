"""Journeys: stretches of a task's life, each with the calls of the ports that it comes to.

Owns: `Journey` and `JOURNEYS`.
Never: a judgement; a journey says where it ends, and the judge what holds there.
Reads as: cells.py takes the calls, trial.py drives `prepare` and `ask` -> Scene.
"""

from collections.abc import Awaitable, Callable

from attrs import frozen

from taskdock.app import TaskView
from taskdock.core import task_record as at
from taskdock.core.job_record import JobKind
from taskdock.testing.conformance.stack import STEPS
from taskdock.testing.kill_matrix.scene import Scene

_Act = Callable[[Scene], Awaitable[object]]


@frozen
class Journey:
    """`prepare` brings the task to where it begins, `ask` sets it going and returns at once."""

    name: str
    prepare: _Act
    ask: _Act
    ends: str
    """The state of the task at its end."""
    calls: tuple[str, ...]
    """The methods of the ports that are called on the way, in the order of their first call."""
    is_over: Callable[[TaskView], bool]
    """Beyond being in that state and at rest."""


async def _nothing(_scene: Scene) -> None:
    """A new installation is all there has to be."""


async def _create(scene: Scene) -> None:
    await scene.create("Add a note about kill matrices")


async def _up(scene: Scene) -> None:
    await _create(scene)
    await scene.rest(_turns(1), "the end of the first turn")


def _turns(count: int) -> Callable[[TaskView], bool]:
    """So many turns of the first tab have ended, or its queue waits because one was cut."""
    return lambda view: view.tabs[0].turns_ended >= count or view.tabs[0].held


def _at(state: str) -> Callable[[TaskView], bool]:
    return lambda view: view.task.at == state


def _ready(view: TaskView) -> bool:
    return all(tab.at == "ready" for tab in view.tabs)


async def _in_doubt(scene: Scene) -> None:
    """Leave a prompt of which the next process has to find out whether it was sent; nothing runs then."""
    await scene.process.kill()
    scene.process.set_gate("gateway.prompt.before")
    await scene.process.start()
    await _create(scene)
    await scene.process.reached("gateway.prompt.before")
    await scene.process.kill()
    scene.process.open_gate("gateway.prompt.before")


async def _start(scene: Scene) -> None:
    await scene.process.start()


async def _reply(scene: Scene) -> None:
    await scene.send("Add another note, about gates")


async def _hanging(scene: Scene) -> None:
    await _up(scene)
    await scene.send("Wait for me\ndemo: hang")
    await scene.see(lambda view: view.tabs[0].turn.at == "running", "a running turn")


async def _cancel(scene: Scene) -> None:
    await scene.dock.cancel_turn(scene.tab_id)


async def _asking(scene: Scene) -> None:
    await _up(scene)
    await scene.send("Ask me first\ndemo: ask")
    await scene.see(lambda view: bool(view.permissions), "a question of the agent")


async def _answer(scene: Scene) -> None:
    asked = (await scene.view()).permissions[0]
    await scene.dock.answer_permission(scene.tab_id, asked.id, "once")


async def _open_tab(scene: Scene) -> None:
    await scene.dock.open_tab(scene.task_id)


async def _two_tabs(scene: Scene) -> None:
    await _up(scene)
    await _open_tab(scene)
    await scene.rest(lambda view: len(view.tabs) > 1 and _ready(view), "a second tab")


async def _close_tab(scene: Scene) -> None:
    await scene.dock.close_tab((await scene.view()).tabs[1].id)


async def _stop(scene: Scene) -> None:
    await scene.dock.stop_task(scene.task_id)


async def _stopped(scene: Scene) -> None:
    await _up(scene)
    await scene.keep_log()
    await scene.leave_mark()
    await _stop(scene)
    await scene.rest(_at(at.STOPPED), "a stopped task")


async def _resume(scene: Scene) -> None:
    await scene.dock.resume_task(scene.task_id)


async def _archive(scene: Scene) -> None:
    await scene.dock.archive_task(scene.task_id)


async def _archived(scene: Scene) -> None:
    await _up(scene)
    await scene.keep_log()
    await _archive(scene)
    await scene.rest(_at(at.ARCHIVED), "an archived task")


async def _unarchive(scene: Scene) -> None:
    await scene.dock.unarchive_task(scene.task_id)


async def _kill(scene: Scene) -> None:
    await scene.dock.kill_task(scene.task_id)


async def _stacked(scene: Scene) -> None:
    """The task's branch is in the stack, and trunk has moved since."""
    await scene.own_remote()
    await _up(scene)
    await scene.ask_job(JobKind.REGISTER_EXISTING_BRANCH, (await scene.view()).task.branch)
    await scene.rest(_whatever, "the end of a job that registers a branch")
    await scene.advance_trunk()


def _whatever(_view: TaskView) -> bool:
    """Nothing more than that it rests, the jobs of its repo too."""
    return True


async def _restack(scene: Scene) -> None:
    """Without a stack tool trunk alone is brought up."""
    await scene.ask_job(JobKind.RESTACK_REPO if scene.dock.offer.stack_tool else JobKind.SYNC_REPO)


async def _restacking(scene: Scene) -> None:
    """A job has moved what it had to, and is held before its last step."""
    await _stacked(scene)
    scene.process.set_gate("stack.post_sync.before")
    await _restack(scene)
    await scene.process.reached("stack.post_sync.before")


async def _end_job(scene: Scene) -> None:
    await scene.end_job()
    scene.process.open_gate("stack.post_sync.before")


_CREATED = (
    "clones.clone",
    "clones.branch_heads",
    "namer.propose",
    "provider.observe",
    "provider.ensure",
    "clones.checkout",
    "access.exec",
    "access.put_files",
    "gateway.service",
    "access.ensure_service",
    "gateway.open_session",
    "gateway.settle",
    "access.endpoint",
    "gateway.prompt",
    "clones.known_heads",
    "access.get_file",
    "clones.take_in",
    "stack.run",
)
_ENDED = ("access.stop_service", "clones.take_in", "provider.destroy")
_MADE_AGAIN = ("provider.ensure", "clones.checkout", "access.put_files", "access.ensure_service")

JOURNEYS = (
    Journey("create", _nothing, _create, at.RUNNING, _CREATED, _turns(1)),
    Journey("doubt", _in_doubt, _start, at.RUNNING, ("gateway.delivery",), _turns(1)),
    Journey("reply", _up, _reply, at.RUNNING, ("gateway.prompt", "clones.take_in"), _turns(2)),
    Journey("cancel", _hanging, _cancel, at.RUNNING, ("gateway.cancel",), _turns(2)),
    Journey("answer", _asking, _answer, at.RUNNING, ("gateway.answer_permission",), _turns(2)),
    Journey("open", _up, _open_tab, at.RUNNING, ("gateway.open_session",), _ready),
    Journey("close", _two_tabs, _close_tab, at.RUNNING, ("gateway.close",),
            lambda view: view.tabs[1].at == "closed"),
    Journey("stop", _up, _stop, at.STOPPED, (*_ENDED[:2], "provider.stop"), _at(at.STOPPED)),
    Journey("resume", _stopped, _resume, at.RUNNING,
            ("provider.ensure", "provider.start", "access.ensure_service", "gateway.resume_session"), _ready),
    Journey("archive", _up, _archive, at.ARCHIVED, _ENDED, _at(at.ARCHIVED)),
    Journey("unarchive", _archived, _unarchive, at.RUNNING, (*_MADE_AGAIN, "gateway.open_session"), _ready),
    Journey("heal", _up, Scene.lose_sandbox, at.RUNNING, ("provider.observe", "provider.destroy", *_MADE_AGAIN),
            lambda view: view.task.generation > 1 and _ready(view)),
    Journey("restack", _stacked, _restack, at.RUNNING, ("stack.run", *(f"stack.{step}" for step in STEPS)), _whatever),
    Journey("settle", _restacking, _end_job, at.RUNNING, ("stack.settle",), _whatever),
    Journey("kill", _up, _kill, at.KILLED, _ENDED, _at(at.KILLED)),
)  # fmt: skip

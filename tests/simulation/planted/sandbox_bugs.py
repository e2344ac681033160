"""Sandbox bugs: what goes wrong in the field between a task and its sandbox.

Owns: one context manager per bug; its docstring is the sentence in the table.
Never: two bugs in one.
Reads as: table.py -> this -> planting.py.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from unittest.mock import patch

from attrs import evolve

from simulation.planted.planting import added, redirected, replaced
from taskdock.core import inputs
from taskdock.core import task_record as at
from taskdock.core.inputs import SandboxReady
from taskdock.core.intents import CreateSandbox
from taskdock.core.task import MACHINE
from taskdock.core.task_guards import TaskGuards
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import Task
from taskdock.ports.sandbox import Observation, Phase
from taskdock.services import reaper
from taskdock.services.creates import Creates
from taskdock.services.execution import Execution
from taskdock.services.executors.catalogue import EXECUTORS
from taskdock.services.executors.create_sandbox import create_sandbox
from taskdock.services.sandboxes import mark_of, ref_of
from taskdock.services.tools import Tools
from taskdock.testing.simulation.code import Clones, State


def _true(_: object) -> bool:
    return True


def _false(_: object) -> bool:
    return False


@contextmanager
def name_chosen_by_the_call() -> Iterator[None]:
    """A sandbox's name is chosen when its create is called, so the next attempt makes another one."""

    async def create(body: CreateSandbox, execution: Execution, tools: Tools) -> SandboxReady:
        attempt = execution.intent.attempt
        if attempt > 1:
            name = f"{body.sandbox.name}-{attempt}"
            body = evolve(body, sandbox=evolve(body.sandbox, name=name))
        return await create_sandbox(body, execution, tools)

    with patch.dict(EXECUTORS, {CreateSandbox: create}):
        yield


@contextmanager
def replaced_before_its_release() -> Iterator[None]:
    """A sandbox that failed gets its successor, with the next generation, before it is released."""
    forget = TaskCursor.note_heal

    def note_heal(cursor: TaskCursor) -> None:
        forget(cursor)
        if cursor.task.at == at.OBSERVE and not cursor.is_seen_stopped():
            cursor._put(generation=cursor.task.generation + 1, create_began=None, mark=None)

    with (
        replaced(TaskCursor, "note_heal", note_heal),
        redirected(MACHINE, "observed", at.OBSERVE, at.REPLACE, at.CREATE),
    ):
        yield


@contextmanager
def window_from_the_commit() -> Iterator[None]:
    """Whether a create can still land is judged at the time of the commit, not of the look at the provider."""
    judge = TaskGuards._is_settled

    def is_settled(cursor: TaskGuards, read_at: datetime, window: float) -> bool:
        return judge(cursor, max(read_at, cursor._draft.now), window)

    with replaced(TaskGuards, "_is_settled", is_settled):
        yield


@contextmanager
def window_by_the_wall_clock() -> Iterator[None]:
    """A clock that is set forward ends the time in which a create may still land."""

    def time_of(_creates: Creates, seen: Observation) -> datetime:
        return seen.read_at

    with replaced(Creates, "time_of", time_of):
        yield


@contextmanager
def create_lands_after_the_kill() -> Iterator[None]:
    """The first absence ends a release, although a create that was under way may still land."""
    with replaced(TaskGuards, "window_has_passed", _true):
        yield


@contextmanager
def destroyed_and_started_again() -> Iterator[None]:
    """A sandbox whose end was ordered is started again when its task is resumed."""
    with replaced(TaskGuards, "destroy_was_ordered", _false):
        yield


@contextmanager
def archive_during_create_leaks() -> Iterator[None]:
    """A task that is stopped, archived or killed releases its sandbox only where that was ready."""
    with replaced(TaskGuards, "box_ordered", lambda cursor: cursor.task.box_ready):
        yield


@contextmanager
def kill_undone_through_error() -> Iterator[None]:
    """A kill that failed can be turned into an archive."""
    source = at.error_of(at.KILL)
    with added(MACHINE, "archive", source, like=at.error_of(at.ARCHIVE)):
        yield


@contextmanager
def retry_without_a_look() -> Iterator[None]:
    """A retry makes the sandbox at once and does not look at what is there."""
    with ExitStack() as stack:
        for source in at.errors_of(at.CREATE, at.OBSERVE, at.AGENT, at.SESSION, at.LOOKING):
            stack.enter_context(redirected(MACHINE, "retry", source, at.OBSERVE, at.CREATE))
        yield


@contextmanager
def copy_clears_what_is_owed() -> Iterator[None]:
    """A copy of the work, taken while agents go on, counts as if nothing could have followed it."""
    take = TaskCursor.take_work

    def take_work(cursor: TaskCursor) -> None:
        take(cursor)
        cursor._put(work_owed=False)

    with replaced(TaskCursor, "take_work", take_work):
        yield


@contextmanager
def stopped_without_collecting() -> Iterator[None]:
    """A stop, archive or kill does not bring the work out first."""
    with replaced(TaskGuards, "work_is_owed", _false):
        yield


@contextmanager
def another_sandbox_taken_for_it() -> Iterator[None]:
    """A sandbox that was made anew is taken for the one that had the work."""
    with replaced(TaskGuards, "is_the_same", _true):
        yield


@contextmanager
def one_look_says_it_is_another() -> Iterator[None]:
    """A sandbox that one look before its start missed is told lost, with the work in it."""

    def is_the_same(cursor: TaskGuards) -> bool:
        ready = cursor._value(SandboxReady)
        return ready.adopted and cursor.task.mark in (None, ready.mark)

    with replaced(TaskGuards, "is_the_same", is_the_same):
        yield


@contextmanager
def lost_at_the_first_absence() -> Iterator[None]:
    """One answer of absence is enough to replace a sandbox."""
    with replaced(
        TaskGuards,
        "is_seen_gone",
        lambda cursor: cursor._value(inputs.Observed).phase is inputs.SandboxPhase.ABSENT,
    ):
        yield


@contextmanager
def branch_reserved_twice() -> Iterator[None]:
    """A branch that was named automatically is held by nobody."""
    take = TaskCursor.take_name

    def take_name(cursor: TaskCursor) -> None:
        take(cursor)
        if not cursor.task.branch_given:
            cursor._draft.hold = None

    with replaced(TaskCursor, "take_name", take_name):
        yield


@contextmanager
def branch_taken_back_without_asking() -> Iterator[None]:
    """An unarchived task takes its branch for its own, whoever holds it meanwhile."""
    note = TaskCursor.note_unarchived

    def note_unarchived(cursor: TaskCursor) -> None:
        note(cursor)
        cursor._draft.hold = None

    with replaced(TaskCursor, "note_unarchived", note_unarchived):
        yield


@contextmanager
def create_not_written_down() -> Iterator[None]:
    """A create is called without saying so first."""
    start = Execution.start

    async def start_unless_create(execution: Execution) -> None:
        if not isinstance(execution.intent.body, CreateSandbox):
            await start(execution)

    with replaced(Execution, "start", start_unless_create):
        yield


@contextmanager
def uncommitted_work_not_restored() -> Iterator[None]:
    """A new checkout has the task's commits, and not what was in none of them."""
    start = Clones.start_of

    def start_of(clones: Clones, repo_id: str, task_id: str, base: str) -> State:
        return evolve(start(clones, repo_id, task_id, base), uncommitted=frozenset())

    with replaced(Clones, "start_of", start_of):
        yield


@contextmanager
def adopted_without_a_checkout() -> Iterator[None]:
    """A sandbox that is found to be there is taken to have its checkout."""

    async def create(body: CreateSandbox, execution: Execution, tools: Tools) -> SandboxReady:
        if not execution.intent.started and execution.intent.attempt == 1:
            return await create_sandbox(body, execution, tools)
        site, ref = tools.sites.of(body.sandbox), ref_of(body.sandbox)
        before = await site.provider.observe(ref)
        if before.phase is not Phase.RUNNING:
            return await create_sandbox(body, execution, tools)
        await execution.start()
        return SandboxReady(adopted=True, mark=mark_of(before))

    with patch.dict(EXECUTORS, {CreateSandbox: create}):
        yield


@contextmanager
def reaper_ends_what_is_in_use() -> Iterator[None]:
    """The reaper takes the current generation for an old one, and does not ask the task."""

    def judged(task: Task | None, generation: int, phase: object) -> tuple[bool, str]:
        del phase
        return task is None or generation <= task.generation, "it is old"

    async def not_refused(_reaper: reaper.Reaper, _found: reaper.Found, _task_id: str) -> None:
        return None

    with replaced(reaper, "_judged", judged), replaced(reaper.Reaper, "_refused", not_refused):
        yield

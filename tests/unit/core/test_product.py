"""Product: whatever comes in whatever situation, `step` answers, changes nothing it was given, and answers the same again."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import copy
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest

from taskdock.core import inputs, repo, tab, task
from taskdock.core.change import Change, Draft
from taskdock.core.codec import encode
from taskdock.core.errors import CommandRejected, Conflict
from taskdock.core.inputs import Failed, FailureClass, Input, KillTask, RepoInput, TaskInput
from taskdock.core.message import MESSAGE_MACHINE, Message, MessageCursor
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task import TaskCursor
from unit.core.givens import REPOS, TASKS
from unit.core.product import VALUES, answer, repo_inputs, task_inputs
from unit.core.story import REPO, TASK, RepoStory, Story, TaskStory

COMMANDS = (inputs.CreateTask, *get_args(inputs.TaskCommand), *get_args(inputs.RepoCommand))


def every_task() -> Iterator[TaskStory]:
    """Each situation of a task, the one before it exists left out."""
    return (given() for name, given in TASKS.items() if name != "no_task")


def written(change: Change) -> str:
    """The bytes that a store would write."""
    documents = (*change.records, *change.ordered, *change.history)
    lists = (
        change.marked_started,
        change.closed,
        change.cancelled,
        change.hold,
        change.release,
        change.ignored,
    )
    return "\n".join([*map(encode, documents), repr(lists), repr((change.version, change.runs))])


def check_answer(story: Story, input_: Input) -> None:
    """One cell of the product."""
    slice_ = story.boundary.slice
    before = repr(slice_)
    first, second = answer(story, input_), answer(story, input_)
    assert repr(slice_) == before == repr(story.boundary.slice)
    if isinstance(first, Change):
        assert isinstance(second, Change)
        assert written(first) == written(second)
        _check_change(story, first, story.now + timedelta(seconds=1))
    else:
        assert str(first) == str(second) != ""
        _check_rejection(input_, first)


def _check_rejection(input_: Input, rejected: CommandRejected) -> None:
    assert isinstance(input_, COMMANDS), f"a fact was rejected: {rejected}"
    # A task that exists already is no record that the request to create one could name.
    if isinstance(rejected, Conflict) and not isinstance(input_, inputs.CreateTask):
        assert rejected.status


def _check_change(story: Story, change: Change, now: datetime) -> None:
    version = story.boundary.version
    if change.ignored is not None:
        empty = Change(
            change.boundary, change.workspace, version, story.boundary.runs, ignored=change.ignored
        )
        assert change == empty
        assert change.version == version
        assert change.ignored
        return
    assert change.version == version + 1
    after = story.boundary.copy()
    after.take(change)
    for record in change.records:
        before = story.boundary.records.get((type(record), record.id))
        if any(getattr(record, part, None) != getattr(before, part, None) for part in ("at", "turn")):
            assert record.updated_at == now  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", TASKS.values(), ids=TASKS.keys())
def test_task_answers_every_input(given: Callable[[], TaskStory]) -> None:
    """A task moves, says why it ignores the input, or rejects the command; nothing else, and twice the same."""
    story = given()
    for input_ in task_inputs(story):
        check_answer(story, input_)


@pytest.mark.parametrize("given", REPOS.values(), ids=REPOS.keys())
def test_repo_answers_every_input(given: Callable[[], RepoStory]) -> None:
    """A repo moves, says why it ignores the input, or rejects the command; nothing else, and twice the same."""
    story = given()
    for input_ in repo_inputs(story):
        check_answer(story, input_)


def test_product_has_every_state() -> None:
    """The situations reach every state of every table, so that a new state needs a script first."""
    stories = list(every_task())
    assert {story.at for story in stories} == task.STATES.keys() - {"new"}
    assert {tab.at for story in stories for tab in story.boundary.all(Tab)} == tab.STATES.keys() - {"new"}
    messages = {message.at for story in stories for message in story.boundary.all(Message)}
    assert messages == set(MESSAGE_MACHINE.states) - {"new"}
    turns = {tab.turn.at for story in stories for tab in story.boundary.all(Tab)}
    assert turns == {"none", "running", "cancelling"}
    assert {given().repo.at for name, given in REPOS.items() if name != "no_repo"} == repo.STATES.keys() - {
        "new"
    }


def test_product_has_every_input() -> None:
    """Every class of input that a boundary declares is among the inputs of the product."""
    made = {type(input_) for story in every_task() for input_ in task_inputs(story)}
    assert made == set(get_args(TaskInput))
    made = {type(input_) for given in REPOS.values() for input_ in repo_inputs(given())}
    assert made == set(get_args(RepoInput))


def digest() -> str:
    """What every task of the product answers to everything, as one number."""
    answers = hashlib.blake2s()
    for story in every_task():
        for input_ in task_inputs(story):
            answered = answer(story, input_)
            answers.update((written(answered) if isinstance(answered, Change) else str(answered)).encode())
    return answers.hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_same_bytes_in_every_process(hash_seed: str) -> None:
    """Another process, whose sets are in another order, decides the same to the byte."""
    other = subprocess.run(
        [sys.executable, "-c", "from unit.core.test_product import digest; print(digest())"],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == digest()


def guards(cursor: type) -> list[str]:
    """The names of a cursor's guards."""
    return [
        name for name in dir(cursor) if getattr(getattr(cursor, name), "__taskdock_role__", None) == "guard"
    ]


def snapshot(draft: Draft) -> dict[str, Any]:
    """All that a draft holds, as it stands."""
    return {name: copy(value) for name, value in vars(draft).items()}


def cursors(story: TaskStory, draft: Draft) -> Iterator[Any]:
    """Every cursor on every record of the draft, with every intent and the inputs that guards look at."""
    failed = Failed(FailureClass.TRANSIENT, "it broke")
    for open_one in story.boundary.outbox.values():
        for value in (value for values in VALUES.values() for value in values):
            yield TaskCursor(draft, TASK, input_=value, intent=open_one, failed=failed)
    for intent in (None, *story.boundary.outbox.values()):
        yield TaskCursor(draft, TASK, input_=KillTask(force=True), intent=intent, failed=failed)
        for one in story.boundary.all(Tab):
            yield TabCursor(draft, one.id, input_=KillTask(force=True), intent=intent, failed=failed)
    for message in draft.all(Message):
        yield MessageCursor(draft, message.id)


ABOUT: dict[str, type] = {
    "all_is_in": inputs.WorkCollected,
    "is_the_same": inputs.SandboxReady,
    "window_has_passed": inputs.SandboxReleased,
    "stop_is_sure": inputs.SandboxStopped,
    **dict.fromkeys(("heals_too_often", "may_look_again"), inputs.Observed),
}
"""What a guard of the task asks about, where that is what an intent brought."""


def may_be_asked(cursor: object, name: str) -> bool:
    """Whether the input of this cursor is one that this guard is asked about."""
    about = inputs.Observed if name.startswith("is_seen") else ABOUT.get(name, object)
    return not isinstance(cursor, TaskCursor) or isinstance(vars(cursor)["_input"], about)


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=name) for name, given in TASKS.items() if name != "no_task"]
)
def test_guards_change_nothing(given: Callable[[], TaskStory]) -> None:
    """A guard answers yes or no, the same twice, and leaves the draft as it was."""
    story = given()
    draft = Draft(story.boundary.slice, story.now, story.boundary.figures)
    before = snapshot(draft)
    asked: set[str] = set()
    for cursor in cursors(story, draft):
        for name in guards(type(cursor)):
            if may_be_asked(cursor, name):
                assert getattr(cursor, name)() is getattr(cursor, name)() in (True, False)
                asked.add(name)
    assert snapshot(draft) == before
    if story.boundary.outbox:
        assert asked >= {*guards(TaskCursor), *guards(TabCursor)}


def test_repo_guards_change_nothing() -> None:
    """The guards of a repo, too, only answer."""
    for given in (given for name, given in REPOS.items() if name != "no_repo"):
        story = given()
        draft = Draft(story.boundary.slice, story.now, story.boundary.figures)
        before = snapshot(draft)
        for intent in (None, *story.boundary.outbox.values()):
            cursor = repo.RepoCursor(
                draft, REPO, intent=intent, failed=Failed(FailureClass.TRANSIENT, "it broke")
            )
            for name in guards(repo.RepoCursor):
                assert getattr(cursor, name)() in (True, False)
        assert snapshot(draft) == before

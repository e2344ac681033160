"""Places: where each kind of intent queues, what it waits for, and the time that a change leaves on its records."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from taskdock.core.inputs import AwaitBranch, AwaitReady, BranchBorn, BranchMoved, NoLongerWaits
from taskdock.core.intents import Figures, Intent, Tell, Wake
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from unit.core.cases import Case
from unit.core.givens import REPOS, TASKS
from unit.core.story import MESSAGE, PERMISSION, TAB, TAB_2, Story
from unit.core.test_rows import CASES

PLACES = {
    "EnsureName": ("name", "naming"),
    "CreateSandbox": ("sandbox", "sandbox:local"),
    "EnsureAgent": ("sandbox", "agent"),
    "CollectWork": ("sandbox", "collect"),
    "StopSandbox": ("sandbox", "release"),
    "DestroySandbox": ("sandbox", "release"),
    "ObserveSandbox": ("look", "observe"),
    "CreateSession": (f"tab:{TAB}", "session"),
    "ResumeSession": (f"tab:{TAB}", "session"),
    "CloseSession": (f"tab:{TAB}", "session"),
    "SendPrompt": (f"tab:{TAB}", "prompt"),
    "CancelTurn": (f"cancel:{TAB}", "session"),
    "AnswerPermission": (f"permission:{TAB}:{PERMISSION}", "session"),
    "CloneRepo": ("clone", "clone"),
    "RemoveClone": ("clone", "clone"),
    "RunRepoJob": ("job", "job"),
}
"""Subject and lane: what works in one sandbox or session waits for each other, what only looks or asks does not."""

SECONDS = {
    "settle": Figures().settle_seconds,
    f"closing:{TAB}": Figures().closing_seconds,
    f"cancelling:{TAB}:{MESSAGE}": Figures().cancel_seconds,
    f"permission:{TAB}:{PERMISSION}": Figures().permission_seconds,
}
"""After how long the clock comes back, for each reason."""

EVERY = [pytest.param(given, id=name) for name, given in {**TASKS, **REPOS}.items()]


def ordered(story: Story) -> Iterator[Intent]:
    """Every intent that a story has ordered."""
    return (intent for change in story.changes for intent in change.ordered)


def place(intent: Intent) -> tuple[str, str]:
    """Where it must queue."""
    body = intent.body
    if isinstance(body, Wake):
        return body.reason, "wake"
    kind = type(body).__name__
    if isinstance(body, Tell):
        return _subject(body, intent), "tell"
    subject, lane = PLACES[kind]
    return subject.replace(TAB, getattr(body, "tab_id", TAB)), lane


def _subject(tell: Tell, intent: Intent) -> str:
    """A question has its own number, what takes it back or answers it has the number of the question."""
    said = tell.input
    if isinstance(said, BranchMoved):
        return f"moved:{tell.target}"
    if isinstance(said, AwaitReady | AwaitBranch | NoLongerWaits | BranchBorn):
        assert isinstance(said, NoLongerWaits) or said.ask == int(intent.id.rpartition("#")[2])
        return f"ask:{said.ask}"
    return f"tell:{tell.target}:{said.ask}"


@pytest.mark.parametrize("given", EVERY)
def test_every_intent_queues_in_its_place(given: Callable[[], Story]) -> None:
    """Each kind has one subject and one lane, whatever situation it was ordered in."""
    for intent in ordered(given()):
        assert (intent.subject, intent.lane) == place(intent)


@pytest.mark.parametrize("given", EVERY)
def test_clock_comes_back_when_time_is_up(given: Callable[[], Story]) -> None:
    """Each reason has its own time, counted from the moment it was ordered."""
    for intent in ordered(given()):
        if isinstance(intent.body, Wake):
            seconds = SECONDS[intent.body.reason.replace(TAB_2, TAB)]
            assert intent.not_before == intent.created_at + timedelta(seconds=seconds)


@pytest.mark.parametrize("given", EVERY)
def test_no_pause_lies_in_the_past(given: Callable[[], Story]) -> None:
    """What waits is never to begin before it was ordered."""
    for intent in ordered(given()):
        assert intent.not_before is None or intent.not_before >= intent.created_at


RECORDS = {
    "task": Task,
    "tab": Tab,
    "message": Message,
    "turn": Tab,
    "permission": Tab,
    "repo": Repo,
    "job": Job,
}
MOVES = [
    pytest.param(table, case, id=f"{table}: {case.arc}") for table, cases in CASES.items() for case in cases
]


@pytest.mark.parametrize(("table", "case"), MOVES)
def test_record_that_moves_says_when(table: str, case: Case) -> None:
    """Every row leaves on its record the time at which it was taken."""
    story = case.given()
    change = story.do(case.input(story) if callable(case.input) else case.input)
    times = {record.updated_at for record in change.records if isinstance(record, Task | Tab | Message | Repo | Job)
             and isinstance(record, RECORDS[table])}  # fmt: skip
    assert story.now in times

"""The picture of one task: rows, lines and what was taken before, as pure values."""

import pytest
from attrs import evolve

from taskdock.adapters.entry.cli.live import Live, Row, RowStatus, Taken, note_of, take
from taskdock.core.history import HistoryKind
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.step import Step
from taskdock.ports.store import Item, Snapshot, Versioned
from taskdock.services.feed import RecordChanged, Seen, Spoken
from unit.cli.story import T0, TAB, TASK, UP, Event, at, happened, told


def test_five_steps_are_told_once_with_their_durations() -> None:
    """Each provisioning step is one line when it ends, with how long it took and what it brought."""
    _, lines = told(UP)
    assert [line.split() for line in lines] == [
        ["init_enqueue_provision", "1.0", "s"],
        ["init_ensure_name", "0.5", "s", "branch", "fix-it", "from", "main"],
        ["init_create_sandbox", "2.5", "s", "sandbox", "td-1"],
        ["init_ensure_agent", "0.5", "s"],
        ["init_create_session", "0.5", "s"],
    ]


def test_all_steps_are_there_from_the_start() -> None:
    """Once a task is created, its five steps are rows: the first is under way, the others wait."""
    live, _ = told(UP[:1])
    assert [row.status.value for row in live.rows] == ["working", *["waiting"] * 4]


def test_waiting_for_the_clone_is_part_of_the_first_step() -> None:
    """The machine's `/wait_repo` shows as the contract's `init_enqueue_provision`, with what it waits for."""
    events: list[Event] = [
        UP[0],
        (0.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_enqueue_provision/wait_repo"}),
        (9.0, HistoryKind.TASK_PROVISION_QUEUED, {}),
    ]
    live, lines = told(events)
    assert lines == []
    assert live.rows[0] == Row("init_enqueue_provision", RowStatus.WORKING, T0)


def test_an_attempt_that_failed_is_told_and_counted() -> None:
    """A failed attempt is a line of its step, with class, reason and when the next one begins."""
    failed: Event = (
        4.2,
        HistoryKind.TASK_STEP_FAILED,
        {
            "step": "init_ensure_agent",
            "attempt": 1,
            "class": "transient",
            "reason": "connection reset",
            "retry_at": at(5.2).isoformat(),
        },
    )
    taken = take(told(UP[:7])[0], happened(8, failed))
    (line,) = taken.lines
    assert line.of_step
    assert line.text.startswith(
        "init_ensure_agent: attempt 1 failed (transient): connection reset; again at "
    )
    assert (taken.live.rows[3].attempt, taken.live.rows[3].status) == (2, RowStatus.WORKING)
    _, lines = told(UP[7:], taken.live)
    assert lines[0].split() == ["init_ensure_agent", "0.5", "s"]


def test_a_failed_collection_is_no_step_of_the_rows() -> None:
    """What failed beside the steps is told to everybody, since no row says it."""
    failed: Event = (
        6.0,
        HistoryKind.TASK_STEP_FAILED,
        {"step": "collect_work", "attempt": 1, "class": "transient", "reason": "no answer"},
    )
    taken = take(told(UP)[0], happened(10, failed))
    assert [line.of_step for line in taken.lines] == [False]


def test_a_failure_marks_its_step_and_is_told() -> None:
    """The step that failed for good is marked so, ends then, and the reason is said to everybody."""
    failed: Event = (
        6.5,
        HistoryKind.TASK_FAILED,
        {"step": "init_ensure_agent", "attempts": 3, "class": "permanent", "reason": "no such agent"},
    )
    live, lines = told([*UP[:7], failed])
    assert lines[-2].split() == ["init_ensure_agent", "2.5", "s", "failed"]
    assert lines[-1] == "failed in init_ensure_agent, attempt 3 (permanent): no such agent"
    assert [row.status.value for row in live.rows] == ["done", "done", "done", "failed", "waiting"]


def test_a_retry_begins_where_it_goes_on_and_later_steps_wait_again() -> None:
    """After a retry the step it goes on from is under way again, with a time of its own."""
    failed: Event = (
        5.0,
        HistoryKind.TASK_FAILED,
        {"step": "init_create_session", "attempts": 1, "class": "permanent", "reason": "login needed"},
    )
    again: list[Event] = [
        (60.0, HistoryKind.TASK_RETRIED, {"step": "init_create_session"}),
        (60.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_create_sandbox/create"}),
        (61.0, HistoryKind.SANDBOX_ADOPTED, {"sandbox": "td-1", "generation": 1}),
        (61.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_ensure_agent"}),
    ]
    live, lines = told([*UP[:8], failed, *again])
    assert [row.status.value for row in live.rows] == ["done", "done", "done", "working", "waiting"]
    assert lines[-2] == "retried from init_create_session"
    assert lines[-1].split() == ["init_create_sandbox", "1.0", "s", "sandbox", "td-1,", "found", "again"]


def test_a_step_that_was_passed_is_done_without_a_time() -> None:
    """A step that the machine skipped is done, and no line claims a duration for it."""
    events: list[Event] = [
        UP[0],
        (2.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_create_sandbox/create"}),
    ]
    live, lines = told(events)
    assert live.rows[1] == Row("init_ensure_name", RowStatus.DONE)
    assert len(lines) == 1


def test_a_kill_has_rows_of_its_own() -> None:
    """The steps of a kill take the place of the steps before."""
    kill: list[Event] = [
        (9.0, HistoryKind.TASK_STEP_STARTED, {"step": "killing/settle"}),
        (9.5, HistoryKind.TASK_STEP_STARTED, {"step": "killing/collect"}),
        (10.5, HistoryKind.WORK_COLLECTED, {"head": "1a2b3c4d5e", "branch": "fix-it", "moved": False}),
        (10.5, HistoryKind.TASK_STEP_STARTED, {"step": "killing/destroy"}),
        (11.0, HistoryKind.TASK_KILLED, {"head": "1a2b3c4d5e", "branch": "fix-it"}),
    ]
    live, lines = told([*UP, *kill])
    assert [row.name for row in live.rows] == ["killing/settle", "killing/collect", "killing/destroy"]
    assert {row.status for row in live.rows} == {RowStatus.DONE}
    assert [line.split() for line in lines[5:]] == [
        ["killing/settle", "0.5", "s"],
        ["commit", "1a2b3c4", "on", "fix-it"],
        ["killing/collect", "1.0", "s"],
        ["killing/destroy", "0.5", "s"],
    ]


def test_an_event_that_was_taken_changes_nothing() -> None:
    """History and feed may overlap: the same event again, or an older one, says nothing and moves nothing."""
    live, _ = told(UP)
    for number, event in enumerate(UP, start=1):
        assert take(live, happened(number, event)) == Taken(live)


def test_what_belongs_to_others_is_left_out() -> None:
    """Events, tasks and tabs of other tasks leave the picture as it is."""
    live, _ = told(UP)
    foreign: list[Seen] = [
        happened(99, UP[0], boundary="task-2"),
        RecordChanged(99, "task", Versioned(evolve(TASK, id="task-2"), 1)),
        RecordChanged(99, "tab", Versioned(evolve(TAB, task_id="task-2"), 1)),
        RecordChanged(99, "repo", Versioned(Repo("repo-2", "default", "x", "/x", T0, T0), 1)),
    ]
    for seen in foreign:
        assert take(live, seen) == Taken(live)


def test_records_are_replaced_by_newer_ones() -> None:
    """A snapshot brings task, tabs and messages; each change replaces one of them."""
    message = Message("message-1", "task-1", "tab-1", 1, T0, T0, at="queued")
    snapshot = Snapshot(1, (Versioned(TASK, 1), Versioned(TAB, 1), Versioned(message, 1)))
    live = take(Live("task-1"), snapshot).live
    changed = evolve(TAB, at="closing")
    live = take(live, RecordChanged(2, "tab", Versioned(changed, 2))).live
    assert (live.task, dict(live.tabs), dict(live.messages)) == (
        TASK,
        {"tab-1": changed},
        {"message-1": message},
    )


def test_a_transcript_item_is_taken_once() -> None:
    """The first entry of a tab brings its whole transcript again: what was shown is left out."""
    items = [Item("tab-1", number, "a", "text", {"text": str(number)}, T0) for number in (1, 2, 3)]
    taken = take(Live("task-1"), Spoken(1, "tab-1", tuple(items[:2])))
    assert taken.items == tuple(items[:2])
    taken = take(taken.live, Spoken(2, "tab-1", tuple(items)))
    assert taken.items == (items[2],)


def test_the_end_of_a_turn_is_known_by_its_message() -> None:
    """A turn's end stands under its message until the message's turn begins anew."""
    ended: Event = (
        6.0,
        HistoryKind.TURN_ENDED,
        {"message": "message-1", "end": "interrupted", "detail": "x"},
    )
    live, lines = told([ended])
    assert dict(live.ends) == {"message-1": "interrupted"}
    assert lines == ["the turn was interrupted: x"]
    live, _ = told([(7.0, HistoryKind.TURN_STARTED, {"message": "message-1"})], live)
    assert dict(live.ends) == {}


def test_a_turn_that_completed_needs_no_line() -> None:
    """The agent's words say it all."""
    _, lines = told(
        [(6.0, HistoryKind.TURN_ENDED, {"message": "m", "end": "completed", "detail": "end_turn"})]
    )
    assert lines == []


@pytest.mark.parametrize(
    ("step", "note"),
    [
        (Step("init_create_sandbox/create", 1, T0, progress="fetching, 43 %"), "fetching, 43 %"),
        (Step("init_create_sandbox/create", 1, T0, waits_for="lane sandbox:x"), "waits for lane sandbox:x"),
        (Step("init_create_sandbox/create", 1, T0), ""),
        (Step("init_ensure_agent", 1, T0, progress="of another step"), ""),
    ],
)
def test_a_row_under_way_says_how_far_it_is(step: Step, note: str) -> None:
    """The progress of the step under way, or what it waits for, stands beside its row and no other."""
    record = RecordChanged(1, "task", Versioned(evolve(TASK, step=step), 1))
    live = take(told(UP[:5])[0], record).live
    assert note_of(live, live.rows[2]) == note


def test_what_was_asked_is_forgotten_with_the_next_change() -> None:
    """That a lane is full was true of the task as it was then."""
    step = Step("init_create_sandbox/create", 1, T0)
    changed = RecordChanged(1, "task", Versioned(evolve(TASK, step=step), 1))
    live = evolve(take(told(UP[:5])[0], changed).live, waits_for="lane sandbox:local")
    assert note_of(live, live.rows[2]) == "waits for lane sandbox:local"
    live = take(live, changed).live
    assert note_of(live, live.rows[2]) == ""


def test_a_task_that_waits_for_its_repo_shows_the_clone() -> None:
    """While the clone is made its progress stands beside the first step."""
    waiting = evolve(TASK, step=Step("init_enqueue_provision/wait_repo", 1, T0, waits_for="clone of repo-1"))
    repo = Repo("repo-1", "default", "acme/api", "/x", T0, T0, at="cloning")
    live = take(told(UP[:1])[0], RecordChanged(1, "task", Versioned(waiting, 1))).live
    assert note_of(live, live.rows[0]) == "waits for clone of repo-1"
    repo = evolve(repo, step=Step("cloning", 2, T0, progress="Receiving objects: 43 %"))
    live = evolve(live, repo=repo)
    assert (
        note_of(live, live.rows[0]) == "waits for the clone of acme/api (attempt 2): Receiving objects: 43 %"
    )

"""The picture of one task: rows, lines and what was taken before, as pure values."""

import pytest
from attrs import evolve

from taskdock.adapters.entry.cli.live import Live, Row, RowStatus, Taken, note_of, take
from taskdock.core.history import HistoryEvent, HistoryKind
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.step import Step
from taskdock.ports.store import Item, Snapshot, StoredEvent, Versioned
from taskdock.services.feed import Happened, RecordChanged, Seen, Spoken
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


ATTACHING: list[Event] = [
    UP[0],
    (0.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_attach_branch"}),
    (2.0, HistoryKind.TASK_ATTACHED, {"branch": "theirs", "head": "c" * 40, "job": "job-1"}),
    (2.0, HistoryKind.TASK_PROVISION_QUEUED, {}),
    *((second + 2.0, kind, data) for second, kind, data in UP[2:]),
]
"""How a task comes up on a branch that its repo had not seen."""


def test_a_task_on_a_branch_that_was_there_has_one_step_before_the_others() -> None:
    """While the branch is registered that is the first of six rows; then it tells where the branch is."""
    live, _ = told(ATTACHING[:2])
    assert [(row.name, row.status.value) for row in live.rows[:3]] == [
        ("init_attach_branch", "working"),
        ("init_enqueue_provision", "waiting"),
        ("init_ensure_name", "waiting"),
    ]
    _, lines = told(ATTACHING)
    assert lines[0].split() == [
        "init_attach_branch", "2.0", "s", "branch", "theirs", "at", "ccccccc,", "registered", "by", "job-1",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines] == ["init_attach_branch", *(
        ["init_enqueue_provision", "init_ensure_name", "init_create_sandbox", "init_ensure_agent", "init_create_session"]
    )]  # fmt: skip


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


@pytest.mark.parametrize(
    ("way", "last", "kind"),
    [
        ("stopping", "stop", HistoryKind.TASK_STOPPED),
        ("archiving", "destroy", HistoryKind.TASK_ARCHIVED),
        ("killing", "destroy", HistoryKind.TASK_KILLED),
    ],
)
def test_each_way_out_has_rows_of_its_own(way: str, last: str, kind: HistoryKind) -> None:
    """The steps of a stop, an archive and a kill take the place of what was before, and end with their event."""
    leave: list[Event] = [
        (9.0, HistoryKind.TASK_STEP_STARTED, {"step": f"{way}/settle"}),
        (9.5, HistoryKind.TASK_STEP_STARTED, {"step": f"{way}/wake"}),
        (9.7, HistoryKind.TASK_STEP_STARTED, {"step": f"{way}/collect"}),
        (10.0, HistoryKind.TASK_STEP_STARTED, {"step": f"{way}/{last}"}),
        (12.0, kind, {"head": None, "branch": "fix-it"}),
    ]
    live, lines = told([*UP, *leave])
    assert [(row.name, row.status.value) for row in live.rows] == [
        (f"{way}/settle", "done"),
        (f"{way}/wake", "done"),
        (f"{way}/collect", "done"),
        (f"{way}/{last}", "done"),
    ]
    assert lines[-1].split() == [f"{way}/{last}", "2.0", "s"]


def test_an_archive_takes_the_place_of_a_stop() -> None:
    """What overtakes shows its own steps alone."""
    live, _ = told(
        [
            *UP,
            (9.0, HistoryKind.TASK_STEP_STARTED, {"step": "stopping/settle"}),
            (9.5, HistoryKind.TASK_STEP_STARTED, {"step": "archiving/settle"}),
        ]
    )
    assert [row.name for row in live.rows] == ["archiving/settle"]


@pytest.mark.parametrize("kind", [HistoryKind.TASK_RESUMED, HistoryKind.TASK_UNARCHIVED])
def test_a_task_that_goes_on_shows_the_steps_that_are_left(kind: HistoryKind) -> None:
    """Resumed or unarchived, only the step it goes on from and those after it are there."""
    events: list[Event] = [
        *UP,
        (9.0, HistoryKind.TASK_STEP_STARTED, {"step": "stopping/settle"}),
        (9.5, HistoryKind.TASK_STOPPED, {"head": None, "branch": "fix-it"}),
        (20.0, kind, {}),
        (20.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_create_sandbox/create"}),
    ]
    live, _ = told(events)
    assert [(row.name, row.status.value) for row in live.rows] == [
        ("init_create_sandbox", "working"),
        ("init_ensure_agent", "waiting"),
        ("init_create_session", "waiting"),
    ]


def test_a_sandbox_that_is_lost_and_replaced_is_shown_as_it_happens() -> None:
    """The look has a row, the loss a line, and the steps that are done again begin again."""
    lost: list[Event] = [
        (30.0, HistoryKind.TASK_STEP_STARTED, {"step": "running/observe"}),
        (35.0, HistoryKind.SANDBOX_LOST, {"sandbox": "td-1", "head": "1a2b3c4d5e", "work_owed": True}),
        (35.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_create_sandbox/destroy"}),
    ]
    live, lines = told([*UP, *lost])
    assert [(row.name, row.status.value) for row in live.rows] == [
        ("init_enqueue_provision", "done"),
        ("init_ensure_name", "done"),
        ("init_create_sandbox", "working"),
        ("init_ensure_agent", "waiting"),
        ("init_create_session", "waiting"),
    ]
    assert (
        "the sandbox was lost: it is gone; the work up to 1a2b3c4 is kept, what came after it may be lost"
        in lines
    )


def test_a_look_that_finds_the_sandbox_ends_its_row() -> None:
    """It was there all along: the row of the look is done, and nothing is done again."""
    looked: list[Event] = [
        (30.0, HistoryKind.TASK_STEP_STARTED, {"step": "running/observe"}),
        (31.0, HistoryKind.TASK_RUNNING, {}),
    ]
    live, lines = told([*UP, *looked])
    assert [row.status.value for row in live.rows] == ["done"] * 6
    assert lines[-1].split() == ["running/observe", "1.0", "s"]


def test_what_an_agent_asks_is_told_with_what_answers_it() -> None:
    """The question, the command to type, and then the answer."""
    asked = HistoryEvent(
        HistoryKind.PERMISSION_ASKED, T0, "tab-1", {"permission": "ask-1", "title": "Run make"}
    )
    taken = take(told(UP)[0], Happened(0, StoredEvent(10, "task-1", asked)))
    assert [line.text for line in taken.lines] == [
        "the agent asks for a permission: Run make (taskdock task allow tab-1, or task reject)"
    ]
    for option, said in (("yes", "the permission was answered: yes"), (None, "the permission was not given")):
        answered: Event = (40.0, HistoryKind.PERMISSION_ANSWERED, {"permission": "ask-1", "option": option})
        assert [line.text for line in take(taken.live, happened(11, answered)).lines] == [said]


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
        (Step("init_create_sandbox/create", 1, T0, waits_for="clone of x"), "waits for clone of x"),
        (Step("init_create_sandbox/create", 1, T0), ""),
        (Step("init_create_sandbox/observe", 1, T0), "looking for the sandbox"),
        (Step("init_create_sandbox/destroy", 1, T0, progress="2 of 3"), "2 of 3"),
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
    live = evolve(take(told(UP[:5])[0], changed).live, waits_for="the scheduler")
    assert note_of(live, live.rows[2]) == "waits for the scheduler"
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

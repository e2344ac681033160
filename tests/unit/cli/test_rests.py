"""When a command has seen what it waited for: every rule in every situation it can meet."""

from datetime import UTC, datetime

import pytest
from attrs import evolve

from taskdock.adapters.entry.cli import rests
from taskdock.adapters.entry.cli.live import Live
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.core.inputs import FailureClass
from taskdock.core.message import Message
from taskdock.core.step import Failure
from taskdock.core.tab import Tab, Turn
from taskdock.core.task import Task

T0 = datetime(2026, 1, 1, tzinfo=UTC)
FAILURE = Failure("init_ensure_agent", FailureClass.PERMANENT, "no such agent", 1, "tries again")
TASK = Task("task-1", "default", "o", "repo-1", "local", "demo", "message-1", "A title", T0, T0, at="running")
TAB = Tab("tab-1", "task-1", 1, "Tab 1", "demo", T0, T0, at="ready")
MESSAGE = Message("message-1", "task-1", "tab-1", 1, T0, T0, at="delivered")
FAILED = evolve(TASK, at="error/init_ensure_agent", failure=FAILURE)
KILLED = evolve(TASK, at="killed")
OK = Rest(ok=True)


def live(
    task: Task = TASK, tab: Tab = TAB, message: Message | None = MESSAGE, ends: dict[str, str] | None = None
) -> Live:
    """A picture of these records."""
    messages = {} if message is None else {message.id: message}
    return Live("task-1", task, {tab.id: tab}, messages, ends=ends or {})


@pytest.mark.parametrize(
    ("given", "rest"),
    [
        (live(), None),
        (live(ends={"message-1": "completed"}), OK),
        (live(message=None, ends={"message-1": "completed"}), OK),
        (live(ends={"message-1": "failed"}), Rest(ok=False, reason="the turn was failed")),
        (live(ends={"message-2": "completed"}), None),
        # Interrupted before it was sent: it is back in the queue and will be tried again.
        (live(message=evolve(MESSAGE, at="queued"), ends={"message-1": "interrupted"}), None),
        (live(message=evolve(MESSAGE, at="sending"), ends={"message-1": "interrupted"}), None),
        (
            live(message=evolve(MESSAGE, at="failed", reason="delivery_unknown")),
            Rest(ok=False, reason="the message failed: delivery_unknown"),
        ),
        (
            live(message=evolve(MESSAGE, at="withdrawn")),
            Rest(ok=False, reason="the message was withdrawn"),
        ),
        (live(FAILED), Rest(ok=False, reason="no such agent")),
        (live(KILLED), Rest(ok=False, reason="the task was killed")),
        (live(evolve(TASK, at="stopped")), Rest(ok=False, reason="the task was stopped")),
        (live(evolve(TASK, at="archived")), Rest(ok=False, reason="the task was archived")),
        (live(evolve(TASK, at="stopping/settle")), None),
        (live(evolve(TASK, at="running/observe")), None),
        (
            live(message=evolve(MESSAGE, at="queued"), tab=evolve(TAB, held=True)),
            Rest(
                ok=False,
                reason="the message waits: a turn before it did not complete, so the queue is held",
            ),
        ),
        (live(tab=evolve(TAB, at="error/session", failure=FAILURE)), Rest(ok=False, reason="no such agent")),
        (live(tab=evolve(TAB, at="closed")), Rest(ok=False, reason="the tab was closed")),
    ],
)
def test_a_message_rests_when_its_turn_is_over(given: Live, rest: Rest | None) -> None:
    """The turn of the message ended, or nothing will begin it any more."""
    assert rests.of_message("message-1", "tab-1")(given) == rest


@pytest.mark.parametrize(
    ("at", "rest"),
    [
        ("pending_provision", None),
        ("pending_session_create", None),
        ("ready", OK),
        ("error/session", Rest(ok=False, reason="the tab is in error")),
        ("closing", None),
        ("closed", Rest(ok=False, reason="the tab was closed")),
    ],
)
def test_a_tab_rests_when_it_is_ready_or_cannot_be(at: str, rest: Rest | None) -> None:
    """Ready is what was waited for; error and closed end the wait too."""
    assert rests.of_tab("tab-1")(live(tab=evolve(TAB, at=at))) == rest


@pytest.mark.parametrize(("at", "rest"), [("ready", None), ("closing", None), ("closed", OK)])
def test_closing_rests_when_the_tab_is_closed(at: str, rest: Rest | None) -> None:
    """Nothing but closed ends the wait."""
    assert rests.of_closing("tab-1")(live(tab=evolve(TAB, at=at))) == rest


@pytest.mark.parametrize(
    ("task", "rest"),
    [
        (evolve(TASK, at="killing/settle"), None),
        (KILLED, OK),
        (evolve(TASK, at="error/killing/collect"), Rest(ok=False, reason="the task is in error")),
    ],
)
def test_a_kill_rests_when_the_task_is_killed_or_stuck(task: Task, rest: Rest | None) -> None:
    """Killed is what was waited for; an error on the way ends the wait too."""
    assert rests.of_kill(live(task)) == rest


@pytest.mark.parametrize(
    ("rule", "way", "wanted", "instead"),
    [
        (rests.of_stop, "stopping/collect", "stopped", "running"),
        (rests.of_stop, "stopping/wake", "stopped", "archiving/settle"),
        (rests.of_archive, "archiving/destroy", "archived", "init_enqueue_provision"),
        (rests.of_archive, "archiving/settle", "archived", "killing/settle"),
        (rests.of_kill, "killing/wake", "killed", "running"),
    ],
)
def test_leaving_rests_where_it_leads_or_when_it_is_overtaken(
    rule: rests.Rule, way: str, wanted: str, instead: str
) -> None:
    """On the way it goes on; what was wanted is good; an error, and what somebody else asked for, end the wait too."""
    assert rule(live(evolve(TASK, at=way))) is None
    assert rule(live(evolve(TASK, at=wanted))) == OK
    failed = evolve(TASK, at=f"error/{way}", failure=FAILURE)
    assert rule(live(failed)) == Rest(ok=False, reason="no such agent")
    status = instead.partition("/")[0]
    assert rule(live(evolve(TASK, at=instead))) == Rest(ok=False, reason=f"the task is {status} instead")


@pytest.mark.parametrize(
    ("given", "rest"),
    [
        (live(tab=evolve(TAB, turn=Turn("cancelling", "message-1", T0))), None),
        (live(tab=evolve(TAB, turn=Turn("running", "message-2", T0))), OK),
        (live(tab=TAB), OK),
        (live(tab=evolve(TAB, turn=Turn("running", "message-1", T0)), ends={"message-1": "cancelled"}), OK),
        (
            live(FAILED, tab=evolve(TAB, turn=Turn("running", "message-1", T0))),
            Rest(ok=False, reason="no such agent"),
        ),
    ],
)
def test_a_cancel_rests_when_the_turn_is_over(given: Live, rest: Rest | None) -> None:
    """However it ended: that is what was asked for."""
    assert rests.of_turn("message-1", "tab-1")(given) == rest


RUNNING_TURN = evolve(TAB, turn=Turn("running", "message-1", T0))
QUEUED = evolve(MESSAGE, at="queued")


@pytest.mark.parametrize(
    ("given", "rest"),
    [
        (Live("task-1"), None),
        (live(), OK),
        (live(evolve(TASK, at="init_ensure_agent")), None),
        (live(evolve(TASK, at="killing/settle")), None),
        (live(KILLED), OK),
        (live(evolve(TASK, at="stopped"), message=QUEUED), OK),
        (live(evolve(TASK, at="archived")), OK),
        (live(evolve(TASK, at="archiving/collect")), None),
        (live(evolve(TASK, at="running/observe")), OK),
        (live(FAILED), Rest(ok=False, reason="no such agent")),
        (live(tab=RUNNING_TURN), None),
        (live(tab=evolve(TAB, at="pending_session_create")), None),
        (live(tab=evolve(TAB, at="closing")), None),
        (live(tab=evolve(TAB, at="closed")), OK),
        (live(tab=evolve(TAB, at="error/session")), OK),
        (live(message=QUEUED), None),
        (live(tab=evolve(TAB, held=True), message=QUEUED), OK),
    ],
)
def test_a_task_rests_when_nothing_of_it_goes_on_by_itself(given: Live, rest: Rest | None) -> None:
    """No step, no turn, no tab on its way, and no message that would be sent."""
    assert rests.of_task(given) == rest

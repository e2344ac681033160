"""Stories of messages and turns: sent once, in order, proven or not, and held when a turn did not complete."""

import pytest

from taskdock.core import intents
from taskdock.core.inputs import Asked, FailureClass, OpenTab, SandboxPhase, SendMessage, TurnEnd
from unit.core import givens as g
from unit.core.story import (
    DEADLINE,
    MESSAGE,
    MESSAGE_2,
    PERMANENT,
    TAB,
    TAB_2,
    TRANSIENT,
    UNKNOWN,
    UNREACHABLE,
    TaskStory,
    kinds_of,
)


def prompts(story: TaskStory) -> list[str]:
    """The messages whose SendPrompt is open."""
    bodies = [intent.body for intent in story.open(intents.SendPrompt)]
    return [body.message_id for body in bodies if isinstance(body, intents.SendPrompt)]


# In order, one at a time


def test_messages_are_sent_in_order_one_turn_at_a_time() -> None:
    """What is sent during a turn waits, and follows in its order when the turn has completed."""
    story = g.delivered()
    for message_id in ("msg-2", "msg-3"):
        story.send(message_id)
    assert prompts(story) == [MESSAGE]
    story.end_turn()
    assert prompts(story) == ["msg-2"]
    story.whole_turn()
    assert prompts(story) == ["msg-3"]


def test_message_is_sent_to_the_session_there_is() -> None:
    """The intent names sandbox, session and agent process, so that it can reach no other."""
    story = g.sending()
    assert story.open(intents.SendPrompt)[0].body == intents.SendPrompt(
        sandbox=story.task.sandbox,
        agent="demo",
        tab_id=TAB,
        session=1,
        session_id="s1",
        agent_process="process of s1",
        message_id=MESSAGE,
    )


def test_tabs_take_turns_independently() -> None:
    """A turn in one tab keeps no other tab waiting."""
    story = g.two_tabs()
    story.send("msg-2", TAB)
    story.send("msg-3", TAB_2)
    assert prompts(story) == ["msg-2", "msg-3"]
    story.begin_turn(TAB)
    story.begin_turn(TAB_2)
    assert (story.tab(TAB).turn.message_id, story.tab(TAB_2).turn.message_id) == ("msg-2", "msg-3")


def test_started_prompt_means_owed_work() -> None:
    """From the moment a prompt may be sent there may be work that only the sandbox holds."""
    story = g.sending()
    assert not story.task.work_owed
    story.begin_turn()
    assert story.task.work_owed


def test_copy_follows_every_turn() -> None:
    """Each end of a turn orders a copy of the work, which leaves the work owed: something may follow it."""
    story = g.delivered()
    assert kinds_of(story.end_turn())[0] == "CollectWork"
    body = story.open(intents.CollectWork)[0].body
    assert body == intents.CollectWork(story.task.sandbox, "repo-1", "do-it-1", quiesce=False)
    story.collect("c1")
    assert (story.task.head, story.task.work_owed) == ("c1", True)


def test_waiting_copy_sees_two_turns() -> None:
    """A copy that has not begun will see the next turn's work too; one that runs will not, so another follows."""
    story = g.copying()
    story.send(MESSAGE_2)
    story.whole_turn()
    assert len(story.open(intents.CollectWork)) == 1
    story.claim(intents.CollectWork)
    story.send("msg-3")
    story.whole_turn()
    assert len(story.open(intents.CollectWork)) == 2


def test_failed_copy_stops_nothing() -> None:
    """A copy that fails is told and tried again, three times in all, and the task goes on as it was."""
    story = g.copying()
    for _ in range(2):
        change = story.fail(intents.CollectWork, TRANSIENT)
        assert kinds_of(change) == ("CollectWork", "task.step_failed")
    assert kinds_of(story.fail(intents.CollectWork, TRANSIENT)) == ("", "task.step_failed")
    assert (story.at, story.tab().at, story.kinds()) == ("running", "ready", [])


def test_same_head_is_no_news() -> None:
    """A copy that found no new commit is not in the history."""
    story = g.idle()
    story.send(MESSAGE_2)
    story.whole_turn()
    assert kinds_of(story.collect("c1"))[1] == ""
    story.send("msg-3")
    story.whole_turn()
    assert kinds_of(story.collect(None))[1] == ""
    assert story.task.head == "c1"


# How a turn ends


@pytest.mark.parametrize("end", [TurnEnd.FAILED, TurnEnd.CANCELLED, TurnEnd.INTERRUPTED])
def test_queue_is_held_after_a_turn_that_did_not_complete(end: TurnEnd) -> None:
    """Nothing more is sent after such an end, so that one login error does not burn the queue."""
    story = g.delivered()
    story.send(MESSAGE_2)
    change = story.end_turn(end)
    assert change.history[-1].data == {"message": MESSAGE, "end": end.value, "detail": end.value}
    assert (story.tab().held, story.tab().last_end, prompts(story)) == (True, end, [])
    assert story.message(MESSAGE_2).at == "queued"


def test_next_send_lifts_the_hold_and_keeps_the_order() -> None:
    """The user's next message lets the queue go on, the oldest first."""
    story = g.held()
    story.send("msg-3")
    assert (story.tab().held, prompts(story)) == (False, [MESSAGE_2])
    story.whole_turn()
    assert prompts(story) == ["msg-3"]


def test_send_during_a_turn_does_not_lift_a_later_hold() -> None:
    """What was sent before the turn failed waits with the rest."""
    story = g.delivered()
    story.send(MESSAGE_2)
    story.end_turn(TurnEnd.FAILED)
    assert (story.tab().held, prompts(story)) == (True, [])


def test_hold_outlives_a_lost_session() -> None:
    """A new session sends nothing while the queue is held."""
    story = g.held()
    story.lose_session()
    story.get_session("s2")
    assert (story.tab().at, story.tab().held, prompts(story)) == ("ready", True, [])


def test_end_is_the_proof_of_delivery_too() -> None:
    """A turn that ended was delivered, also when nobody said so before."""
    story = g.working()
    story.end_turn()
    assert story.message().at == "delivered"


def test_cancel_proves_nothing() -> None:
    """The agent's answer to a cancel changes no status: only the end of the turn does."""
    story = g.KILL.settling()
    change = story.succeed(intents.CancelTurn, Asked())
    assert (change.records, change.history) == ((), ())
    assert story.tab().turn.at == "cancelling"


def test_failed_cancel_is_not_repeated() -> None:
    """One attempt is all a cancel gets; the bounded wait that stands behind it does the rest."""
    story = g.KILL.settling()
    story.fail(intents.CancelTurn, TRANSIENT)
    assert "CancelTurn" not in story.kinds()
    assert story.tab().turn.at == "cancelling"


# The session is lost


def test_lost_session_of_an_idle_tab_is_replaced() -> None:
    """An idle tab goes on with its session in a new agent process by itself, and nothing is held."""
    story = g.session_lost()
    assert (story.tab().at, story.tab().held, story.tab().agent_process) == (
        "pending_session_create",
        False,
        None,
    )
    assert story.open(intents.ResumeSession)[0].body == intents.ResumeSession(
        story.task.sandbox, "demo", TAB, 2, "s1"
    )
    story.get_session("s1")
    assert (story.tab().at, story.tab().session, story.tab().session_id) == ("ready", 2, "s1")


def test_refused_session_begins_anew() -> None:
    """An agent that does not take its own session up again gets a new one, in a process of its own."""
    story = g.session_lost()
    story.fail(intents.ResumeSession, PERMANENT, "no such session")
    assert story.tab().at == "pending_session_create"
    assert story.open(intents.CreateSession)[0].body == intents.CreateSession(
        story.task.sandbox, "demo", TAB, 3
    )
    assert story.open(intents.CreateSession)[0].attempt == 1
    story.get_session("s2")
    assert (story.tab().at, story.tab().session_id) == ("ready", "s2")


def test_session_lost_before_the_prompt_began() -> None:
    """What was never started goes back into the queue, and to the next session."""
    story = g.sending()
    story.lose_session()
    assert (story.message().at, story.tab().held, prompts(story)) == ("queued", False, [])
    story.get_session("s2")
    assert (story.message().at, story.message().tries) == ("sending", 1)


def test_session_lost_while_delivery_is_open() -> None:
    """What may have been sent is not sent again: its delivery is unknown, its turn interrupted, the queue held."""
    story = g.working()
    story.send(MESSAGE_2)
    change = story.lose_session()
    assert kinds_of(change) == ("ResumeSession CollectWork", "message.failed turn.ended")
    assert (story.message().at, story.message().reason) == ("failed", "delivery_unknown")
    assert (story.tab().turn.at, story.tab().last_end) == ("none", TurnEnd.INTERRUPTED)
    assert (story.tab().held, story.message(MESSAGE_2).at) == (True, "queued")
    story.get_session("s2")
    assert prompts(story) == []


def test_session_lost_after_delivery() -> None:
    """A delivered message stays delivered; its turn is interrupted and the queue held."""
    story = g.delivered()
    story.send(MESSAGE_2)
    story.lose_session()
    assert (story.message().at, story.tab().last_end, story.tab().held) == (
        "delivered",
        TurnEnd.INTERRUPTED,
        True,
    )
    assert story.tab().last_end_detail == "the agent's process ended"


def test_sandbox_lost_mid_turn() -> None:
    """When the sandbox is gone, the turn is interrupted, and what came later waits for the next one."""
    story = g.working()
    story.send(MESSAGE_2)
    story.lose_sandbox()
    story.find_gone()
    assert (story.at, story.tab().at) == ("init_create_sandbox/destroy", "pending_provision")
    assert story.tab().turn.at == "none"
    assert (story.message().at, story.message().reason) == ("failed", "delivery_unknown")
    assert (story.message(MESSAGE_2).at, story.tab().held) == ("queued", True)
    assert story.tab().last_end_detail == "the task's sandbox was lost"
    assert prompts(story) == []


# What became of a prompt


@pytest.mark.parametrize("failure", [UNKNOWN, DEADLINE])
def test_nobody_can_tell_whether_it_arrived(failure: FailureClass) -> None:
    """After a start without proof the message has failed as delivery_unknown, and a new session is made."""
    story = g.working()
    story.send(MESSAGE_2)
    story.fail(intents.SendPrompt, failure)
    assert (story.message().at, story.message().reason) == ("failed", "delivery_unknown")
    assert (story.tab().at, story.tab().held) == ("pending_session_create", True)
    assert story.message(MESSAGE_2).at == "queued"


@pytest.mark.parametrize("failure", [UNKNOWN, DEADLINE])
def test_delivered_turn_whose_end_nobody_knows(failure: FailureClass) -> None:
    """A delivered message stays delivered whatever becomes of its turn."""
    story = g.delivered()
    story.send(MESSAGE_2)
    story.fail(intents.SendPrompt, failure)
    assert (story.message().at, story.tab().last_end, story.tab().held) == (
        "delivered",
        TurnEnd.INTERRUPTED,
        True,
    )


@pytest.mark.parametrize(
    "failure",
    [
        TRANSIENT,
        UNREACHABLE,
        PERMANENT,
    ],
)
def test_delivered_turn_that_cannot_be_followed(failure: FailureClass) -> None:
    """A delivered message stays delivered, its turn ends without completing, and the queue is held."""
    story = g.delivered()
    story.send(MESSAGE_2)
    story.fail(intents.SendPrompt, failure)
    assert (story.message().at, story.tab().turn.at, story.tab().held) == ("delivered", "none", True)
    assert (story.message(MESSAGE_2).at, prompts(story)) == ("queued", [])


def test_delivered_twice_is_once() -> None:
    """A second receipt for the same message changes nothing."""
    story = g.delivered()
    before = story.boundary.slice
    intent = story.open(intents.SendPrompt)[0]
    assert story.deliver().ignored
    assert story.boundary.slice == before
    assert intent.id in story.boundary.outbox


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE])
def test_proof_that_it_was_not_sent(failure: FailureClass) -> None:
    """What is proven not to have been sent goes back into the queue and is tried again, nothing is held."""
    story = g.working()
    story.fail(intents.SendPrompt, failure)
    assert (story.message().at, story.tab().held, story.tab().turn.at) == (
        ("sending" if failure is TRANSIENT else "queued"), False, "none",
    )  # fmt: skip
    if failure is UNREACHABLE:
        assert (story.at, story.tab().at) == ("running/observe", "ready")
        story.observe(SandboxPhase.RUNNING)
    assert (story.message().at, story.message().tries, prompts(story)) == ("sending", 2, [MESSAGE])


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE, UNKNOWN, DEADLINE])
def test_what_never_began_goes_back(failure: FailureClass) -> None:
    """Without an accepted Started no failure but a refusal can have sent anything."""
    story = g.sending()
    story.fail(intents.SendPrompt, failure)
    if failure is UNREACHABLE:
        assert story.message().at == "queued"
        story.observe(SandboxPhase.RUNNING)
    assert (story.message().at, story.message().tries, story.tab().held) == ("sending", 2, False)
    assert (story.tab().at, story.tab().session) == ("ready", 1)


def test_five_tries_are_all() -> None:
    """The fifth try that was not sent is the last: the message has failed, in the words of that failure."""
    story = g.sending()
    pauses = []
    for tries in range(1, 5):
        assert story.message().tries == tries
        story.fail(intents.SendPrompt, TRANSIENT)
        intent = story.open(intents.SendPrompt)[0]
        assert intent.not_before is not None
        assert intent.not_before - story.now == story.boundary.figures.backoff(MESSAGE, tries)
        pauses.append(intent.not_before - story.now)
    assert pauses == sorted(pauses)
    story.fail(intents.SendPrompt, TRANSIENT, "connection refused")
    assert (story.message().at, story.message().reason, prompts(story)) == (
        "failed",
        "connection refused",
        [],
    )


def test_lost_sessions_are_no_tries() -> None:
    """A message whose session is lost each time before it began is not to blame: it stays the next one."""
    story = g.sending()
    for _ in range(5):
        story.lose_session()
        assert (story.message().at, story.message().tries) == ("queued", 0)
        story.get_session()
    assert (story.message().at, story.message().tries) == ("sending", 1)


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE])
def test_turn_that_is_lost_from_sight_costs_its_agent_process(failure: FailureClass) -> None:
    """An agent that may still work on what was called interrupted is replaced, so that two turns never run at once."""
    story = g.delivered()
    story.fail(intents.SendPrompt, failure)
    assert (story.tab().at, story.tab().session) == ("pending_session_create", 2)


def test_refused_message_holds_the_queue() -> None:
    """A refusal after the start fails the message in the agent's words, and holds the rest."""
    story = g.working()
    story.send(MESSAGE_2)
    story.fail(intents.SendPrompt, PERMANENT, "please log in")
    assert (story.message().at, story.message().reason) == ("failed", "please log in")
    assert (story.tab().last_end, story.tab().held, prompts(story)) == (TurnEnd.FAILED, True, [])
    assert story.tab().at == "ready"


def test_refusal_before_the_start_holds_the_queue() -> None:
    """A refusal that came before anything was called must not burn the queue message by message either."""
    story = g.sending()
    story.send(MESSAGE_2)
    story.fail(intents.SendPrompt, PERMANENT, "please log in")
    assert (story.message().at, story.message(MESSAGE_2).at) == ("failed", "queued")
    assert (story.tab().held, prompts(story)) == (True, [])


def test_no_copy_without_a_turn() -> None:
    """Where no prompt began, there is no work to copy."""
    story = g.sending()
    story.fail(intents.SendPrompt, TRANSIENT)
    assert story.open(intents.CollectWork) == []


def test_restart_during_a_turn_keeps_it() -> None:
    """A killed process claims the same prompt again: a new issue of the same turn, told as one."""
    story = g.working()
    first = story.open(intents.SendPrompt)[0]
    story.boundary.restart()
    again = story.begin_turn()
    assert (again.id, again.issue, again.started) == (first.id, first.issue + 1, True)
    assert [event.kind.value for event in story.boundary.history].count("turn.started") == 1
    story.end_turn()
    assert (story.message().at, story.tab().turn.at) == ("delivered", "none")


def test_message_to_a_new_tab_comes_with_it() -> None:
    """A tab opened with a prompt sends it once its session is there."""
    story = g.idle()
    story.do(OpenTab(TAB_2, message_id=MESSAGE_2, prompt="And this."))
    assert story.message(MESSAGE_2).at == "queued"
    story.get_session("s2", TAB_2)
    assert prompts(story) == [MESSAGE_2]


def test_message_to_a_failed_task_waits() -> None:
    """A message to a task in error is taken, kept, and sent after the retry."""
    story = g.failed_looking()
    story.do(SendMessage(TAB, MESSAGE_2, "Go on."))
    assert story.message(MESSAGE_2).at == "queued"

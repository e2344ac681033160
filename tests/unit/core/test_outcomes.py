"""Outcomes: what each answer to an intent leaves behind, where more than one thing follows from it."""

import pytest
from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core.inputs import FailureClass, TurnEnd
from unit.core import givens as g
from unit.core.story import (
    DEADLINE,
    MESSAGE,
    MESSAGE_2,
    PERMANENT,
    TAB,
    TRANSIENT,
    UNKNOWN,
    UNREACHABLE,
    TaskStory,
    kinds_of,
)


def marked() -> TaskStory:
    """A task whose sandbox was given a mark, in its first turn."""
    story = g.creating()
    story.start(intents.CreateSandbox)
    story.succeed(intents.CreateSandbox, inputs.SandboxReady(adopted=False, mark="mark 1"))
    story.get_agent()
    story.get_session()
    story.begin_turn()
    story.deliver()
    return story


def collection_of(story: TaskStory, *, quiesce: bool) -> intents.CollectWork:
    """The collection that must be open."""
    return intents.CollectWork(story.task.sandbox, "repo-1", "do-it-1", quiesce, "mark 1")


# A turn that ends


@pytest.mark.parametrize("end", TurnEnd)
def test_answer_proves_the_delivery(end: TurnEnd) -> None:
    """However a turn ends, that it ended proves that its message was delivered."""
    story = g.working()
    story.end_turn(end)
    assert (story.message().at, story.message().reason) == ("delivered", None)
    assert (story.tab().last_end, story.tab().last_end_detail) == (end, end.value)
    assert story.tab().held is (end is not TurnEnd.COMPLETED)


def test_next_message_follows_a_turn_that_nobody_saw_begin() -> None:
    """A turn that ends before its delivery was told lets the next message go in the same step."""
    story = g.working()
    story.send(MESSAGE_2)
    story.end_turn()
    assert (story.message(MESSAGE).at, story.message(MESSAGE_2).at) == ("delivered", "sending")


def test_nothing_of_a_turn_outlives_it() -> None:
    """What the agent asked, the clocks for that and the answer that was under way end with the turn."""
    for given in (g.asked, g.answered, g.refused, g.cancelling):
        story = given()
        story.end_turn()
        assert story.reasons() == []
        assert [kind for kind in story.kinds() if kind != "CollectWork"] == []


def test_turn_of_another_tab_goes_on() -> None:
    """What ends with a turn is its own: a second tab keeps its question, its prompt and its clock."""
    story = g.two_tabs()
    for tab, message in ((TAB, "msg-3"), ("tab-2", "msg-4")):
        story.send(message, tab)
        story.begin_turn(tab)
        story.ask(tab, f"perm of {tab}")
    story.end_turn()
    assert story.reasons() == ["permission"]
    assert [intent.subject for intent in story.open(intents.SendPrompt)] == ["tab:tab-2"]


# A prompt that failed


@pytest.mark.parametrize(
    ("failure", "at", "end", "held"),
    [
        (TRANSIENT, "sending", TurnEnd.INTERRUPTED, False),
        (UNREACHABLE, "queued", TurnEnd.INTERRUPTED, False),
        (UNKNOWN, "failed", TurnEnd.INTERRUPTED, True),
        (DEADLINE, "failed", TurnEnd.INTERRUPTED, True),
        (PERMANENT, "failed", TurnEnd.FAILED, True),
    ],
)
def test_prompt_that_began_and_failed(failure: FailureClass, at: str, end: TurnEnd, *, held: bool) -> None:
    """What is proven unsent goes back; what nobody can tell, and what was refused, fails and holds the queue."""
    story = g.working()
    story.fail(intents.SendPrompt, failure)
    assert (story.message().at, story.tab().last_end, story.tab().held) == (at, end, held)
    assert story.tab().last_end_detail == "it broke"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(UNKNOWN, "delivery_unknown"), (DEADLINE, "delivery_unknown"), (PERMANENT, "it broke")],
)
def test_message_says_why_it_failed(failure: FailureClass, reason: str) -> None:
    """A refusal is told in the agent's words, a delivery that nobody knows of as that."""
    story = g.working()
    story.fail(intents.SendPrompt, failure)
    assert story.message().reason == reason


@pytest.mark.parametrize(
    ("failure", "session"), [(UNKNOWN, 2), (DEADLINE, 2), (TRANSIENT, 2), (UNREACHABLE, 2), (PERMANENT, 1)]
)
def test_delivered_prompt_that_failed(failure: FailureClass, session: int) -> None:
    """A turn that was under way costs its session, unless the agent itself said that it failed; the message stays delivered."""
    story = g.delivered()
    story.fail(intents.SendPrompt, failure)
    assert (story.message().at, story.tab().session, story.tab().held) == ("delivered", session, True)


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE])
def test_prompt_that_was_not_sent_costs_no_session(failure: FailureClass) -> None:
    """The session that a prompt did not reach is still there."""
    story = g.working()
    story.fail(intents.SendPrompt, failure)
    assert story.tab().session == 1


def test_silence_makes_the_task_look() -> None:
    """A prompt that cannot reach its server makes the task look at its sandbox; another failure does not."""
    for failure, at in ((UNREACHABLE, "running/observe"), (TRANSIENT, "running"), (UNKNOWN, "running")):
        story = g.working()
        story.fail(intents.SendPrompt, failure)
        assert story.at == at


def unforgiving(given: g.Given[TaskStory]) -> TaskStory:
    """The same story where no agent process may be lost."""
    story = given()
    story.boundary.figures = evolve(story.boundary.figures, losses_max=0)
    return story


def test_tab_tells_the_failure_that_cost_its_last_session() -> None:
    """A tab that may not lose another session fails with what became of the prompt, or of the cancel."""
    story = unforgiving(g.working)
    story.fail(intents.SendPrompt, DEADLINE)
    tab = story.tab()
    assert tab.failure is not None
    assert (tab.at, tab.failure.failure_class, tab.failure.reason) == ("error/session", DEADLINE, "it broke")
    story = unforgiving(g.cancelling)
    story.wake("cancelling")
    tab = story.tab()
    assert tab.failure is not None
    assert (tab.at, tab.failure.failure_class) == ("error/session", UNREACHABLE)


def test_turn_that_was_never_seen_to_begin_holds_as_well() -> None:
    """An answer without a start settles the message, and holds the queue unless the turn completed."""
    for end in TurnEnd:
        story = g.sending()
        story.end_turn(end)
        assert (story.message().at, story.tab().held) == ("delivered", end is not TurnEnd.COMPLETED)


# Collections


def test_collections_name_what_they_collect() -> None:
    """A copy and a collection that nothing can follow name the sandbox, the branch, and the mark it must have."""
    story = marked()
    story.end_turn()
    assert story.open(intents.CollectWork)[0].body == collection_of(story, quiesce=False)
    story.stop()
    assert story.open(intents.CollectWork)[-1].body == collection_of(story, quiesce=True)


def test_copy_waits_only_once() -> None:
    """A copy that nobody has taken yet will see the next turn as well; one that is being made will not."""
    story = marked()
    story.end_turn()
    story.send(MESSAGE_2)
    story.whole_turn()
    assert len(story.open(intents.CollectWork)) == 1
    story.claim(intents.CollectWork)
    story.send("msg-3")
    story.whole_turn()
    assert len(story.open(intents.CollectWork)) == 2


def test_copy_tells_what_it_left_behind() -> None:
    """Uncommitted files do not fail a copy: its head and what was kept are told, and the work stays owed."""
    story = g.copying()
    change = story.collect("c7", "notes.txt")
    assert kinds_of(change) == ("Tell", "work.collected")
    assert (story.task.head, story.task.work_owed) == ("c7", True)


def test_copy_that_fails_is_made_again() -> None:
    """A copy that failed for now is tried again in the same place; one that failed for good is let be."""
    story = g.copying()
    first = story.open(intents.CollectWork)[0]
    change = story.fail(intents.CollectWork, TRANSIENT)
    again = story.open(intents.CollectWork)[0]
    assert (again.body, again.subject, again.lane, again.attempt) == (
        first.body,
        first.subject,
        first.lane,
        2,
    )
    assert again.not_before is not None
    assert again.not_before > story.now
    assert kinds_of(change)[1] == "task.step_failed"
    change = story.fail(intents.CollectWork, PERMANENT)
    assert kinds_of(change) == ("", "task.step_failed")


def test_uncommitted_files_are_named() -> None:
    """A stop that would lose uncommitted files says which, as a failure that only a person can mend."""
    story = g.STOP.collecting()
    story.collect("c7", "notes.txt", "todo.txt")
    assert story.task.failure is not None
    assert story.task.failure.failure_class is PERMANENT
    assert story.task.failure.reason == "work_not_collected: uncommitted changes in notes.txt, todo.txt"


# Times that are over


def test_closing_may_leave_work_behind() -> None:
    """An agent that did not end with its tab may still work, so work is owed from then on, also where no turn had begun."""
    story = g.sending()
    story.close(force=True)
    assert not story.task.work_owed
    story.wake("closing")
    assert (story.tab().at, story.task.work_owed) == ("closed", True)


def test_cancel_that_is_not_heard_costs_the_session() -> None:
    """A turn that goes on after it was asked to end loses its agent's process."""
    story = g.cancelling()
    story.wake("cancelling")
    tab = story.tab()
    assert (tab.turn.at, tab.session, tab.last_end) == ("none", 2, TurnEnd.INTERRUPTED)


def test_question_that_cannot_be_asked_fails_the_task() -> None:
    """A task that cannot reach its repo at all says so; while it can be asked again, it waits."""
    story = g.waiting_for_repo()
    story.fail(intents.Tell, TRANSIENT)
    assert story.at == "init_enqueue_provision/wait_repo"
    assert story.open(intents.Tell)[0].attempt == 2
    story.fail(intents.Tell, PERMANENT)
    assert story.at == "error/init_enqueue_provision/wait_repo"
    assert story.task.failure is not None
    assert (story.task.failure.reason, story.task.failure.attempts) == ("it broke", 2)

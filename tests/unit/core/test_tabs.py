"""Stories of tabs: opened at any time, failed alone or with their task, closed whatever is under way."""

from datetime import timedelta

import pytest

from taskdock.core import intents
from taskdock.core.change import Change
from taskdock.core.errors import Conflict, NotFound
from taskdock.core.inputs import (
    ArchiveTask,
    CloseTab,
    FailureClass,
    KillTask,
    OpenTab,
    OutcomeReported,
    RetryTab,
    RetryTask,
    SandboxPhase,
    SessionClosed,
    SessionReady,
    StopTask,
    Succeeded,
    TurnEnd,
)
from taskdock.core.message import Message
from taskdock.core.step import Tries
from unit.core import givens as g
from unit.core.story import (
    DEADLINE,
    MESSAGE,
    MESSAGE_2,
    PERMANENT,
    TAB,
    TAB_2,
    TRANSIENT,
    UNREACHABLE,
    TaskStory,
    kinds_of,
)


def close(story: TaskStory, tab: str = TAB, *, force: bool = False) -> Change:
    """The user closes a tab."""
    return story.do(CloseTab(tab, force=force))


def close_session(story: TaskStory) -> Change:
    """The end of the tab's sessions is known."""
    return story.succeed(intents.CloseSession, SessionClosed())


# Opened


def test_tab_opened_while_provisioning_waits_and_comes_up() -> None:
    """Two tabs that wait for one task get their sessions together when its agent is ready."""
    story = g.two_tabs_creating()
    story.get_sandbox()
    change = story.get_agent()
    assert kinds_of(change)[0] == "CreateSession CreateSession"
    story.get_session("s2", TAB_2)
    assert (story.at, story.tab(TAB).at, story.tab(TAB_2).at) == (
        "running",
        "pending_session_create",
        "ready",
    )
    story.get_session("s1", TAB)
    assert (story.message(MESSAGE).at, story.message(MESSAGE_2).at) == ("sending", "sending")


def test_tab_opened_while_the_first_session_is_made() -> None:
    """Once the agent is there, a new tab gets its session at once."""
    story = g.opening_session()
    assert kinds_of(story.do(OpenTab(TAB_2))) == ("CreateSession", "tab.opened")


def test_tab_opened_on_a_failed_task_fails_and_goes_on_with_it() -> None:
    """A tab opened on a task in error tells the task's failure, and comes back with its retry."""
    story = g.failed_creating()
    story.do(OpenTab(TAB_2, message_id=MESSAGE_2, prompt="And this."))
    assert (story.tab(TAB_2).at, story.tab(TAB_2).failure) == ("error/task", story.task.failure)
    assert story.message(MESSAGE_2).at == "queued"
    story.do(RetryTask())
    assert story.tab(TAB_2).at == "pending_provision"
    story.observe(SandboxPhase.STOPPED)
    story.get_sandbox()
    story.get_agent()
    story.get_session("s2", TAB_2)
    assert story.message(MESSAGE_2).at == "sending"


@pytest.mark.parametrize(
    "given", [g.KILL.settling, g.KILL.collecting, g.KILL.ending, g.KILL.failed_collecting, g.KILL.done]
)
def test_no_tab_is_opened_on_a_task_that_is_killed(given: g.Given[TaskStory]) -> None:
    """A task that is being killed, failed at it or is killed gets no new tab."""
    with pytest.raises(Conflict, match="no new tabs"):
        given().do(OpenTab(TAB_2))


def test_tab_without_a_prompt_has_no_message() -> None:
    """An id alone makes no message, and neither does a prompt without one."""
    for half in (OpenTab(TAB_2, message_id=MESSAGE_2), OpenTab(TAB_2, prompt="And this.")):
        story = g.idle()
        story.do(half)
        assert [message.id for message in story.boundary.all(Message)] == [MESSAGE]


def test_tabs_are_numbered_and_named() -> None:
    """Tabs are numbered in the order in which they were opened, closed ones counted, and named by that unless named."""
    story = g.closed()
    story.do(OpenTab(TAB_2))
    story.do(OpenTab("tab-3", name="Review", agent="other"))
    assert [(tab.number, tab.name, tab.agent) for tab in (story.tab(), story.tab(TAB_2), story.tab("tab-3"))] == [
        (1, "Tab 1", "demo"), (2, "Tab 2", "demo"), (3, "Review", "other"),
    ]  # fmt: skip


def test_session_belongs_to_the_tab_it_was_made_for() -> None:
    """Two sessions that come up in the other order each reach their own tab."""
    story = g.opening_session()
    story.do(OpenTab(TAB_2))
    story.get_session("second", TAB_2)
    story.get_session("first", TAB)
    assert (story.tab(TAB).session_id, story.tab(TAB_2).session_id) == ("first", "second")
    assert (story.tab(TAB).agent_process, story.tab(TAB).sandbox) == (
        "process of first",
        story.task.sandbox.name,
    )


# Failed


def test_failed_session_is_retried_by_hand() -> None:
    """A tab that failed on its own leaves the task alone, and its retry makes the same session, adopting what was made."""
    story = g.second_tab_failed()
    failure = story.tab(TAB_2).failure
    assert failure is not None
    assert (story.at, failure.step, failure.reason, failure.attempts) == (
        "running", "init_create_session", "it broke", 1,
    )  # fmt: skip
    story.do(RetryTab(TAB_2))
    assert story.open(intents.CreateSession)[0].body == intents.CreateSession(
        story.task.sandbox, "demo", TAB_2, 1
    )
    story.get_session("s2", TAB_2)
    assert (story.tab(TAB_2).at, story.tab(TAB_2).failure) == ("ready", None)


def test_tries_of_a_session_end_with_it() -> None:
    """What failed before a session came up does not count for the next one, which is not kept waiting either."""
    story = g.opening_session()
    story.fail(intents.CreateSession, TRANSIENT)
    assert story.tab().tries == Tries("CreateSession", 1, None)
    story.get_session()
    assert story.tab().tries is None
    story.lose_session()
    again = story.open(intents.ResumeSession)[0]
    assert (again.attempt, again.not_before) == (1, None)


def test_session_that_was_tried_often_enough_starts_anew_by_hand() -> None:
    """After its last attempt a tab rests; its retry has all attempts again, and begins at once."""
    story = g.idle()
    story.do(OpenTab(TAB_2))
    story.fail_often(intents.CreateSession, TRANSIENT, 5, TAB_2)
    failure = story.tab(TAB_2).failure
    assert failure is not None
    assert (story.tab(TAB_2).at, failure.attempts) == ("error/session", 5)
    story.do(RetryTab(TAB_2))
    again = story.open(intents.CreateSession, TAB_2)[0]
    assert (story.tab(TAB_2).tries, again.attempt, again.not_before) == (None, 1, None)


@pytest.mark.parametrize("by_hand", [True, False])
def test_session_that_failed_has_all_its_attempts_in_the_next_sandbox(*, by_hand: bool) -> None:
    """A tab that was tried often enough comes up with its task again, asked or not, and is tried as often as a new one."""
    story = g.idle()
    story.do(OpenTab(TAB_2))
    story.fail_often(intents.CreateSession, TRANSIENT, 5, TAB_2)
    story.lose_sandbox()
    story.observe(SandboxPhase.STOPPED)
    if by_hand:
        story.do(RetryTab(TAB_2))
        assert (story.tab(TAB_2).at, story.tab(TAB_2).tries) == ("pending_provision", None)
    story.get_sandbox(adopted=True)
    story.get_agent()
    again = story.open(intents.CreateSession, TAB_2)[0]
    assert (story.tab(TAB_2).tries, again.attempt, again.not_before) == (None, 1, None)


def test_session_that_is_refused_starts_anew_as_another_one() -> None:
    """What failed while the old session was to be taken up again does not count for the new one in its place."""
    story = g.session_lost()
    story.fail(intents.ResumeSession, TRANSIENT)
    story.fail(intents.ResumeSession, PERMANENT)
    again = story.open(intents.CreateSession)[0]
    assert (story.tab().tries, again.attempt, again.not_before) == (None, 1, None)


def test_retry_of_a_failed_session_waits_for_a_task_that_comes_up() -> None:
    """While the task is provisioned again, the tab waits for it like the others."""
    story = g.retried_after_session()
    story.do(RetryTab(TAB))
    assert story.tab().at == "pending_provision"
    story.observe(SandboxPhase.RUNNING)
    story.get_agent()
    assert (story.tab().at, story.kinds()) == ("pending_session_create", ["CreateSession"])


def test_retry_of_a_tab_that_failed_with_its_task_points_to_the_task() -> None:
    """Such a tab comes back with its task only, and the conflict says so."""
    with pytest.raises(Conflict, match="Retry its task") as rejected:
        g.failed_looking().do(RetryTab(TAB))
    assert "retry" not in rejected.value.available_actions


def test_retry_of_a_failed_session_on_a_failed_task_is_a_conflict() -> None:
    """While the task rests in error, no session of it can be made."""
    story = g.second_tab_failed()
    story.lose_sandbox()
    story.fail(intents.ObserveSandbox, PERMANENT)
    assert (story.tab(TAB).at, story.tab(TAB_2).at) == ("error/task", "error/session")
    with pytest.raises(Conflict):
        story.do(RetryTab(TAB_2))


def test_failed_session_gets_another_chance_with_its_task() -> None:
    """When the task comes up again, a tab that failed on its own is tried again too."""
    story = g.agent_again_after_session()
    story.get_agent()
    assert story.tab().at == "pending_session_create"
    story.get_session()
    assert (story.at, story.message().at) == ("running", "sending")


def test_failed_session_takes_messages() -> None:
    """What is sent to a failed tab is kept until it is ready."""
    story = g.second_tab_failed()
    story.send(MESSAGE_2, TAB_2)
    story.do(RetryTab(TAB_2))
    story.get_session("s2", TAB_2)
    assert story.message(MESSAGE_2).at == "sending"


def test_pending_session_is_taken_back_when_the_task_fails() -> None:
    """The intent of a session that is being made is taken back when nobody can say what became of the sandbox."""
    story = g.second_tab_pending()
    story.lose_sandbox()
    change = story.fail(intents.ObserveSandbox, PERMANENT)
    assert len(change.cancelled) == 1
    assert (story.tab(TAB_2).at, story.kinds()) == ("error/task", [])


# Closed


def test_close_waits_for_the_end_of_the_session() -> None:
    """A ready tab is closing until its session is known to be ended, and closed then."""
    story = g.idle()
    close(story)
    assert (story.tab().at, story.tab().closed_at) == ("closing", None)
    assert story.open(intents.CloseSession)[0].body == intents.CloseSession(
        story.task.sandbox, "demo", TAB, 1
    )
    close_session(story)
    assert (story.tab().at, story.tab().closed_at, story.kinds()) == ("closed", story.now, [])


def test_close_waits_five_seconds_at_most() -> None:
    """Without an answer the tab is closed after five seconds; the end of its session goes on."""
    story = g.closing_idle()
    wake = story.open(intents.Wake)[0]
    assert wake.not_before is not None
    assert (wake.not_before - story.now).total_seconds() == 5.0
    story.wake()
    assert (story.tab().at, story.kinds()) == ("closed", ["CloseSession"])


def test_close_ends_with_the_task() -> None:
    """A closing tab of a task that fails is closed, not failed: nobody wants it back."""
    story = g.closing_looking()
    story.fail(intents.ObserveSandbox, PERMANENT)
    assert (story.at, story.tab().at) == ("error/running/observe", "closed")


def test_close_ends_with_the_session() -> None:
    """A closing tab whose agent process ends is closed."""
    story = g.closing_idle()
    story.lose_session(reason="it ended")
    assert story.tab().at == "closed"


def test_any_answer_closes_and_a_failed_one_is_tried_again() -> None:
    """A failed end closes the tab all the same, and is repeated until the session is known to be gone."""
    story = g.closing_idle()
    story.fail(intents.CloseSession, TRANSIENT)
    assert (story.tab().at, story.kinds()) == ("closed", ["CloseSession"])
    for _ in range(8):
        story.fail(intents.CloseSession, TRANSIENT)
    assert story.open(intents.CloseSession)[0].attempt == 10
    close_session(story)
    assert story.kinds() == []


@pytest.mark.parametrize("failure", [PERMANENT, DEADLINE])
def test_lasting_failure_to_end_a_session_is_tried_again_later(failure: FailureClass) -> None:
    """What failed for good or for too long is asked again after the longest pause, with attempts and a deadline of its own."""
    story = g.closing_idle()
    story.fail(intents.CloseSession, failure)
    assert story.tab().at == "closed"
    again = story.open(intents.CloseSession)[0]
    assert (again.body, again.subject, again.lane) == (
        intents.CloseSession(story.task.sandbox, "demo", TAB, 1), f"tab:{TAB}", "session",
    )  # fmt: skip
    assert (again.attempt, again.deadline_at, again.not_before) == (
        1,
        None,
        story.now + timedelta(seconds=60),
    )


def test_used_up_attempts_to_end_a_session_begin_anew() -> None:
    """After the tenth failure in a row the next one is the first of a new count, and its answer ends it."""
    story = g.closing_idle()
    story.fail_often(intents.CloseSession, TRANSIENT, 10)
    assert story.open(intents.CloseSession)[0].attempt == 1
    close_session(story)
    assert story.kinds() == []


def test_end_of_a_session_is_over_with_its_sandbox() -> None:
    """What cannot be ended by asking ends with its sandbox, and is not asked for in the next one."""
    story = g.closing_looking()
    story.find_gone()
    story.fail(intents.CloseSession, PERMANENT)
    assert story.kinds() == ["DestroySandbox", "CloseSession"]
    story.release()
    assert story.kinds() == ["CreateSandbox"]


@pytest.mark.parametrize("ending", [StopTask(), ArchiveTask(), KillTask()])
def test_end_of_a_session_is_asked_for_while_its_task_ends(ending: StopTask | ArchiveTask | KillTask) -> None:
    """A stop, an archive and a kill may fail on their way: they take back no end of a closed tab's sessions."""
    story = g.closing_idle()
    story.do(ending)
    assert (story.tab().at, story.kinds()) == ("closed", ["CloseSession", "CollectWork"])
    story.fail(intents.CollectWork, PERMANENT)
    assert story.kinds() == ["CloseSession"]


def test_late_session_of_a_closed_tab_is_ended() -> None:
    """A tab closed while its session is being made orders the end of a session that may appear late, and takes no id."""
    story = g.second_tab_pending()
    late = story.claim(intents.CreateSession)
    close(story, TAB_2, force=True)
    assert (story.tab(TAB_2).at, story.kinds()) == ("closed", ["CloseSession"])
    report = OutcomeReported(late.id, late.issue, Succeeded(SessionReady("s9", "p9")))
    assert story.do(report).ignored == "the intent is not open"
    assert story.tab(TAB_2).session_id is None
    assert [intent.subject for intent in story.boundary.outbox.values()] == [late.subject]
    assert story.boundary.claimable(story.now) == []
    story.boundary.end(late)
    assert len(story.boundary.claimable(story.now)) == 1


def test_tab_without_a_session_orders_no_end_of_one() -> None:
    """A tab closed before its first session was ordered has nothing to end."""
    story = g.creating()
    assert kinds_of(close(story, force=True)) == ("", "tab.closed message.withdrawn")


def test_close_names_every_session_of_the_tab() -> None:
    """After a loss the end covers the lost session too, so that one that lingers is ended."""
    story = g.session_lost()
    story.get_session("s2")
    close(story)
    assert story.open(intents.CloseSession)[0].body == intents.CloseSession(
        story.task.sandbox, "demo", TAB, 2
    )


def test_queued_messages_are_not_closed_away() -> None:
    """A tab with messages still queued is closed by force only, and the conflict counts them."""
    story = g.held()
    with pytest.raises(Conflict, match="1 messages are still queued") as rejected:
        close(story)
    assert "close" in rejected.value.available_actions
    assert story.message(MESSAGE_2).at == "queued"
    change = close(story, force=True)
    assert kinds_of(change)[1] == "message.withdrawn"
    assert (story.tab().at, story.message(MESSAGE_2).at) == ("closing", "withdrawn")


@pytest.mark.parametrize(
    ("given", "tab"),
    [(g.creating, TAB), (g.second_tab_pending, TAB_2), (g.failed_creating, TAB), (g.failed_session, TAB)],
)
def test_pending_tab_with_a_queue_is_closed_by_force_only(given: g.Given[TaskStory], tab: str) -> None:
    """Also where nothing was sent yet, a queued message is withdrawn only when the user says so."""
    story = given()
    queued = [message for message in story.boundary.all(Message) if message.tab_id == tab]
    with pytest.raises(Conflict, match="still queued"):
        close(story, tab)
    close(story, tab, force=True)
    assert story.tab(tab).at == "closed"
    assert [story.message(message.id).at for message in queued] == ["withdrawn"]


def test_unsent_message_counts_as_queued() -> None:
    """A message whose prompt has not begun is not lost by closing, and withdrawn by force."""
    story = g.sending()
    with pytest.raises(Conflict, match="still queued"):
        close(story)
    close(story, force=True)
    assert (story.tab().at, story.message().at, story.kinds()) == (
        "closing",
        "withdrawn",
        ["CloseSession", "Wake"],
    )


def test_close_mid_turn_asks_the_turn_to_end() -> None:
    """The message of the running turn keeps nobody from closing; its turn is cancelled and its end awaited."""
    story = g.closing_mid_turn()
    assert story.tab().turn.at == "cancelling"
    body = story.open(intents.CancelTurn)[0].body
    assert body == intents.CancelTurn(story.task.sandbox, "demo", TAB, 1, "s1")
    story.end_turn(TurnEnd.CANCELLED)
    assert (story.tab().at, story.tab().turn.at, story.message().at) == ("closing", "none", "delivered")
    close_session(story)
    assert story.tab().at == "closed"


def test_close_mid_turn_cuts_the_turn_after_five_seconds() -> None:
    """A turn that does not end is interrupted with its tab; what nobody proved is delivery_unknown."""
    story = g.closing_mid_turn()
    change = story.wake()
    assert kinds_of(change) == ("CollectWork", "tab.closed message.failed turn.ended")
    assert (story.tab().at, story.tab().turn.at, story.tab().last_end_detail) == (
        "closed", "none", "the tab was closed",
    )  # fmt: skip
    assert (story.message().at, story.message().reason) == ("failed", "delivery_unknown")
    assert story.open(intents.SendPrompt) == []


def test_close_is_done_once() -> None:
    """Closing again is a success that changes nothing, while it closes and after."""
    for given in (g.closing_idle, g.closed, g.KILL.done):
        assert close(given()).ignored == "close is under way already"


def test_closed_tab_takes_nothing() -> None:
    """A closing or closed tab takes no message and no retry."""
    for given in (g.closing_idle, g.closed):
        with pytest.raises(Conflict, match="takes no messages"):
            given().send(MESSAGE_2)
        with pytest.raises(Conflict):
            given().do(RetryTab(TAB))


def test_task_runs_without_tabs() -> None:
    """A task whose last pending tab is closed counts as up: a new tab can be opened any time."""
    story = g.opening_session()
    close(story, force=True)
    assert story.at == "running"
    story.do(OpenTab(TAB_2))
    assert story.tab(TAB_2).at == "pending_session_create"


def test_unknown_tab_is_not_found() -> None:
    """A command to a tab that is not there says so."""
    for command in (RetryTab("tab-9"), CloseTab("tab-9")):
        with pytest.raises(NotFound, match="tab-9"):
            g.idle().do(command)
    with pytest.raises(NotFound):
        g.idle().send(MESSAGE_2, "tab-9")


def test_tab_id_is_taken_once() -> None:
    """Opening a tab under an id that is there already must not replace that tab."""
    story = g.idle()
    before = story.tab()
    with pytest.raises(Conflict):
        story.do(OpenTab(TAB))
    assert story.tab() == before


def test_message_id_is_taken_once() -> None:
    """Sending under the id of a message that is there already must not replace that message."""
    story = g.working()
    before = story.message()
    with pytest.raises(Conflict):
        story.send(MESSAGE)
    assert story.message() == before


def test_an_agent_that_dies_again_and_again_fails_its_tab() -> None:
    """Each process after the first loss waits longer, the sixth loss within half an hour is for somebody to decide."""
    story = g.idle()
    pauses = []
    for _ in range(5):
        story.lose_session()
        order = story.open(intents.ResumeSession)[0]
        pauses.append(
            0.0 if order.not_before is None else (order.not_before - order.created_at).total_seconds()
        )
        story.get_session()
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.0 < pauses[1]
    story.lose_session(reason="exit code 3")
    assert (story.tab().at, story.kinds()) == ("error/session", [])
    failure = story.tab().failure
    assert failure is not None
    assert failure.reason == "The agent's process was lost too often: exit code 3"
    assert (failure.step, failure.failure_class, failure.attempts) == ("init_create_session", UNREACHABLE, 1)
    assert (story.tab().session, story.tab().agent_process, story.tab().losses) == (7, None, ())
    story.do(RetryTab(TAB))
    assert story.tab().at == "pending_session_create"
    assert story.open(intents.ResumeSession)[0].body == intents.ResumeSession(
        story.task.sandbox, "demo", TAB, 7, "s1"
    )
    story.get_session()
    story.lose_session()
    assert story.tab().at == "pending_session_create"


def test_losses_of_long_ago_do_not_count() -> None:
    """A process that is lost now and then is replaced for ever."""
    story = g.idle()
    for _ in range(8):
        story.lose_session()
        story.get_session()
        story.pass_time(600)
    assert story.tab().at == "ready"

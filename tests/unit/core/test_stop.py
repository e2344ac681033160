"""Stories of stopping and going on: turns settle, work comes out, the sandbox sleeps, and everything is there afterwards."""

from collections.abc import Callable

import pytest

from taskdock.core import intents
from taskdock.core.errors import Conflict
from taskdock.core.inputs import OpenTab, SandboxReady, SandboxStopped, Succeeded, TurnEnd
from taskdock.core.message import Message
from taskdock.core.task import TaskStatus
from unit.core import givens as g
from unit.core.cases_end import SOURCES
from unit.core.story import MESSAGE, MESSAGE_2, PERMANENT, TAB, TAB_2, UNREACHABLE, TaskStory, kinds_of


def finish(story: TaskStory) -> None:
    """Let the stop go on to its end."""
    if story.at == "stopping/settle":
        story.wake("settle")
    if story.at == "stopping/collect":
        story.collect("c7")
    if story.at == "stopping/stop":
        story.stop_sandbox()
    story.be_heard()


@pytest.mark.parametrize("given", [pytest.param(s.given, id=s.state) for s in SOURCES["stop"]])
def test_stop_works_in_every_status(given: Callable[[], TaskStory]) -> None:
    """Whatever a task is at, a stop leaves nothing open, its tabs waiting and its messages in their queue."""
    story = given()
    queued = [message for message in story.boundary.all(Message) if message.at == "queued"]
    story.stop()
    finish(story)
    assert (story.at, story.kinds()) == ("stopped", [])
    assert story.tab().at in ("pending_provision", "error/session")
    assert all(story.message(message.id).at == "queued" for message in queued)


@pytest.mark.parametrize("given", [pytest.param(s.given, id=s.state) for s in SOURCES["stop"]])
def test_stopped_task_goes_on_from_where_it_got(given: Callable[[], TaskStory]) -> None:
    """A resume leads to the first step that is not done, and the branch stays held all the while."""
    story = given()
    held = story.boundary.hold
    story.stop()
    finish(story)
    assert story.boundary.hold == held
    story.resume()
    expected = {TaskStatus.INIT_ENQUEUE_PROVISION, TaskStatus.INIT_CREATE_SANDBOX}
    assert story.task.status in ({TaskStatus.INIT_ATTACH_BRANCH} if story.task.on_branch else expected)


def test_stop_while_the_sandbox_is_being_made() -> None:
    """The create is superseded; the stop waits until its execution has ended, then stops what it made."""
    story = g.creating_begun()
    running = story.claim(intents.CreateSandbox)
    assert story.stop().cancelled == (running.id,)
    assert (story.kinds(), story.boundary.claimable(story.now)) == (["StopSandbox"], [])
    late = story.boundary.report(running, Succeeded(SandboxReady(adopted=False)), story.now)
    assert late.ignored == "the intent is not open"
    assert len(story.boundary.claimable(story.now)) == 1


def test_absence_is_no_stop_while_a_create_may_land() -> None:
    """A sandbox that is absent too soon after a create began is asked for again when none can land any more."""
    story = g.STOP.ending_unused()
    story.stop_sandbox(is_absent=True, early=True)
    assert story.at == "stopping/stop"
    again = story.open(intents.StopSandbox)[0]
    assert story.task.create_began is not None
    assert again.not_before is not None
    assert (again.not_before - story.task.create_began).total_seconds() == 30.0
    assert story.task.step is not None
    assert story.task.step.waits_for == "a create that may still land"
    story.stop_sandbox(is_absent=True)
    assert story.at == "stopped"


def test_wait_for_the_window_is_not_charged_to_the_deadline() -> None:
    """Where the window outlasts the deadline of the stop, the run behind it has its whole deadline."""
    story = g.STOP.ending_unused()
    early = SandboxStopped(story.now, 3600.0, is_absent=True)
    story.succeed(intents.StopSandbox, early)
    again = story.open(intents.StopSandbox)[0]
    assert (again.attempt, again.deadline_at) == (2, None)


def test_turns_get_ten_seconds() -> None:
    """A running turn is asked to end, has ten seconds for it, and holds the queue afterwards."""
    story = g.delivered()
    story.send(MESSAGE_2)
    story.stop()
    assert (story.at, story.tab().turn.at, story.tab().at) == ("stopping/settle", "cancelling", "ready")
    story.wake("settle")
    assert (story.at, story.tab().turn.at, story.tab().last_end) == (
        "stopping/collect", "none", TurnEnd.INTERRUPTED,
    )  # fmt: skip
    assert (story.tab().held, story.message(MESSAGE_2).at) == (True, "queued")


def test_turn_whose_agent_ends_is_settled() -> None:
    """A turn whose agent process is gone keeps nobody waiting."""
    story = g.STOP.settling()
    story.lose_session()
    assert story.at == "stopping/collect"


def test_closing_tab_whose_agent_ends_is_settled() -> None:
    """So does that of a tab that was being closed when the stop came."""
    story = g.closing_mid_turn()
    story.stop()
    story.lose_session()
    assert (story.at, story.tab().at, story.tab().turn.at) == ("stopping/collect", "closed", "none")


def test_message_that_did_not_begin_stays_in_the_queue() -> None:
    """What was about to be sent goes back, uncounted, and is the first after the resume."""
    story = g.sending()
    story.stop()
    assert (story.message().at, story.message().tries) == ("queued", 0)
    story.stop_sandbox()
    story.resume()
    story.get_sandbox(adopted=True)
    story.get_agent()
    story.get_session()
    assert story.message().at == "sending"


def test_stop_brings_the_work_out() -> None:
    """A quiesced collection clears what is owed, so an archive afterwards has nothing to start the sandbox for."""
    story = g.STOP.done()
    assert (story.task.head, story.task.work_owed) == ("c2", False)
    story.archive()
    assert story.kinds() == ["DestroySandbox"]


def test_work_that_cannot_be_brought_out_stops_the_stop() -> None:
    """The files are named, and a retry with discard stops without them; in the stopped sandbox they are still owed."""
    story = g.STOP.failed_collecting()
    assert story.task.failure is not None
    assert story.task.failure.reason.startswith("work_not_collected")
    assert "--discard" in story.task.failure.retry
    story.retry(discard=True)
    change = story.fail(intents.CollectWork, PERMANENT)
    assert kinds_of(change)[1] == "work.given_up task.step_started"
    story.stop_sandbox()
    assert (story.at, story.task.work_owed, story.task.discard) == ("stopped", True, False)
    story.archive()
    assert story.kinds() == ["CollectWork"]


def test_sandbox_that_does_not_answer_is_started_once() -> None:
    """Where nobody answers, the same generation is started once without an agent; a second silence is a failure."""
    story = g.STOP.collecting()
    story.fail(intents.CollectWork, UNREACHABLE)
    assert (story.at, story.kinds()) == ("stopping/wake", ["CreateSandbox"])
    story.get_sandbox(adopted=True)
    assert (story.at, story.kinds()) == ("stopping/collect", ["CollectWork"])
    for _ in range(3):
        story.fail(intents.CollectWork, UNREACHABLE)
    assert story.at == "error/stopping/collect"


def test_sandbox_that_is_another_one_has_nothing_to_bring_out() -> None:
    """A sandbox that was made anew, even by a run whose answer was lost, is told as the loss that it is."""
    for ready in (SandboxReady(adopted=False), SandboxReady(adopted=True, mark="another")):
        story = g.STOP.waking()
        change = story.succeed(intents.CreateSandbox, ready)
        assert kinds_of(change)[1] == "sandbox.lost task.step_started"
        assert (story.at, story.task.work_owed) == ("stopping/stop", False)


def test_sandbox_that_a_look_missed_is_the_same() -> None:
    """A look that found nothing proves nothing: by its mark the sandbox that runs is the one that has the work."""
    story = g.creating()
    story.start(intents.CreateSandbox)
    story.succeed(intents.CreateSandbox, SandboxReady(adopted=False, mark="first"))
    story.get_agent()
    story.get_session()
    story.start(intents.SendPrompt)
    story.stop()
    story.wake("settle")
    story.fail(intents.CollectWork, UNREACHABLE)
    change = story.succeed(intents.CreateSandbox, SandboxReady(adopted=False, mark="first"))
    assert kinds_of(change)[1] == "task.step_started"
    assert (story.at, story.task.work_owed) == ("stopping/collect", True)


def test_sandbox_that_is_gone_at_the_stop_is_told() -> None:
    """Whoever stops a sandbox that is not there any more learns that it was lost."""
    story = g.STOP.ending()
    assert kinds_of(story.stop_sandbox(is_absent=True))[1] == "sandbox.lost task.stopped"


# Going on


def test_resume_takes_the_session_up_again() -> None:
    """In the same sandbox a tab goes on with its own session, in a new agent process."""
    story = g.resuming_session()
    assert story.open(intents.ResumeSession)[0].body == intents.ResumeSession(
        story.task.sandbox, "demo", TAB, 2, "s1"
    )
    story.get_session("s1")
    assert (story.at, story.tab().at) == ("running", "ready")


def test_message_to_a_stopped_task_resumes_it() -> None:
    """Sending is enough: the task is resumed in the same commit, and the message follows when the tab is ready."""
    story = g.STOP.done()
    change = story.send(MESSAGE_2)
    assert kinds_of(change) == ("CreateSandbox", "message.sent task.resumed task.step_started")
    story.get_sandbox(adopted=True)
    story.get_agent()
    story.get_session()
    assert story.message(MESSAGE_2).at == "sending"


def test_tab_opened_on_a_stopped_task_resumes_it() -> None:
    """So is opening a tab."""
    story = g.STOP.done()
    story.do(OpenTab(TAB_2))
    assert (story.at, story.tab(TAB_2).at) == ("init_create_sandbox/create", "pending_provision")


@pytest.mark.parametrize("given", [g.STOP.settling, g.STOP.collecting, g.STOP.waking, g.STOP.ending])
def test_message_to_a_stopping_task_resumes_it_when_it_is_stopped(given: g.Given[TaskStory]) -> None:
    """A stop under way is finished first; then the task goes on by itself, in the commit in which it is stopped."""
    story = given()
    story.send(MESSAGE_2)
    assert (story.task.status, story.task.resume_wanted) == (TaskStatus.STOPPING, True)
    if story.at == "stopping/wake":
        story.get_sandbox(adopted=True)
    finish(story)
    assert (story.at, story.task.resume_wanted) == ("init_create_sandbox/create", False)
    assert story.message(MESSAGE_2).at == "queued"


def test_stop_takes_the_wish_to_go_on_back() -> None:
    """Who stops again means it: the task stays stopped, and a second stop changes nothing."""
    story = g.RESUMED["stopping/collect"]()
    story.stop()
    assert story.stop().ignored == "stop is under way already"
    finish(story)
    assert story.at == "stopped"


def test_stop_and_resume_are_done_once() -> None:
    """What is under way or done already is no error."""
    assert g.STOP.done().stop().ignored == "stop is under way already"
    assert g.RESUMED["stopping/stop"]().resume().ignored == "resume is under way already"
    assert g.idle().resume().ignored == "the task is up, or on its way"
    assert g.resumed().resume().ignored == "the task is up, or on its way"


@pytest.mark.parametrize(
    "given", [g.ARCHIVE.collecting, g.ARCHIVE.done, g.ARCHIVE.failed_ending, g.KILL.done]
)
def test_leaving_task_is_neither_stopped_nor_resumed(given: g.Given[TaskStory]) -> None:
    """Archive and kill go before stop, also where they have failed."""
    for ask in (TaskStory.stop, TaskStory.resume):
        with pytest.raises(Conflict):
            ask(given())


def test_closing_a_tab_of_a_stopped_task_orders_nothing() -> None:
    """Nothing runs in a stopped sandbox, so there is no session to end."""
    story = g.STOP.done()
    assert kinds_of(story.close()) == ("", "tab.closed")


def test_resumed_task_counts_heals_and_tries_anew() -> None:
    """Somebody looked after it: earlier losses and attempts do not count any more."""
    story = g.looking_unstable()
    story.stop()
    finish(story)
    story.resume()
    assert (story.task.heals, story.task.tries, story.tab().tries) == ((), None, None)


def test_message_keeps_its_place_through_a_stop() -> None:
    """Messages are sent in their order after the resume, whatever the stop interrupted."""
    story = g.two_tabs()
    story.send("msg-2", TAB)
    story.begin_turn()
    story.send("msg-3", TAB)
    story.stop()
    story.wake("settle")
    story.collect("c2")
    story.stop_sandbox()
    assert (story.message(MESSAGE).at, story.message("msg-2").at) == ("delivered", "failed")
    story.send("msg-4", TAB)
    story.get_sandbox(adopted=True)
    story.get_agent()
    story.get_session("s1", TAB)
    assert [story.message(f"msg-{number}").at for number in (3, 4)] == ["sending", "queued"]

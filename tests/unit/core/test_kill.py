"""Stories of killing: from every status, with turns settled, work brought out, and nothing undoing it."""

from collections.abc import Callable

import pytest

from taskdock.core import intents
from taskdock.core.change import BranchHold
from taskdock.core.errors import Conflict
from taskdock.core.inputs import (
    FailureClass,
    KillTask,
    RetryTask,
    SandboxReady,
    Succeeded,
    TurnEnd,
    WorkCollected,
)
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from taskdock.core.task import TaskStatus
from unit.core import givens as g
from unit.core.givens import TASKS
from unit.core.story import (
    DEADLINE,
    MESSAGE,
    MESSAGE_2,
    PERMANENT,
    TAB,
    TAB_2,
    TASK,
    TRANSIENT,
    UNKNOWN,
    UNREACHABLE,
    TaskStory,
    kinds_of,
)

ALIVE = [
    pytest.param(given, id=name)
    for name, given in TASKS.items()
    if name != "no_task" and given().task.status not in (TaskStatus.KILLING, TaskStatus.KILLED)
]


def finish(story: TaskStory) -> None:
    """Let the kill go on to its end: turns end by the clock, work comes out, the sandbox goes."""
    for _ in range(10):
        match story.at:
            case "killing/settle":
                story.wake()
            case "killing/collect":
                story.collect("c7")
            case "killing/destroy":
                story.release()
            case _:
                story.be_heard()
                return


@pytest.mark.parametrize("given", ALIVE)
def test_kill_works_in_every_status(given: Callable[[], TaskStory]) -> None:
    """Whatever a task is at, a kill closes its tabs at once and ends it; nothing is left open, no message undecided."""
    story = given()
    branch, before = story.task.branch, len(story.changes)
    story.do(KillTask())
    assert story.task.status in (TaskStatus.KILLING, TaskStatus.KILLED)
    assert {tab.at for tab in story.boundary.all(Tab)} == {"closed"}
    finish(story)
    assert (story.at, story.kinds()) == ("killed", [])
    assert {tab.turn.at for tab in story.boundary.all(Tab)} == {"none"}
    assert {message.at for message in story.boundary.all(Message)} <= {"delivered", "failed", "withdrawn"}
    expected = [BranchHold("repo-1", branch, TASK)] if branch else []
    assert [change.release for change in story.changes[before:] if change.release is not None] == expected


@pytest.mark.parametrize(
    "given", [g.waiting_for_repo, g.queued, g.naming, g.failed_waiting, g.failed_queued, g.failed_naming]
)
def test_task_without_a_sandbox_is_killed_at_once(given: g.Given[TaskStory]) -> None:
    """Where no sandbox was ever ordered there is nothing to wait for: one commit."""
    story = given()
    change = story.do(KillTask())
    assert (story.at, change.ordered) == ("killed", ())
    assert kinds_of(change)[1].endswith("task.killed")


def test_kill_supersedes_what_is_under_way() -> None:
    """The intent under way is taken back; the release waits until its execution has really ended."""
    story = g.creating()
    running = story.claim(intents.CreateSandbox)
    change = story.do(KillTask())
    assert change.cancelled == (running.id,)
    assert story.kinds() == ["DestroySandbox"]
    assert story.boundary.claimable(story.now) == []
    story.boundary.report(running, Succeeded(SandboxReady(adopted=False)), story.now)
    assert story.at == "killing/destroy"
    assert [intent.body for intent in story.boundary.claimable(story.now)] == [
        intents.DestroySandbox(story.task.sandbox)
    ]


def test_release_has_a_lane_of_its_own() -> None:
    """Ending a sandbox never queues behind making others."""
    story = g.creating()
    making = story.open(intents.CreateSandbox)[0].lane
    story.do(KillTask())
    assert story.open(intents.DestroySandbox)[0].lane != making


# With a running turn


def test_kill_settles_a_turn_by_its_end() -> None:
    """A running turn is asked to end; its end brings the work out at once, the clock is not waited for."""
    story = g.delivered()
    assert kinds_of(story.do(KillTask())) == ("Wake CancelTurn Wake", "task.step_started tab.closed")
    wake = story.open(intents.Wake)[0]
    assert wake.not_before is not None
    assert (wake.not_before - story.now).total_seconds() == 10.0
    story.end_turn(TurnEnd.CANCELLED)
    assert (story.at, story.reasons()) == ("killing/collect", [])
    assert (story.message().at, story.tab().last_end) == ("delivered", TurnEnd.CANCELLED)


def test_kill_settles_a_turn_by_the_clock() -> None:
    """A turn that does not end is interrupted after ten seconds; what was not proven is delivery_unknown."""
    story = g.KILL.settling_undelivered()
    story.wake()
    assert (story.at, story.tab().turn.at, story.tab().last_end) == (
        "killing/collect",
        "none",
        TurnEnd.INTERRUPTED,
    )
    assert (story.message().at, story.message().reason) == ("failed", "delivery_unknown")
    assert story.open(intents.SendPrompt) == []


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE, UNKNOWN, PERMANENT, DEADLINE])
def test_kill_settles_a_turn_by_its_failure(failure: FailureClass) -> None:
    """However the prompt's execution ends, the kill goes on, and nothing is sent again."""
    story = g.KILL.settling_undelivered()
    story.fail(intents.SendPrompt, failure)
    assert (story.at, story.open(intents.SendPrompt)) == ("killing/collect", [])
    assert story.message().at in ("failed", "withdrawn")


def test_kill_settles_a_turn_by_the_loss_of_its_session() -> None:
    """A turn whose agent process ends is settled."""
    story = g.KILL.settling()
    story.lose_session(reason="it ended")
    assert (story.at, story.tab().last_end_detail) == ("killing/collect", "it ended")


def test_kill_waits_for_the_turns_of_every_tab() -> None:
    """Two running turns are both asked to end, and both awaited."""
    story = g.two_tabs()
    for number, tab in enumerate((TAB, TAB_2), 2):
        story.send(f"msg-{number}", tab)
        story.begin_turn(tab)
    assert kinds_of(story.do(KillTask()))[0] == "Wake CancelTurn Wake CancelTurn Wake"
    story.end_turn(tab=TAB_2)
    assert story.at == "killing/settle"
    story.end_turn(tab=TAB)
    assert story.at == "killing/collect"


def test_kill_withdraws_what_was_not_sent() -> None:
    """A message that was never started is withdrawn, and no prompt is left that could send it."""
    story = g.sending()
    story.send(MESSAGE_2)
    change = story.do(KillTask())
    assert (story.message(MESSAGE).at, story.message(MESSAGE_2).at) == ("withdrawn", "withdrawn")
    assert len(change.cancelled) == 1
    assert story.at == "killing/destroy"


def test_kill_during_a_close_asks_the_turn_again_to_end() -> None:
    """A turn that a close has asked to end is still asked when the kill takes over before the cancel was sent."""
    story = g.closing_mid_turn()
    story.do(KillTask())
    assert story.tab().turn.at == "cancelling"
    assert len(story.open(intents.CancelTurn)) == 1


# With owed work


def test_no_work_is_owed_before_a_prompt_began() -> None:
    """A sandbox in which no agent ever worked is released without a collection."""
    assert g.KILL.ending_unused().kinds() == ["DestroySandbox"]


def test_last_collection_is_quiesced() -> None:
    """Before the release the agent is stopped first, so that nothing can follow what is brought out."""
    story = g.KILL.collecting()
    body = story.open(intents.CollectWork)[0].body
    assert body == intents.CollectWork(story.task.sandbox, "repo-1", "do-it-1", quiesce=True)
    story.collect("c2")
    assert (story.task.head, story.task.work_owed) == ("c2", False)


def test_copy_under_way_does_not_stand_in_for_the_last_collection() -> None:
    """A copy that runs when the kill comes is taken back: it was not quiesced."""
    story = g.copying()
    copy = story.claim(intents.CollectWork)
    story.do(KillTask())
    assert [intent.id for intent in story.open(intents.CollectWork)] != [copy.id]
    late = WorkCollected("c5", branch_moved=True)
    story.boundary.report(copy, Succeeded(late), story.now)
    assert (story.at, story.task.head) == ("killing/collect", None)


@pytest.mark.parametrize("failure", [PERMANENT, DEADLINE])
def test_work_that_cannot_be_collected_stops_the_kill(failure: FailureClass) -> None:
    """The sandbox is not released: the task rests in error and says what retry and force would do."""
    story = g.KILL.collecting()
    story.fail(intents.CollectWork, failure)
    assert (story.at, story.kinds(), story.task.box_ordered) == ("error/killing/collect", [], True)
    assert story.task.failure is not None
    assert "kill --force" in story.task.failure.retry


def test_uncommitted_files_stop_the_kill_by_name() -> None:
    """Files whose changes are in no commit are named; their commits are out already, the work stays owed."""
    story = g.KILL.collecting()
    story.collect("c2", "notes.txt", "src/a b.py")
    assert story.at == "error/killing/collect"
    assert story.task.failure is not None
    assert story.task.failure.reason == "work_not_collected: uncommitted changes in notes.txt, src/a b.py"
    assert (story.task.head, story.task.work_owed) == ("c2", True)


def test_retry_collects_again() -> None:
    """After the user has dealt with the files, retry brings the work out and the kill goes on."""
    story = g.KILL.failed_collecting()
    story.do(RetryTask())
    assert story.kinds() == ["CollectWork"]
    story.collect("c3")
    assert (story.at, story.task.head) == ("killing/destroy", "c3")
    story.release()
    assert story.at == "killed"


def test_force_gives_work_up_for_ever() -> None:
    """A kill with force tries once more, then releases, and the history says what was given up."""
    story = g.KILL.failed_collecting()
    story.do(KillTask(force=True))
    assert story.at == "killing/collect"
    change = story.collect("c2", "notes.txt")
    assert story.at == "killing/destroy"
    given_up = next(event for event in change.history if event.kind.value == "work.given_up")
    assert given_up.data == {"reason": "work_not_collected: uncommitted changes in notes.txt", "head": "c2"}


def test_force_still_brings_out_what_it_can() -> None:
    """With force, too, the work comes out where that works, and nothing is given up."""
    story = g.KILL.forced()
    assert "work.given_up" not in kinds_of(story.collect("c2"))[1]
    assert (story.at, story.task.head) == ("killing/destroy", "c2")


def test_force_still_tries_as_often() -> None:
    """A passing failure is tried again before work is given up."""
    story = g.KILL.forced()
    assert kinds_of(story.fail(intents.CollectWork, TRANSIENT)) == ("CollectWork", "task.step_failed")
    story.fail(intents.CollectWork, TRANSIENT)
    assert kinds_of(story.fail(intents.CollectWork, TRANSIENT))[1] == "work.given_up task.step_started"


@pytest.mark.parametrize("given", [g.KILL.settling, g.KILL.collecting, g.KILL.ending])
def test_force_upgrades_the_kill_under_way(given: g.Given[TaskStory]) -> None:
    """Force on a kill that is under way is taken over where it stands; a second force changes nothing."""
    story = given()
    at, kinds = story.at, story.kinds()
    story.do(KillTask(force=True))
    assert (story.at, story.kinds(), story.task.force) == (at, kinds, True)
    assert story.do(KillTask(force=True)).ignored == "kill is under way already"


def test_force_while_collecting_counts_for_that_collection() -> None:
    """A collection that fails after the user added force gives up instead of resting."""
    story = g.KILL.collecting()
    running = story.claim(intents.CollectWork)
    story.do(KillTask(force=True))
    assert story.open(intents.CollectWork)[0].id == running.id
    story.fail(intents.CollectWork, PERMANENT)
    assert story.at == "killing/destroy"


def test_force_is_not_taken_back() -> None:
    """A later kill without force, after the release failed, asks no more for what was given up."""
    story = g.KILL.forced()
    story.fail(intents.CollectWork, PERMANENT)
    story.fail(intents.DestroySandbox, PERMANENT)
    story.do(KillTask())
    assert (story.at, story.task.force) == ("killing/destroy", True)


def test_force_of_an_archive_counts_for_the_kill_after_it() -> None:
    """What an archive was allowed to give up, the kill that overtakes it may give up too."""
    story = g.ARCHIVE.forced()
    story.kill()
    story.fail(intents.CollectWork, PERMANENT)
    assert story.at == "killing/destroy"


def test_moved_branch_is_told() -> None:
    """When somebody else moved the branch, the work is kept under the task's own ref, and the task says so."""
    story = g.copying()
    change = story.succeed(intents.CollectWork, WorkCollected("c1", branch_moved=False))
    assert story.task.moved
    assert change.history[0].data == {"head": "c1", "branch": "do-it-1", "moved": True, "uncommitted": 0}


# The release


def test_failed_release_is_retried_by_hand() -> None:
    """A sandbox that could not be released stays recorded, and retry releases it."""
    story = g.KILL.failed_ending()
    assert story.task.box_ordered
    story.do(RetryTask())
    assert story.kinds() == ["DestroySandbox"]
    story.release()
    assert (story.at, story.task.box_ordered) == ("killed", False)


def test_kill_retries_a_failed_release() -> None:
    """A second kill does the same, without collecting again what is out already."""
    story = g.KILL.failed_ending()
    story.do(KillTask())
    assert (story.at, story.kinds()) == ("killing/destroy", ["DestroySandbox"])


# Nothing undoes it


@pytest.mark.parametrize(
    "given", [g.KILL.settling, g.KILL.collecting, g.KILL.ending, g.KILL.done, g.KILL.done_early]
)
def test_kill_is_done_once(given: g.Given[TaskStory]) -> None:
    """Killing again is a success that changes nothing."""
    assert given().do(KillTask()).ignored == "kill is under way already"


@pytest.mark.parametrize("given", [g.KILL.settling, g.KILL.collecting, g.KILL.ending, g.KILL.done])
def test_kill_cannot_be_retried_away(given: g.Given[TaskStory]) -> None:
    """Retry is no way back from a kill that is under way or done, and the conflict offers nothing."""
    with pytest.raises(Conflict) as rejected:
        given().do(RetryTask())
    assert rejected.value.available_actions == ("rename",)


@pytest.mark.parametrize("given", [g.KILL.failed_collecting, g.KILL.failed_ending])
def test_retry_of_a_failed_kill_goes_on_killing(given: g.Given[TaskStory]) -> None:
    """From a failed kill every way leads to killed."""
    story = given()
    story.do(RetryTask())
    assert story.task.status is TaskStatus.KILLING
    finish(story)
    assert story.at == "killed"


@pytest.mark.parametrize(
    "given", [g.KILL.settling, g.KILL.collecting, g.KILL.ending, g.KILL.failed_collecting, g.KILL.done]
)
def test_lost_sandbox_does_not_stop_a_kill(given: g.Given[TaskStory]) -> None:
    """That the sandbox is gone is no news to a task that is releasing it."""
    story = given()
    at = story.at
    assert story.lose_sandbox().ignored
    assert story.at == at


def test_killed_task_keeps_its_name_and_head() -> None:
    """What people need to find the work stays in the record and in the last event."""
    story = g.KILL.done()
    assert (story.task.branch, story.task.head, story.task.step) == ("do-it-1", "c2", None)
    assert story.boundary.history[-1].data == {"head": "c2", "branch": "do-it-1"}

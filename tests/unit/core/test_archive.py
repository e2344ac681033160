"""Stories of archiving: the sandbox goes, the work and the queue stay, and both come back with an unarchive."""

from collections.abc import Callable

import pytest

from taskdock.core import intents
from taskdock.core.change import BranchHold
from taskdock.core.errors import Conflict
from taskdock.core.inputs import CloseTab, FailureClass, OpenTab, SandboxReady, Succeeded, UnarchiveTask
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from unit.core import givens as g
from unit.core.cases_end import SOURCES
from unit.core.story import (
    MESSAGE_2,
    PERMANENT,
    TAB,
    TAB_2,
    TASK,
    TRANSIENT,
    UNREACHABLE,
    TaskStory,
    kinds_of,
)


def finish(story: TaskStory) -> None:
    """Let the archive go on to its end."""
    if story.at == "archiving/settle":
        story.wake("settle")
    if story.at == "archiving/collect":
        story.collect("c7")
    if story.at == "archiving/destroy":
        story.release()
    story.be_heard()


@pytest.mark.parametrize("given", [pytest.param(s.given, id=s.state) for s in SOURCES["archive"]])
def test_archive_works_in_every_status(given: Callable[[], TaskStory]) -> None:
    """Whatever a task is at, an archive leaves no sandbox and nothing open, and frees the branch; the queue is kept."""
    story = given()
    branch = story.task.branch
    queued = [message.id for message in story.boundary.all(Message) if message.at in ("queued", "sending")]
    story.archive()
    finish(story)
    assert (story.at, story.kinds(), story.task.box_ordered) == ("archived", [], False)
    assert {tab.at for tab in story.boundary.all(Tab)} <= {"pending_provision", "error/session", "closed"}
    assert {story.message(id_).at for id_ in queued} <= {"queued", "delivered", "failed"}
    released = [change.release for change in story.changes if change.release is not None]
    assert released[-1:] == ([BranchHold("repo-1", branch, TASK)] if branch else [])


def test_unarchived_task_comes_up_with_its_queue() -> None:
    """The branch is held again, its name confirmed, a new generation made, and the queue goes on."""
    story = g.held()
    story.archive()
    finish(story)
    change = story.unarchive()
    assert change.hold == BranchHold("repo-1", "do-it-1", TASK)
    body = story.open(intents.EnsureName)[0].body
    assert isinstance(body, intents.EnsureName)
    assert (body.branch, body.title, body.is_kept) == ("do-it-1", "Do it", True)
    story.provision()
    assert (story.at, story.task.generation, story.tab().session) == ("running", 2, 1)
    assert story.message(MESSAGE_2).at == "queued"
    story.send("msg-3")
    assert story.message(MESSAGE_2).at == "sending"


def test_unarchive_holds_the_branch_in_its_own_commit() -> None:
    """So a store that knows another holder refuses that commit, and the task stays archived."""
    story = g.ARCHIVE.done()
    change = story.boundary.decide(UnarchiveTask(), story.now)
    assert change.hold is not None
    assert story.at == "archived"


def test_new_generation_gets_new_sessions() -> None:
    """What the agent remembered went with its sandbox: the tab begins a session of its own there."""
    story = g.unarchived()
    story.provision()
    tab = story.tab()
    assert (tab.generation, tab.session, tab.session_id) == (2, 1, "s1")


def test_early_absence_is_no_release() -> None:
    """A sandbox that is absent too soon after a create began may still appear, so its end is asked for again."""
    story = g.ARCHIVE.ending_unused()
    story.release(early=True)
    assert (story.at, story.kinds(), story.task.generation) == ("archiving/destroy", ["DestroySandbox"], 1)
    story.release()
    assert (story.at, story.task.generation) == ("archived", 2)


def test_work_that_cannot_be_brought_out_stops_the_archive() -> None:
    """The sandbox stays, the files are named, and force gives them up for ever."""
    story = g.ARCHIVE.failed_collecting()
    assert (story.at, story.task.box_ordered) == ("error/archiving/collect", True)
    assert story.task.failure is not None
    assert "notes.txt" in story.task.failure.reason
    assert "archive --force" in story.task.failure.retry
    story.archive(force=True)
    change = story.fail(intents.CollectWork, PERMANENT)
    assert kinds_of(change)[1] == "work.given_up task.step_started"
    story.release()
    assert story.at == "archived"


def test_force_ends_with_the_archive() -> None:
    """What one archive was allowed to give up, the next one after an unarchive is not."""
    story = g.ARCHIVE.forced()
    finish(story)
    story.unarchive()
    assert not story.task.force


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE])
def test_archive_started_once_to_bring_work_out(failure: FailureClass) -> None:
    """Only a sandbox that nobody reaches is started for it; another failure is tried again as it is."""
    story = g.ARCHIVE.collecting()
    story.fail(intents.CollectWork, failure)
    assert story.at == ("archiving/wake" if failure is UNREACHABLE else "archiving/collect")


def test_kill_overtakes_an_archive() -> None:
    """A kill goes on from wherever the archive stands, and nothing leads back."""
    for given in (g.ARCHIVE.settling, g.ARCHIVE.collecting, g.ARCHIVE.waking, g.ARCHIVE.ending):
        story = given()
        story.kill()
        assert story.at.startswith("killing/")
        with pytest.raises(Conflict):
            story.archive()


def test_kill_of_an_archived_task_is_done_at_once() -> None:
    """There is nothing left to bring out or release."""
    story = g.ARCHIVE.done()
    assert kinds_of(story.kill()) == ("", "task.killed tab.closed")
    assert story.at == "killed"


def test_archived_task_takes_no_tab_and_no_message() -> None:
    """It takes names, and tabs may be closed; everything else waits for the unarchive."""
    for given in (g.ARCHIVE.collecting, g.ARCHIVE.failed_collecting, g.ARCHIVE.done):
        with pytest.raises(Conflict) as rejected:
            given().do(OpenTab(TAB_2))
        assert "rename" in rejected.value.available_actions
        with pytest.raises(Conflict, match="takes no messages"):
            given().send(MESSAGE_2)
    story = g.ARCHIVE.done()
    story.do(CloseTab(TAB))
    assert (story.tab().at, story.kinds()) == ("closed", [])


def test_archive_supersedes_a_rescue_whose_end_was_ordered() -> None:
    """A sandbox whose end was ordered is never started again: its archive goes on with the release."""
    story = g.failed_replacing()
    story.archive()
    assert (story.kinds(), story.task.work_owed) == (["DestroySandbox"], False)


def test_late_answers_of_what_an_archive_superseded_change_nothing() -> None:
    """A create that ends after the archive came brings nothing, and the release waits for its end."""
    story = g.creating_begun()
    running = story.claim(intents.CreateSandbox)
    story.archive()
    assert story.boundary.claimable(story.now) == []
    assert story.boundary.report(running, Succeeded(SandboxReady(adopted=False)), story.now).ignored
    assert len(story.boundary.claimable(story.now)) == 1

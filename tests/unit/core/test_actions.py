"""Available actions: what a client is offered is what `step` accepts, and what it is not offered changes nothing."""

from collections.abc import Callable, Iterator

import pytest

from taskdock.core import inputs, repo_boundary, task_boundary
from taskdock.core.change import Change
from taskdock.core.errors import Conflict
from taskdock.core.inputs import Input, RemoveRepo, RetryRepo, SandboxPhase
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from unit.core import givens as g
from unit.core.givens import REPOS, TASKS
from unit.core.product import answer
from unit.core.story import TAB, TAB_2, TASK, RepoStory, Story, TaskStory

TASK_COMMANDS: dict[str, Input] = {
    "retry": inputs.RetryTask(),
    "stop": inputs.StopTask(),
    "resume": inputs.ResumeTask(),
    "archive": inputs.ArchiveTask(),
    "unarchive": inputs.UnarchiveTask(),
    "kill": inputs.KillTask(),
    "open_tab": inputs.OpenTab("tab-9"),
    "set_branch": inputs.SetBranch("other"),
    "rename": inputs.RenameTask("Something else"),
}
EVERY = [pytest.param(given, id=name) for name, given in TASKS.items() if name != "no_task"]


def tab_commands(story: TaskStory, tab: Tab) -> dict[str, Input]:
    """The least that each action of a tab needs to be valid: closing needs force when messages are queued."""
    messages = [message for message in story.boundary.all(Message) if message.tab_id == tab.id]
    queued = next((message.id for message in messages if message.at == "queued"), "msg-404")
    asked = next((one.id for one in tab.turn.permissions if one.at == "asked"), "perm-404")
    return {
        "retry": inputs.RetryTab(tab.id),
        "close": inputs.CloseTab(tab.id, force=True),
        "rename": inputs.RenameTab(tab.id, "Something else"),
        "send": inputs.SendMessage(tab.id, "msg-9", "Go."),
        "set_model": inputs.SetModel(tab.id, "another"),
        "edit": inputs.EditMessage(tab.id, queued, "Rather this."),
        "withdraw": inputs.WithdrawMessage(tab.id, queued),
        "resume_queue": inputs.ResumeQueue(tab.id),
        "cancel_turn": inputs.CancelTurn(tab.id),
        "answer_permission": inputs.AnswerPermission(tab.id, asked, None),
    }


def commands(story: TaskStory) -> Iterator[tuple[str, str, Input]]:
    """Every action on every record: the record, the action, its command."""
    yield from ((TASK, action, command) for action, command in TASK_COMMANDS.items())
    for tab in story.boundary.all(Tab):
        yield from ((tab.id, action, command) for action, command in tab_commands(story, tab).items())


def is_accepted(story: Story, command: Input) -> bool:
    """Whether the command changes anything."""
    answered = answer(story, command)
    return isinstance(answered, Change) and answered.ignored is None


@pytest.mark.parametrize("given", EVERY)
def test_offered_is_accepted(given: Callable[[], TaskStory]) -> None:
    """An action is offered exactly when its command changes something; the others are rejected or done already."""
    story = given()
    offered = task_boundary.available_actions(story.boundary.slice)
    assert offered.keys() == {TASK, *(tab.id for tab in story.boundary.all(Tab))}
    for record, action, command in commands(story):
        assert is_accepted(story, command) is (action in offered[record]), f"{action} of {record}"


@pytest.mark.parametrize("given", EVERY)
def test_nothing_unknown_is_offered(given: Callable[[], TaskStory]) -> None:
    """Every action that is offered is one of those that were tried, and offered once."""
    story = given()
    tried = {(record, action) for record, action, _ in commands(story)}
    offered = task_boundary.available_actions(story.boundary.slice)
    listed = [(record, action) for record, actions in offered.items() for action in actions]
    assert set(listed) <= tried
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("given", EVERY)
def test_conflict_names_what_is_offered(given: Callable[[], TaskStory]) -> None:
    """A rejected command tells the status of its record and the actions that the record offers now."""
    story = given()
    offered = task_boundary.available_actions(story.boundary.slice)
    statuses = {TASK: story.task.status, **{tab.id: tab.status for tab in story.boundary.all(Tab)}}
    for record, _, command in commands(story):
        conflict = answer(story, command)
        if isinstance(conflict, Conflict):
            assert conflict.available_actions == offered[record]
            assert conflict.status == statuses[record].value
            assert conflict.record_id == record


def found_failed() -> TaskStory:
    """A look before any create began finds a failed sandbox of that name: its end was ordered."""
    story = g.observing_unbegun()
    story.observe(SandboxPhase.FAILED)
    return story


@pytest.mark.parametrize(
    "given",
    [
        g.creating_begun,
        g.starting_agent,
        found_failed,
        g.replacing,
        g.creating_second,
        g.STOP.done,
        g.ARCHIVE.done,
    ],
)
def test_branch_is_settled_once_a_sandbox_may_have_it(given: Callable[[], TaskStory]) -> None:
    """From the first attempt to make a sandbox on, through every generation after it, the branch keeps its name."""
    story = given()
    before = story.task
    with pytest.raises(Conflict, match="is settled"):
        story.do(inputs.SetBranch("better"))
    assert story.task == before
    assert "set_branch" not in task_boundary.available_actions(story.boundary.slice)[TASK]


@pytest.mark.parametrize("given", [g.waiting_for_repo, g.queued, g.creating])
@pytest.mark.parametrize("end", [TaskStory.archive, TaskStory.kill])
def test_task_that_is_ended_takes_no_other_branch(
    given: Callable[[], TaskStory], end: Callable[[TaskStory], Change]
) -> None:
    """Also one that never had a sandbox keeps the branch that it is in the archive with, and holds no other one."""
    story = given()
    end(story)
    before = (story.task, story.boundary.hold)
    with pytest.raises(Conflict, match="it is ended"):
        story.do(inputs.SetBranch("better"))
    assert (story.task, story.boundary.hold) == before


QUEUE = "send set_model edit withdraw"


@pytest.mark.parametrize(
    ("given", "task", "tab"),
    [
        (g.waiting_for_repo, "stop archive kill open_tab set_branch rename", f"close {QUEUE} rename"),
        (g.creating, "stop archive kill open_tab set_branch rename", f"close {QUEUE} rename"),
        (g.creating_begun, "stop archive kill open_tab rename", f"close {QUEUE} rename"),
        (g.idle, "stop archive kill open_tab rename", "close send set_model rename"),
        (g.looking, "stop archive kill open_tab rename", "close send set_model rename"),
        (g.delivered, "stop archive kill open_tab rename", "close send set_model cancel_turn rename"),
        (g.asked, "stop archive kill open_tab rename",
         "close send set_model cancel_turn answer_permission rename"),
        (g.held, "stop archive kill open_tab rename", f"close {QUEUE} resume_queue rename"),
        (g.closing_idle, "stop archive kill open_tab rename", "rename"),
        (g.closed, "stop archive kill open_tab rename", "rename"),
        (g.failed_creating, "retry stop archive kill open_tab rename", f"close {QUEUE} rename"),
        (g.failed_session, "retry stop archive kill open_tab rename", f"close {QUEUE} rename"),
        (g.STOP.collecting, "resume archive kill open_tab rename", "close send set_model rename"),
        (g.RESUMED["stopping/stop"], "stop archive kill open_tab rename", "close send set_model rename"),
        (g.STOP.done, "resume archive kill open_tab rename", "close send set_model rename"),
        (g.STOP.failed_ending, "retry stop archive kill open_tab rename", "close send set_model rename"),
        (g.ARCHIVE.settling, "kill rename", "close rename"),
        (g.ARCHIVE.collecting, "kill rename", "close rename"),
        (g.ARCHIVE.failed_collecting, "retry archive kill rename", "close rename"),
        (g.ARCHIVE.done, "unarchive kill rename", "close rename"),
        (g.KILL.settling, "rename", "rename"),
        (g.KILL.collecting, "rename", "rename"),
        (g.KILL.failed_collecting, "retry kill rename", "rename"),
        (g.KILL.failed_ending, "retry kill rename", "rename"),
        (g.KILL.done, "rename", "rename"),
    ],
)  # fmt: skip
def test_offers_by_status(given: Callable[[], TaskStory], task: str, tab: str) -> None:
    """The offers of a task and of its first tab, status by status."""
    offered = task_boundary.available_actions(given().boundary.slice)
    assert " ".join(offered[TASK]) == task
    assert " ".join(offered[TAB]) == tab


def test_failed_session_of_a_running_task_can_be_retried() -> None:
    """A tab that failed on its own offers retry, while its neighbour does not."""
    offered = task_boundary.available_actions(g.second_tab_failed().boundary.slice)
    assert offered[TAB_2] == ("retry", "close", "send", "set_model", "rename")
    assert offered[TAB] == ("close", "send", "set_model", "rename")


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=name) for name, given in REPOS.items() if name != "no_repo"]
)
def test_repo_offers_what_it_accepts(given: Callable[[], RepoStory]) -> None:
    """A repo offers retry and remove exactly when it takes them, and its conflict says so."""
    story = given()
    offered = repo_boundary.available_actions(story.boundary.slice)
    assert is_accepted(story, RetryRepo()) is ("retry" in offered)
    assert (
        is_accepted(story, RemoveRepo()) and not story.boundary.decide(RemoveRepo(), story.now).ignored
    ) is ("remove" in offered)
    if "retry" not in offered:
        with pytest.raises(Conflict) as rejected:
            story.boundary.decide(RetryRepo(), story.now)
        assert rejected.value.status == story.repo.status.value
        assert rejected.value.available_actions == offered
        assert rejected.value.record_id == story.repo.id

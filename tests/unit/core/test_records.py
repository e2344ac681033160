"""Records: what a step leaves on a task and a tab, to the last field, and that it leaves the other fields alone."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core.change import BranchHold
from taskdock.core.inputs import FailureClass, SandboxPhase, TurnEnd
from taskdock.core.intents import Figures
from taskdock.core.step import Failure, Step, Tries
from taskdock.core.tab import Tab, Turn
from taskdock.core.task import Task
from taskdock.core.task_record import Activity
from unit.core import givens as g
from unit.core.story import (
    MESSAGE,
    PERMANENT,
    REPO,
    START,
    TAB,
    TAB_2,
    TASK,
    TRANSIENT,
    UNREACHABLE,
    TaskStory,
    a_task,
)

HOLD = BranchHold(REPO, "do-it-1", TASK)


def begun(name: str, now: datetime) -> Step:
    """A step that was entered just now."""
    return Step(name, attempt=1, started_at=now)


@pytest.mark.parametrize(
    ("trace", "is_outside"),
    [
        ({}, False),
        ({"create_began": START}, True),
        ({"mark": "made then"}, True),
        ({"destroy_ordered": True}, True),
        ({"generation": 2}, True),
    ],
    ids=["new", "create began", "sandbox seen", "destroy ordered", "another generation"],
)
def test_each_trace_of_a_sandbox_says_that_something_outside_knows_the_branch(
    trace: dict[str, Any], is_outside: bool
) -> None:
    """A create that began, a sandbox that was seen, its end, or one before it: each alone is enough."""
    assert evolve(g.queued().task, **trace).is_outside is is_outside


# Created


def test_task_is_what_was_asked_for() -> None:
    """Everything a user gave stands in the task and its first tab; the rest is what nobody said yet."""
    story = a_task()
    command = inputs.CreateTask(
        task_id=TASK, tab_id=TAB, message_id=MESSAGE, workspace="w", owner="o", repo_id=REPO,
        repo_is_ready=True, prompt="Do it.\nNow.", provider="local", agent="demo", title="It", branch="mine",
        base="next", model="large", permission_mode="plan",
    )  # fmt: skip
    change = story.do(command)
    now = story.now
    assert story.task == Task(
        id=TASK, workspace="w", owner="o", repo_id=REPO, provider="local", agent="demo", first_message_id=MESSAGE,
        title="It", created_at=now, updated_at=now, title_given=True, branch="mine", branch_given=True, base="next",
        model="large", permission_mode="plan", at="init_enqueue_provision", repo_is_ready=True, tabs_opened=1,
        step=begun("init_enqueue_provision", now),
    )  # fmt: skip
    assert story.tab() == Tab(
        id=TAB, task_id=TASK, number=1, name="Tab 1", agent="demo", opened_at=now, updated_at=now, model="large",
        permission_mode="plan", at="pending_provision", messages_sent=1,
    )  # fmt: skip
    assert (change.workspace, change.hold, change.release) == ("w", BranchHold(REPO, "mine", TASK), None)
    assert story.open(intents.EnsureName)[0].body == intents.EnsureName(
        task_id=TASK, repo_id=REPO, message_id=MESSAGE, title="It", branch="mine", base="next", attempt=1, is_kept=False
    )  # fmt: skip


def test_task_that_nobody_named_is_named_by_its_prompt() -> None:
    """Without title and branch the first line stands for the title, and the naming is free."""
    story = g.queued()
    assert (story.task.title, story.task.title_given, story.task.branch_given) == ("Do it.", False, False)
    assert story.open(intents.EnsureName)[0].body == intents.EnsureName(
        task_id=TASK, repo_id=REPO, message_id=MESSAGE, title=None, branch=None, base=None, attempt=1, is_kept=False
    )  # fmt: skip


# Provisioned


def test_name_is_taken_over() -> None:
    """Title, branch and base are settled, the branch is held, and a sandbox is ordered."""
    story = g.naming()
    before = story.task
    change = story.name()
    assert story.task == evolve(
        before, title="Do it", branch="do-it-1", base="main", is_named=True, box_ordered=True,
        at="init_create_sandbox/create", step=begun("init_create_sandbox/create", story.now), updated_at=story.now,
    )  # fmt: skip
    assert (change.hold, change.release) == (HOLD, None)
    assert story.open(intents.CreateSandbox)[0].body == intents.CreateSandbox(
        story.task.sandbox, REPO, "do-it-1", "main"
    )


def test_sandbox_is_taken_over() -> None:
    """A sandbox that runs is ready, with its mark; what was given up or tried for it is forgotten."""
    story = g.creating()
    story.fail(intents.CreateSandbox, UNREACHABLE)
    assert story.task.tries == Tries("CreateSandbox", 1, None)
    story.observe(SandboxPhase.RUNNING)
    again = story.open(intents.CreateSandbox)[0]
    assert (again.attempt, again.deadline_at) == (2, None)
    assert again.not_before == story.now + Figures().backoff(TASK, 1)
    story.start(intents.CreateSandbox)
    before = story.task
    story.succeed(intents.CreateSandbox, inputs.SandboxReady(adopted=False, mark="mark 1"))
    assert story.task == evolve(
        before, box_ready=True, mark="mark 1", tries=None, at="init_ensure_agent",
        step=begun("init_ensure_agent", story.now), updated_at=story.now,
    )  # fmt: skip
    assert story.open(intents.EnsureAgent)[0].body == intents.EnsureAgent(story.task.sandbox, "demo")


def test_title_that_is_given_stays() -> None:
    """A title is given as often as the user likes, and no namer takes it away; the branch stays, and the same again is none."""
    story = g.naming()
    story.do(inputs.RenameTask("First"))
    story.do(inputs.RenameTask("Better"))
    before = story.task
    assert (before.title, before.title_given, before.updated_at) == ("Better", True, story.now)
    assert story.do(inputs.RenameTask("Better")).ignored == "it has this title already"
    story.name()
    assert (story.task.title, story.task.branch) == ("Better", "do-it-1")
    story.do(inputs.RenameTask("Best"))
    assert (story.task.title, story.task.branch) == ("Best", "do-it-1")


def test_title_of_the_prompt_can_be_given() -> None:
    """The first line of the prompt, given by name, is a title that no namer takes away."""
    story = g.naming()
    story.do(inputs.RenameTask(story.task.title))
    assert story.task.title_given


def test_failed_attempt_stands_in_the_step() -> None:
    """The step says which attempt comes next and when, and its progress is that of an attempt."""
    story = g.creating()
    intent = story.claim(intents.CreateSandbox)
    story.do(inputs.Progressed(intent.id, intent.issue, "half of it"))
    before = story.task
    assert before.step is not None
    story.fail(intents.CreateSandbox, TRANSIENT)
    retry_at = story.now + Figures().backoff(intent.id, 1)
    assert story.task == evolve(
        before, step=evolve(before.step, attempt=2, retry_at=retry_at, progress=None), updated_at=story.now
    )  # fmt: skip
    again = story.open(intents.CreateSandbox)[0]
    claimed = story.boundary.running.get(intent.id, intent)
    assert (again.not_before, again.attempt, again.deadline_at) == (retry_at, 2, claimed.deadline_at)


def test_agent_and_session_are_taken_over() -> None:
    """A task runs with its first session; nothing of the way there is left on it."""
    story = g.opening_session()
    task, tab = story.task, story.tab()
    assert story.open(intents.CreateSession)[0].body == intents.CreateSession(task.sandbox, "demo", TAB, 1)
    story.get_session()
    assert story.task == evolve(
        task, at="running", step=None, activity=Activity.WORKING, updated_at=story.now
    )
    assert story.tab() == evolve(
        tab, at="ready", session_id="s1", agent_process="process of s1", sandbox=task.sandbox.name,
        updated_at=story.now,
    )  # fmt: skip


# A turn


def test_turn_stands_in_its_tab() -> None:
    """From its start to its end a turn is told in its tab, and owes work from its start on."""
    story = g.sending()
    task, tab = story.task, story.tab()
    story.begin_turn()
    assert story.task == evolve(task, work_owed=True)
    assert story.tab() == evolve(tab, turn=Turn("running", MESSAGE, story.now), updated_at=story.now)
    story.end_turn(TurnEnd.FAILED)
    assert story.tab() == evolve(
        tab, last_end=TurnEnd.FAILED, last_end_detail="failed", held=True, turns_ended=1, updated_at=story.now
    )  # fmt: skip


# Stopped, archived, killed


def test_stopped_task_keeps_its_sandbox() -> None:
    """A stop collects, and forgets what was forced; the sandbox stays ordered, with its mark."""
    story = g.STOP.ending()
    before = story.task
    change = story.stop_sandbox()
    assert story.task == evolve(
        before, at="stopped", step=None, activity=Activity.STOPPED, updated_at=story.now
    )  # fmt: skip
    assert (before.box_ordered, before.mark, before.head, before.work_owed) == (True, "", "c2", False)
    assert (change.hold, change.release, story.kinds()) == (None, None, [])


def test_stopped_task_without_a_sandbox() -> None:
    """A sandbox that is found gone by a stop has no mark, and owes nothing."""
    story = g.STOP.ending()
    before = story.task
    story.stop_sandbox(is_absent=True)
    assert story.task == evolve(
        before, at="stopped", step=None, activity=Activity.STOPPED, mark=None, updated_at=story.now
    )  # fmt: skip


@pytest.mark.parametrize(("given", "at"), [(g.ARCHIVE.ending, "archived"), (g.KILL.ending, "killed")])
def test_release_ends_a_generation(given: g.Given[TaskStory], at: str) -> None:
    """Nothing of a released sandbox is left on its task, and the branch is free."""
    story = given()
    before = story.task
    assert (before.destroy_ordered, before.work_owed) == (True, False)
    change = story.release()
    assert story.task == evolve(
        before, at=at, step=None, activity=Activity.ARCHIVED, generation=2, box_ordered=False, create_began=None,
        box_ready=False, mark=None, destroy_ordered=False, absent_at=None, updated_at=story.now,
    )  # fmt: skip
    assert (change.hold, change.release, story.kinds()) == (None, HOLD, [])


@pytest.mark.parametrize("end", ["archive", "kill"])
def test_release_ends_the_look_of_before(end: str) -> None:
    """A task that is ended while its sandbox was found absent once keeps no absence of a generation that is over."""
    story = g.looking_absent()
    getattr(story, end)(force=True)
    story.fail(intents.CollectWork, PERMANENT)
    before = story.task
    assert before.absent_at is not None
    story.release()
    assert (story.task.generation, story.task.absent_at) == (before.generation + 1, None)


def test_unarchived_task_holds_its_branch_again() -> None:
    """It is provisioned like a new one, with its name kept and its force and heals forgotten."""
    story = g.ARCHIVE.collecting()
    story.archive(force=True)
    assert story.task.force
    story.fail(intents.CollectWork, PERMANENT)
    story.release()
    before = story.task
    change = story.unarchive()
    assert story.task == evolve(
        before, at="init_enqueue_provision", step=begun("init_enqueue_provision", story.now), force=False,
        activity=Activity.PROVISIONING, updated_at=story.now,
    )  # fmt: skip
    assert (change.hold, change.release) == (HOLD, None)
    assert story.open(intents.EnsureName)[0].body == intents.EnsureName(
        task_id=TASK, repo_id=REPO, message_id=MESSAGE, title="Do it", branch="do-it-1", base="main", attempt=1,
        is_kept=True,
    )  # fmt: skip


@pytest.mark.parametrize("end", ["stop", "archive", "kill"])
def test_ending_begins_with_nothing_given_up(end: str) -> None:
    """What was discarded, woken, wanted or tried before does not count for a stop, an archive or a kill."""
    story = g.failed_rescuing()
    story.retry(discard=True)
    story.fail(intents.ObserveSandbox, PERMANENT)
    before = story.task
    assert before.discard
    getattr(story, end)()
    task = story.task
    assert (task.force, task.discard, task.woken, task.resume_wanted, task.tries) == (
        False,
        False,
        False,
        False,
        None,
    )


def test_force_of_an_archive_holds_for_the_kill_after_it() -> None:
    """What an archive gave up stays given up; what a stop did not give up is not."""
    story = g.ARCHIVE.settling()
    story.archive(force=True)
    story.kill()
    assert story.task.force
    story = g.ARCHIVE.settling()
    story.kill()
    assert not story.task.force


def test_wake_is_remembered() -> None:
    """A sandbox is woken once for an ending; the next ending may wake it again."""
    story = g.STOP.collecting()
    assert not story.task.woken
    story.fail(intents.CollectWork, UNREACHABLE)
    assert (story.at, story.task.woken) == ("stopping/wake", True)
    story.kill()
    assert not story.task.woken


@pytest.mark.parametrize("is_absent", [True, False])
def test_work_that_was_given_up_is_owed_while_its_sandbox_is_there(*, is_absent: bool) -> None:
    """A stop that could not collect leaves the work owed, unless the sandbox is found gone."""
    story = g.STOP.failed_collecting()
    story.retry(discard=True)
    story.fail(intents.CollectWork, PERMANENT)
    assert (story.at, story.task.work_owed) == ("stopping/stop", True)
    story.stop_sandbox(is_absent=is_absent)
    assert (story.at, story.task.work_owed) == ("stopped", not is_absent)


def test_collection_is_told_in_the_task() -> None:
    """The head, the files kept beside it, and that the branch did not follow stand in the task; the same again does not."""
    story = g.copying()
    before = story.task
    change = story.succeed(intents.CollectWork, inputs.WorkCollected("c7", branch_moved=False, kept=2))
    assert story.task == evolve(before, head="c7", kept=2, moved=True, updated_at=story.now)
    assert dict(change.history[0].data) == {
        "head": "c7",
        "branch": "do-it-1",
        "moved": True,
        "uncommitted": 2,
    }
    story.send("msg-2")
    story.whole_turn()
    change = story.succeed(intents.CollectWork, inputs.WorkCollected(None, branch_moved=True, kept=2))
    assert (change.history, story.task.head, story.task.moved) == ((), "c7", True)


# Healed


def test_loss_is_told_in_the_task() -> None:
    """A sandbox that is gone counts as a heal, owes nothing any more, and is released before another is made."""
    story = g.looking()
    first = story.now
    story.observe(SandboxPhase.ABSENT)
    story.pass_time(5.0)
    before = story.task
    assert before.absent_at == first
    story.observe(SandboxPhase.ABSENT)
    assert story.task == evolve(
        before, heals=(story.now,), destroy_ordered=True, work_owed=False, at="init_create_sandbox/destroy",
        step=begun("init_create_sandbox/destroy", story.now), activity=Activity.PROVISIONING, updated_at=story.now,
    )  # fmt: skip
    story.release(early=True)
    assert story.task.step is not None
    assert story.task.step.waits_for == "a create that may still land"


def test_repo_that_is_waited_for_is_named() -> None:
    """A task that waits for its repo says so, and asks under the number of the question."""
    story = g.waiting_for_repo()
    assert story.task.step is not None
    assert (story.task.ask, story.task.step.waits_for) == (1, "clone of repo-1")
    assert story.open(intents.Tell)[0].body == intents.Tell(REPO, inputs.AwaitReady(TASK, 1))


def test_failure_stands_in_task_and_tab() -> None:
    """A task that fails says in which step, after how many attempts, why, and what a retry does; so do its tabs."""
    story = g.creating_last_try()
    intent = story.claim(intents.CreateSandbox)
    story.do(
        inputs.OutcomeReported(
            intent.id, intent.issue, inputs.Failed(FailureClass.TRANSIENT, "it broke", log_tail="tail")
        )
    )  # fmt: skip
    failure = Failure(
        step="init_create_sandbox/create", failure_class=TRANSIENT, reason="it broke", attempts=5,
        retry="looks at the sandbox, then goes on from what it finds", log_tail="tail",
    )  # fmt: skip
    assert (story.task.failure, story.task.step, story.tab().failure) == (failure, None, failure)
    story.retry()
    assert (story.task.failure, story.tab().failure) == (None, None)


def test_discard_ends_with_what_was_discarded() -> None:
    """The sandbox that replaces one whose work was given up keeps its own work again."""
    story = g.failed_rescuing()
    story.retry(discard=True)
    story.observe(SandboxPhase.FAILED)
    story.release()
    assert story.task.discard
    story.get_sandbox()
    assert not story.task.discard


def test_discard_is_said_once() -> None:
    """A retry without discard does not take back one with it, as long as the sandbox was not looked at."""
    story = g.failed_rescuing()
    story.retry(discard=True)
    story.fail(intents.ObserveSandbox, PERMANENT)
    story.retry()
    assert story.task.discard


def test_ending_takes_a_resume_back() -> None:
    """A task that is archived or killed while it was to go on after its stop does not go on."""
    for end in (TaskStory.archive, TaskStory.kill):
        story = g.STOP.ending()
        story.resume()
        assert story.task.resume_wanted
        end(story)
        assert not story.task.resume_wanted


@pytest.mark.parametrize("given", [g.creating, g.starting_agent])
def test_tries_end_with_their_step(given: g.Given[TaskStory]) -> None:
    """What was tried before a look is forgotten when its step succeeds, when the task ends, and when somebody retries."""
    kind = intents.CreateSandbox if given().open(intents.CreateSandbox) else intents.EnsureAgent
    looked = given()
    looked.fail(kind, UNREACHABLE)
    assert looked.task.tries == Tries(kind.__name__, 1, None)
    for end in (TaskStory.stop, TaskStory.archive, TaskStory.kill):
        story = looked.copy()
        end(story)
        assert story.task.tries is None
    story = looked.copy()
    story.observe(SandboxPhase.RUNNING)
    if kind is intents.CreateSandbox:
        story.get_sandbox()
    else:
        story.get_agent()
    assert story.task.tries is None
    story = looked.copy()
    story.observe(SandboxPhase.RUNNING)
    story.fail(kind, PERMANENT)
    story.retry()
    assert story.task.tries is None


@pytest.mark.parametrize("given", [g.creating_begun, g.starting_agent])
def test_loss_takes_back_what_was_ordered_in_the_sandbox(given: g.Given[TaskStory]) -> None:
    """A sandbox that may be lost is only looked at: the step that was under way in it is not wanted any more."""
    story = given()
    story.lose_sandbox()
    assert story.kinds() == ["ObserveSandbox"]


@pytest.mark.parametrize("given", [g.queued, g.naming, g.creating, g.observing_unbegun])
def test_another_branch_takes_back_what_was_ordered_for_the_first(given: g.Given[TaskStory]) -> None:
    """Wherever the branch may change, the naming alone is left."""
    story = given()
    story.do(inputs.SetBranch("better"))
    assert story.kinds() == ["EnsureName"]


def test_another_branch_stands_in_the_task() -> None:
    """The new name is the user's, is held at once, and still has to be settled; the old one is free."""
    story = g.creating()
    before = story.task
    change = story.do(inputs.SetBranch("better"))
    assert story.task == evolve(
        before, branch="better", branch_given=True, is_named=False, box_ordered=False, at="init_enqueue_provision",
        step=begun("init_enqueue_provision", story.now), updated_at=story.now,
    )  # fmt: skip
    assert (change.hold, change.release) == (evolve(HOLD, branch="better"), HOLD)
    body = story.open(intents.EnsureName)[0].body
    assert isinstance(body, intents.EnsureName)
    assert (body.branch, body.is_kept) == ("better", False)
    assert story.do(inputs.SetBranch("better")).ignored == "it has this branch already"


def test_first_branch_that_is_set_frees_none() -> None:
    """A task that had no branch yet holds the one that it is given."""
    story = g.queued()
    change = story.do(inputs.SetBranch("better"))
    assert (change.hold, change.release) == (evolve(HOLD, branch="better"), None)
    assert (story.task.branch, story.task.branch_given, story.task.is_named) == ("better", True, False)


@pytest.mark.parametrize("given", [g.waiting_for_repo, g.failed_waiting])
def test_branch_may_change_where_nothing_names_yet(given: g.Given[TaskStory]) -> None:
    """Where the naming is not under way, the branch is taken, with the time, and the task stays where it is."""
    story = given()
    before = story.task
    story.do(inputs.SetBranch("better"))
    assert story.task == evolve(before, branch="better", branch_given=True, updated_at=story.now)


# Tabs


def test_second_tab_is_numbered_and_named() -> None:
    """A tab that is opened with a name, a model and a mode has them; the task counts it."""
    story = g.creating()
    story.do(inputs.OpenTab(TAB_2, "Tests", "other", None, None))
    tab = story.tab(TAB_2)
    assert (tab.number, tab.name, tab.agent, tab.messages_sent) == (2, "Tests", "other", 0)
    assert (tab.opened_at, tab.updated_at, story.task.tabs_opened) == (story.now, story.now, 2)


def test_closed_tab_says_when() -> None:
    """A tab that closes at once has its time, and no session of it is left."""
    story = g.two_tabs_creating()
    before = story.tab(TAB_2)
    story.close(TAB_2, force=True)
    assert story.tab(TAB_2) == evolve(before, at="closed", closed_at=story.now, updated_at=story.now)


@pytest.mark.parametrize("end", ["kill", "close"])
def test_closed_tab_lets_its_agent_process_go(end: str) -> None:
    """A tab that had a session keeps no agent process when it is closed, by its task's kill or by its own end."""
    story = g.idle()
    before = story.tab()
    getattr(story, end)()
    if end == "close":
        assert story.tab() == evolve(before, at="closing", updated_at=story.now)
        story.wake("closing")
    assert before.agent_process is not None
    assert story.tab() == evolve(
        before, at="closed", agent_process=None, closed_at=story.now, updated_at=story.now
    )


def test_lost_session_is_counted() -> None:
    """The next process of a tab has the next number, goes on with the agent's session, and the loss is remembered."""
    story = g.idle()
    before = story.tab()
    story.lose_session()
    assert story.tab() == evolve(
        before, at="pending_session_create", session=2, agent_process=None, losses=(story.now,), updated_at=story.now
    )  # fmt: skip
    assert story.open(intents.ResumeSession)[0].body == intents.ResumeSession(
        story.task.sandbox, "demo", TAB, 2, "s1"
    )
    story.fail(intents.ResumeSession, PERMANENT)
    assert (story.tab().session, story.tab().session_id) == (3, None)
    assert story.open(intents.CreateSession)[0].body == intents.CreateSession(
        story.task.sandbox, "demo", TAB, 3
    )


def test_old_losses_are_forgotten() -> None:
    """A loss counts for exactly as long as the figures say."""
    for late, count in ((-0.001, 2), (0.0, 1)):
        story = g.idle()
        story.lose_session()
        first = story.now
        story.get_session()
        story.now = first + timedelta(seconds=Figures().heals_seconds + late - 0.001)
        story.lose_session()
        assert len(story.tab().losses) == count

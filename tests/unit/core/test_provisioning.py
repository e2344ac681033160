"""Stories of provisioning: from a request to a running task, and every way in which that can fail and go on."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from attrs import evolve

from taskdock.core import intents
from taskdock.core.change import BranchHold
from taskdock.core.errors import Conflict, NotFound
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import (
    Failed,
    FailureClass,
    NameEnsured,
    OpenTab,
    Progressed,
    RepoFailed,
    RepoReady,
    RetryTask,
    SandboxPhase,
    SandboxReady,
    SendMessage,
    Started,
)
from taskdock.core.intents import Body
from taskdock.core.message import MessageText
from unit.core import givens as g
from unit.core.story import (
    DEADLINE,
    MESSAGE,
    MESSAGE_2,
    PERMANENT,
    TAB,
    TASK,
    TRANSIENT,
    UNKNOWN,
    UNREACHABLE,
    TaskStory,
    a_task,
    kinds_of,
)


def test_task_goes_all_the_way() -> None:
    """A task is created, provisioned, works a turn, has its work copied, and takes the next message."""
    story = a_task()
    story.create()
    assert (story.at, story.tab().at, story.message().at) == (
        "init_enqueue_provision",
        "pending_provision",
        "queued",
    )
    story.start(intents.EnsureName)
    assert story.at == "init_ensure_name"
    story.name()
    assert (story.task.title, story.task.branch, story.task.base) == ("Do it", "do-it-1", "main")
    story.get_sandbox()
    story.get_agent()
    assert (story.at, story.tab().at) == ("init_create_session", "pending_session_create")
    story.get_session()
    assert (story.at, story.tab().at, story.message().at) == ("running", "ready", "sending")
    story.begin_turn()
    assert (story.tab().turn.at, story.tab().turn.message_id) == ("running", MESSAGE)
    story.deliver()
    assert story.message().at == "delivered"
    story.end_turn()
    assert story.tab().turn.at == "none"
    story.collect()
    assert (story.task.head, story.kinds()) == ("c1", [])
    story.send(MESSAGE_2)
    assert (story.message(MESSAGE_2).at, story.kinds()) == ("sending", ["SendPrompt"])


def test_whole_life_is_in_the_history() -> None:
    """The history tells a whole life in order, kind by kind, from created to killed."""
    assert [event.kind.value for event in g.KILL.done().boundary.history] == [
        "task.created", "task.provision_queued", "tab.opened", "message.sent",
        "task.step_started", "task.named", "task.step_started",
        "sandbox.created", "task.step_started", "task.step_started", "tab.ready", "task.running",
        "turn.started", "turn.ended", "work.collected",
        "task.step_started", "tab.closed", "task.step_started",
        "work.collected", "task.step_started", "sandbox.released", "task.killed",
    ]  # fmt: skip


def test_history_never_holds_a_prompt() -> None:
    """What the user wrote is in no history event: lists show those."""
    story = g.KILL.done()
    texts = [text.text for text in story.boundary.all(MessageText)]
    assert texts == ["Do it."]
    assert all(text not in event.data.values() for event in story.boundary.history for text in texts)


def test_create_writes_the_prompt_once() -> None:
    """The text is a record of its own, so that no later step loads or rewrites it."""
    story = g.working()
    written = [change for change in story.changes if any(isinstance(r, MessageText) for r in change.records)]
    assert written == story.changes[:1]
    assert not any(isinstance(record, MessageText) for record in story.boundary.slice.records)


def test_create_holds_a_given_branch_at_once() -> None:
    """A branch that the user named is held in the commit of the create; an automatic one only when it is named."""
    assert g.no_task().create(branch="mine").hold == BranchHold("repo-1", "mine", TASK)
    story = g.no_task()
    assert story.create().hold is None
    assert story.name().hold == BranchHold("repo-1", "do-it-1", TASK)


def test_workspace_comes_with_the_command() -> None:
    """A boundary that does not exist yet has no workspace; the create gives it one, and every intent carries it."""
    story = g.no_task()
    assert story.boundary.slice.workspace == ""
    change = story.create()
    assert {change.workspace, story.task.workspace, *(intent.workspace for intent in change.ordered)} == {
        "default"
    }
    assert story.name().workspace == "default"


def test_given_branch_is_handed_to_the_namer() -> None:
    """What the user gave is not proposed again: title and branch go along with the intent."""
    story = g.no_task()
    story.create(branch="mine")
    assert story.open(intents.EnsureName)[0].body == intents.EnsureName(
        task_id=TASK, repo_id="repo-1", message_id=MESSAGE, title=None, branch="mine", base=None, attempt=1
    )


def test_untitled_task_is_called_by_its_first_line() -> None:
    """Until it is named, a task is called by the first line of its prompt."""
    assert g.queued().task.title == "Do it."
    assert not g.queued().task.title_given


@pytest.mark.parametrize("given", [g.queued, g.working, g.KILL.done])
def test_task_is_created_once(given: g.Given[TaskStory]) -> None:
    """Creating a task under an id that is there already must not replace that task, whatever became of it."""
    story = given()
    before = story.task
    with pytest.raises(Conflict, match="'task-1' exists already"):
        story.create()
    assert story.task == before


@pytest.mark.parametrize("command", [RetryTask(), OpenTab("tab-9"), SendMessage(TAB, "m", "Go.")])
def test_command_to_no_task_is_not_found(command: RetryTask | OpenTab | SendMessage) -> None:
    """A command to a task that does not exist says so."""
    with pytest.raises(NotFound, match="task-1"):
        g.no_task().do(command)


def test_sandbox_is_named_before_it_is_asked_for() -> None:
    """The intent carries the sandbox's whole identity, which the task tells too, whatever becomes of the call."""
    story = g.creating()
    body = story.open(intents.CreateSandbox)[0].body
    assert isinstance(body, intents.CreateSandbox)
    assert body.sandbox == story.task.sandbox
    assert (body.sandbox.name, body.branch, body.base) == ("td-75b98ee5-task-1-g1", "do-it-1", "main")
    assert story.task.box_ordered


@pytest.mark.parametrize(("adopted", "kind"), [(True, "sandbox.adopted"), (False, "sandbox.created")])
def test_history_tells_adopted_from_created(adopted: bool, kind: str) -> None:
    """A sandbox that was there before is told apart from a new one."""
    change = g.creating().succeed(intents.CreateSandbox, SandboxReady(adopted=adopted))
    assert change.history[0].kind.value == kind
    assert change.history[0].data == {"sandbox": "td-75b98ee5-task-1-g1", "generation": 1}


# A step fails for now

STEPS: list[tuple[Callable[[], TaskStory], type[Body], int]] = [
    (g.queued, intents.EnsureName, 3),
    (g.naming, intents.EnsureName, 3),
    (g.creating, intents.CreateSandbox, 5),
    (g.starting_agent, intents.EnsureAgent, 5),
    (g.opening_session, intents.CreateSession, 5),
    (g.KILL.collecting, intents.CollectWork, 3),
    (g.KILL.ending, intents.DestroySandbox, 10),
]
IDS = [given.__name__ for given, _, _ in STEPS]
LOOKED_AT = (
    (intents.CreateSandbox, UNREACHABLE), (intents.CreateSandbox, UNKNOWN), (intents.EnsureAgent, UNREACHABLE),
    (intents.EnsureAgent, UNKNOWN), (intents.CreateSession, UNREACHABLE), (intents.CollectWork, UNREACHABLE),
)  # fmt: skip
"""What makes the task look at its sandbox, or start it, before it tries again: test_heal.py and test_stop.py."""


@pytest.mark.parametrize(
    ("given", "kind", "attempts", "failure"),
    [
        (*step, failure)
        for step in STEPS
        for failure in (TRANSIENT, UNREACHABLE, UNKNOWN)
        if (step[1], failure) not in LOOKED_AT
    ],
)
def test_passing_failure_is_tried_again(
    given: Callable[[], TaskStory], kind: type[Body], attempts: int, failure: FailureClass
) -> None:
    """What may pass is tried as often as its figures say, each run with a new id and a growing pause, then fails."""
    story = given()
    at, seen = story.at, []
    for attempt in range(1, attempts):
        before = story.open(kind)[0]
        story.fail(kind, failure)
        after = story.open(kind)[0]
        assert (story.at, after.attempt, after.body) == (
            at,
            attempt + 1,
            _next_body(before.body, attempt + 1),
        )
        assert after.not_before is not None
        assert after.not_before - story.now == story.boundary.figures.backoff(before.id, attempt)
        seen.append(before.id)
    story.fail(kind, failure)
    assert (story.at, story.open(kind)) == (f"error/{at}", [])
    assert story.task.failure is not None
    assert (story.task.failure.attempts, story.task.failure.failure_class) == (attempts, failure)
    assert len(set(seen)) == attempts - 1


def _next_body(body: Body, attempt: int) -> Body:
    """Only the naming knows which attempt it is: it proposes another name then."""
    return evolve(body, attempt=attempt) if isinstance(body, intents.EnsureName) else body


@pytest.mark.parametrize("failure", [PERMANENT, DEADLINE])
@pytest.mark.parametrize(("given", "kind"), [step[:2] for step in STEPS], ids=IDS)
def test_lasting_failure_is_not_tried_again(
    given: Callable[[], TaskStory], kind: type[Body], failure: FailureClass
) -> None:
    """What cannot pass fails at its first attempt, with reason and log, and says what a retry will do."""
    story = given()
    at = story.at
    story.boundary.report(story.claim(kind), Failed(failure, "no space", log_tail="disk full"), story.now)
    rests = story.task.failure
    assert rests is not None
    assert (story.at, rests.step, rests.attempts) == (f"error/{at}", at, 1)
    assert (rests.reason, rests.log_tail, rests.failure_class) == ("no space", "disk full", failure)
    assert rests.retry


def test_deadline_runs_over_all_attempts() -> None:
    """A run that could begin only after the deadline of the first one is not ordered."""
    story = g.queued()
    story.fail(intents.EnsureName, TRANSIENT)
    deadline = story.boundary.outbox["task-1#2"].deadline_at
    assert deadline is not None
    story.pass_time(29.5)
    story.claim(intents.EnsureName)
    assert story.boundary.outbox["task-1#2"].deadline_at == deadline
    story.fail(intents.EnsureName, TRANSIENT)
    assert story.at == "error/init_enqueue_provision"


def test_retry_after_is_waited_for() -> None:
    """When the other side says how long to wait, that long it is, if it is longer than the backoff."""
    story = g.creating()
    waits = Failed(TRANSIENT, "too many requests", retry_after_seconds=33.0)
    story.boundary.report(story.claim(intents.CreateSandbox), waits, story.now)
    assert story.open(intents.CreateSandbox)[0].not_before == story.now + timedelta(seconds=33)


def test_step_tells_its_attempt_and_its_next() -> None:
    """While a step is tried again, its record tells which attempt comes, and when."""
    story = g.creating()
    story.do(Progressed(story.claim(intents.CreateSandbox).id, 1, "Fetching the image."))
    assert story.task.step is not None
    assert (story.task.step.progress, story.task.step.last_progress_at) == ("Fetching the image.", story.now)
    story.fail(intents.CreateSandbox, TRANSIENT)
    step = story.task.step
    assert (step.name, step.attempt, step.progress) == ("init_create_sandbox/create", 2, None)
    assert step.retry_at == story.open(intents.CreateSandbox)[0].not_before


def test_naming_keeps_count_when_it_begins() -> None:
    """The second attempt at a name is the second one also once it has said that it begins."""
    story = g.queued()
    story.fail(intents.EnsureName, TRANSIENT)
    story.start(intents.EnsureName)
    assert story.at == "init_ensure_name"
    story.fail(intents.EnsureName, TRANSIENT)
    assert story.task.step is not None
    assert story.task.step.attempt == 3
    body = story.open(intents.EnsureName)[0].body
    assert isinstance(body, intents.EnsureName)
    assert body.attempt == 3


# A step fails for good: the tabs are told in the same commit, and a retry goes on

FAILURES: list[tuple[Callable[[], TaskStory], Callable[[TaskStory], object], str, str]] = [
    (g.waiting_for_repo, lambda s: s.do(RepoFailed(s.task.ask, "gone")),
     "init_enqueue_provision/wait_repo", "init_enqueue_provision/wait_repo"),
    (g.queued, lambda s: s.fail(intents.EnsureName, PERMANENT), "init_enqueue_provision", "init_enqueue_provision"),
    (g.naming, lambda s: s.fail(intents.EnsureName, PERMANENT), "init_ensure_name", "init_enqueue_provision"),
    (g.creating, lambda s: s.fail(intents.CreateSandbox, PERMANENT),
     "init_create_sandbox/create", "init_create_sandbox/create"),
    (g.starting_agent, lambda s: s.fail(intents.EnsureAgent, PERMANENT),
     "init_ensure_agent", "init_create_sandbox/observe"),
    (g.looking, lambda s: s.fail(intents.ObserveSandbox, PERMANENT), "running/observe", "init_create_sandbox/observe"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "failing", "failed_at", "goes_on_at"), FAILURES, ids=[f[2] for f in FAILURES]
)
def test_tabs_are_told_in_the_same_commit(
    given: Callable[[], TaskStory], failing: Callable[[TaskStory], object], failed_at: str, goes_on_at: str
) -> None:
    """Task and tabs fail in one change, with one reason, and a retry takes both on again in one."""
    story = given()
    version = story.boundary.version
    failing(story)
    assert (story.at, story.boundary.version) == (f"error/{failed_at}", version + 1)
    assert story.tab().at == "error/task"
    assert story.task.failure is not None
    assert story.tab().failure == story.task.failure
    assert story.task.step is None
    story.do(RetryTask())
    assert (story.at, story.tab().at) == (goes_on_at, "pending_provision")
    assert not [failure for failure in (story.task.failure, story.tab().failure) if failure is not None]
    assert story.boundary.version == version + 2


def test_retried_task_comes_up_again() -> None:
    """A task whose sandbox is found stopped starts it again, takes its session up, and sends what was waiting."""
    story = g.failed_with_queue()
    story.do(RetryTask())
    story.observe(SandboxPhase.STOPPED)
    story.get_sandbox(adopted=True)
    story.get_agent()
    assert story.open(intents.ResumeSession)[0].body == intents.ResumeSession(
        story.task.sandbox, "demo", TAB, 2, "s1"
    )
    story.get_session("s1")
    assert (story.at, story.tab().session_id) == ("running", "s1")
    assert story.message(MESSAGE_2).at == "queued"
    story.do(SendMessage(TAB, "msg-3", "Go on."))
    assert (story.message(MESSAGE_2).at, story.message("msg-3").at) == ("sending", "queued")


def test_retry_keeps_the_generation() -> None:
    """A retry ensures the sandbox by the same name, so that one that was made after all is adopted."""
    story = g.failed_creating()
    before = story.task.sandbox
    story.do(RetryTask())
    story.observe(SandboxPhase.RUNNING)
    body = story.open(intents.CreateSandbox)[0].body
    assert isinstance(body, intents.CreateSandbox)
    assert body.sandbox == before


def test_retry_counts_attempts_anew() -> None:
    """After a retry a step has all its attempts and its whole deadline again."""
    story = g.creating()
    story.fail_often(intents.CreateSandbox, TRANSIENT, 5)
    story.do(RetryTask())
    intent = story.open(intents.CreateSandbox)[0]
    assert (intent.attempt, intent.deadline_at, intent.not_before) == (1, None, None)


@pytest.mark.parametrize(("first", "last"), [(TAB, "tab-2"), ("tab-2", TAB)])
def test_last_session_decides_the_task(first: str, last: str) -> None:
    """The task fails with its last open tab only; while one may still come up, it waits."""
    story = g.opening_session()
    story.do(OpenTab("tab-2"))
    story.fail(intents.CreateSession, PERMANENT, tab=first)
    assert (story.at, story.tab(first).at) == ("init_create_session", "error/session")
    assert story.tab(last).at == "pending_session_create"
    story.fail(intents.CreateSession, PERMANENT, "no login", tab=last)
    assert (story.at, story.tab(first).at) == ("error/init_create_session", "error/session")
    assert story.tab(last).at == "error/session"


def test_first_session_is_enough() -> None:
    """One tab that is ready makes the task run, though another has failed."""
    story = g.opening_session()
    story.do(OpenTab("tab-2"))
    story.fail(intents.CreateSession, PERMANENT, tab=TAB)
    story.get_session("s2", "tab-2")
    assert (story.at, story.tab(TAB).at, story.tab("tab-2").at) == ("running", "error/session", "ready")


# Its repo


def test_task_waits_for_its_repo() -> None:
    """A task whose repo is being cloned asks it by number, and goes on with the answer to that number."""
    story = g.waiting_for_repo()
    assert story.task.step is not None
    assert story.task.step.waits_for == "clone of repo-1"
    change = story.do(RepoReady(story.task.ask))
    assert story.at == "init_enqueue_provision"
    assert kinds_of(change) == ("EnsureName", "task.provision_queued")


def test_answer_to_an_older_ask_is_ignored() -> None:
    """After a retry only the answer to the new question counts."""
    story = g.failed_waiting()
    old = story.task.ask
    story.do(RetryTask())
    assert story.task.ask != old
    for late in (RepoFailed(old, "late"), RepoReady(old)):
        assert story.do(late).ignored == "it answers an older question"
    assert story.at == "init_enqueue_provision/wait_repo"
    story.do(RepoReady(story.task.ask))
    assert story.at == "init_enqueue_provision"


def test_failed_repo_says_why() -> None:
    """The task's failure carries the reason and the log of the clone."""
    story = g.waiting_for_repo()
    story.do(RepoFailed(story.task.ask, "no such remote", "fatal: not found"))
    assert story.task.failure is not None
    assert story.task.failure.reason == "The repo cannot be cloned: no such remote"
    assert story.task.failure.log_tail == "fatal: not found"


def test_started_is_refused_once_it_is_not_wanted() -> None:
    """An execution whose intent was taken back is told not to call."""
    story = g.creating()
    intent = story.claim(intents.CreateSandbox)
    story.do(Started(intent.id, intent.issue))
    assert story.boundary.outbox[intent.id].started
    story.fail(intents.CreateSandbox, PERMANENT)
    assert story.do(Started(intent.id, intent.issue)).ignored == "the intent is not open"


def test_named_branch_is_told() -> None:
    """The history tells title, branch, base and what is worth knowing about how they were found."""
    change = g.naming().succeed(intents.EnsureName, NameEnsured("T", "b", "main", "the namer failed"))
    assert change.history[0].kind is HistoryKind.TASK_NAMED
    assert change.history[0].data == {"title": "T", "branch": "b", "base": "main", "note": "the namer failed"}

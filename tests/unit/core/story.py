"""Story: a task or a repo led step by step, in words.

Owns: `TaskStory` and `RepoStory`: a `Boundary`, a clock that the story moves, and a verb for whatever can happen.
Never: an expectation; the tests say what should have come of it.
Reads as: givens.py and the tests -> a verb -> `Boundary.step`.
"""

from datetime import UTC, datetime, timedelta
from typing import TypeVar

from attrs import evolve, field, mutable

from taskdock.core import inputs, intents
from taskdock.core.change import Change
from taskdock.core.inputs import (
    Failed,
    FailureClass,
    Outcome,
    OutcomeReported,
    PermissionOption,
    SandboxPhase,
    SessionReady,
    Succeeded,
    TurnEnd,
    TurnEnded,
    Value,
)
from taskdock.core.intents import Body, Intent
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Permission, Tab
from taskdock.core.task import Task
from taskdock.testing.boundary import Boundary

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP_SECONDS = 0.001
"""Between two inputs; so small that no deadline passes unless a story lets time pass."""

TRANSIENT = FailureClass.TRANSIENT
UNREACHABLE = FailureClass.UNREACHABLE
UNKNOWN = FailureClass.UNKNOWN
PERMANENT = FailureClass.PERMANENT
DEADLINE = FailureClass.DEADLINE

TASK, TAB, TAB_2, MESSAGE, MESSAGE_2, REPO = "task-1", "tab-1", "tab-2", "msg-1", "msg-2", "repo-1"
JOB = "job-1"
THEIRS = "theirs"
"""A branch that was there before the task."""
PERMISSION = "perm-1"
OPTIONS = (PermissionOption("yes", "Allow", "allow_once"), PermissionOption("no", "Reject", "reject_once"))

WINDOW_SECONDS = 20.0
"""How long the provider of the stories may take until a create that has begun is seen."""
SETTLED_SECONDS = WINDOW_SECONDS + 10.0
"""After the begin of a create: from then on none can land any more."""

_StoryT = TypeVar("_StoryT", bound="Story")


def tab_of(intent: Intent) -> str | None:
    """The tab that an intent belongs to; None for those of the task."""
    tab_id: str | None = getattr(intent.body, "tab_id", None)
    return tab_id


@mutable
class Story:
    """What tasks and repos have in common: inputs, claims and outcomes."""

    boundary: Boundary
    now: datetime = START
    changes: list[Change] = field(factory=list)

    def copy(self: _StoryT) -> _StoryT:
        """The same story so far, to be told another way from here."""
        return evolve(self, boundary=self.boundary.copy(), changes=list(self.changes))

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def do(self, input_: inputs.Input) -> Change:
        """Feed an input, a moment after the one before."""
        self.pass_time(STEP_SECONDS)
        change = self.boundary.step(input_, self.now)
        self.changes.append(change)
        return change

    def open(self, kind: type[Body], tab: str | None = None) -> list[Intent]:
        """The open intents of a kind, of one tab if it is named."""
        found = (intent for intent in self.boundary.outbox.values() if isinstance(intent.body, kind))
        return [intent for intent in found if tab is None or tab_of(intent) == tab]

    def kinds(self) -> list[str]:
        """The kinds of all open intents, in the order in which they were ordered."""
        return [type(intent.body).__name__ for intent in self.boundary.outbox.values()]

    def claim(self, kind: type[Body], tab: str | None = None) -> Intent:
        """Hand out the first open intent of a kind; what is handed out already is meant, not claimed again."""
        intent = self.open(kind, tab)[0]
        if intent.id in self.boundary.running:
            return intent
        return self.boundary.claim(intent.id, self.now)

    def outcome(self, kind: type[Body], outcome: Outcome, tab: str | None = None) -> OutcomeReported:
        """Claim if needed, and make the report."""
        intent = self.claim(kind, tab)
        return OutcomeReported(intent.id, intent.issue, outcome)

    def succeed(self, kind: type[Body], value: Value, tab: str | None = None) -> Change:
        """Claim if needed, and report success."""
        return self._report(self.claim(kind, tab), Succeeded(value))

    def fail(
        self,
        kind: type[Body],
        failure: FailureClass,
        reason: str = "it broke",
        tab: str | None = None,
        log_tail: str | None = None,
    ) -> Change:
        """Claim if needed, and report a failure."""
        return self._report(self.claim(kind, tab), Failed(failure, reason, log_tail=log_tail))

    def fail_often(
        self, kind: type[Body], failure: FailureClass, times: int, tab: str | None = None
    ) -> Change:
        """Fail this many runs one after the other."""
        return [self.fail(kind, failure, tab=tab) for _ in range(times)][-1]

    def start(self, kind: type[Body], tab: str | None = None) -> Intent:
        """Claim if needed, and say that the first outside call follows."""
        intent = self.claim(kind, tab)
        self.do(inputs.Started(intent.id, intent.issue))
        return self.boundary.outbox[intent.id]

    def _report(self, intent: Intent, outcome: Outcome) -> Change:
        self.pass_time(STEP_SECONDS)
        change = self.boundary.report(intent, outcome, self.now)
        self.changes.append(change)
        return change


def a_task() -> "TaskStory":
    """A task before it exists."""
    return TaskStory(Boundary(TASK))


@mutable
class TaskStory(Story):
    """The story of one task."""

    @property
    def task(self) -> Task:
        """The task."""
        return self.boundary.get(Task, TASK)

    @property
    def at(self) -> str:
        """The machine state of the task."""
        return self.task.at

    def tab(self, tab_id: str = TAB) -> Tab:
        """A tab."""
        return self.boundary.get(Tab, tab_id)

    def message(self, message_id: str = MESSAGE) -> Message:
        """A message, final or not."""
        return self.boundary.get(Message, message_id)

    def create(
        self,
        *,
        repo_is_ready: bool = True,
        branch: str | None = None,
        on_branch: str | None = None,
        read_seconds_ago: float | None = None,
    ) -> Change:
        """The user creates the task; the repo's branches were read so long ago, or never."""
        create = a_create(repo_is_ready=repo_is_ready, branch=branch, on_branch=on_branch)
        if read_seconds_ago is not None:
            read_at = self.now + timedelta(seconds=STEP_SECONDS - read_seconds_ago)
            create = evolve(create, branch_read_at=read_at)
        return self.do(create)

    def name(self) -> Change:
        """Title and branch are settled."""
        named = (THEIRS, THEIRS) if self.task.on_branch else ("do-it-1", "main")
        return self.succeed(intents.EnsureName, inputs.NameEnsured("Do it", *named))

    def get_sandbox(self, *, adopted: bool = False) -> Change:
        """The sandbox is asked for, and there."""
        self.start(intents.CreateSandbox)
        return self.succeed(intents.CreateSandbox, inputs.SandboxReady(adopted))

    def get_agent(self) -> Change:
        """The agent's server answers."""
        return self.succeed(intents.EnsureAgent, inputs.AgentReady())

    def get_session(self, session_id: str = "s1", tab: str = TAB) -> Change:
        """The session of a tab is there, a new one or the one that it had."""
        kind = intents.CreateSession if self.open(intents.CreateSession, tab) else intents.ResumeSession
        return self.succeed(kind, SessionReady(session_id, f"process of {session_id}"), tab)

    def provision(self) -> None:
        """From created to running."""
        self.name()
        self.get_sandbox()
        self.get_agent()
        self.get_session()

    def provision_again(self, session_id: str = "s2") -> None:
        """From a sandbox that is asked for once more to running."""
        self.get_sandbox(adopted=True)
        self.get_agent()
        self.get_session(session_id)

    def send(self, message_id: str, tab: str = TAB) -> Change:
        """The user sends a message."""
        return self.do(inputs.SendMessage(tab, message_id, "More, please."))

    def begin_turn(self, tab: str = TAB) -> Intent:
        """The prompt of a tab is about to be sent."""
        return self.start(intents.SendPrompt, tab)

    def deliver(self, tab: str = TAB) -> Change:
        """The agent has the message."""
        intent = self.claim(intents.SendPrompt, tab)
        return self.do(inputs.Delivered(intent.id, intent.issue))

    def end_turn(self, end: TurnEnd = TurnEnd.COMPLETED, tab: str = TAB) -> Change:
        """The agent ends the turn."""
        return self.succeed(intents.SendPrompt, TurnEnded(end, end.value), tab)

    def whole_turn(self, end: TurnEnd = TurnEnd.COMPLETED, tab: str = TAB) -> Change:
        """A turn from its start to its end."""
        self.begin_turn(tab)
        self.deliver(tab)
        return self.end_turn(end, tab)

    def collect(self, head: str | None = "c1", *uncommitted: str) -> Change:
        """The work is brought out; a branch that it makes is told to the repo."""
        work = inputs.WorkCollected(head, branch_moved=True, uncommitted=uncommitted)
        change = self.succeed(intents.CollectWork, work)
        self.be_heard()
        return change

    def release(self, *, early: bool = False) -> Change:
        """The sandbox is gone, and no create of it can land any more, unless that is said too `early`."""
        self.pass_time(0.0 if early else SETTLED_SECONDS)
        return self.succeed(intents.DestroySandbox, inputs.SandboxReleased(self.now, WINDOW_SECONDS))

    def stop_sandbox(self, *, is_absent: bool = False, early: bool = False) -> Change:
        """Nothing runs in the sandbox any more; one that is absent counts when no create of it can land any more."""
        self.pass_time(0.0 if early else SETTLED_SECONDS)
        return self.succeed(intents.StopSandbox, inputs.SandboxStopped(self.now, WINDOW_SECONDS, is_absent))

    def observe(self, phase: SandboxPhase) -> Change:
        """The provider says what the sandbox is at."""
        return self.succeed(intents.ObserveSandbox, inputs.Observed(phase, self.now))

    def find_gone(self) -> Change:
        """The provider says twice that there is no sandbox, long enough after one another."""
        self.observe(SandboxPhase.ABSENT)
        self.pass_time(self.boundary.figures.absent_seconds)
        return self.observe(SandboxPhase.ABSENT)

    def lose_sandbox(self, reason: str = "it was deleted") -> Change:
        """Somebody found the sandbox gone or failed."""
        return self.do(inputs.SandboxLost(self.task.sandbox.name, reason))

    def lose_session(self, tab: str = TAB, reason: str = "the agent's process ended") -> Change:
        """The agent process of a tab is gone."""
        of = self.tab(tab)
        return self.do(inputs.SessionLost(tab, of.generation, of.session, reason))

    def ask(self, tab: str = TAB, permission: str = PERMISSION) -> Change:
        """The agent asks before it goes on with the turn of a tab."""
        message = self.tab(tab).turn.message_id or MESSAGE
        return self.do(inputs.PermissionAsked(tab, message, permission, "Run make?", OPTIONS))

    def permission(self, permission: str = PERMISSION, tab: str = TAB) -> Permission:
        """What the agent asked in the turn of a tab."""
        return next(one for one in self.tab(tab).turn.permissions if one.id == permission)

    def close(self, tab: str = TAB, *, force: bool = False) -> Change:
        """The user closes a tab."""
        return self.do(inputs.CloseTab(tab, force))

    def stop(self) -> Change:
        """The user stops the task."""
        return self.do(inputs.StopTask())

    def resume(self) -> Change:
        """The user resumes the task."""
        return self.do(inputs.ResumeTask())

    def archive(self, *, force: bool = False) -> Change:
        """The user archives the task."""
        return self.do(inputs.ArchiveTask(force))

    def unarchive(self) -> Change:
        """The user takes the task out of the archive."""
        return self.do(inputs.UnarchiveTask())

    def kill(self, *, force: bool = False) -> Change:
        """The user kills the task."""
        return self.do(inputs.KillTask(force))

    def retry(self, *, discard: bool = False) -> Change:
        """The user retries the task."""
        return self.do(inputs.RetryTask(discard))

    def wake(self, reason: str = "") -> Change:
        """The time that was asked for has come: the first that was asked for, or the first for this reason."""
        intent = next(
            intent
            for intent in self.open(intents.Wake)
            if isinstance(intent.body, intents.Wake) and intent.body.reason.startswith(reason)
        )
        running = self.boundary.running.get(intent.id)
        return self._report(running or self.boundary.claim(intent.id, self.now), Succeeded(inputs.Woken()))

    def be_heard(self) -> None:
        """What was told to the repo has got there."""
        for _ in self.open(intents.Tell):
            self.succeed(intents.Tell, inputs.Told())

    def reasons(self) -> list[str]:
        """What for the clock is set, each by its first word."""
        bodies = [intent.body for intent in self.open(intents.Wake)]
        return [body.reason.partition(":")[0] for body in bodies if isinstance(body, intents.Wake)]


@mutable
class RepoStory(Story):
    """The story of one repo."""

    @property
    def repo(self) -> Repo:
        """The repo."""
        return self.boundary.get(Repo, REPO)

    def add(self) -> Change:
        """Somebody registers it."""
        return self.do(an_add())

    def clone(self) -> Change:
        """The clone is there."""
        return self.succeed(intents.CloneRepo, inputs.Cloned("main", "c0"))

    def ask(self, task_id: str = TASK, number: int = 1) -> Change:
        """A task asks to be told when it is ready."""
        return self.do(inputs.AwaitReady(task_id, number))


def a_repo() -> RepoStory:
    """A repo before it exists."""
    return RepoStory(Boundary(REPO))


def a_create(
    *,
    repo_is_ready: bool = True,
    branch: str | None = None,
    on_branch: str | None = None,
    task_id: str = TASK,
) -> inputs.CreateTask:
    """The command that makes the task of the stories."""
    return inputs.CreateTask(
        task_id=task_id,
        tab_id=TAB,
        message_id=MESSAGE,
        workspace="default",
        owner="owner",
        repo_id=REPO,
        repo_is_ready=repo_is_ready,
        prompt="Do it.",
        provider="local",
        agent="demo",
        branch=branch,
        on_branch=on_branch,
    )


def an_add() -> inputs.AddRepo:
    """The command that registers the repo of the stories."""
    return inputs.AddRepo(REPO, "default", "acme/api", "https://git.example/acme/api")


def kinds_of(change: Change) -> tuple[str, str]:
    """What a change ordered and what it noted, each as words in their order."""
    ordered = " ".join(type(intent.body).__name__ for intent in change.ordered)
    return ordered, " ".join(event.kind.value for event in change.history)

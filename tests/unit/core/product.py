"""Product: every input that can be made in a given situation.

Owns: `answer`, and the list of inputs for a task's and for a repo's story: valid, stale, unknown and repeated ones.
Never: an expectation; test_product.py has them.
Reads as: test_product.py -> `task_inputs(story)` -> each is fed to `step`.
"""

from collections.abc import Iterator
from datetime import timedelta

from taskdock.core import inputs, intents
from taskdock.core.change import Change
from taskdock.core.errors import CommandRejected
from taskdock.core.inputs import (
    AwaitBranch,
    AwaitReady,
    BranchAwaited,
    BranchBorn,
    BranchFailed,
    BranchMoved,
    BranchReady,
    Delivered,
    Failed,
    FailureClass,
    Input,
    NameEnsured,
    NoLongerWaits,
    Observed,
    OutcomeReported,
    PermissionAsked,
    Progressed,
    RemoveRepo,
    RepoFailed,
    RepoReady,
    RetryRepo,
    SandboxLost,
    SandboxPhase,
    SandboxReady,
    SandboxReaped,
    SandboxReleased,
    SandboxStopped,
    SessionLost,
    SessionReady,
    Started,
    Succeeded,
    TaskCommand,
    TurnEnd,
    TurnEnded,
    Value,
    WorkCollected,
)
from taskdock.core.intents import Body, Intent
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobKind, JobResult, Moved
from unit.core.story import (
    MESSAGE,
    MESSAGE_2,
    OPTIONS,
    PERMISSION,
    START,
    TAB,
    TAB_2,
    TASK,
    THEIRS,
    WINDOW_SECONDS,
    RepoStory,
    Story,
    TaskStory,
    a_create,
    an_add,
)

LATE = START + timedelta(hours=3)
"""When no create of any story can land any more."""

VALUES: dict[type[Body], tuple[Value, ...]] = {
    intents.EnsureName: (
        NameEnsured("Do it", "do-it-1", "main"),
        NameEnsured("It", "it-2", "main", "no namer"),
    ),
    intents.CreateSandbox: (
        SandboxReady(adopted=False), SandboxReady(adopted=True), SandboxReady(adopted=True, mark="another"),
    ),
    intents.ObserveSandbox: (*(Observed(phase, LATE) for phase in SandboxPhase), Observed(SandboxPhase.ABSENT, START)),
    intents.EnsureAgent: (inputs.AgentReady(),),
    intents.CreateSession: (SessionReady("s9", "p9"),),
    intents.ResumeSession: (SessionReady("s1", "p9"),),
    intents.SendPrompt: tuple(TurnEnded(end, end.value) for end in TurnEnd),
    intents.CancelTurn: (inputs.Asked(),),
    intents.AnswerPermission: (inputs.Asked(),),
    intents.CloseSession: (inputs.SessionClosed(),),
    intents.CollectWork: (
        WorkCollected("c8", branch_moved=True),
        WorkCollected("c9", branch_moved=False, uncommitted=("notes.txt", "a b")),
        WorkCollected(None, branch_moved=False),
    ),
    intents.StopSandbox: (
        SandboxStopped(START, WINDOW_SECONDS),
        SandboxStopped(START, WINDOW_SECONDS, is_absent=True),
        SandboxStopped(LATE, WINDOW_SECONDS, is_absent=True),
    ),
    intents.DestroySandbox: (SandboxReleased(START, WINDOW_SECONDS), SandboxReleased(LATE, WINDOW_SECONDS)),
    intents.CloneRepo: (inputs.Cloned("main", "c0"),),
    intents.RemoveClone: (inputs.CloneRemoved(),),
    intents.RunRepoJob: (
        inputs.JobEnded(JobResult(changed={"one": Moved("a1", "a2")}), tasks={"one": "task-1", "two": "task-2"}),
        inputs.JobEnded(JobResult(), JobFailure(JobErrorKind.CONFLICT, "all of it")),
        inputs.JobEnded(JobResult(), branches=(BranchSeen("one", "a2"),), trunk_head="c1", read_at=LATE),
    ),
    intents.Tell: (inputs.Told(),),
    intents.Wake: (inputs.Woken(),),
}  # fmt: skip
"""What each kind of intent can bring."""


def answer(story: Story, input_: Input, seconds: float = 1.0) -> Change | CommandRejected:
    """What `step` makes of an input `seconds` from now; a rejection is an answer, every other exception is not."""
    try:
        return story.boundary.decide(input_, story.now + timedelta(seconds=seconds))
    except CommandRejected as rejected:
        return rejected


def claimed(story: Story) -> list[Intent]:
    """Hand out every open intent of the story."""
    return [story.boundary.claim(intent_id, story.now) for intent_id in list(story.boundary.outbox)]


def about_intents(story: Story) -> Iterator[Input]:
    """Each outcome and fact of each open intent; then the same of an issue that is over, and of an intent long closed."""
    for intent in claimed(story):
        for issue in (intent.issue, intent.issue - 1):
            yield from _about(intent, intent.id, issue)
        yield from _about(intent, f"{story.boundary.id}#9999", intent.issue)


def _about(intent: Intent, intent_id: str, issue: int) -> Iterator[Input]:
    if intent.boundary == TASK or isinstance(intent.body, intents.RunRepoJob):
        yield Started(intent_id, issue)
    yield Progressed(intent_id, issue, "half way")
    if isinstance(intent.body, intents.RunRepoJob):
        yield inputs.JobStepped(intent_id, issue, "act", 1, 3)
    if isinstance(intent.body, intents.SendPrompt):
        yield Delivered(intent_id, issue)
    for value in VALUES[type(intent.body)]:
        yield OutcomeReported(intent_id, issue, Succeeded(value))
    for failure in FailureClass:
        yield OutcomeReported(intent_id, issue, Failed(failure, "it broke", log_tail="last words"))
    yield OutcomeReported(intent_id, issue, Failed(FailureClass.TRANSIENT, "wait", retry_after_seconds=9.0))


def task_commands() -> Iterator[TaskCommand]:
    """Every command that can be given to a task, in every form that makes a difference."""
    yield from (inputs.RetryTask(), inputs.RetryTask(discard=True))
    yield from (inputs.StopTask(), inputs.ResumeTask())
    yield from (inputs.UnarchiveTask(), inputs.UnarchiveTask(repo_is_ready=False))
    yield from (inputs.ArchiveTask(), inputs.ArchiveTask(force=True))
    yield from (inputs.KillTask(), inputs.KillTask(force=True))
    yield from (inputs.RenameTask("Better"), inputs.SetBranch("better"), inputs.SetBranch("do-it-1"))
    yield inputs.OpenTab("tab-9")
    yield inputs.OpenTab("tab-9", name="More", agent="other", message_id="msg-9", prompt="Go.", model="large")
    for tab in (TAB, TAB_2, "tab-404"):
        yield from tab_commands(tab)


def tab_commands(tab: str) -> Iterator[TaskCommand]:
    """Every command that can be given to one tab."""
    yield from (inputs.RetryTab(tab), inputs.CloseTab(tab), inputs.CloseTab(tab, force=True))
    yield from (inputs.RenameTab(tab, "Review"), inputs.SetModel(tab, "large"), inputs.ResumeQueue(tab))
    yield from (inputs.SendMessage(tab, "msg-9", "Go."), inputs.CancelTurn(tab))
    yield from (
        inputs.MarkRead(tab, "me", 1),
        inputs.SetDraft(tab, "me", "And then"),
        inputs.SetDraft(tab, "me", ""),
    )
    for message in (MESSAGE, MESSAGE_2, "msg-404"):
        yield from (inputs.EditMessage(tab, message, "Rather this."), inputs.WithdrawMessage(tab, message))
    for permission, option in (
        (PERMISSION, "yes"),
        (PERMISSION, None),
        (PERMISSION, "maybe"),
        ("perm-404", "no"),
    ):
        yield inputs.AnswerPermission(tab, permission, option)


def task_facts() -> Iterator[Input]:
    """Every fact that names no intent."""
    for tab in (TAB, TAB_2, "tab-404"):
        for session in (1, 2, 404):
            yield SessionLost(tab, 1, session, "the agent's process ended")
        yield SessionLost(tab, 2, 1, "the agent's process ended")
        for message, permission in ((MESSAGE, PERMISSION), (MESSAGE, "perm-2"), (MESSAGE_2, "perm-3")):
            yield PermissionAsked(tab, message, permission, "Run make?", OPTIONS)
    for ask in range(4):
        yield from (RepoReady(ask), RepoFailed(ask, "no such remote"), BranchAwaited(ask, "job-1"))
        yield from (BranchReady(ask, "job-1", "c7"), BranchFailed(ask, "job-1", "nobody has it"))
    for branch in ("do-it-1", THEIRS):
        yield from (BranchMoved("job-1", branch, "c1", "c2"), BranchMoved("job-2", branch, "c2", None))
    for name in ("td-75b98ee5-task-1-g1", "td-75b98ee5-task-1-g2"):
        yield SandboxLost(name, "it was deleted")
        yield SandboxReaped(name, "no task needs it")


def task_inputs(story: TaskStory) -> Iterator[Input]:
    """Every input that a task can get, in the situation of this story."""
    yield from (a_create(), a_create(repo_is_ready=False, branch="mine"), a_create(on_branch=THEIRS))
    yield from task_commands()
    yield from task_facts()
    yield from about_intents(story)
    if not story.boundary.outbox:
        yield from _of_nothing()


def repo_inputs(story: RepoStory) -> Iterator[Input]:
    """Every input that a repo can get, in the situation of this story."""
    yield from (an_add(), RetryRepo(), RemoveRepo())
    yield from job_commands()
    yield from (AwaitReady("task-1", 1), AwaitReady("task-1", 2), AwaitReady("task-3", 1))
    for ask in (1, 3, 4):
        yield from (AwaitBranch("task-1", ask, THEIRS), AwaitBranch("task-1", ask, "one"))
        yield NoLongerWaits("task-1", ask)
        yield from (
            BranchBorn("task-1", ask, "one", "main", "a1"),
            BranchBorn("task-2", ask, "one", "two", "a1"),
        )
    yield from about_intents(story)
    if not story.boundary.outbox:
        yield from (
            Progressed("repo-1#1", 1, "half way"),
            OutcomeReported("repo-1#1", 1, Succeeded(inputs.Told())),
        )


def job_commands() -> Iterator[Input]:
    """Every command about jobs, in every form that makes a difference."""
    for kind in JobKind:
        yield inputs.RequestJob("job-9", kind, branch="one", parent="two", push=True, undo_of="job-1")
    yield inputs.RequestJob("job-9", JobKind.SYNC_REPO)
    for job_id in ("job-1", "job-2", "job-404", "job-5cbe1026bff40597878e"):
        yield from (inputs.CancelJob(job_id), inputs.CancelJob(job_id, force=True))


def _of_nothing() -> Iterator[Input]:
    """Facts and outcomes of what was open once."""
    yield from (Started("task-1#1", 1), Progressed("task-1#1", 1, "half way"), Delivered("task-1#1", 1))
    yield OutcomeReported("task-1#1", 1, Succeeded(inputs.Woken()))

"""Inputs: everything that can be fed to a boundary's `step`.

Owns: outcomes (what became of an intent), facts (what was seen outside), and the unions over them, the commands and the tells.
Never: an id, a time or a random number made by the core; they come in with the input.
Reads as: request path, scheduler or simulation makes one -> `step` -> Change.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen

from taskdock.core.commands import (
    AddRepo,
    AnswerPermission,
    ArchiveTask,
    CancelJob,
    CancelTurn,
    CloseTab,
    CreateTask,
    EditMessage,
    KillTask,
    MarkRead,
    OpenTab,
    RemoveRepo,
    RenameTab,
    RenameTask,
    RequestJob,
    ResumeQueue,
    ResumeTask,
    RetryRepo,
    RetryTab,
    RetryTask,
    SendMessage,
    SetBranch,
    SetDraft,
    SetModel,
    StopTask,
    UnarchiveTask,
    WithdrawMessage,
)
from taskdock.core.job_record import BranchSeen, JobFailure, JobResult
from taskdock.core.tells import (
    AwaitBranch,
    AwaitReady,
    BranchAwaited,
    BranchBorn,
    BranchFailed,
    BranchMoved,
    BranchReady,
    NoLongerWaits,
    RepoFailed,
    RepoReady,
    TellInput,
)

__all__ = [
    "AddRepo",
    "AgentReady",
    "AnswerPermission",
    "ArchiveTask",
    "Asked",
    "AwaitBranch",
    "AwaitReady",
    "BranchAwaited",
    "BranchBorn",
    "BranchFailed",
    "BranchMoved",
    "BranchReady",
    "CancelJob",
    "CancelTurn",
    "CloneRemoved",
    "Cloned",
    "CloseTab",
    "CreateTask",
    "Delivered",
    "EditMessage",
    "Failed",
    "FailureClass",
    "Input",
    "JobEnded",
    "JobStepped",
    "KillTask",
    "MarkRead",
    "NameEnsured",
    "NoLongerWaits",
    "Observed",
    "OpenTab",
    "Outcome",
    "OutcomeReported",
    "PermissionAsked",
    "PermissionOption",
    "Progressed",
    "RemoveRepo",
    "RenameTab",
    "RenameTask",
    "RepoCommand",
    "RepoFailed",
    "RepoInput",
    "RepoReady",
    "RequestJob",
    "ResumeQueue",
    "ResumeTask",
    "RetryRepo",
    "RetryTab",
    "RetryTask",
    "SandboxLost",
    "SandboxPhase",
    "SandboxReady",
    "SandboxReaped",
    "SandboxReleased",
    "SandboxStopped",
    "SendMessage",
    "SessionClosed",
    "SessionLost",
    "SessionReady",
    "SetBranch",
    "SetDraft",
    "SetModel",
    "Started",
    "StopTask",
    "Succeeded",
    "TaskCommand",
    "TaskFact",
    "TaskInput",
    "TellInput",
    "Told",
    "TurnEnd",
    "TurnEnded",
    "UnarchiveTask",
    "Value",
    "WithdrawMessage",
    "Woken",
    "WorkCollected",
]

# What an intent brings when it succeeds.


@frozen
class NameEnsured:
    """Title, branch and base are settled; `note` says what is worth telling (a namer that failed)."""

    title: str
    branch: str
    base: str
    note: str | None = None


@frozen
class SandboxReady:
    """The sandbox runs and the branch is checked out; `adopted` when it was there before this run.

    `mark` tells it from another one of its name: one that an earlier run made anew, and whose answer was lost, is adopted
    as well, but is not the one that ran before. Empty where nothing tells them apart.
    """

    adopted: bool
    mark: str = ""


@frozen
class AgentReady:
    """The agent's server answers."""


@frozen
class SessionReady:
    """The tab's session is there and idle."""

    session_id: str
    agent_process: str


class TurnEnd(Enum):
    """How a turn ended. After all but the first the queue is held."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@frozen
class TurnEnded:
    """The agent ended the turn; `detail` is its stop reason or its error."""

    end: TurnEnd
    detail: str


@frozen
class Asked:
    """The cancel request was taken; it proves nothing about the turn."""


@frozen
class SessionClosed:
    """No session of the tab is left in this generation."""


@frozen
class WorkCollected:
    """The service clone holds the commits: the task's head (None when it never made one), whether the branch followed.

    `uncommitted` names files (at most 20) whose changes are in no commit, and so still only in the sandbox. `kept` counts
    those whose uncommitted changes came along beside the head, and come back with the next checkout.
    """

    head: str | None
    branch_moved: bool
    uncommitted: tuple[str, ...] = ()
    kept: int = 0


class SandboxPhase(Enum):
    """What a provider says of a sandbox."""

    ABSENT = "absent"
    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DESTROYING = "destroying"
    UNKNOWN = "unknown"


@frozen
class Observed:
    """What the provider said of the sandbox at `read_at`."""

    phase: SandboxPhase
    read_at: datetime
    reason: str | None = None


@frozen
class SandboxStopped:
    """Nothing runs in the sandbox at `read_at`: it is stopped, or `is_absent`.

    A create that began less than `create_window_seconds` before may still land.
    """

    read_at: datetime
    create_window_seconds: float
    is_absent: bool = False


@frozen
class SandboxReleased:
    """The sandbox is absent at `read_at`; a create that began less than `create_window_seconds` before may still land."""

    read_at: datetime
    create_window_seconds: float


@frozen
class Cloned:
    """The clone is there: trunk's name and head."""

    trunk: str
    head: str


@frozen
class CloneRemoved:
    """There is no clone any more: all that was in it is on the remote."""


@frozen
class JobEnded:
    """A job came to its end, with what it changed, and why not more; `branches` is how the clone stands now, if it could be read.

    `tasks` are those that hold a branch which it changed, by branch.
    """

    result: JobResult
    failure: JobFailure | None = None
    branches: tuple[BranchSeen, ...] | None = None
    trunk_head: str | None = None
    read_at: datetime | None = None
    tasks: Mapping[str, str] = field(factory=dict)


@frozen
class Told:
    """The other boundary has committed the input (or rightly ignored it)."""


@frozen
class Woken:
    """The time has come."""


Value = (
    NameEnsured | SandboxReady | AgentReady | SessionReady | TurnEnded | Asked | SessionClosed | WorkCollected
    | Observed | SandboxStopped | SandboxReleased | Cloned | CloneRemoved | JobEnded | Told | Woken
)  # fmt: skip


# Outcomes of one intent.


class FailureClass(Enum):
    """What kind of failure it was, and so whether another attempt makes sense."""

    TRANSIENT = "transient"
    UNREACHABLE = "unreachable"
    """The other side could not be reached: nothing was sent."""
    UNKNOWN = "unknown"
    """Sent, no answer: the next run of the same ensure intent looks before it asks."""
    PERMANENT = "permanent"
    DEADLINE = "deadline"
    """The deadline over all runs passed."""


@frozen
class Succeeded:
    """It is done."""

    value: Value


@frozen
class Failed:
    """It is not done, or not known to be."""

    failure_class: FailureClass
    reason: str
    retry_after_seconds: float | None = None
    log_tail: str | None = None


Outcome = Succeeded | Failed


@frozen
class OutcomeReported:
    """What became of an intent; stale unless the intent is open and `issue` is its latest."""

    intent_id: str
    issue: int
    outcome: Outcome


# Facts: what was seen outside.


@frozen
class Started:
    """An execution is about to make its first outside call; refused (ignored) means: do not call."""

    intent_id: str
    issue: int


@frozen
class Progressed:
    """One sentence for people about how far an intent has come."""

    intent_id: str
    issue: int
    sentence: str


@frozen
class JobStepped:
    """An execution of a job is about to begin a step; refused (ignored) means: begin nothing more."""

    intent_id: str
    issue: int
    step: str
    done: int = 0
    of: int = 0


@frozen
class Delivered:
    """The agent has the message: its relay said so, or something of its turn was seen."""

    intent_id: str
    issue: int


@frozen
class SessionLost:
    """The agent process of the tab's `session`-th session in this generation is gone."""

    tab_id: str
    generation: int
    session: int
    reason: str


@frozen
class PermissionOption:
    """One answer that the agent offers; `kind` is ACP's: allow_once, allow_always, reject_once, reject_always."""

    id: str
    name: str
    kind: str


@frozen
class PermissionAsked:
    """The agent asks before it goes on with the turn of this message; `permission_id` is unique in the tab."""

    tab_id: str
    message_id: str
    permission_id: str
    title: str
    options: tuple[PermissionOption, ...]


@frozen
class SandboxReaped:
    """The reaper is about to end this sandbox, which no task needs; ignored means: do not, the task has come to want it."""

    sandbox: str
    reason: str


@frozen
class SandboxLost:
    """The provider says that this sandbox is not there any more."""

    sandbox: str
    reason: str


TaskCommand = (
    RetryTask | StopTask | ResumeTask | ArchiveTask | UnarchiveTask | KillTask | RenameTask | SetBranch
    | OpenTab | RetryTab | RenameTab | SetModel | CloseTab | SendMessage | EditMessage | WithdrawMessage
    | ResumeQueue | CancelTurn | AnswerPermission | MarkRead | SetDraft
)  # fmt: skip
"""What may be asked of a task that exists."""
TaskFact = (
    RepoReady | RepoFailed | BranchAwaited | BranchReady | BranchFailed | BranchMoved | OutcomeReported | Started
    | Progressed | Delivered | PermissionAsked | SessionLost | SandboxLost | SandboxReaped
)  # fmt: skip
TaskInput = CreateTask | TaskCommand | TaskFact
RepoCommand = AddRepo | RetryRepo | RemoveRepo | RequestJob | CancelJob
"""What may be asked of a repo."""
RepoInput = (
    RepoCommand | AwaitReady | AwaitBranch | NoLongerWaits | BranchBorn | OutcomeReported | Started | Progressed
    | JobStepped
)  # fmt: skip
Input = TaskInput | RepoInput

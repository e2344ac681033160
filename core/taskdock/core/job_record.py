"""Job record: what a repo job is, and what its end brings.

Owns: `JobKind`, `JobStatus`, `JobErrorKind`, `JobResult`, `JobFailure`.
Never: git; a job is an intent.
Reads as: job.py (the table), the stack port and its adapter -> this.
"""

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen


class JobKind(Enum):
    """What may be asked of a repo's branches; the briefs fixed the words."""

    SYNC_REPO = "sync_repo"
    """Fetch, move trunk forward, see what is there."""
    RESTACK_REPO = "restack_repo"
    """Rebase every tracked branch onto its parent, stack by stack."""
    RESTACK_SUBTREE = "restack_subtree"
    """The same of one branch and those above it."""
    REBASE_BRANCH = "rebase_branch"
    """The same of one branch alone."""
    REPARENT_BRANCH = "reparent_branch"
    """Move a branch, and those above it, onto another parent."""
    REGISTER_EXISTING_BRANCH = "register_existing_branch"
    """Take a branch of the remote, or one that was born here, into the stack."""
    UNDO = "undo"
    """Put every branch that a job moved, and the stack's own data, back where they were."""


NEEDS_STACK_TOOL = (
    JobKind.RESTACK_REPO, JobKind.RESTACK_SUBTREE, JobKind.REBASE_BRANCH, JobKind.REPARENT_BRANCH,
)  # fmt: skip
"""The kinds that plain git cannot do without losing work."""


class JobStatus(Enum):
    """What clients see of a job; the briefs fixed the words."""

    QUEUED = "queued"
    """Waits for its repo, and for the jobs before it."""
    RUNNING = "running"
    """Has the clone; its end moves it."""
    COMPLETED = "completed"
    """Done, or there was nothing to do; `JobResult.is_partial` says whether some of it could not be done. Final."""
    ERROR = "error"
    """Ended without doing what was asked; `JobFailure` says why. Final."""
    CANCELLED = "cancelled"
    """Ended because somebody asked for it. Final."""


class JobErrorKind(Enum):
    """Why a job ended in error, in words that a program can act on."""

    CONFLICT = "conflict"
    """Nothing moved, because every branch that had to is in conflict."""
    USER_ERROR = "user_error"
    """The job cannot be done as it was asked for."""
    AUTH = "auth"
    """The remote refused the credentials."""
    UNREACHABLE = "unreachable"
    """The remote does not answer."""
    UNSUPPORTED = "unsupported"
    """The stack tool is missing or too old."""
    CONFIG_ERROR = "config_error"
    """The repository or its configuration does not allow it: shallow, no trunk, a hook that refuses."""
    DIVERGED = "diverged"
    """What the job would move was moved by somebody else meanwhile; nothing was touched."""
    TIMEOUT = "timeout"
    """It took longer than it may."""
    BUG = "bug"
    """Nobody expected this; the log tail has what was said."""


@frozen
class Moved:
    """Where a branch was and where it is: commits of 40 hex digits, None where it was not, or is not any more."""

    old: str | None
    new: str | None


@frozen
class JobResult:
    """What a job did, at its end whatever the end is: `changed` is read from the heads, not from what a tool said."""

    changed: Mapping[str, Moved] = field(factory=dict)
    """By branch."""
    skipped: Mapping[str, str] = field(factory=dict)
    """By branch: why it was left alone."""
    blocked: Mapping[str, str] = field(factory=dict)
    """By branch: which branch below it is in conflict or diverged."""
    conflicts: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """By branch: the files in conflict; the branch stands where it stood."""
    pushed: Mapping[str, str] = field(factory=dict)
    """By branch: the head that the remote has now."""

    @property
    def is_partial(self) -> bool:
        """Whether some of it could not be done."""
        return bool(self.blocked or self.conflicts)


@frozen
class JobFailure:
    """Why a job ended in error; `hint` is what the user can do."""

    kind: JobErrorKind
    reason: str
    hint: str = ""
    log_tail: str | None = None


@frozen
class BranchSeen:
    """One branch of the service clone, as it stood when it was looked at."""

    name: str
    head: str
    parent: str | None = None
    """The branch that it is stacked on; None for trunk, and for one that no stack has."""
    is_tracked: bool = False
    depth: int = 0
    """How many branches are between it and trunk, plus one; 0 for trunk and what is not tracked."""
    needs_restack: bool = False
    ahead: int = 0
    behind: int = 0
    """Commits that trunk has not, and that only trunk has."""
    files_changed: int = 0
    insertions: int = 0
    deletions: int = 0
    """Against where it left trunk or its parent."""
    conflicts_with_trunk: bool = False
    pull_request: str | None = None
    """Its address, where the stack tool knows one."""
    pull_request_status: str | None = None

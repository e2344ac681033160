"""Failures of jobs: why a job stopped, in the kinds of `JobErrorKind`, with what helps.

Owns: `JobStopped`, and every comparison with git-spice's wording.
Never: the first word on a failure. What the clone looks like afterwards decides; these rows only name what is left.
Reads as: the steps of a job (a result that is no success) -> this -> jobs.py makes it the job's end.
"""

import re

from attrs import evolve, frozen

from taskdock.adapters.clone.failures import last_word, log_tail
from taskdock.adapters.clone.process import GitResult, Overdue
from taskdock.adapters.clone.remote import redact
from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient
from taskdock.core.job_record import JobErrorKind, JobFailure

_PANIC = 2

STALE = re.compile(
    r"\.lock': File exists|index\.lock is still held|cannot lock ref|could not update refs/|set ref:"
    r"|already a rebase-(?:merge|apply) directory",
    re.IGNORECASE,
)
"""Left behind by a git that was killed, or held by one that has ended since: worth the same call again."""


class JobStopped(Exception):
    """The job cannot go on; what it moved before stays moved."""

    def __init__(self, failure: JobFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@frozen
class _Row:
    words: re.Pattern[str]
    kind: JobErrorKind
    reason: str
    hint: str


def _row(words: str, kind: JobErrorKind, reason: str, hint: str = "") -> _Row:
    return _Row(re.compile(words, re.IGNORECASE), kind, reason, hint)


_USER, _CONFIG = JobErrorKind.USER_ERROR, JobErrorKind.CONFIG_ERROR
_OLD_CLONE = "sync the repo; if that does not help, retry it, so that its clone is made anew"
ROWS = (
    _row(
        r"gpg failed to sign|failed to write commit object|ssh-keygen",
        _CONFIG,
        "a commit could not be signed",
        "jobs do not sign; take commit.gpgsign out of the clone's own config",
    ),
    _row(
        r"committer identity unknown|author identity unknown|empty ident name|unable to auto-detect email",
        _CONFIG,
        "git does not know under which name to commit",
        "this is Taskdock's to set; tell its developers",
    ),
    _row(
        r"hook (?:refused|declined)|hook exited|pre-rebase hook",
        _CONFIG,
        "a hook refused it",
        "jobs run no hook of the clone; look at core.hooksPath in its own config",
    ),
    _row(r"unsupported git remote", JobErrorKind.UNSUPPORTED, "the remote is no forge that git-spice knows"),
    _row(
        r"not logged in to",
        JobErrorKind.AUTH,
        "git-spice is not logged in to the forge",
        "log in with `git-spice auth login`",
    ),
    _row(
        r"send graphql request|could not resolve host|failed to connect|connection refused|unable to access",
        JobErrorKind.UNREACHABLE,
        "the remote or its forge does not answer",
        "try again when it does",
    ),
    _row(
        r"would create a cycle",
        _USER,
        "a branch cannot be stacked on one that is stacked on it",
        "choose a parent that is not above the branch",
    ),
    _row(
        r"cannot (?:move|track) trunk|trunk cannot be restacked|cannot be trunk",
        _USER,
        "trunk belongs to no stack",
        "name another branch",
    ),
    _row(
        r"untracked branch|is not tracked|branch not tracked",
        _USER,
        "the branch is in no stack",
        "register it first",
    ),
    _row(
        r"merge-base: exit status|find merge base of",
        _CONFIG,
        "the branch and its parent have no commit in common",
        "a shallow clone must be fetched whole; else stack the branch on one that it came from",
    ),
    _row(
        r"checked out at|used by worktree at",
        _USER,
        "the branch is checked out in another worktree",
        "check out something else there, then try again",
    ),
    _row(
        r"dirty changes could not be re-applied",
        _CONFIG,
        "the work tree of the service clone had uncommitted changes",
        "nobody works there; try again",
    ),
    _row(
        r"in detached head state",
        JobErrorKind.BUG,
        "git-spice was asked for what it does on a branch alone",
        "tell the developers of Taskdock",
    ),
    _row(
        r"couldn't find remote ref|resolve remote trunk|peel to trunk|base branch \S+ does not exist"
        r"|not a branch:|config get remote",
        _CONFIG,
        "trunk or its remote is not there",
        _OLD_CLONE,
    ),
    _row(
        r"does not exist|no such ref",
        _USER,
        "there is no such branch",
        "sync the repo, then look at its branches",
    ),
    _row(r"not allowed to prompt", JobErrorKind.BUG, "git-spice wanted to ask somebody"),
    _row(r"not a git repository|exit status 128", _CONFIG, "the service clone is damaged", _OLD_CLONE),
)
"""The first row that fits wins."""


def stopped(kind: JobErrorKind, reason: str, hint: str = "", *, tail: str | None = None) -> JobStopped:
    """Make the end of a job."""
    return JobStopped(JobFailure(kind=kind, reason=reason, hint=hint, log_tail=tail))


def classify(result: GitResult, doing: str) -> JobFailure:
    """Say what a call of git-spice that did not do its work means; `doing` begins the reason."""
    said = result.stderr
    tail = log_tail(redact(said))
    if result.exit_code == _PANIC and "panic:" in said:
        return JobFailure(JobErrorKind.BUG, f"{doing}: git-spice crashed", "report it there", tail)
    if STALE.search(said):
        hint = "try again; if it stays, somebody works in the service clone"
        return JobFailure(JobErrorKind.BUG, f"{doing}: another git was at work in the clone", hint, tail)
    for row in ROWS:
        if row.words.search(said):
            return JobFailure(row.kind, f"{doing}: {row.reason}", row.hint, tail)
    last = redact(_cause(said) or last_word(tail))
    return JobFailure(JobErrorKind.BUG, f"{doing}: git-spice failed ({last})", "", tail)


def failure_of(error: PortError, *, network: bool = False) -> JobFailure:
    """Give an error of a plain git the kind that it is in a job."""
    failure = JobFailure(_kind(error, network=network), error.reason, "", error.log_tail)
    hint = _HINTS.get(failure.kind, "")
    return evolve(failure, hint=hint)


_HINTS = {
    JobErrorKind.AUTH: "check the credentials of the remote, then try again",
    JobErrorKind.UNREACHABLE: "try again when the remote answers; nothing of the job was lost",
    JobErrorKind.TIMEOUT: "try again: what was done stays done",
    JobErrorKind.CONFIG_ERROR: "mend what the reason names, then try again",
}


def _kind(error: PortError, *, network: bool) -> JobErrorKind:
    if isinstance(error, AuthFailed):
        return JobErrorKind.AUTH
    if network and isinstance(error, Transient):
        return JobErrorKind.UNREACHABLE
    if isinstance(error, Overdue):
        return JobErrorKind.TIMEOUT
    return JobErrorKind.CONFIG_ERROR if isinstance(error, Permanent) else JobErrorKind.BUG


def _cause(said: str) -> str | None:
    """Give what git-spice calls fatal, without its prefix."""
    found = re.findall(r"^FTL [^:\n]+: (.+)$", said, re.MULTILINE)
    return found[-1][:300] if found else None

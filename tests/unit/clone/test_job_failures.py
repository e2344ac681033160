"""Failures of jobs: each wording of git-spice that is left when the clone itself told nothing, with its kind."""

import pytest

from taskdock.adapters.clone.process import GitResult, Overdue
from taskdock.adapters.clone.stack.failures import STALE, classify, failure_of
from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient, Unreachable
from taskdock.core.job_record import JobErrorKind

_USER, _CONFIG, _BUG = JobErrorKind.USER_ERROR, JobErrorKind.CONFIG_ERROR, JobErrorKind.BUG


@pytest.mark.parametrize(
    ("said", "kind", "word"),
    [
        ("error: gpg failed to sign the data", _CONFIG, "signed"),
        ("Committer identity unknown", _CONFIG, "under which name"),
        ("fatal: The pre-rebase hook refused to rebase.", _CONFIG, "a hook refused"),
        ("FTL gs: unsupported Git remote: x", JobErrorKind.UNSUPPORTED, "no forge"),
        ("FTL gs: not logged in to github", JobErrorKind.AUTH, "not logged in"),
        ("send GraphQL request: dial tcp: connection refused", JobErrorKind.UNREACHABLE, "does not answer"),
        ("fatal: Could not resolve host: example.invalid", JobErrorKind.UNREACHABLE, "does not answer"),
        ("FTL gs: would create a cycle: a -> b -> a", _USER, "is stacked on it"),
        ("FTL gs: cannot move trunk", _USER, "trunk"),
        ("FTL gs: trunk cannot be restacked", _USER, "trunk"),
        ("FTL gs: lookup branch: untracked branch x", _USER, "in no stack"),
        ("FTL gs: find merge base of a: merge-base: exit status 1", _CONFIG, "no commit in common"),
        ("fatal: 'x' is already checked out at '/p'", _USER, "another worktree"),
        ("fatal: 'x' is already used by worktree at '/p'", _USER, "another worktree"),
        ("dirty changes could not be re-applied", _CONFIG, "uncommitted"),
        ("get current branch: in detached HEAD state", _BUG, "branch alone"),
        ("fatal: couldn't find remote ref main", _CONFIG, "not there"),
        ("FTL gs: peel to trunk: does not exist", _CONFIG, "not there"),
        ("FTL gs: base branch main does not exist", _CONFIG, "not there"),
        ('config get remote."origin".url: exit status 1', _CONFIG, "not there"),
        ('FTL gs: branch "x" does not exist', _USER, "no such branch"),
        ("FTL gs: not allowed to prompt for input", _BUG, "ask"),
        ("FTL gs: exit status 128", _CONFIG, "damaged"),
        ("FTL gs: something else: entirely", _BUG, "(something else: entirely)"),
        ("", _BUG, "no words"),
    ],
)
def test_words_of_git_spice(said: str, kind: JobErrorKind, word: str) -> None:
    """Each row of the table is taken, and what no row knows is told as it was said."""
    failure = classify(GitResult(1, b"", said), "trying")
    assert failure.kind is kind
    assert word in failure.reason
    assert failure.reason.startswith("trying: ")


@pytest.mark.parametrize(
    "said",
    [
        "fatal: Unable to create '/c/.git/index.lock': File exists.",
        "error: could not lock: index.lock is still held",
        "error: cannot lock ref 'refs/heads/x'",
        "error: could not update refs/heads/x",
        "FTL gs: set ref: exit status 1",
        "It seems that there is already a rebase-merge directory",
    ],
)
def test_left_over_locks(said: str) -> None:
    """What a killed git left behind is known for that, so the same call is made again."""
    assert STALE.search(said)
    assert "another git" in classify(GitResult(1, b"", said), "trying").reason


@pytest.mark.parametrize(
    ("error", "network", "kind"),
    [
        (AuthFailed("no"), True, JobErrorKind.AUTH),
        (Unreachable("no"), True, JobErrorKind.UNREACHABLE),
        (Transient("no"), True, JobErrorKind.UNREACHABLE),
        (Overdue("no"), True, JobErrorKind.UNREACHABLE),
        (Overdue("no"), False, JobErrorKind.TIMEOUT),
        (Permanent("no"), True, _CONFIG),
        (Permanent("no"), False, _CONFIG),
        (Transient("no"), False, _BUG),
    ],
)
def test_errors_of_plain_git(error: PortError, network: bool, kind: JobErrorKind) -> None:
    """An error of a plain git has its kind by what it is and whether it reached for the remote."""
    assert failure_of(error, network=network).kind is kind


def test_no_password_is_told() -> None:
    """A password in an address is hidden in the reason and in the log."""
    failure = classify(GitResult(1, b"", "FTL gs: https://ada:hunter22@example.invalid: odd"), "trying")
    assert "hunter22" not in str(failure)

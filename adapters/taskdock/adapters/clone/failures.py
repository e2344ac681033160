"""Failures: what git's exit codes and words mean in Taskdock's errors, in one table per kind of call.

Owns: every comparison with git's wording, and how much of its output is shown.
Never: a credential in a reason or a log tail; both are redacted here, before anything is cut.
Reads as: git.py, intake.py (a result that is no success) -> this -> a PortError.
"""

import re
from collections.abc import Callable

from attrs import frozen

from taskdock.adapters.clone.remote import redact as redact_addresses
from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient, Unreachable

_TAIL_LINES_MAX = 40
_TAIL_CHARACTERS_MAX = 8_000
STALE_LOCK = re.compile(r"\.lock': File exists|could not lock config file")
"""Somebody holds, or a killed git left behind, a lock file inside the clone."""

_PROGRESS = re.compile(r"^(?:remote: )?[A-Z][\w ]+: +\d+(?:%|, done| \()")


@frozen
class Row:
    """One kind of failure: when these words stand in git's output, it is this error for this reason."""

    words: re.Pattern[str]
    error: type[PortError]
    reason: str


def _row(words: str, error: type[PortError], reason: str) -> Row:
    return Row(words=re.compile(words, re.IGNORECASE), error=error, reason=reason)


# The first row that fits wins: a full disk also makes the transfer end early, a refused login also reads as no answer.
_EVERYWHERE = (
    _row(
        r"no space left on device|disk quota exceeded", Permanent, "the disk is full; make room, then retry"
    ),
    _row(STALE_LOCK.pattern, Transient, "another git holds a lock in the clone"),
    _row(
        r"read-only file system",
        Permanent,
        "the folder of the clones cannot be written to; mount it writable",
    ),
)
NETWORK = (
    *_EVERYWHERE,
    _row(
        r"transport '.*' not allowed",
        Permanent,
        "this kind of remote is not allowed; use https, ssh, git or a path",
    ),
    _row(
        r"source repository is shallow",
        Permanent,
        "the remote is a shallow clone itself; fetch its whole history there (git fetch --unshallow), then retry",
    ),
    _row(
        r"detected dubious ownership",
        Permanent,
        "the remote belongs to another user of this host; allow it (git config --global safe.directory), then retry",
    ),
    _row(
        r"host key verification failed",
        Permanent,
        "the host key of the remote is not known here; add it to known_hosts, then retry",
    ),
    _row(
        r"authentication failed|could not read (?:username|password)|terminal prompts disabled|access denied"
        r"|permission denied \(|returned error: 40[13]\b|invalid credentials",
        AuthFailed,
        "the remote refused the credentials (or hides from strangers that it exists); check the address and the login",
    ),
    _row(
        r"repository .*(?:not found|does not exist)|does not appear to be a git repository|project .* not be found",
        Permanent,
        "there is no such repository; check the address",
    ),
    _row(
        r"certificate problem|certificate verification failed|unable to set .*certificate",
        Permanent,
        "the certificate of the remote is not trusted here; add its authority (SSL_CERT_FILE), then retry",
    ),
    _row(
        r"unable to find remote helper|is not a git command|cannot run ssh|error: cannot run",
        Permanent,
        "a program that git needs for this remote is not installed (git-remote-https, ssh)",
    ),
    _row(
        r"could not resolve host|failed to connect|connect to host .* port|unable to connect to|connection refused"
        r"|network is unreachable|no route to host",
        Unreachable,
        "the remote could not be reached",
    ),
    _row(r"returned error: 429", Transient, "the remote asks to slow down"),
    _row(r"returned error: 5\d\d", Transient, "the remote has trouble of its own"),
    _row(
        r"early eof|hung up|disconnect|connection (?:was )?reset|rpc failed|timed out|operation too slow|index-pack"
        r"|gnutls|ssl_|tls|could not read from remote repository",
        Transient,
        "the connection to the remote broke",
    ),
)
LOCAL = (
    *_EVERYWHERE,
    _row(
        r"lacks these prerequisite commits|does not look like a v\d|early eof|index-pack|unrecognized header"
        r"|does not appear to be a git repository|bad pack|did not send all necessary|missing (?:blob|tree|commit)",
        Permanent,
        "the bundle is damaged, or needs commits that the clone does not have",
    ),
    _row(r"bad name|not a valid ref|invalid refspec", Permanent, "git does not take this name"),
)


def failure(
    exit_code: int,
    output: str,
    doing: str,
    *,
    rows: tuple[Row, ...],
    redact: Callable[[str], str] = redact_addresses,
) -> PortError:
    """Turn git's answer into an error: `doing` begins the reason ('cloning <address>').

    What no row knows is `Transient` on a network and `Permanent` without one; a git that was killed is `Transient`.
    """
    # First redacted, then cut: half a password would be recognised by nobody.
    tail = log_tail(redact(output))
    if exit_code < 0:
        return Transient(redact(f"{doing}: git was ended by signal {-exit_code}"), log_tail=tail)
    for row in rows:
        if row.words.search(output):
            return row.error(redact(f"{doing}: {row.reason}"), log_tail=tail)
    error = Transient if rows is NETWORK else Permanent
    return error(redact(f"{doing}: git failed ({last_word(tail)})"), log_tail=tail)


def log_tail(output: str) -> str:
    """Keep the last 40 lines (8,000 characters) of git's words, without the progress it repaints."""
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", output)]
    kept = [line for line in lines if line and not _PROGRESS.match(line)]
    return "\n".join(kept[-_TAIL_LINES_MAX:])[-_TAIL_CHARACTERS_MAX:]


def last_word(tail: str) -> str:
    """Give the line that most likely says why: the last fatal or error line, else the last line."""
    lines = tail.splitlines()
    grave = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    return (grave or lines or ["no words"])[-1][:300]

"""Values: what is checked on the request path, and the names made from it.

Owns: the rules for prompts, titles, branch names and remotes; the deterministic names of repos, sandboxes and branches.
Never: a lookup; whether a name is free or a remote exists is found out later, in the background.
Reads as: the request path checks a command with these -> the records hold only what passed.
"""

import hashlib
import json
import re

from taskdock.core.errors import InvalidCommand

PROMPT_BYTES_MAX = 1024 * 1024
"""Of the prompt encoded as JSON: sandbox-agent 0.4.2 refuses bodies over 2 MiB, and escapes can double a text."""

TITLE_CHARACTERS_MAX = 200
BRANCH_BYTES_MAX = 200
REMOTE_CHARACTERS_MAX = 1000
FIRST_LINE_CHARACTERS_MAX = 80

# git check-ref-format, rules 1 to 10, as one expression per rule family.
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SCP_REMOTE = re.compile(r"^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:(?!//)\S+$")
_URL_REMOTE = re.compile(r"^(https?|ssh|git|file)://\S+$")
_CREDENTIALS = re.compile(r"^(https?://[^/@]*@|[a-z]+://[^/@]*:[^/@]*@)")


def check_prompt(text: str) -> str:
    """The prompt as it is, or InvalidCommand: empty, not encodable, or over 1 MiB once encoded as JSON."""
    if not text.strip():
        raise InvalidCommand("The prompt is empty: say what the agent should do.", field="prompt")
    return check_draft(text, field="prompt")


def check_draft(text: str, *, field: str = "draft") -> str:
    """A text that may become a prompt, or nothing, as it is; InvalidCommand: not encodable, or over 1 MiB as JSON."""
    try:
        size = len(json.dumps(text, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise InvalidCommand(
            f"The {field} holds half of a surrogate pair: send valid Unicode.", field=field
        ) from None
    if size > PROMPT_BYTES_MAX:
        raise InvalidCommand(
            f"The {field} is {size:,} bytes once encoded; at most {PROMPT_BYTES_MAX:,} fit. "
            "Put long material into a file of the repository and name it in the prompt.",
            field=field,
        )
    return text


def check_title(text: str, *, field: str = "title") -> str:
    """A title without surrounding space, or InvalidCommand: empty, several lines, or over 200 characters.

    The same holds for what others gave a name to: a tab, a model, a permission mode, a principal.
    """
    title = text.strip()
    if not title or len(title) > TITLE_CHARACTERS_MAX or not title.isprintable():
        what = field.replace("_", " ")
        raise InvalidCommand(
            f"A {what} is one line of 1 to {TITLE_CHARACTERS_MAX} printable characters.", field=field
        )
    return title


def check_branch(name: str, *, field: str = "branch") -> str:
    """A branch name that git accepts (`git check-ref-format --branch`), or InvalidCommand."""
    wrong = (
        not name
        or len(name.encode(errors="replace")) > BRANCH_BYTES_MAX
        or name.startswith(("-", "/", "."))
        or name.endswith(("/", "."))
        or name in {"@", "HEAD"}
        or _REF_FORBIDDEN.search(name) is not None
        or not _encodes(name)
    )
    if wrong:
        raise InvalidCommand(
            f"{name!r} is no branch name that git accepts: no spaces, '..', '~', '^', ':', '?', '*', '[', '\\', "
            "no leading '-' or '.', no '.lock' or '/' at the end, at most 200 bytes.",
            field=field,
        )
    return name


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_commit(text: str) -> bool:
    """Whether a text reads as a commit: 7 to 64 hex digits."""
    return _COMMIT.fullmatch(text) is not None


def is_remote(text: str) -> bool:
    """Whether a repo was named by its remote: a URL, user@host:path, or an absolute path."""
    text = text.strip()
    return text.startswith("/") or "://" in text or _SCP_REMOTE.match(text) is not None


def check_remote(text: str) -> str:
    """A remote without surrounding space and trailing slashes, or InvalidCommand.

    Taken: http(s), ssh, git and file URLs, user@host:path, absolute paths. Refused: anything with a password in it,
    since a remote is shown in lists; git's credential helpers are the place for one.
    """
    remote = text.strip().rstrip("/")
    known = remote.startswith("/") or _URL_REMOTE.match(remote) or _SCP_REMOTE.match(remote)
    if not known or not remote.isprintable() or len(remote) > REMOTE_CHARACTERS_MAX:
        raise InvalidCommand(
            "A remote is an http(s), ssh, git or file URL, user@host:path, or an absolute path.",
            field="remote",
        )
    if _CREDENTIALS.match(remote):
        raise InvalidCommand(
            "The remote holds a password or token: leave it out and let a git credential helper give it.",
            field="remote",
        )
    return remote


def repo_id(workspace: str, remote: str) -> str:
    """The id of a repo, the same for every spelling of one remote in one workspace: `repo-` and 16 hex digits."""
    # On a host `a` and `a.git` are one repository; two folders of these names are two.
    bare = remote if remote.startswith(("/", "file://")) else remote.removesuffix(".git").rstrip("/")
    digest = hashlib.blake2s(f"{workspace}\n{bare}".encode(), digest_size=8).hexdigest()
    return f"repo-{digest}"


def repo_name(remote: str) -> str:
    """A short name for people: the last two parts of a URL's path (`acme/api`), the last one of a local path."""
    bare = remote.removeprefix("file://").removesuffix(".git").rstrip("/")
    parts = [part for part in re.split(r"[/:]+", bare) if part]
    hosted = not bare.startswith("/") and len(parts[2:]) > 0
    return "/".join(parts[-2:] if hosted else parts[-1:]) or "repo"


def sandbox_name(owner: str, task_id: str, generation: int) -> str:
    """The name of a sandbox, known before the first call and never used for another: `td-<owner>-<task>-g<n>`."""
    short = hashlib.blake2s(owner.encode(), digest_size=4).hexdigest()
    return f"td-{short}-{task_id}-g{generation}"


def asked_job(task_id: str, ask: int) -> str:
    """The id of the job that a task's question leads to, the same however often it is delivered."""
    digest = hashlib.blake2s(f"{task_id}/{ask}".encode(), digest_size=10).hexdigest()
    return f"job-{digest}"


def automatic_branch(slug: str, task_id: str, attempt: int) -> str:
    """A branch name from a slug; the suffix differs per task and per attempt, so a collision is left behind at once."""
    suffix = hashlib.blake2s(f"{task_id}/{attempt}".encode(), digest_size=3).hexdigest()
    return f"{slug}-{suffix}"


def first_line(prompt: str) -> str:
    """A title for a task that nobody has named yet: the prompt's first line with words in it, at most 80 characters."""
    line = next((line.strip() for line in prompt.splitlines() if line.strip()), "task")
    if not line.isprintable():
        line = "".join(character if character.isprintable() else " " for character in line)
    words = line.strip()
    return (
        (words or "task")
        if len(words) <= FIRST_LINE_CHARACTERS_MAX
        else words[: FIRST_LINE_CHARACTERS_MAX - 1].rstrip() + "…"
    )

"""Refs: the names under which a clone keeps what belongs to a task, and the checks of ids that become names.

Owns: everything below `refs/taskdock/`.
Never: a name made from unchecked text.
Reads as: git.py and intake.py -> this.

    refs/taskdock/<task>/base            where the task started; pinned once
    refs/taskdock/<task>/branch          where we last put the task's branch
    refs/taskdock/<task>/<n>             where the task stood when generation n was last collected
    refs/taskdock/<task>/<n>-dirty       its work tree then, as a commit on top of <n>
    refs/taskdock/<task>/<n>-heads/<h>   every other head that came with it (HEAD, branches, stash)
"""

import hashlib
import re
from collections.abc import Mapping

from attrs import frozen

from taskdock.core.errors import Permanent

REMOTE = "refs/remotes/origin/"
BRANCHES = "refs/heads/"
ZERO = "0" * 40

TASKS = "refs/taskdock/"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_NOT_A_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|^[./]|[./]\Z")
_NOT_A_BRANCH = re.compile(r"-|(?:@|HEAD)\Z")
_BRANCH_BYTES_MAX = 240
_HEAD_CHARACTERS_MAX = 180


@frozen
class TaskRefs:
    """The refs of one task as the clone had them when they were read: name below the task -> commit."""

    task_id: str
    values: Mapping[str, str]

    def name(self, short: str) -> str:
        """Give the full name of one of this task's refs."""
        return f"{task_prefix(self.task_id)}{short}"

    @property
    def base(self) -> str | None:
        """Where the task started, or None before its first checkout."""
        return self.values.get("base")

    @property
    def followed(self) -> str | None:
        """Where we last put the task's branch, or None when we never did."""
        return self.values.get("branch")

    @property
    def generation(self) -> int | None:
        """The highest generation with collected work (as a number: 10 is above 9), or None."""
        return max((int(short) for short in self.values if short.isdecimal()), default=None)

    @property
    def standing(self) -> str | None:
        """The head that was collected last, or None when nothing was."""
        return None if self.generation is None else self.values[str(self.generation)]

    @property
    def uncommitted(self) -> str | None:
        """The uncommitted work that was collected last, as a commit on top of where the task stood, or None."""
        generations = (int(short.removesuffix("-dirty")) for short in self.values if short.endswith("-dirty"))
        newest = max(generations, default=None)
        return None if newest is None else f"{newest}-dirty"

    @property
    def known(self) -> tuple[str, ...]:
        """Every commit kept for the task, sorted and without repetition."""
        return tuple(sorted(set(self.values.values())))


def task_prefix(task_id: str) -> str:
    """Give the part of a ref name below which everything of a task is kept."""
    return f"{TASKS}{checked_id(task_id, 'task id')}/"


def checked_id(value: str, what: str) -> str:
    """Give the id back, or `Permanent` when it could not be one part of a path and of a ref name."""
    if not _ID.fullmatch(value):
        raise Permanent(f"this {what} is not made of letters, digits, - and _")
    return value


def is_ref_name(value: str) -> bool:
    """Tell whether `value` may stand behind `refs/heads/`; what may not could be read as a pattern or a second name."""
    return bool(value) and not _NOT_A_REF.search(value)


def is_branch_name(value: str) -> bool:
    """Tell whether people may call a branch `value`: a ref name, not too long for a file, that git reads as a name."""
    fits = len(value.encode(errors="replace")) <= _BRANCH_BYTES_MAX
    return fits and is_ref_name(value) and not _NOT_A_BRANCH.match(value)


def checked_branch(value: str) -> str:
    """Give the branch name back, or `Permanent` when git would not take it."""
    if not is_branch_name(value):
        raise Permanent(f"{value[:80]!r} is not a branch name that git takes")
    return value


def head_name(generation: int, ref: str) -> str:
    """Give the name (below the task) that keeps one more head of a generation.

    Flat, because heads of different collections may be called `a` and `a/b`, which git cannot keep side by side.
    """
    flat = ref.removeprefix(BRANCHES).replace("%", "%25").replace("/", "%2F")
    if len(flat.encode()) > _HEAD_CHARACTERS_MAX:
        flat = hashlib.sha256(flat.encode()).hexdigest()
    return f"{generation}-heads/{flat}"

"""Errors: every exception that Taskdock raises on purpose.

Owns: the tree below; adapters translate foreign exceptions into it in one table each.
Never: a frozen attrs exception (pickling one back raises FrozenInstanceError).
Reads as: adapter or step raises -> services turn PortError into an outcome -> a client reads CommandRejected.

    TaskdockError
    ├ CommandRejected        the caller's request; nothing was written
    │  ├ InvalidCommand      the request itself is wrong (IdempotencyKeyReused: the key came with another body)
    │  ├ NotFound            it names something that does not exist
    │  ├ Conflict            it does not fit the record's status (BranchTaken: another task holds the branch)
    │  ├ Unsupported         this installation cannot do it; says what to install or configure
    │  └ CapacityExceeded    a bounded queue is full; says when to come back
    ├ PortError              raised by adapters only
    │  ├ Transient           may work later (retry_after_seconds)
    │  │  └ Unreachable      the other side could not be reached at all: nothing was sent
    │  ├ Permanent           will fail again the same way
    │  │  ├ AuthFailed  ├ QuotaExceeded  └ Foreign (the name is taken by something that is not ours)
    │  └ OutcomeUnknown      asked, no answer: look before asking again
    ├ StoreError
    │  └ StaleVersion  LeaseLost  SchemaMismatch  PositionLost
    └ InvariantViolated      a bug; never caught
"""

from collections.abc import Sequence


class TaskdockError(Exception):
    """Root of everything Taskdock raises on purpose."""


class CommandRejected(TaskdockError):
    """A command that changed nothing; `code` is stable and meant for programs, the text for people."""

    code = "rejected"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidCommand(CommandRejected):
    """The request is malformed; `field` names the part to mend."""

    code = "invalid_command"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class IdempotencyKeyReused(InvalidCommand):
    """The idempotency key was used before with another body."""

    code = "idempotency_key_reused"


class NotFound(CommandRejected):
    """The record that the command names does not exist in this workspace."""

    code = "not_found"


class Conflict(CommandRejected):
    """The command does not fit the status of the record; `available_actions` of `record_id` are what fits now."""

    code = "conflict"

    def __init__(
        self, message: str, *, status: str = "", available_actions: Sequence[str] = (), record_id: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.available_actions = tuple(available_actions)
        self.record_id = record_id


class BranchTaken(Conflict):
    """Another live task of the repo holds this branch name."""

    code = "branch_taken"


class Unsupported(CommandRejected):
    """What the command needs is not installed or does not work here; `mend`, where it is known, is how to get it."""

    code = "unsupported"

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message if mend is None else f"{message} To mend it: {mend}.")
        self.reason = message
        self.mend = mend


class CapacityExceeded(CommandRejected):
    """A bounded queue is full; come back after `retry_after_seconds`."""

    code = "capacity_exceeded"

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class PortError(TaskdockError):
    """What an adapter could not do, in words fit for a user; `log_tail` holds the last lines of its output."""

    def __init__(self, reason: str, *, log_tail: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.log_tail = log_tail


class Transient(PortError):
    """It may work later; `retry_after_seconds` when the other side said when."""

    def __init__(
        self, reason: str, *, log_tail: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(reason, log_tail=log_tail)
        self.retry_after_seconds = retry_after_seconds


class Unreachable(Transient):
    """The other side could not be reached, so nothing was sent (connection refused, no such service)."""


class Permanent(PortError):
    """It will fail again the same way until somebody changes something."""


class AuthFailed(Permanent):
    """The credentials were refused."""


class QuotaExceeded(Permanent):
    """The provider's quota is used up."""


class Foreign(Permanent):
    """The name belongs to something that is not ours; it was left untouched."""


class OutcomeUnknown(PortError):
    """The request was sent and no answer came: it may or may not have been applied."""


class StoreError(TaskdockError):
    """The store could not take or give a record."""


class StaleVersion(StoreError):
    """The boundary changed since it was loaded: load it again and decide again."""


class LeaseLost(StoreError):
    """The work is no longer ours to report on."""


class SchemaMismatch(StoreError):
    """The store was written by a newer Taskdock; it was left untouched."""


class PositionLost(StoreError):
    """The feed does not go back to this position any more, or never got there: begin again with a snapshot."""


class InvariantViolated(AssertionError):
    """A bug in Taskdock. Never caught: the process stops and the durable state stays as it was."""

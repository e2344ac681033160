"""Commands: what may be asked of a task or a repo.

Owns: one class per command; the unions over them, and every other input, stand in inputs.py, which hands these on.
Never: an unchecked text; what users write has passed taskdock.core.values before it gets here.
Reads as: request path makes one -> `step` -> a handler in task_commands, tab_commands, message_commands, reader_commands.
"""

from datetime import datetime

from attrs import frozen

from taskdock.core.job_record import JobKind

# To a task boundary


@frozen
class CreateTask:
    """Make a task with its first tab, whose first message is the prompt."""

    task_id: str
    tab_id: str
    message_id: str
    workspace: str
    owner: str
    repo_id: str
    repo_is_ready: bool
    prompt: str
    provider: str
    agent: str
    title: str | None = None
    branch: str | None = None
    base: str | None = None
    model: str | None = None
    permission_mode: str | None = None
    on_branch: str | None = None
    """A branch that is to be there already, instead of `branch` and `base`."""
    branch_read_at: datetime | None = None
    """When the repo's branches were last read, if that one was among them."""


@frozen
class RetryTask:
    """Go on from where the task failed; `discard` gives up work that a broken sandbox does not give back."""

    discard: bool = False


@frozen
class StopTask:
    """Bring the work out and stop the sandbox; its files stay."""


@frozen
class ResumeTask:
    """Start a stopped task again."""


@frozen
class ArchiveTask:
    """Bring the work out and release the sandbox; `force` gives up work that cannot be brought out."""

    force: bool = False


@frozen
class UnarchiveTask:
    """Provision an archived task again, on its branch and with its work; where its repo is not ready, it waits for that."""

    repo_is_ready: bool = True


@frozen
class RenameTask:
    """Give the task another title; its branch stays."""

    title: str


@frozen
class SetBranch:
    """Give the task another branch name, before it exists outside."""

    branch: str


@frozen
class KillTask:
    """End the task for good; `force` gives up work that cannot be brought out."""

    force: bool = False


@frozen
class OpenTab:
    """Open one more tab, with a first message or without."""

    tab_id: str
    name: str | None = None
    agent: str | None = None
    message_id: str | None = None
    prompt: str | None = None
    model: str | None = None


@frozen
class RetryTab:
    """Try the tab's session again."""

    tab_id: str


@frozen
class CloseTab:
    """Close a tab; with messages still queued only by `force`, which withdraws them."""

    tab_id: str
    force: bool = False


@frozen
class SendMessage:
    """Queue a message for a tab, and lift the hold on its queue."""

    tab_id: str
    message_id: str
    text: str


@frozen
class RenameTab:
    """Give the tab another name."""

    tab_id: str
    name: str


@frozen
class SetModel:
    """Choose the model that the tab's agent uses from its next prompt on."""

    tab_id: str
    model: str


@frozen
class EditMessage:
    """Change the text of a message that is still queued."""

    tab_id: str
    message_id: str
    text: str


@frozen
class WithdrawMessage:
    """Take a message back that is still queued."""

    tab_id: str
    message_id: str


@frozen
class ResumeQueue:
    """Lift the hold on the tab's queue without sending anything more."""

    tab_id: str


@frozen
class CancelTurn:
    """Ask the agent to end the turn that runs in this tab."""

    tab_id: str


@frozen
class AnswerPermission:
    """Answer what the agent asked: `option_id` is one of the options offered, None rejects by cancelling."""

    tab_id: str
    permission_id: str
    option_id: str | None


@frozen
class MarkRead:
    """`principal` has read the tab up to this many ended turns."""

    tab_id: str
    principal: str
    turns: int


@frozen
class SetDraft:
    """Keep what `principal` is writing in this tab; an empty text drops it."""

    tab_id: str
    principal: str
    text: str


# To a repo boundary


@frozen
class AddRepo:
    """Register a repo and clone it in the background; adding it again starts a failed clone again, or takes a removal back."""

    repo_id: str
    workspace: str
    name: str
    remote: str


@frozen
class RetryRepo:
    """Start a failed clone again."""


@frozen
class RemoveRepo:
    """Let go of a repo that no live task and no open job needs; its clone goes, too, once all of its work is elsewhere."""


@frozen
class RequestJob:
    """Queue a job of a repo; an equal one that is still queued is joined, and then `job_id` is not used."""

    job_id: str
    kind: JobKind
    branch: str | None = None
    parent: str | None = None
    push: bool = False
    requested_by: str | None = None
    undo_of: str | None = None
    if_stacked: bool = False
    """Of register_existing_branch: leave the branch out where its parent is in no stack, which then is no failure."""

    @property
    def target(self) -> tuple[JobKind, str | None, str | None, bool, str | None]:
        """What is asked, as `Job.target` has it."""
        return self.kind, self.branch, self.parent, self.push, self.undo_of


@frozen
class CancelJob:
    """End a job: a queued one at once, a running one as soon as its clone is clean again.

    One that tasks wait for only by `force`, which fails them.
    """

    job_id: str
    force: bool = False

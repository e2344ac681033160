"""Task boundary: a task with its tabs, messages and turns, decided and committed together.

Owns: `step`, the only code that decides for tasks: which handler takes which input, then the policies.
Never: a call outside, a clock, or an id of its own making.
Reads as: request path, scheduler or simulation loads a Slice -> `step(slice, input, now)` -> commits the Change.

An input becomes a trigger only after `step` has matched it to the open intent that it names; what names an intent that
is not open, or an older issue of it, changes nothing. A command without a row is a Conflict; a fact without one is
ignored; a command that asks for what is under way already succeeds and changes nothing.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args

from taskdock.core import (
    inputs,
    message_commands,
    reader_commands,
    tab_commands,
    task_commands,
    task_facts,
    task_policies,
)
from taskdock.core.change import Change, Draft, Slice
from taskdock.core.errors import NotFound
from taskdock.core.intents import Figures
from taskdock.core.task_actions import available_actions
from taskdock.core.task_outcomes import outcome_reported

__all__ = ["available_actions", "step"]

_DEFAULT_FIGURES = Figures()


def step(
    slice_: Slice, input_: inputs.TaskInput, now: datetime, figures: Figures = _DEFAULT_FIGURES
) -> Change:
    """Decide what one input makes of a task; pure and total. Raises only CommandRejected, and only for commands."""
    draft = Draft(slice_, now, figures)
    if not isinstance(input_, inputs.CreateTask) and slice_.version == 0:
        if isinstance(input_, get_args(inputs.TaskCommand)):
            raise NotFound(f"There is no task {slice_.boundary!r}.")
        return draft.freeze(ignored="there is no such task")
    ignored = _HANDLERS[type(input_)](draft, input_)
    if ignored is None:
        task_policies.settle(draft)
    return draft.freeze(ignored)


_Handler = Callable[[Draft, Any], str | None]
"""Drafts what one input makes of the boundary; says why where it makes nothing of it."""

_HANDLERS: dict[type, _Handler] = {
    inputs.CreateTask: task_commands.create,
    inputs.RetryTask: task_commands.retry,
    inputs.StopTask: task_commands.stop,
    inputs.ResumeTask: task_commands.resume,
    inputs.ArchiveTask: task_commands.archive,
    inputs.UnarchiveTask: task_commands.unarchive,
    inputs.KillTask: task_commands.kill,
    inputs.RenameTask: task_commands.rename,
    inputs.SetBranch: task_commands.set_branch,
    inputs.OpenTab: tab_commands.open_tab,
    inputs.RetryTab: tab_commands.retry,
    inputs.RenameTab: tab_commands.rename,
    inputs.SetModel: tab_commands.set_model,
    inputs.CloseTab: tab_commands.close,
    inputs.SendMessage: message_commands.send,
    inputs.EditMessage: message_commands.edit,
    inputs.WithdrawMessage: message_commands.withdraw,
    inputs.ResumeQueue: message_commands.resume_queue,
    inputs.CancelTurn: message_commands.cancel_turn,
    inputs.AnswerPermission: message_commands.answer_permission,
    inputs.MarkRead: reader_commands.mark_read,
    inputs.SetDraft: reader_commands.set_draft,
    inputs.OutcomeReported: outcome_reported,
    inputs.RepoReady: task_facts.repo_ready,
    inputs.RepoFailed: task_facts.repo_failed,
    inputs.BranchAwaited: task_facts.branch_awaited,
    inputs.BranchReady: task_facts.branch_ready,
    inputs.BranchFailed: task_facts.branch_failed,
    inputs.BranchMoved: task_facts.branch_moved,
    inputs.Started: task_facts.started,
    inputs.Progressed: task_facts.progressed,
    inputs.Delivered: task_facts.delivered,
    inputs.PermissionAsked: task_facts.permission_asked,
    inputs.SessionLost: task_facts.session_lost,
    inputs.SandboxLost: task_facts.sandbox_lost,
    inputs.SandboxReaped: task_facts.sandbox_reaped,
}

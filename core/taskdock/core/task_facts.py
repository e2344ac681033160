"""Task facts: what was seen outside, and what the repo said.

Owns: the handlers of every fact but the outcome of an intent.
Never: a rejection; a fact that fits nothing any more is ignored, with the reason.
Reads as: task_boundary.step -> a handler here -> the table that it concerns.
"""

from typing import Any

from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core import tab as tabs
from taskdock.core import task as tasks
from taskdock.core.change import Draft
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, FailureClass, TurnEnd
from taskdock.core.machine import Fired, fire, must_fire
from taskdock.core.message import MESSAGE_MACHINE, TURN_MACHINE, Message, MessageCursor, TurnCursor
from taskdock.core.permission import PermissionCursor
from taskdock.core.tab import Permission, Tab, TabCursor
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import ARCHIVED, KILLED, Task
from taskdock.core.turns import end_turn, the_task


def started(draft: Draft, fact: inputs.Started) -> str | None:
    """The first outside call of an attempt follows."""
    intent = draft.matching(fact.intent_id, fact.issue)
    if isinstance(intent, str):
        return intent
    draft.mark_started(intent)
    if isinstance(intent.body, intents.EnsureName):
        fire(tasks.MACHINE, TaskCursor(draft, draft.slice.boundary), "started")
    if isinstance(intent.body, intents.CreateSandbox):
        draft.put(evolve(the_task(draft), create_began=draft.now))
    if isinstance(intent.body, intents.SendPrompt):
        fire(TURN_MACHINE, TurnCursor(draft, intent.body.tab_id, intent=intent), "begin")
    return None


def progressed(draft: Draft, fact: inputs.Progressed) -> str | None:
    """A sentence for people."""
    intent = draft.matching(fact.intent_id, fact.issue)
    task = the_task(draft)
    if isinstance(intent, str):
        return intent
    if task.step is None:
        return "no step is under way"
    progress = evolve(task.step, progress=fact.sentence, last_progress_at=draft.now)
    draft.put(evolve(task, step=progress))
    return None


def delivered(draft: Draft, fact: inputs.Delivered) -> str | None:
    """The agent has the message."""
    intent = draft.matching(fact.intent_id, fact.issue)
    if isinstance(intent, str):
        return intent
    if not isinstance(intent.body, intents.SendPrompt) or not intent.started:
        return "no prompt of this intent was started"
    if draft.find(Message, intent.body.message_id) is None:
        return "its delivery is settled already"
    fired = fire(MESSAGE_MACHINE, MessageCursor(draft, intent.body.message_id), "delivered")
    return None if fired is Fired.MOVED else "its delivery is settled already"


def permission_asked(draft: Draft, fact: inputs.PermissionAsked) -> str | None:
    """The agent asks in a turn; it is asked once, however often the agent's log is read."""
    tab = draft.find(Tab, fact.tab_id)
    if tab is None or tab.turn.at == messages.NONE or tab.turn.message_id != fact.message_id:
        return "the turn in which it was asked is over"
    if any(known.id == fact.permission_id for known in tab.turn.permissions):
        return "it is known already"
    permission = Permission(fact.permission_id, tab.id, fact.title, fact.options, draft.now)
    turn = evolve(tab.turn, permissions=(*tab.turn.permissions, permission))
    draft.put(evolve(tab, turn=turn, updated_at=draft.now))
    must_fire(permissions.MACHINE, PermissionCursor(draft, tab.id, permission.id), "ask")
    return None


def session_lost(draft: Draft, fact: inputs.SessionLost) -> str | None:
    """The agent process of a tab's session is gone."""
    tab = draft.find(Tab, fact.tab_id)
    if tab is None or (tab.generation, tab.session) != (fact.generation, fact.session):
        return "the tab has another session"
    trigger = "closing_over" if tab.at == tabs.CLOSING else "session_lost"
    failed = Failed(FailureClass.UNREACHABLE, f"The agent's process was lost too often: {fact.reason}")
    fired = fire(tabs.MACHINE, TabCursor(draft, tab.id, failed=failed), trigger)
    if tab.turn.at != messages.NONE:
        end_turn(draft, tab.id, TurnEnd.INTERRUPTED, fact.reason)
        return None
    return None if fired is Fired.MOVED else f"the tab is {tab.status.value}"


def sandbox_lost(draft: Draft, fact: inputs.SandboxLost) -> str | None:
    """Somebody found the sandbox gone or failed: the task looks for itself."""
    task = the_task(draft)
    if task.sandbox.name != fact.sandbox:
        return "the task has another sandbox"
    fired = fire(tasks.MACHINE, TaskCursor(draft, task.id, input_=fact), "sandbox_lost")
    return None if fired is Fired.MOVED else f"the task is {task.status.value}"


def sandbox_reaped(draft: Draft, fact: inputs.SandboxReaped) -> str | None:
    """The reaper is about to end a sandbox: told in the history, unless it is the one that the task has or wants."""
    task = the_task(draft)
    if task.sandbox.name == fact.sandbox and task.at not in (ARCHIVED, KILLED):
        return f"the task is {task.status.value}, and this is its sandbox"
    draft.note(HistoryKind.SANDBOX_REAPED, sandbox=fact.sandbox, reason=fact.reason)
    return None


def repo_ready(draft: Draft, fact: inputs.RepoReady) -> str | None:
    """The repo's clone is ready."""
    return _repo_answer(draft, "repo_ready", fact.ask, None)


def repo_failed(draft: Draft, fact: inputs.RepoFailed) -> str | None:
    """The repo's clone failed."""
    failed = Failed(
        FailureClass.PERMANENT, f"The repo cannot be cloned: {fact.reason}", log_tail=fact.log_tail
    )
    return _repo_answer(draft, "repo_failed", fact.ask, failed)


def branch_awaited(draft: Draft, fact: inputs.BranchAwaited) -> str | None:
    """A job of the repo registers the task's branch."""
    step = the_task(draft).step
    if step is not None and step.job_id == fact.job_id:
        return "the job is known already"
    return _repo_answer(draft, "branch_awaited", fact.ask, None, fact)


def branch_ready(draft: Draft, fact: inputs.BranchReady) -> str | None:
    """The task's branch is there."""
    return _repo_answer(draft, "branch_ready", fact.ask, None, fact)


def branch_failed(draft: Draft, fact: inputs.BranchFailed) -> str | None:
    """The job that was to register the task's branch has ended without it."""
    reason = f"The branch {the_task(draft).branch!r} cannot be worked on: {fact.reason} ({fact.job_id})"
    failed = Failed(FailureClass.PERMANENT, reason, log_tail=fact.log_tail)
    return _repo_answer(draft, "branch_failed", fact.ask, failed, fact)


def branch_moved(draft: Draft, fact: inputs.BranchMoved) -> str | None:
    """A job of the repo moved the task's branch: shown, and never forced on the sandbox, which has the task's own work."""
    task = the_task(draft)
    if task.branch != fact.branch or task.at in (ARCHIVED, KILLED):
        return "the task has not that branch any more"
    if task.moved_by == fact.job_id:
        return "it is known already"
    draft.note(HistoryKind.BRANCH_MOVED, branch=fact.branch, old=fact.old, new=fact.new, job=fact.job_id)
    draft.put(evolve(task, updated_at=draft.now, moved_by=fact.job_id, **_moved(task, fact)))
    return None


def _moved(task: Task, fact: inputs.BranchMoved) -> dict[str, Any]:
    """Where the branch stands against the task's work: away from it, or back (an undo does that)."""
    if not task.is_outside:
        # It will start from wherever the branch is by then.
        return {}
    left_at = task.moved_from if task.moved else fact.old
    if left_at is not None and fact.new == left_at:
        return {"moved": False, "moved_from": None, "moved_to": None}
    return {"moved": True, "moved_from": left_at, "moved_to": fact.new}


def _repo_answer(
    draft: Draft, trigger: str, ask: int, failed: Failed | None, fact: object = None
) -> str | None:
    task = the_task(draft)
    if task.ask != ask:
        return "it answers an older question"
    fired = fire(tasks.MACHINE, TaskCursor(draft, task.id, input_=fact, failed=failed), trigger)
    return None if fired is Fired.MOVED else "the task does not wait for its repo"

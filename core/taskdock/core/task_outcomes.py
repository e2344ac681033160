"""Task outcomes: what became of the intents of a task, its tabs and messages.

Owns: `outcome_reported`: the match with the open intent, and one handler per kind of intent.
Never: an outcome of an intent that is not open, or of an older issue; those change nothing.
Reads as: task_boundary.step -> `outcome_reported` -> a handler -> the table that it concerns.
"""

from collections.abc import Callable

from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core import tab as tabs
from taskdock.core import task as tasks
from taskdock.core.change import Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, FailureClass, Succeeded, TurnEnd
from taskdock.core.intents import Intent
from taskdock.core.machine import fire, must_fire
from taskdock.core.message import MESSAGE_MACHINE, Message, MessageCursor
from taskdock.core.permission import PermissionCursor
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import Task
from taskdock.core.triggers import trigger_of
from taskdock.core.turns import end_turn, the_task


def outcome_reported(draft: Draft, report: inputs.OutcomeReported) -> str | None:
    """Close the intent and hand its outcome to what ordered it."""
    intent = draft.matching(report.intent_id, report.issue)
    if isinstance(intent, str):
        return intent
    draft.close(intent)
    _OUTCOMES[type(intent.body)](draft, intent, report.outcome)
    return None


def _task(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> None:
    trigger, value, failed = trigger_of(outcome)
    cursor = TaskCursor(draft, draft.slice.boundary, input_=value, intent=intent, failed=failed)
    must_fire(tasks.MACHINE, cursor, trigger)


def _work(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> None:
    """A quiesced collection is a step of the task; a copy is nobody's step, so its failure stops nothing."""
    assert isinstance(intent.body, intents.CollectWork)
    trigger, value, failed = trigger_of(outcome)
    if intent.body.quiesce and isinstance(value, inputs.WorkCollected) and value.uncommitted:
        failed = Failed(
            FailureClass.PERMANENT,
            f"work_not_collected: uncommitted changes in {', '.join(value.uncommitted)}",
        )
    cursor = TaskCursor(draft, draft.slice.boundary, input_=value, intent=intent, failed=failed)
    if intent.body.quiesce:
        must_fire(tasks.MACHINE, cursor, trigger)
    elif failed is None:
        cursor.take_work()
    else:
        draft.note(
            HistoryKind.TASK_STEP_FAILED,
            step="collect_work",
            attempt=intent.attempt,
            reason=failed.reason,
            **{"class": failed.failure_class.value},
        )
        draft.order_again(intent, failed)


def _session(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> None:
    """A session that cannot be reached, but may be tried again, makes its task look at the sandbox first."""
    assert isinstance(intent.body, intents.CreateSession | intents.ResumeSession)
    trigger, value, failed = trigger_of(outcome)
    cursor = TabCursor(draft, intent.body.tab_id, input_=value, intent=intent, failed=failed)
    if cursor.may_try_again():
        _look_if_unreachable(draft, failed)
    must_fire(tabs.MACHINE, cursor, trigger)


def _look_if_unreachable(draft: Draft, failed: Failed | None) -> None:
    if failed is not None and failed.failure_class is FailureClass.UNREACHABLE:
        fire(tasks.MACHINE, TaskCursor(draft, draft.slice.boundary), "sandbox_lost")


def _prompt(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> None:
    """The end of a turn, or the proof that there was none, or neither."""
    assert isinstance(intent.body, intents.SendPrompt)
    if isinstance(outcome, Succeeded):
        assert isinstance(outcome.value, inputs.TurnEnded)
        _settle_message(draft, intent.body.message_id, "delivered", outcome.value.detail)
        end_turn(draft, intent.body.tab_id, outcome.value.end, outcome.value.detail)
        _hold(draft, intent.body.tab_id, held=outcome.value.end is not TurnEnd.COMPLETED)
    else:
        _prompt_failed(draft, intent, intent.body, outcome)


def _prompt_failed(draft: Draft, intent: Intent, body: intents.SendPrompt, outcome: Failed) -> None:
    """What is proven not to have been sent goes back; a delivery that nobody can tell costs the session."""
    tab_id, message_id = body.tab_id, body.message_id
    failure = outcome.failure_class
    may_be_sent = intent.started and failure not in (FailureClass.TRANSIENT, FailureClass.UNREACHABLE)
    was_sent = _is_delivered(draft, message_id) or (may_be_sent and failure is not FailureClass.PERMANENT)
    if not was_sent:
        trigger = "refused" if failure is FailureClass.PERMANENT else "not_sent"
        _settle_message(draft, message_id, trigger, outcome.reason)
    end = TurnEnd.FAILED if failure is FailureClass.PERMANENT else TurnEnd.INTERRUPTED
    end_turn(draft, tab_id, end, outcome.reason)
    message = draft.find(Message, message_id)
    _hold(draft, tab_id, held=message is None or message.at != messages.QUEUED)
    _look_if_unreachable(draft, outcome)
    if was_sent and failure is not FailureClass.PERMANENT:
        fire(tabs.MACHINE, TabCursor(draft, tab_id, failed=outcome), "session_lost")


def _is_delivered(draft: Draft, message_id: str) -> bool:
    """Whether the message's delivery is proven; a message that is not in the slice any more is final."""
    message = draft.find(Message, message_id)
    return message is None or message.at == messages.DELIVERED


def _hold(draft: Draft, tab_id: str, *, held: bool) -> None:
    draft.put(evolve(draft.get(Tab, tab_id), held=held))


def _settle_message(draft: Draft, message_id: str, trigger: str, reason: str) -> None:
    message = draft.find(Message, message_id)
    if message is not None and message.at == messages.SENDING:
        fire(MESSAGE_MACHINE, MessageCursor(draft, message_id, reason=reason), trigger)


def _close(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> None:
    """Any answer closes a closing tab; a failed one is tried again until the end of its sessions is known.

    Whatever the failure and however often, after the longest pause at last: an agent that nobody sees may write on. The
    release of its sandbox takes this back.
    """
    assert isinstance(intent.body, intents.CloseSession)
    fire(tabs.MACHINE, TabCursor(draft, intent.body.tab_id), "closing_over")
    if isinstance(outcome, Failed) and not draft.order_again(intent, outcome):
        later = draft.after(draft.figures.backoff_seconds_max)
        draft.order(intent.body, Place(intent.subject, intent.lane), not_before=later)


def _wake(draft: Draft, intent: Intent, _outcome: inputs.Outcome) -> None:
    """The time that something was given is over."""
    assert isinstance(intent.body, intents.Wake)
    reason, _, rest = intent.body.reason.partition(":")
    tab_id, _, detail = rest.partition(":")
    match reason:
        case "closing":
            # Its agent may go on for a while, so there may be work that no collection has seen.
            draft.put(evolve(draft.get(Task, draft.slice.boundary), work_owed=_may_owe(draft)))
            fire(tabs.MACHINE, TabCursor(draft, tab_id), "closing_over")
        case "cancelling":
            if draft.get(Tab, tab_id).turn.message_id == detail:
                failed = Failed(
                    FailureClass.UNREACHABLE, "The agent did not end its turn when it was asked to."
                )
                fire(tabs.MACHINE, TabCursor(draft, tab_id, failed=failed), "session_lost")
        case "permission":
            fire(permissions.MACHINE, PermissionCursor(draft, tab_id, detail), "cancel")
        case _:
            for tab in draft.all(Tab):
                if tab.turn.at != messages.NONE:
                    end_turn(draft, tab.id, TurnEnd.INTERRUPTED, "the turn did not end in time")


def _may_owe(draft: Draft) -> bool:
    task = the_task(draft)
    return task.work_owed or task.mark is not None


def _ask_again(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> None:
    """Its answer proves nothing; what it asked for does, when it comes."""
    if isinstance(outcome, Failed):
        draft.order_again(intent, outcome)


def _tell(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> None:
    """A question that cannot be asked at all is answered by that."""
    assert isinstance(intent.body, intents.Tell)
    task = the_task(draft)
    if not isinstance(outcome, Failed) or draft.order_again(intent, outcome):
        return
    said = intent.body.input
    if isinstance(said, inputs.AwaitReady | inputs.AwaitBranch) and said.ask == task.ask:
        fire(tasks.MACHINE, TaskCursor(draft, task.id, intent=intent, failed=outcome), "repo_failed")


_OUTCOMES: dict[type, Callable[[Draft, Intent, inputs.Outcome], None]] = {
    intents.EnsureName: _task,
    intents.CreateSandbox: _task,
    intents.ObserveSandbox: _task,
    intents.EnsureAgent: _task,
    intents.StopSandbox: _task,
    intents.DestroySandbox: _task,
    intents.CollectWork: _work,
    intents.CreateSession: _session,
    intents.ResumeSession: _session,
    intents.SendPrompt: _prompt,
    intents.CloseSession: _close,
    intents.CancelTurn: _ask_again,
    intents.AnswerPermission: _ask_again,
    intents.Tell: _tell,
    intents.Wake: _wake,
}

"""Task boundary: a task with its tabs, messages and turns, decided and committed together.

Owns: `step`, the only code that decides for tasks, and `available_actions`.
Never: a call outside, a clock, or an id of its own making.
Reads as: request path, scheduler or simulation loads a Slice -> `step(slice, input, now)` -> commits the Change.

An input becomes a trigger only after `step` has matched it to the open intent that it names; what names an intent that
is not open, or an older issue of it, changes nothing. A command without a row is a Conflict; a fact without one is
ignored; a command that asks for what is under way already succeeds and changes nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from taskdock.core import inputs, intents, task_policies
from taskdock.core import message as messages
from taskdock.core import tab as tabs
from taskdock.core import task as tasks
from taskdock.core.change import BranchHold, Change, Draft, Slice
from taskdock.core.errors import Conflict, InvariantViolated, NotFound
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, FailureClass, Succeeded, TurnEnd
from taskdock.core.intents import Figures, Intent
from taskdock.core.machine import Fired, fire, may
from taskdock.core.message import (
    MESSAGE_MACHINE,
    TURN_MACHINE,
    Message,
    MessageCursor,
    MessageText,
    TurnCursor,
)
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task import Task, TaskCursor, TaskStatus
from taskdock.core.triggers import trigger_of
from taskdock.core.values import first_line

_DEFAULT_FIGURES = Figures()
_NO_TIME = datetime.min.replace(tzinfo=UTC)
"""For drafts that only ask guards, which look at no clock."""

_UNDER_WAY = {"kill": (TaskStatus.KILLING, TaskStatus.KILLED)}
_DYING = (TaskStatus.KILLING, TaskStatus.KILLED)


def step(
    slice_: Slice, input_: inputs.TaskInput, now: datetime, figures: Figures = _DEFAULT_FIGURES
) -> Change:
    """Decide what one input makes of a task; pure and total. Raises only CommandRejected, and only for commands."""
    draft = Draft(slice_, now, figures)
    if not isinstance(input_, inputs.CreateTask) and slice_.version == 0:
        if isinstance(input_, _COMMANDS):
            raise NotFound(f"There is no task {slice_.boundary!r}.")
        return draft.freeze(ignored="there is no such task")
    ignored = _HANDLERS[type(input_)](draft, input_)
    if ignored is None:
        task_policies.settle(draft)
    return draft.freeze(ignored)


def available_actions(slice_: Slice) -> dict[str, tuple[str, ...]]:
    """What may be asked of the task and of each tab right now, by record id; the same guards as the machine's."""
    draft = Draft(slice_, _NO_TIME, _DEFAULT_FIGURES)
    task = task_policies.the_task(draft)
    actions = {task.id: _task_actions(draft, task)}
    for tab in draft.all(Tab):
        actions[tab.id] = _tab_actions(draft, task, tab)
    return actions


def _task_actions(draft: Draft, task: Task) -> tuple[str, ...]:
    cursor = TaskCursor(draft, task.id)
    fired = tuple(name for name in ("retry", "kill") if may(tasks.MACHINE, cursor, name))
    return fired if task.status in _DYING or _dies(task) else (*fired, "open_tab")


def _tab_actions(draft: Draft, task: Task, tab: Tab) -> tuple[str, ...]:
    cursor = TabCursor(draft, tab.id)
    fired = tuple(name for name in ("retry", "close") if may(tabs.MACHINE, cursor, name))
    if task.status in _DYING or _dies(task) or not tab.is_open:
        return fired
    return (*fired, "send")


def _dies(task: Task) -> bool:
    """Whether the task failed on its way to being killed."""
    return task.at in tasks.KILL_FAILED


# Commands


def _create(draft: Draft, command: inputs.CreateTask) -> str | None:
    if draft.slice.version:
        raise Conflict(f"The task {command.task_id!r} exists already.")
    draft.workspace = command.workspace
    draft.put(
        Task(
            id=command.task_id,
            workspace=command.workspace,
            owner=command.owner,
            repo_id=command.repo_id,
            provider=command.provider,
            agent=command.agent,
            first_message_id=command.message_id,
            title=command.title or first_line(command.prompt),
            title_given=command.title is not None,
            branch=command.branch,
            branch_given=command.branch is not None,
            base=command.base,
            repo_is_ready=command.repo_is_ready,
            created_at=draft.now,
            updated_at=draft.now,
        )
    )
    if command.branch is not None:
        draft.hold = BranchHold(command.repo_id, command.branch, command.task_id)
    draft.note(HistoryKind.TASK_CREATED, repo=command.repo_id, provider=command.provider, agent=command.agent)
    _must_move(fire(tasks.MACHINE, TaskCursor(draft, command.task_id), "create"), "create")
    opened = inputs.OpenTab(command.tab_id, None, command.agent, command.message_id, command.prompt)
    return _open_tab(draft, opened)


def _retry_task(draft: Draft, command: inputs.RetryTask) -> str | None:
    return _command_task(draft, "retry", command)


def _kill_task(draft: Draft, command: inputs.KillTask) -> str | None:
    return _command_task(draft, "kill", command)


def _command_task(draft: Draft, trigger: str, command: object) -> str | None:
    task = task_policies.the_task(draft)
    if fire(tasks.MACHINE, TaskCursor(draft, task.id, input_=command), trigger) is Fired.MOVED:
        return None
    if task.status in _UNDER_WAY.get(trigger, ()):
        return f"{trigger} is under way already"
    raise _conflict(draft, f"A task that is {task.status.value} cannot be asked to {trigger}.", task.id)


def _open_tab(draft: Draft, command: inputs.OpenTab) -> str | None:
    task = task_policies.the_task(draft)
    if task.status in _DYING or _dies(task):
        raise _conflict(draft, f"A task that is {task.status.value} gets no new tabs.", task.id)
    if draft.find(Tab, command.tab_id) is not None:
        raise _conflict(draft, f"The tab {command.tab_id!r} exists already.", command.tab_id)
    number = task.tabs_opened + 1
    draft.put(evolve(task, tabs_opened=number))
    draft.put(
        Tab(
            id=command.tab_id,
            task_id=task.id,
            number=number,
            name=command.name or f"Tab {number}",
            agent=command.agent or task.agent,
            opened_at=draft.now,
            updated_at=draft.now,
        )
    )
    draft.note(HistoryKind.TAB_OPENED, command.tab_id, number=number)
    _must_move(fire(tabs.MACHINE, TabCursor(draft, command.tab_id), "open"), "open")
    if command.message_id is not None and command.prompt is not None:
        _queue(draft, command.tab_id, command.message_id, command.prompt)
    return None


def _retry_tab(draft: Draft, command: inputs.RetryTab) -> str | None:
    tab = _tab(draft, command.tab_id)
    if fire(tabs.MACHINE, TabCursor(draft, tab.id, input_=command), "retry") is Fired.MOVED:
        return None
    mend = " Retry its task." if tab.at == tabs.ERROR_TASK else ""
    raise _conflict(draft, f"A tab that is {tab.status.value} cannot be asked to retry.{mend}", tab.id)


def _close_tab(draft: Draft, command: inputs.CloseTab) -> str | None:
    tab = _tab(draft, command.tab_id)
    queued = [m for m in task_policies.messages_of(draft, tab.id) if tab.turn.message_id != m.id]
    cursor = TabCursor(draft, tab.id, input_=command, messages_queued=len(queued))
    fired = fire(tabs.MACHINE, cursor, "close")
    if fired is Fired.GUARDED:
        raise _conflict(
            draft, f"{len(queued)} messages are still queued: close with force to withdraw them.", tab.id
        )
    return None if fired is Fired.MOVED else "close is under way already"


def _send(draft: Draft, command: inputs.SendMessage) -> str | None:
    task, tab = task_policies.the_task(draft), _tab(draft, command.tab_id)
    if task.status in _DYING or _dies(task) or not tab.is_open:
        raise _conflict(
            draft,
            f"A tab that is {tab.status.value} of a task that is {task.status.value} takes no messages.",
            tab.id,
        )
    _queue(draft, tab.id, command.message_id, command.text)
    draft.put(evolve(draft.get(Tab, tab.id), held=False))
    return None


def _queue(draft: Draft, tab_id: str, message_id: str, text: str) -> None:
    tab = draft.get(Tab, tab_id)
    if draft.find(Message, message_id) is not None:
        raise _conflict(draft, f"The message {message_id!r} exists already.", tab_id)
    number = tab.messages_sent + 1
    draft.put(evolve(tab, messages_sent=number))
    draft.put(MessageText(message_id, text))
    draft.put(Message(message_id, tab.task_id, tab_id, number, draft.now, draft.now))
    _must_move(fire(MESSAGE_MACHINE, MessageCursor(draft, message_id), "send"), "send")


def _tab(draft: Draft, tab_id: str) -> Tab:
    try:
        return draft.get(Tab, tab_id)
    except KeyError:
        raise NotFound(f"There is no tab {tab_id!r} in {draft.slice.boundary!r}.") from None


def _conflict(draft: Draft, sentence: str, record_id: str) -> Conflict:
    actions = available_actions(draft.slice)
    status = next(r for r in draft.slice.records if r.id == record_id)
    assert isinstance(status, Task | Tab)
    return Conflict(sentence, status=status.status.value, available_actions=actions[record_id])


# Outcomes and facts


def _outcome(draft: Draft, report: inputs.OutcomeReported) -> str | None:
    intent = draft.matching(report.intent_id, report.issue)
    if isinstance(intent, str):
        return intent
    draft.close(intent)
    return _OUTCOMES[type(intent.body)](draft, intent, report.outcome)


def _task_outcome(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> str | None:
    trigger, value, failed = trigger_of(outcome)
    cursor = TaskCursor(draft, draft.slice.boundary, input_=value, intent=intent, failed=failed)
    _must_move(fire(tasks.MACHINE, cursor, trigger), trigger)
    return None


def _work_outcome(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> str | None:
    """A quiesced collection is a step of the kill; a copy is nobody's step, so its failure stops nothing."""
    assert isinstance(intent.body, intents.CollectWork)
    trigger, value, failed = trigger_of(outcome)
    if intent.body.quiesce and isinstance(value, inputs.WorkCollected) and value.uncommitted:
        failed = Failed(
            FailureClass.PERMANENT,
            f"work_not_collected: uncommitted changes in {', '.join(value.uncommitted)}",
        )
    cursor = TaskCursor(draft, draft.slice.boundary, input_=value, intent=intent, failed=failed)
    if intent.body.quiesce:
        _must_move(fire(tasks.MACHINE, cursor, trigger), trigger)
        return None
    if failed is None:
        cursor.take_work()
        return None
    draft.note(
        HistoryKind.TASK_STEP_FAILED,
        step="collect_work",
        attempt=intent.attempt,
        reason=failed.reason,
        **{"class": failed.failure_class.value},
    )
    draft.order_again(intent, failed)
    return None


def _session_outcome(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> str | None:
    assert isinstance(intent.body, intents.CreateSession)
    trigger, value, failed = trigger_of(outcome)
    cursor = TabCursor(draft, intent.body.tab_id, input_=value, intent=intent, failed=failed)
    _must_move(fire(tabs.MACHINE, cursor, trigger), trigger)
    return None


def _prompt_outcome(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> str | None:
    """The end of a turn, or the proof that there was none, or neither."""
    assert isinstance(intent.body, intents.SendPrompt)
    tab_id, message_id = intent.body.tab_id, intent.body.message_id
    if isinstance(outcome, Succeeded):
        assert isinstance(outcome.value, inputs.TurnEnded)
        _settle_message(draft, message_id, "delivered", outcome.value.detail)
        task_policies.end_turn(draft, tab_id, outcome.value.end, outcome.value.detail)
        _hold(draft, tab_id, held=outcome.value.end is not TurnEnd.COMPLETED)
        return None
    failure = outcome.failure_class
    may_be_sent = intent.started and failure not in (FailureClass.TRANSIENT, FailureClass.UNREACHABLE)
    was_sent = _is_delivered(draft, message_id) or (may_be_sent and failure is not FailureClass.PERMANENT)
    if not was_sent:
        _settle_message(
            draft, message_id, "refused" if failure is FailureClass.PERMANENT else "not_sent", outcome.reason
        )
    end = TurnEnd.FAILED if failure is FailureClass.PERMANENT else TurnEnd.INTERRUPTED
    task_policies.end_turn(draft, tab_id, end, outcome.reason)
    message = draft.find(Message, message_id)
    _hold(draft, tab_id, held=message is None or message.at != messages.QUEUED)
    if failure not in (FailureClass.TRANSIENT, FailureClass.PERMANENT):
        fire(tabs.MACHINE, TabCursor(draft, tab_id), "session_lost")
    return None


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


def _close_outcome(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> str | None:
    """Any answer closes a closing tab; a failed one is tried again, so that a late session is ended too."""
    assert isinstance(intent.body, intents.CloseSession)
    fire(tabs.MACHINE, TabCursor(draft, intent.body.tab_id), "closing_over")
    if isinstance(outcome, Failed):
        draft.order_again(intent, outcome)
    return None


def _wake_outcome(draft: Draft, intent: Intent, _outcome: inputs.Outcome) -> str | None:
    assert isinstance(intent.body, intents.Wake)
    reason, _, tab_id = intent.body.reason.partition(":")
    if reason == "closing":
        fire(tabs.MACHINE, TabCursor(draft, tab_id), "closing_over")
        return None
    for tab in draft.all(Tab):
        if tab.turn.at != messages.NONE:
            task_policies.end_turn(draft, tab.id, TurnEnd.INTERRUPTED, "the task was killed")
    return None


def _cancel_outcome(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> str | None:
    """Its answer proves nothing; the turn's end does."""
    if isinstance(outcome, Failed):
        draft.order_again(intent, outcome)
    return None


def _tell_outcome(draft: Draft, intent: Intent, outcome: inputs.Outcome) -> str | None:
    """A question that cannot be asked at all is answered by that."""
    assert isinstance(intent.body, intents.Tell)
    task = task_policies.the_task(draft)
    if (
        isinstance(outcome, Failed)
        and not draft.order_again(intent, outcome)
        and intent.body.input.ask == task.ask
    ):
        fire(tasks.MACHINE, TaskCursor(draft, task.id, intent=intent, failed=outcome), "repo_failed")
    return None


def _started(draft: Draft, fact: inputs.Started) -> str | None:
    intent = draft.matching(fact.intent_id, fact.issue)
    if isinstance(intent, str):
        return intent
    draft.mark_started(intent)
    if isinstance(intent.body, intents.EnsureName):
        fire(tasks.MACHINE, TaskCursor(draft, draft.slice.boundary), "started")
    if isinstance(intent.body, intents.SendPrompt):
        fire(TURN_MACHINE, TurnCursor(draft, intent.body.tab_id, intent=intent), "begin")
    return None


def _progressed(draft: Draft, fact: inputs.Progressed) -> str | None:
    intent = draft.matching(fact.intent_id, fact.issue)
    task = task_policies.the_task(draft)
    if isinstance(intent, str):
        return intent
    if task.step is None:
        return "no step is under way"
    progressed = evolve(task.step, progress=fact.sentence, last_progress_at=draft.now)
    draft.put(evolve(task, step=progressed))
    return None


def _delivered(draft: Draft, fact: inputs.Delivered) -> str | None:
    intent = draft.matching(fact.intent_id, fact.issue)
    if isinstance(intent, str):
        return intent
    if not isinstance(intent.body, intents.SendPrompt) or not intent.started:
        return "no prompt of this intent was started"
    if draft.find(Message, intent.body.message_id) is None:
        return "its delivery is settled already"
    fired = fire(MESSAGE_MACHINE, MessageCursor(draft, intent.body.message_id), "delivered")
    return None if fired is Fired.MOVED else "its delivery is settled already"


def _session_lost(draft: Draft, fact: inputs.SessionLost) -> str | None:
    tab = next((tab for tab in draft.all(Tab) if tab.id == fact.tab_id), None)
    if tab is None or (tab.generation, tab.session) != (fact.generation, fact.session):
        return "the tab has another session"
    trigger = "closing_over" if tab.at == tabs.CLOSING else "session_lost"
    if fire(tabs.MACHINE, TabCursor(draft, tab.id), trigger) is Fired.MOVED:
        return None
    if tab.turn.at == messages.NONE:
        return f"the tab is {tab.status.value}"
    task_policies.end_turn(draft, tab.id, TurnEnd.INTERRUPTED, fact.reason)
    return None


def _sandbox_lost(draft: Draft, fact: inputs.SandboxLost) -> str | None:
    task = task_policies.the_task(draft)
    if task.sandbox.name != fact.sandbox:
        return "the task has another sandbox"
    failed = Failed(FailureClass.UNREACHABLE, fact.reason)
    fired = fire(tasks.MACHINE, TaskCursor(draft, task.id, failed=failed), "sandbox_lost")
    return None if fired is Fired.MOVED else f"the task is {task.status.value}"


def _repo_ready(draft: Draft, fact: inputs.RepoReady) -> str | None:
    return _repo_answer(draft, "repo_ready", fact.ask, None)


def _repo_failed(draft: Draft, fact: inputs.RepoFailed) -> str | None:
    failed = Failed(
        FailureClass.PERMANENT, f"The repo cannot be cloned: {fact.reason}", log_tail=fact.log_tail
    )
    return _repo_answer(draft, "repo_failed", fact.ask, failed)


def _repo_answer(draft: Draft, trigger: str, ask: int, failed: Failed | None) -> str | None:
    task = task_policies.the_task(draft)
    if task.ask != ask:
        return "it answers an older question"
    fired = fire(tasks.MACHINE, TaskCursor(draft, task.id, failed=failed), trigger)
    return None if fired is Fired.MOVED else "the task does not wait for its repo"


def _must_move(fired: Fired, trigger: str) -> None:
    if fired is not Fired.MOVED:
        raise InvariantViolated(f"no row took {trigger!r} ({fired.value})")


_Handler = Callable[[Draft, Any], str | None]

_HANDLERS: dict[type, _Handler] = {
    inputs.CreateTask: _create,
    inputs.RetryTask: _retry_task,
    inputs.KillTask: _kill_task,
    inputs.OpenTab: _open_tab,
    inputs.RetryTab: _retry_tab,
    inputs.CloseTab: _close_tab,
    inputs.SendMessage: _send,
    inputs.RepoReady: _repo_ready,
    inputs.RepoFailed: _repo_failed,
    inputs.OutcomeReported: _outcome,
    inputs.Started: _started,
    inputs.Progressed: _progressed,
    inputs.Delivered: _delivered,
    inputs.SessionLost: _session_lost,
    inputs.SandboxLost: _sandbox_lost,
}

_COMMANDS = (
    inputs.RetryTask,
    inputs.KillTask,
    inputs.OpenTab,
    inputs.RetryTab,
    inputs.CloseTab,
    inputs.SendMessage,
)

_OUTCOMES: dict[type, Callable[[Draft, Intent, inputs.Outcome], str | None]] = {
    intents.EnsureName: _task_outcome,
    intents.CreateSandbox: _task_outcome,
    intents.EnsureAgent: _task_outcome,
    intents.DestroySandbox: _task_outcome,
    intents.CollectWork: _work_outcome,
    intents.CreateSession: _session_outcome,
    intents.SendPrompt: _prompt_outcome,
    intents.CloseSession: _close_outcome,
    intents.CancelTurn: _cancel_outcome,
    intents.Tell: _tell_outcome,
    intents.Wake: _wake_outcome,
}

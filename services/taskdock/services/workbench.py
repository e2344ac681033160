"""Workbench: what every request needs: the store, the clock, what is offered, and the way from a command to its receipt.

Owns: `Workbench`, on which the requests about repos, tasks, tabs and messages stand, and `Offer`.
Never: a provider, an agent, git or a network; it is given none, so no request can wait for one.
Reads as: dock.py -> message_requests.py -> tab_requests.py -> task_requests.py -> repo_requests.py -> this -> Stepper.submit.
"""

from collections.abc import Sequence

import attrs
from attrs import frozen

from taskdock.core import inputs
from taskdock.core.errors import InvalidCommand, NotFound
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.clock import Clock
from taskdock.ports.store import Reads
from taskdock.services.receipts import TabReceipt, TaskReceipt
from taskdock.services.requests import Request
from taskdock.services.stepping import Decision, Stepper

DEFAULT_WORKSPACE = "default"
TabCommand = (
    inputs.CloseTab | inputs.RetryTab | inputs.RenameTab | inputs.SetModel | inputs.SendMessage | inputs.EditMessage
    | inputs.WithdrawMessage | inputs.ResumeQueue | inputs.CancelTurn | inputs.AnswerPermission | inputs.MarkRead
    | inputs.SetDraft
)  # fmt: skip
"""What may be asked of a tab that exists."""


@frozen
class Offer:
    """What this installation offers, as names only: the request path checks against it and calls none of it."""

    providers: tuple[str, ...]
    agents: tuple[str, ...]
    stack_tool: bool = False
    """Whether git-spice was found: restacks need it."""

    def provider(self, name: str | None) -> str:
        """The provider asked for, or the first; InvalidCommand for one that is not configured."""
        return _one_of("provider", name, self.providers)

    def agent(self, name: str | None) -> str:
        """The agent asked for, or the first; InvalidCommand for one that is not configured."""
        return _one_of("agent", name, self.agents)


@frozen
class Workbench:
    """Requests to one store. All methods return in milliseconds, whatever any provider does.

    `key` is a client's idempotency key: the same key with the same arguments repeats the first receipt, with other
    arguments it is `IdempotencyKeyReused`. Every method raises CommandRejected for a request that does not fit.
    """

    stepper: Stepper
    reads: Reads
    clock: Clock
    offer: Offer
    owner: str

    async def _ask_task(
        self, name: str, task_id: str, command: inputs.TaskCommand, key: str | None, workspace: str
    ) -> TaskReceipt:
        """Give one command to a task."""
        body = {"task": task_id, **attrs.asdict(command)}
        request = Request(name, TaskReceipt, workspace, key, body)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        await self._task_in(workspace, task_id)
        return await request.submit(self.stepper, self.reads, [(task_id, command)], of_task)

    async def _ask_tab(
        self, name: str, command: TabCommand, key: str | None, workspace: str, *, ignore: Sequence[str] = ()
    ) -> TabReceipt:
        """Give one command to a tab; `ignore` names what of it the client did not send."""
        body = {field: value for field, value in attrs.asdict(command).items() if field not in ignore}
        request = Request(name, TabReceipt, workspace, key, body)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        tab = await self._tab_in(workspace, command.tab_id)
        message_id = getattr(command, "message_id", None)
        return await request.submit(
            self.stepper,
            self.reads,
            [(tab.task_id, command)],
            lambda decision: of_tab(decision, tab.id, message_id),
        )

    async def _task_in(self, workspace: str, task_id: str, named: str | None = None) -> Task:
        """The task; NotFound, said of what was `named`, when the workspace has none of this id, told apart from nothing."""
        found = await self.reads.record("task", task_id)
        if found is None or not isinstance(found.record, Task) or found.record.workspace != workspace:
            raise _missing(named or f"task {task_id!r}", workspace)
        return found.record

    async def _tab_in(self, workspace: str, tab_id: str) -> Tab:
        """The tab; NotFound when the workspace has none of this id."""
        named = f"tab {tab_id!r}"
        found = await self.reads.record("tab", tab_id)
        if found is None or not isinstance(found.record, Tab):
            raise _missing(named, workspace)
        await self._task_in(workspace, found.record.task_id, named)
        return found.record


def of_task(decision: Decision) -> TaskReceipt:
    """The receipt of a task as it stands after what was decided."""
    task = decision.record(Task, decision.slice.boundary)
    return TaskReceipt(task.id, task.status.value, decision.change.version, position=0, repo_id=task.repo_id)


def of_tab(decision: Decision, tab_id: str, message_id: str | None) -> TabReceipt:
    """The receipt of a tab, and of the message that was asked about, if one was."""
    tab = decision.record(Tab, tab_id)
    return TabReceipt(
        tab.id, tab.task_id, tab.status.value, decision.change.version, position=0, message_id=message_id
    )


def _missing(named: str, workspace: str) -> NotFound:
    return NotFound(f"There is no {named} in the workspace {workspace!r}.")


def _one_of(field: str, name: str | None, known: tuple[str, ...]) -> str:
    if name is None:
        return known[0]
    if name not in known:
        raise InvalidCommand(
            f"Unknown {field} {name!r}: this installation offers {', '.join(known)}.", field=field
        )
    return name

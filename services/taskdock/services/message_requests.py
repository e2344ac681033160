"""Message requests: a tab's queue, its turn, and what the agent asks in it.

Owns: `MessageRequests`.
Never: a message sent; it is queued, and goes out when its tab can take it.
Reads as: the dock stands on this -> `Workbench._ask_tab` -> Stepper.submit.
"""

from attrs import frozen

from taskdock.core import inputs, values
from taskdock.core.errors import Conflict, NotFound
from taskdock.core.message import Message
from taskdock.services.receipts import TabReceipt
from taskdock.services.tab_requests import TabRequests
from taskdock.services.workbench import DEFAULT_WORKSPACE


@frozen
class MessageRequests(TabRequests):
    """What may be asked about messages and turns."""

    async def send(
        self, tab_id: str, text: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Queue a message; it is sent when the tab is ready and its turn is over. Lifts a held queue.

        A stopped task is resumed for it.
        """
        message_id = self.clock.new_id("message")
        command = inputs.SendMessage(tab_id, message_id, values.check_prompt(text))
        return await self._ask_tab("send", command, key, workspace, ignore=("message_id",))

    async def edit_message(
        self, message_id: str, text: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Change the text of a message that is still queued; its place in the queue stays."""
        text = values.check_prompt(text)
        message = await self._message_in(workspace, message_id)
        command = inputs.EditMessage(message.tab_id, message.id, text)
        return await self._ask_message("edit_message", command, key, workspace)

    async def withdraw_message(
        self, message_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Take a message back that is still queued."""
        message = await self._message_in(workspace, message_id)
        command = inputs.WithdrawMessage(message.tab_id, message.id)
        return await self._ask_message("withdraw_message", command, key, workspace)

    async def resume_queue(
        self, tab_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Let a held queue go on without sending anything more."""
        return await self._ask_tab("resume_queue", inputs.ResumeQueue(tab_id), key, workspace)

    async def cancel_turn(
        self, tab_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Ask the agent to end the running turn; the turn's end tells whether it did."""
        return await self._ask_tab("cancel_turn", inputs.CancelTurn(tab_id), key, workspace)

    async def answer_permission(
        self,
        tab_id: str,
        permission_id: str,
        option_id: str | None,
        *,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TabReceipt:
        """Answer what the agent asked with one of its options; None cancels the question, which allows nothing."""
        command = inputs.AnswerPermission(tab_id, permission_id, option_id)
        return await self._ask_tab("answer_permission", command, key, workspace)

    async def _ask_message(
        self,
        name: str,
        command: inputs.EditMessage | inputs.WithdrawMessage,
        key: str | None,
        workspace: str,
    ) -> TabReceipt:
        """Give one command to a message; one that is settled is no part of its boundary any more, but it is there."""
        try:
            return await self._ask_tab(name, command, key, workspace)
        except NotFound:
            status = (await self._message_in(workspace, command.message_id)).status.value
            raise Conflict(
                f"The message {command.message_id!r} is {status}: only a queued one can be changed.",
                status=status,
            ) from None

    async def _message_in(self, workspace: str, message_id: str) -> Message:
        """The message; NotFound when the workspace has none of this id."""
        named = f"message {message_id!r}"
        found = await self.reads.record("message", message_id)
        if found is None or not isinstance(found.record, Message):
            raise NotFound(f"There is no {named} in the workspace {workspace!r}.")
        await self._task_in(workspace, found.record.task_id, named)
        return found.record

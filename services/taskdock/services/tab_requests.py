"""Tab requests: open a tab, and what may be asked of one apart from its messages.

Owns: `TabRequests`.
Never: a wait for the session; it is made in the background.
Reads as: message_requests.py and the dock stand on this -> `Workbench._ask_tab` -> Stepper.submit.
"""

from attrs import frozen

from taskdock.core import inputs, values
from taskdock.core.errors import InvalidCommand
from taskdock.services.receipts import TabReceipt
from taskdock.services.requests import Request
from taskdock.services.task_requests import TaskRequests, named
from taskdock.services.workbench import DEFAULT_WORKSPACE, of_tab


@frozen
class TabRequests(TaskRequests):
    """What may be asked about tabs."""

    async def open_tab(  # noqa: PLR0913 - an opening names everything that the tab begins with
        self,
        task_id: str,
        *,
        name: str | None = None,
        agent: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TabReceipt:
        """Open one more tab at once; its session is made in the background. A stopped task is resumed for it."""
        body = {"task": task_id, "name": name, "agent": agent, "model": model, "prompt": prompt}
        request = Request("open_tab", TabReceipt, workspace, key, body)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        command = inputs.OpenTab(
            tab_id=self.clock.new_id("tab"),
            name=named(name, "name"),
            agent=None if agent is None else self.offer.agent(agent),
            message_id=None if prompt is None else self.clock.new_id("message"),
            prompt=None if prompt is None else values.check_prompt(prompt),
            model=named(model, "model"),
        )
        await self._task_in(workspace, task_id)
        return await request.submit(
            self.stepper,
            self.reads,
            [(task_id, command)],
            lambda decision: of_tab(decision, command.tab_id, command.message_id),
        )

    async def close_tab(
        self, tab_id: str, *, force: bool = False, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Close a tab; `force` withdraws messages that are still queued."""
        return await self._ask_tab("close_tab", inputs.CloseTab(tab_id, force), key, workspace)

    async def retry_tab(
        self, tab_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Open the tab's session again after it failed."""
        return await self._ask_tab("retry_tab", inputs.RetryTab(tab_id), key, workspace)

    async def rename_tab(
        self, tab_id: str, name: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Give the tab another name, in any status."""
        command = inputs.RenameTab(tab_id, values.check_title(name, field="name"))
        return await self._ask_tab("rename_tab", command, key, workspace)

    async def set_model(
        self, tab_id: str, model: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Choose the model of the tab's next prompts, in the agent's own words."""
        command = inputs.SetModel(tab_id, values.check_title(model, field="model"))
        return await self._ask_tab("set_model", command, key, workspace)

    async def mark_read(
        self,
        tab_id: str,
        principal: str,
        *,
        turns: int | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TabReceipt:
        """Remember that `principal` has read the tab up to this many ended turns; None means all that have ended by now."""
        principal = values.check_title(principal, field="principal")
        ended = (await self._tab_in(workspace, tab_id)).turns_ended
        if turns is not None and not 0 <= turns <= ended:
            raise InvalidCommand(f"turns is 0 to {ended}: so many have ended in this tab.", field="turns")
        command = inputs.MarkRead(tab_id, principal, ended if turns is None else turns)
        return await self._ask_tab(
            "mark_read", command, key, workspace, ignore=("turns",) if turns is None else ()
        )

    async def set_draft(
        self,
        tab_id: str,
        principal: str,
        text: str,
        *,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TabReceipt:
        """Keep what `principal` is writing in this tab; the last version wins, an empty text drops it."""
        command = inputs.SetDraft(
            tab_id, values.check_title(principal, field="principal"), values.check_draft(text)
        )
        return await self._ask_tab("set_draft", command, key, workspace)

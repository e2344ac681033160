"""Script: a client that gives every command there is, at random and for ever, to some twenty tasks.

Owns: `Script` and `COMMANDS`, one method for each command of a dock.
Never: a wait for what it asked; an error that is no rejection of the command (that ends the test).
Reads as: a test -> `Script.act` again and again -> Dock -> ledger.py.

Most commands are chosen among those that fit (`available_actions`), some are not: a refusal is an answer too.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from attrs import field, mutable

from e2e.ledger import Ledger
from taskdock.app import Dock, TaskView
from taskdock.core.errors import CommandRejected
from taskdock.core.tab import Tab
from taskdock.services.receipts import TabReceipt, TaskReceipt

TASKS = 20
TABS_MAX = 3
FITTING = 0.85
"""The share of commands that are meant to fit."""
READER = "ada"

PROMPTS: Mapping[str, int] = {
    "": 30, "demo: dirty": 24, "demo: echo hello": 10, "demo: ask": 30, "demo: crash": 4, "demo: hang": 6,
    "demo: error": 4, "demo: crawl 1": 6, "demo: flood 200": 3, "demo: refuse": 2, "demo: login": 2, "demo: settings": 2, "demo: logout": 5,
}  # fmt: skip
"""What agents are asked to do, and how often; the empty one commits a note."""

COMMANDS: Mapping[str, int] = {
    "create_task": 20, "open_tab": 8, "send": 60, "edit_message": 4, "withdraw_message": 3, "resume_queue": 16,
    "cancel_turn": 8, "answer_permission": 28, "set_model": 2, "rename_task": 1, "rename_tab": 1, "mark_read": 2,
    "set_draft": 2, "close_tab": 4, "stop_task": 3, "resume_task": 14, "archive_task": 2, "unarchive_task": 12,
    "retry_task": 14, "retry_tab": 10, "kill_task": 1, "set_branch": 2,
}  # fmt: skip
"""Every command of a dock but those of repos, and how often it is given."""


@mutable
class Script:
    """One client with its dice; what it does follows from them and from what it sees."""

    dock: Dock
    dice: random.Random
    remotes: Sequence[Path]
    ledger: Ledger
    _count: int = field(default=0, init=False)

    async def act(self) -> None:
        """Give one command."""
        name = self.dice.choices(list(COMMANDS), list(COMMANDS.values()))[0]
        await getattr(self, f"_{name}")()

    async def begin(self) -> None:
        """Create the first tasks."""
        for _ in range(TASKS):
            await self._create_task()

    # Words

    def _token(self) -> str:
        self._count += 1
        return f"n{self._count}"

    def _prompt(self) -> str:
        directive = self.dice.choices(list(PROMPTS), list(PROMPTS.values()))[0]
        return f"Note {self._token()}\n{directive}".rstrip()

    def _maybe(self, chance: float) -> bool:
        return self.dice.random() < chance

    # Saying it

    async def _tell(
        self, name: str, task_id: str | None, words: str, call: Awaitable[TaskReceipt | TabReceipt]
    ) -> str:
        """Give a command and write down what came of it; the class of the refusal, or ''."""
        self.ledger.asked[name] += 1
        try:
            receipt = await call
        except CommandRejected as refusal:
            self.ledger.note(f"{name} {words}: {type(refusal).__name__}: {refusal}", task_id)
            return type(refusal).__name__
        self.ledger.accepted[name] += 1
        self.ledger.note(
            f"{name} {words}: {receipt.status} v{receipt.version} at {receipt.position}", receipt.task_id
        )
        return ""

    # Whom

    async def _view(self, fits: Callable[[TaskView], bool]) -> TaskView:
        """A task that fits, or, now and then or when none is found, just any."""
        ended = sorted(self.ledger.killed)
        alive = [one for one in self.ledger.tasks if one not in self.ledger.killed]
        view = await self.dock.task(self.dice.choice(ended if ended and self._maybe(0.05) else alive))
        if self._maybe(FITTING):
            for task_id in self.dice.sample(alive, len(alive)):
                view = await self.dock.task(task_id)
                if fits(view):
                    return view
        return view

    async def _task_for(self, action: str) -> str:
        view = await self._view(lambda one: action in one.available_actions[one.task.id])
        return view.task.id

    async def _tab_for(self, action: str) -> tuple[TaskView, Tab]:
        view = await self._view(lambda one: any(action in one.available_actions[tab.id] for tab in one.tabs))
        fitting = [tab for tab in view.tabs if action in view.available_actions[tab.id]]
        return view, self.dice.choice(fitting or list(view.tabs))

    # Tasks

    async def _create_task(self) -> None:
        alive = [one for one in self.ledger.tasks if one not in self.ledger.killed]
        if len(alive) >= TASKS and self._maybe(0.95):
            return
        prompt, remote = self._prompt(), self.dice.choice(self.remotes)
        branch = self.dice.choice([None, None, None, f"own/{self._token()}", "own/first", "main"])
        self.ledger.asked["create_task"] += 1
        try:
            receipt = await self.dock.create_task(repo=str(remote), prompt=prompt, branch=branch)
        except CommandRejected as refusal:
            self.ledger.note(f"create_task {branch}: {refusal}")
            return
        assert receipt.tab_id is not None
        self.ledger.accepted["create_task"] += 1
        self.ledger.tasks.append(receipt.task_id)
        self.ledger.take(receipt.message_id, receipt.tab_id, receipt.task_id, prompt)
        self.ledger.note(
            f"create_task {branch} {prompt!r} on {remote.name}: {receipt.message_id}", receipt.task_id
        )

    async def _stop_task(self) -> None:
        task_id = await self._task_for("stop")
        await self._tell("stop_task", task_id, "", self.dock.stop_task(task_id))

    async def _resume_task(self) -> None:
        task_id = await self._task_for("resume")
        await self._tell("resume_task", task_id, "", self.dock.resume_task(task_id))

    async def _archive_task(self) -> None:
        task_id, force = await self._task_for("archive"), self._maybe(0.3)
        await self._tell(
            "archive_task", task_id, f"force={force}", self.dock.archive_task(task_id, force=force)
        )

    async def _unarchive_task(self) -> None:
        task_id = await self._task_for("unarchive")
        await self._tell("unarchive_task", task_id, "", self.dock.unarchive_task(task_id))

    async def _retry_task(self) -> None:
        task_id, discard = await self._task_for("retry"), self._maybe(0.3)
        await self._tell(
            "retry_task", task_id, f"discard={discard}", self.dock.retry_task(task_id, discard=discard)
        )

    async def _kill_task(self) -> None:
        task_id, force = await self._task_for("kill"), self._maybe(0.5)
        if (
            await self._tell(
                "kill_task", task_id, f"force={force}", self.dock.kill_task(task_id, force=force)
            )
            == ""
        ):
            self.ledger.killed.add(task_id)

    async def _rename_task(self) -> None:
        task_id = await self._task_for("rename")
        await self._tell("rename_task", task_id, "", self.dock.rename_task(task_id, f"Title {self._token()}"))

    async def _set_branch(self) -> None:
        task_id = await self._task_for("set_branch")
        branch = self.dice.choice([f"own/{self._token()}", f"own/{self._token()}", "own/first"])
        await self._tell("set_branch", task_id, branch, self.dock.set_branch(task_id, branch))

    # Tabs

    async def _open_tab(self) -> None:
        view = await self._view(lambda one: "open_tab" in one.available_actions[one.task.id])
        if sum(tab.is_open for tab in view.tabs) >= TABS_MAX:
            return
        prompt, task_id = self.dice.choice([None, self._prompt()]), view.task.id
        self.ledger.asked["open_tab"] += 1
        try:
            receipt = await self.dock.open_tab(task_id, prompt=prompt)
        except CommandRejected as refusal:
            self.ledger.note(f"open_tab: {refusal}", task_id)
            return
        self.ledger.accepted["open_tab"] += 1
        self.ledger.take(receipt.message_id, receipt.tab_id, task_id, prompt or "")
        self.ledger.note(f"open_tab {prompt!r}: {receipt.tab_id} {receipt.message_id}", task_id)

    async def _close_tab(self) -> None:
        view, tab = await self._tab_for("close")
        force = self._maybe(0.5)
        words = f"{tab.id} force={force}"
        await self._tell("close_tab", view.task.id, words, self.dock.close_tab(tab.id, force=force))

    async def _retry_tab(self) -> None:
        view, tab = await self._tab_for("retry")
        await self._tell("retry_tab", view.task.id, tab.id, self.dock.retry_tab(tab.id))

    async def _rename_tab(self) -> None:
        view, tab = await self._tab_for("rename")
        await self._tell(
            "rename_tab", view.task.id, tab.id, self.dock.rename_tab(tab.id, f"Tab {self._token()}")
        )

    async def _set_model(self) -> None:
        view, tab = await self._tab_for("set_model")
        model = self.dice.choice(["demo-quick", "demo-thorough"])
        await self._tell("set_model", view.task.id, f"{tab.id} {model}", self.dock.set_model(tab.id, model))

    async def _mark_read(self) -> None:
        view, tab = await self._tab_for("rename")
        await self._tell("mark_read", view.task.id, tab.id, self.dock.mark_read(tab.id, READER))

    async def _set_draft(self) -> None:
        view, tab = await self._tab_for("rename")
        await self._tell(
            "set_draft", view.task.id, tab.id, self.dock.set_draft(tab.id, READER, self._token())
        )

    # Messages and turns

    async def _send(self) -> None:
        view, tab = await self._tab_for("send")
        text = self._prompt()
        self.ledger.asked["send"] += 1
        try:
            receipt = await self.dock.send(tab.id, text)
        except CommandRejected as refusal:
            self.ledger.note(f"send {tab.id}: {refusal}", view.task.id)
            return
        self.ledger.accepted["send"] += 1
        self.ledger.take(receipt.message_id, tab.id, view.task.id, text)
        self.ledger.note(f"send {tab.id} {text!r}: {receipt.message_id}", view.task.id)

    def _some_message(self, view: TaskView, tab: Tab) -> str:
        queued = [message.id for message in view.queued if message.tab_id == tab.id]
        known = [one.id for one in self.ledger.messages.values() if one.tab_id == tab.id]
        return self.dice.choice(queued or known or list(self.ledger.messages))

    async def _edit_message(self) -> None:
        view, tab = await self._tab_for("edit")
        message_id, text = self._some_message(view, tab), self._prompt()
        words = f"{message_id} {text!r}"
        if (
            await self._tell("edit_message", view.task.id, words, self.dock.edit_message(message_id, text))
            == ""
        ):
            self.ledger.messages[message_id].text = text

    async def _withdraw_message(self) -> None:
        view, tab = await self._tab_for("withdraw")
        message_id = self._some_message(view, tab)
        call = self.dock.withdraw_message(message_id)
        if await self._tell("withdraw_message", view.task.id, message_id, call) == "":
            self.ledger.messages[message_id].withdrawn = True

    async def _resume_queue(self) -> None:
        view, tab = await self._tab_for("resume_queue")
        await self._tell("resume_queue", view.task.id, tab.id, self.dock.resume_queue(tab.id))

    async def _cancel_turn(self) -> None:
        view, tab = await self._tab_for("cancel_turn")
        await self._tell("cancel_turn", view.task.id, tab.id, self.dock.cancel_turn(tab.id))

    async def _answer_permission(self) -> None:
        view, tab = await self._tab_for("answer_permission")
        asked = tab.turn.permissions[-1].id if tab.turn.permissions else "none"
        option = self.dice.choice(["once", "always", "never", None])
        call = self.dock.answer_permission(tab.id, asked, option)
        await self._tell("answer_permission", view.task.id, f"{tab.id} {asked} {option}", call)

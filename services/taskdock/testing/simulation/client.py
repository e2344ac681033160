"""Client: gives commands to a dock, as a backend does for its users, and notes what it was told.

Owns: `Client` and `COMMANDS`, every command of a dock with how often it is given.
Never: an error that is no rejection passed over; a wait for what it asked.
Reads as: World.apply(act) -> `Client.give` -> Dock -> ledger.py.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from traceback import format_exception
from typing import Any

import anyio
from attrs import field, mutable

from taskdock.core.errors import CommandRejected, StoreError
from taskdock.core.job_record import JobKind
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from taskdock.services.dock import Dock, TaskView
from taskdock.testing.simulation.calls import REQUEST, Died
from taskdock.testing.simulation.code import OTHERS
from taskdock.testing.simulation.gateway import MODELS
from taskdock.testing.simulation.ledger import Ledger, Sent
from taskdock.testing.simulation.nature import PROFILES, Nature
from taskdock.testing.simulation.script import Act

COMMANDS: dict[str, int] = {
    "create_task": 10, "attach_task": 2, "open_tab": 12, "send": 30, "edit_message": 3, "withdraw_message": 3, "resume_queue": 8,
    "cancel_turn": 6, "answer_permission": 10, "set_model": 6, "rename_task": 1, "rename_tab": 1, "mark_read": 1,
    "set_draft": 1, "close_tab": 5, "stop_task": 6, "resume_task": 6, "archive_task": 6, "unarchive_task": 8,
    "retry_task": 12, "retry_tab": 16, "kill_task": 2, "set_branch": 3, "add_repo": 1, "retry_repo": 8, "remove_repo": 4,
    "request_job": 6, "undo_job": 3, "cancel_job": 3,
}  # fmt: skip
_MISFIT_EVERY = 8
"""One of so many commands goes to whom it may not fit."""
TASKS_MAX = 4
TABS_MAX = 4
TRIES_MAX = 5
JOBS_NEWEST = 4
"""Of so many jobs one is undone or ended: what is old has nothing left to show."""
READER = "ada"
REMOTES = (
    "https://git.example.org/acme/api",
    "https://git.example.org/acme/web",
    "https://git.example.org/missing/repo",
)
BRANCHES = (None, None, None, None, "own/first", "own/second", "main")
_AGAIN_EVERY = 8
"""One of so many requests for a job is an earlier one that is sent once more."""
ASKED_KINDS = tuple(kind for kind in JobKind if kind is not JobKind.UNDO)


@mutable(eq=False)
class Client:
    """One client. `dock` gives the dock to ask now: the one it had may have died."""

    nature: Nature
    dock: Callable[[], Awaitable[Dock]]
    ledger: Ledger = field(factory=Ledger)
    _asked: tuple[str, str, Callable[[Dock, str | None], Awaitable[Any]]] | None = None
    """The newest request for a job that had a key."""

    async def give(self, act: Act) -> None:
        """Give the command of an act to whom it fits, or, now and then, to whom it does not."""
        token = REQUEST.set(anyio.get_current_task().id)
        try:
            await getattr(self, act.name)(act)
        except Died:
            self.nature.tell(f"{act.name}: the process died while it was read")
        except Exception as error:  # noqa: BLE001 - told as a violation: what a client gets is a receipt or a rejection
            self.nature.broken(0, f"{act.name} came out as no answer: {''.join(format_exception(error))}")
        finally:
            REQUEST.reset(token)

    # Whom

    async def _task(self, act: Act, action: str, *, of_tab: bool = False) -> TaskView | None:
        """A task for an act: the next after its number that the action (of one of its tabs) fits, or just that one."""
        ids = self.ledger.tasks
        if not ids:
            return None
        dock = await self.dock()
        views = [await dock.task(ids[(act.task + step) % len(ids)]) for step in range(len(ids))]
        if act.how % _MISFIT_EVERY == 0:
            return views[0]
        return next((view for view in views if action in _actions(view, of_tab=of_tab)), views[0])

    async def _tab(self, act: Act, action: str) -> Tab | None:
        view = await self._task(act, action, of_tab=True)
        if view is None:
            return None
        fitting = [tab for tab in view.tabs if action in view.available_actions.get(tab.id, ())]
        tabs = fitting or list(view.tabs)
        return tabs[act.tab % len(tabs)]

    # How

    async def _ask(self, name: str, act: Act, call: Callable[[Dock, str | None], Awaitable[Any]]) -> Any:  # noqa: ANN401 - receipts of several kinds
        """Ask, and ask again with the same key when the answer is lost; None when it was refused, or not answered."""
        return await self._send(name, self._key(act), call)

    def _key(self, act: Act) -> str | None:
        """A new key; now and then a client gives none."""
        return self.nature.new_id("key") if act.how % 4 else None

    async def _send(
        self, name: str, key: str | None, call: Callable[[Dock, str | None], Awaitable[Any]]
    ) -> Any:  # noqa: ANN401 - receipts of several kinds
        for _ in range(TRIES_MAX):
            dock = await self.dock()
            try:
                receipt = await call(dock, key)
            except CommandRejected as refusal:
                self.nature.tell(f"{name}: {type(refusal).__name__}")
                self.ledger.rejected[name] = self.ledger.rejected.get(name, 0) + 1
                return None
            except (Died, StoreError) as error:
                self.nature.tell(f"{name}: no answer ({type(error).__name__})")
                if key is None:
                    break
            else:
                self.nature.tell(f"{name}: {receipt.status}")
                return receipt
        self.ledger.unanswered += 1
        return None

    def _word(self, act: Act) -> str:
        return f"{('fix', 'add', 'fix', 'drop')[act.how % 4]} thing {self.nature.new_id('prompt')}"

    # Tasks

    async def create_task(self, act: Act) -> None:
        """Create one, as long as there are few."""
        await self._create(
            "create_task",
            act,
            repo=REMOTES[0] if act.task % 8 else REMOTES[1 + act.tab % 2],
            branch=BRANCHES[act.tab % len(BRANCHES)],
        )

    async def attach_task(self, act: Act) -> None:
        """Create one on a branch that is there, most of the time: of people, of another task, or the trunk, which nobody works on."""
        branches = [*OTHERS, *(view.task.branch for view in await self._views()), *BRANCHES]
        names = [name for name in branches if name is not None]
        await self._create("attach_task", act, repo=REMOTES[0], on_branch=names[act.tab % len(names)])

    async def _create(
        self, name: str, act: Act, repo: str, branch: str | None = None, on_branch: str | None = None
    ) -> None:
        if len(self.ledger.tasks) - len(self.ledger.killed) >= TASKS_MAX:
            return
        prompt = self._word(act)
        provider = PROFILES[act.task % len(PROFILES)].id
        receipt = await self._ask(
            name,
            act,
            lambda dock, key: dock.create_task(
                prompt=prompt, repo=repo, branch=branch, on_branch=on_branch, provider=provider, key=key
            ),
        )
        if receipt is not None:
            self.ledger.tasks.append(receipt.task_id)
            self._sent(receipt.message_id, receipt.task_id, receipt.tab_id, prompt)

    async def _of_task(
        self, act: Act, action: str, call: Callable[[Dock, str, str | None], Awaitable[Any]]
    ) -> str | None:
        """Give a command to a task; its id when it was taken."""
        view = await self._task(act, action)
        if view is None:
            return None
        receipt = await self._ask(action, act, lambda dock, key: call(dock, view.task.id, key))
        return None if receipt is None else view.task.id

    async def stop_task(self, act: Act) -> None:
        """Stop one."""
        await self._of_task(act, "stop", lambda dock, task, key: dock.stop_task(task, key=key))

    async def resume_task(self, act: Act) -> None:
        """Let one go on."""
        await self._of_task(act, "resume", lambda dock, task, key: dock.resume_task(task, key=key))

    async def archive_task(self, act: Act) -> None:
        """Put one away, now and then by force."""
        force = act.tab % 4 == 0
        await self._of_task(
            act, "archive", lambda dock, task, key: dock.archive_task(task, force=force, key=key)
        )

    async def unarchive_task(self, act: Act) -> None:
        """Bring one back."""
        await self._of_task(act, "unarchive", lambda dock, task, key: dock.unarchive_task(task, key=key))

    async def kill_task(self, act: Act) -> None:
        """End one."""
        force = act.tab % 2 == 0
        killed = await self._of_task(
            act, "kill", lambda dock, task, key: dock.kill_task(task, force=force, key=key)
        )
        if killed is not None:
            self.ledger.killed.add(killed)

    async def retry_task(self, act: Act) -> None:
        """Let one try again, now and then giving up work."""
        discard = act.tab % 4 == 0
        await self._of_task(
            act, "retry", lambda dock, task, key: dock.retry_task(task, discard=discard, key=key)
        )

    async def rename_task(self, act: Act) -> None:
        """Give it a title."""
        title = self._word(act)
        await self._of_task(act, "rename", lambda dock, task, key: dock.rename_task(task, title, key=key))

    async def set_branch(self, act: Act) -> None:
        """Give it a branch."""
        branch = BRANCHES[act.tab % len(BRANCHES)] or f"own/{self.nature.new_id('branch')}"
        await self._of_task(act, "set_branch", lambda dock, task, key: dock.set_branch(task, branch, key=key))

    # Repos

    async def add_repo(self, act: Act) -> None:
        """Register one."""
        remote = REMOTES[act.tab % len(REMOTES)]
        await self._ask("add_repo", act, lambda dock, key: dock.add_repo(remote, key=key))

    async def retry_repo(self, act: Act) -> None:
        """Clone one again."""
        remote = REMOTES[-1 if act.how % 2 else act.tab % len(REMOTES)]
        await self._ask("retry_repo", act, lambda dock, key: dock.retry_repo(remote, key=key))

    async def remove_repo(self, act: Act) -> None:
        """Let go of one."""
        remote = REMOTES[act.tab % len(REMOTES)]
        await self._ask("remove_repo", act, lambda dock, key: dock.remove_repo(remote, key=key))

    # Jobs

    async def request_job(self, act: Act) -> None:
        """Ask for a job of a repo, about a branch that is there, most of the time; or send what was asked once more."""
        if act.how % _AGAIN_EVERY == _AGAIN_EVERY - 1 and self._asked is not None:
            await self._ask_job(*self._asked)
            return
        kind = ASKED_KINDS[act.task % len(ASKED_KINDS)]
        names = [name for name in BRANCHES[:-2] if name is not None]
        names += [view.task.branch for view in await self._views() if view.task.branch is not None]
        names += OTHERS
        branch = (
            None if kind in (JobKind.SYNC_REPO, JobKind.RESTACK_REPO) else names[-1 - act.tab % len(names)]
        )
        parent = "main" if kind is JobKind.REPARENT_BRANCH else None
        remote = REMOTES[0 if act.how % _MISFIT_EVERY else act.tab % len(REMOTES)]
        await self._job_asked(
            "request_job",
            act,
            lambda dock, by, key: dock.request_job(
                remote, kind, branch=branch, parent=parent, push=act.how % 5 == 0, requested_by=by, key=key
            ),
        )

    async def undo_job(self, act: Act) -> None:
        """Put back what one moved."""
        job_id = self._job(act)
        if job_id is not None:
            await self._job_asked(
                "undo_job",
                act,
                lambda dock, by, key: dock.undo_job(job_id, push=act.how % 3 == 0, requested_by=by, key=key),
            )

    async def cancel_job(self, act: Act) -> None:
        """End one."""
        job_id = self._job(act)
        if job_id is None:
            return
        receipt = await self._ask("cancel_job", act, lambda dock, key: dock.cancel_job(job_id, key=key))
        if receipt is not None:
            self.ledger.cancelled_jobs.add(receipt.job_id)

    async def _job_asked(
        self, name: str, act: Act, call: Callable[[Dock, str, str | None], Awaitable[Any]]
    ) -> None:
        """Ask for a job; `requested_by` names the request, however often it is sent."""
        key, by = self._key(act), self.nature.new_id("request")
        ask = partial(_with_request, call, by)
        if key is not None:
            self._asked = (name, key, ask)
        await self._ask_job(name, key, ask)

    async def _ask_job(
        self, name: str, key: str | None, call: Callable[[Dock, str | None], Awaitable[Any]]
    ) -> None:
        receipt = await self._send(name, key, call)
        if receipt is not None and receipt.job_id not in self.ledger.jobs:
            self.ledger.jobs.append(receipt.job_id)

    def _job(self, act: Act) -> str | None:
        """One of the newest jobs that were accepted."""
        jobs = self.ledger.jobs[-JOBS_NEWEST:]
        return jobs[-1 - act.tab % len(jobs)] if jobs else None

    async def _views(self) -> list[TaskView]:
        dock = await self.dock()
        return [await dock.task(task_id) for task_id in self.ledger.tasks]

    # Tabs

    async def open_tab(self, act: Act) -> None:
        """Open one, with a message or without."""
        view = await self._task(act, "open_tab")
        if view is None or sum(tab.is_open for tab in view.tabs) >= TABS_MAX:
            return
        prompt = self._word(act) if act.tab % 2 else None
        task_id = view.task.id
        receipt = await self._ask(
            "open_tab", act, lambda dock, key: dock.open_tab(task_id, prompt=prompt, key=key)
        )
        if receipt is not None and receipt.message_id is not None:
            self._sent(receipt.message_id, task_id, receipt.tab_id, prompt or "")

    async def _of_tab(
        self, act: Act, action: str, call: Callable[[Dock, Tab, str | None], Awaitable[Any]]
    ) -> Any:  # noqa: ANN401 - receipts of several kinds
        """Give a command to a tab; its receipt when it was taken."""
        tab = await self._tab(act, action)
        if tab is None:
            return None
        return await self._ask(action, act, lambda dock, key: call(dock, tab, key))

    async def close_tab(self, act: Act) -> None:
        """Close one."""
        force = act.how % 2 == 0

        def close(dock: Dock, tab: Tab, key: str | None) -> Awaitable[Any]:
            self.ledger.closed.add(tab.id)
            if force:
                self.ledger.given_up.add(tab.id)
            return dock.close_tab(tab.id, force=force, key=key)

        await self._of_tab(act, "close", close)

    async def retry_tab(self, act: Act) -> None:
        """Open its session again."""
        await self._of_tab(act, "retry", lambda dock, tab, key: dock.retry_tab(tab.id, key=key))

    async def rename_tab(self, act: Act) -> None:
        """Give it a name."""
        name = self._word(act)
        await self._of_tab(act, "rename", lambda dock, tab, key: dock.rename_tab(tab.id, name, key=key))

    async def set_model(self, act: Act) -> None:
        """Choose a model; one of them does not exist."""
        model = (*MODELS, *MODELS, "none")[act.tab % 5]
        await self._of_tab(act, "set_model", lambda dock, tab, key: dock.set_model(tab.id, model, key=key))

    async def mark_read(self, act: Act) -> None:
        """Have read it."""
        await self._of_tab(act, "rename", lambda dock, tab, key: dock.mark_read(tab.id, READER, key=key))

    async def set_draft(self, act: Act) -> None:
        """Write something."""
        text = self._word(act) if act.tab % 2 else ""
        await self._of_tab(
            act, "rename", lambda dock, tab, key: dock.set_draft(tab.id, READER, text, key=key)
        )

    # Messages

    async def send(self, act: Act) -> None:
        """Send one."""
        text = self._word(act)
        tab = await self._tab(act, "send")
        if tab is None:
            return
        with self._lifting(tab.id):
            receipt = await self._ask("send", act, lambda dock, key: dock.send(tab.id, text, key=key))
        if receipt is not None:
            self._sent(receipt.message_id, tab.task_id, tab.id, text)

    async def _message(self, act: Act, action: str) -> Message | None:
        tab = await self._tab(act, action)
        if tab is None:
            return None
        messages = await (await self.dock()).messages(tab.id)
        return messages[-1 - act.how % len(messages)] if messages else None

    async def edit_message(self, act: Act) -> None:
        """Change one that still waits."""
        text = self._word(act)
        message = await self._message(act, "edit")
        if message is None:
            return
        unanswered = self.ledger.unanswered
        receipt = await self._ask(
            "edit_message", act, lambda dock, key: dock.edit_message(message.id, text, key=key)
        )
        sent = self.ledger.messages.get(message.id)
        if sent is not None and receipt is not None:
            sent.text, sent.may_be = text, set()
        elif sent is not None and self.ledger.unanswered > unanswered:
            sent.may_be.add(text)

    async def withdraw_message(self, act: Act) -> None:
        """Take one back that still waits."""
        message = await self._message(act, "withdraw")
        if message is None:
            return
        self.ledger.given_up.add(message.id)
        receipt = await self._ask(
            "withdraw_message", act, lambda dock, key: dock.withdraw_message(message.id, key=key)
        )
        if receipt is not None and message.id in self.ledger.messages:
            self.ledger.messages[message.id].withdrawn = True

    async def resume_queue(self, act: Act) -> None:
        """Let a held queue go on."""

        async def resume(dock: Dock, tab: Tab, key: str | None) -> object:
            with self._lifting(tab.id):
                return await dock.resume_queue(tab.id, key=key)

        await self._of_tab(act, "resume_queue", resume)

    async def cancel_turn(self, act: Act) -> None:
        """End a turn."""
        await self._of_tab(act, "cancel_turn", lambda dock, tab, key: dock.cancel_turn(tab.id, key=key))

    async def answer_permission(self, act: Act) -> None:
        """Answer what an agent asks."""
        option = ("once", "never", None)[act.how % 3]

        def answer(dock: Dock, tab: Tab, key: str | None) -> Awaitable[Any]:
            asked = tab.turn.permissions[-1].id if tab.turn.permissions else "none"
            return dock.answer_permission(tab.id, asked, option, key=key)

        await self._of_tab(act, "answer_permission", answer)

    @contextmanager
    def _lifting(self, tab_id: str) -> Iterator[None]:
        """The queue may go on from any moment in this block on, also where nobody answers."""
        self.ledger.lifted[tab_id] = self.nature.moment()
        try:
            yield
        finally:
            self.ledger.lifted[tab_id] = self.nature.moment()

    def _sent(self, message_id: str, task_id: str, tab_id: str, text: str) -> None:
        self.ledger.messages[message_id] = Sent(message_id, task_id, tab_id, text)


def _with_request(
    call: Callable[[Dock, str, str | None], Awaitable[Any]], by: str, dock: Dock, key: str | None
) -> Awaitable[Any]:
    """The call with the name of its request."""
    return call(dock, by, key)


def _actions(view: TaskView, *, of_tab: bool) -> set[str]:
    """Everything that fits the task, or one of its tabs."""
    owners = [tab.id for tab in view.tabs] if of_tab else [view.task.id]
    return {action for owner in owners for action in view.available_actions.get(owner, ())}

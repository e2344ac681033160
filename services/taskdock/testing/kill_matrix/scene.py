"""Scene: one task on one installation, as the one who drives it knows it: what was asked, what was accepted, what was seen.

Owns: `Scene`, its waits, and the agents' log kept beyond the end of their sandboxes.
Never: a look at what a provider keeps; only ports, dock and the agent's own log.
Reads as: journeys.py and trial.py -> this -> Dock, fresh adapters.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from attrs import field, mutable

from taskdock.adapters.entry.cli.demo_repo import NAME, git
from taskdock.app import Dock, TaskView
from taskdock.core import task_record as at
from taskdock.core.errors import Permanent, PortError, Unreachable
from taskdock.core.job_record import JobKind
from taskdock.core.tab import Tab
from taskdock.ports.sandbox import Phase, ProgramFile, SandboxRef
from taskdock.services.receipts import TabReceipt, TaskReceipt
from taskdock.services.sandboxes import mark_of, ref_of
from taskdock.services.sites import Site
from taskdock.services.tools import Outside
from taskdock.testing.kill_matrix.process import NotSeen, ServingProcess

LOG_PATH = ".taskdock/demo-agent.jsonl"
"""Where the agent `demo` writes down each prompt before anything else happens."""

MARK_PATH = ".taskdock/kill-matrix"

RESTING = (at.RUNNING, at.STOPPED, at.ARCHIVED, at.KILLED)
RESTING_TABS = ("ready", "error/task", "error/session", "closed")
WAITING_TABS = (*RESTING_TABS, "pending_provision")
"""Also of a task that is not up."""

_LOOK_SECONDS = 0.25
"""A commit that changes no record has no place in the feed, so nobody is woken for it."""


@mutable(eq=False)
class Scene:
    """One task under test. `outside` are fresh adapters, which the serving process knows nothing of."""

    dock: Dock
    process: ServingProcess
    outside: Outside
    remote: Path
    task_id: str = ""
    tab_id: str = ""
    """The first tab."""
    accepted: list[str] = field(factory=list)
    """The ids of all messages that were accepted."""
    log: dict[str, list[dict[str, Any]]] = field(factory=dict)
    """By sandbox, or by each that was made under one name: what its agents wrote down of prompts."""
    jobs: list[str] = field(factory=list)
    """The ids of all repo jobs that were accepted."""
    ended_jobs: set[str] = field(factory=set)
    """Those of them whose end was asked for."""
    marked: SandboxRef | None = None
    """The sandbox in which a file of ours was left last."""

    # What is asked

    async def create(self, prompt: str) -> None:
        """Create the task."""
        receipt = await self.dock.create_task(repo=str(self.remote), prompt=prompt)
        self.task_id, self.tab_id = receipt.task_id, receipt.tab_id or ""
        self._note(receipt)

    async def send(self, text: str) -> None:
        """Send a message to the first tab."""
        self._note(await self.dock.send(self.tab_id, text))

    def _note(self, receipt: TaskReceipt | TabReceipt) -> None:
        if receipt.message_id is not None:
            self.accepted.append(receipt.message_id)

    async def ask_job(self, kind: JobKind, branch: str | None = None) -> None:
        """Ask for a job of the task's repo."""
        receipt = await self.dock.request_job(str(self.remote), kind, branch=branch)
        self.jobs.append(receipt.job_id)

    async def end_job(self) -> None:
        """Ask for the end of the newest job."""
        await self.dock.cancel_job(self.jobs[-1])
        self.ended_jobs.add(self.jobs[-1])

    async def own_remote(self) -> None:
        """Have a remote that no other trial has: what is pushed there is nobody else's trunk."""
        copy = self.process.installation.home.parent / f"{NAME}.git"
        self.remote = Path(await to_thread.run_sync(shutil.copytree, self.remote, copy))

    async def advance_trunk(self) -> None:
        """Trunk moves on the remote."""
        words = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit-tree", "-p", "main")
        commit = (await git(self.remote, *words, "-m", "Trunk moves", "main^{tree}")).strip()
        await git(self.remote, "update-ref", "refs/heads/main", commit)

    # What is waited for

    async def view(self) -> TaskView:
        """The task as it is."""
        return await self.dock.task(self.task_id)

    async def see(self, wanted: Callable[[TaskView], bool], what: str) -> TaskView:
        """Wait until the task is as wanted."""
        with anyio.move_on_after(self.process.patience.seconds_max):
            while True:
                view = await self.view()
                if wanted(view):
                    return view
                await self._something()
        raise NotSeen(await self._never(what))

    async def rest(self, wanted: Callable[[TaskView], bool], what: str) -> TaskView:
        """Wait until nothing of the task is left to happen and it is as wanted, or it needs a person."""
        with anyio.move_on_after(self.process.patience.seconds_max):
            while True:
                view = await self.view()
                if rests(view) and not await self.open_intents():
                    is_same = (await self.view()).version == view.version
                    if is_same and (wanted(view) or has_failed(view)):
                        return view
                await self._something()
        raise NotSeen(await self._never(what))

    async def open_intents(self) -> Sequence[str]:
        """The kinds of intents of the task and its repo that are still to be carried out."""
        view = await self.view()
        slices = [await self.dock.store.load(one) for one in (self.task_id, view.task.repo_id)]
        return [type(intent.body).__name__ for slice_ in slices for intent in slice_.intents]

    async def _something(self) -> None:
        """Wait for the next commit, not long."""
        if self.process.has_ended:
            raise NotSeen(f"the process ended by itself{self.process.log_tail()}")
        with anyio.move_on_after(_LOOK_SECONDS):
            await self.dock.hub.beyond(self.dock.hub.position)

    async def _never(self, what: str) -> str:
        view = await self.view()
        tabs = ", ".join(f"{tab.name} {tab.at}, turn {tab.turn.at}" for tab in view.tabs)
        intents = ", ".join(await self.open_intents()) or "none"
        return (
            f"{what} was not seen within {self.process.patience.seconds_max:g} s: the task is {view.task.at},"
            f" its tabs are {tabs}, its open intents {intents}{self.process.log_tail()}"
        )

    # What is looked at

    def site(self, provider: str) -> Site:
        """Fresh adapters of the provider."""
        return self.outside.sites.by_provider[provider]

    async def keep_log(self) -> None:
        """Remember what the agents of the task's sandbox have written down, as long as it can be read."""
        if not self.task_id:
            return
        task = (await self.view()).task
        site, ref = self.site(task.provider), ref_of(task.sandbox)
        seen = await site.provider.observe(ref)
        if seen.phase is not Phase.RUNNING:
            return
        try:
            content = await site.access.get_file(ref, LOG_PATH)
        except (Permanent, Unreachable):
            return  # no agent there has seen a prompt, or it was stopped meanwhile
        self.log[f"{ref.name} {mark_of(seen)}"] = [json.loads(line) for line in content.splitlines()]

    async def leave_mark(self) -> None:
        """Leave a file in the task's sandbox if it runs; as long as there is a sandbox of that name, it is there."""
        if not self.task_id:
            return
        task = (await self.view()).task
        site, ref = self.site(task.provider), ref_of(task.sandbox)
        if (await site.provider.observe(ref)).phase is Phase.RUNNING:
            await site.access.put_files(ref, [ProgramFile(MARK_PATH, content=ref.name.encode())])
            self.marked = ref

    async def has_mark(self) -> bool | None:
        """Whether the file is still there; None where none was left, or its sandbox does not run."""
        task = (await self.view()).task
        site, ref = self.site(task.provider), ref_of(task.sandbox)
        if ref != self.marked or (await site.provider.observe(ref)).phase is not Phase.RUNNING:
            return None
        try:
            return await site.access.get_file(ref, MARK_PATH) == ref.name.encode()
        except Permanent:
            return False

    async def lose_sandbox(self) -> None:
        """Take the sandbox away behind the back of all."""
        task = (await self.view()).task
        provider, ref = self.site(task.provider).provider, ref_of(task.sandbox)
        await provider.destroy(ref, task.owner)
        await self.absent(task.provider, ref)

    async def absent(self, provider: str, ref: SandboxRef) -> None:
        """Wait until the provider says that it is gone."""
        with anyio.move_on_after(self.process.patience.seconds_max):
            while True:
                seen = await self.site(provider).provider.observe(ref)
                if seen.phase is Phase.ABSENT:
                    return
                await anyio.sleep(seen.retry_after_seconds or _LOOK_SECONDS)
        raise NotSeen(
            f"{ref.name} was not absent within {self.process.patience.seconds_max:g} s of its destroy"
        )


def rests(view: TaskView) -> bool:
    """Whether all that belongs to the task is where it may stay."""
    task = view.task
    if task.at not in RESTING and task.failure is None:
        return False
    may_be = RESTING_TABS if task.at == at.RUNNING else WAITING_TABS
    if any(tab.at not in may_be or tab.turn.at != "none" for tab in view.tabs):
        return False
    return task.at != at.RUNNING or not any(_goes_on(view, tab) for tab in view.tabs)


def has_failed(view: TaskView) -> bool:
    """Whether it waits for a person to retry something."""
    return view.task.failure is not None or any(tab.failure is not None for tab in view.tabs)


def _goes_on(view: TaskView, tab: Tab) -> bool:
    """Whether a message waits that can be sent now."""
    return tab.at == "ready" and not tab.held and any(one.tab_id == tab.id for one in view.queued)


async def owned(outside: Outside, provider: str, owner: str) -> list[SandboxRef]:
    """What a provider lists as this owner's; none where it cannot be asked."""
    try:
        return [one.ref async for one in outside.sites.by_provider[provider].provider.list_owned(owner)]
    except PortError:
        return []

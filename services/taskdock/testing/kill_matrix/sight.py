"""Sight: everything that can be seen of a trial at one moment, by fresh adapters, the store and the agents' own log.

Owns: `Sight`, `Boxes`, `look`.
Never: a judgement; a look that changes anything.
Reads as: trial.py, while the task rests -> `look` -> judge.py.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from attrs import frozen

from taskdock.app import TaskView
from taskdock.core.errors import Unreachable
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.core.values import sandbox_name
from taskdock.ports.agent import Conversation
from taskdock.ports.sandbox import Exec, Observation, Phase, SandboxRef
from taskdock.ports.store import FeedEntry, StoredEvent
from taskdock.services.links import SERVICE
from taskdock.services.sandboxes import ref_of
from taskdock.testing.kill_matrix.scene import Scene

_PAGE = 500
_LIST_PAUSE_SECONDS = 0.2
_COMMITTED = re.compile(r"committed it as (\w+)")
"""What the agent `demo` says after each piece of work."""


@frozen
class Boxes:
    """The sandboxes of the task, asked for by name and as a list."""

    observed: Mapping[str, Observation]
    """By the name of each generation so far."""
    listed: Sequence[Observation]
    keeps_files: bool
    """Whether its provider keeps the files of a stopped one."""

    @property
    def there(self) -> dict[str, Observation]:
        """Those that are not absent, by name."""
        return {name: one for name, one in self.observed.items() if one.phase is not Phase.ABSENT}


@frozen
class Kept:
    """Where the task's work is."""

    told: str | None
    """The last commit that the agent told of, as it wrote it."""
    branch_head: str | None
    known: Sequence[str]
    checkout_head: str | None
    """What is checked out in the running sandbox; None where none runs."""


@frozen
class Sight:
    """What was seen."""

    view: TaskView
    boxes: Boxes
    has_mark: bool | None
    """Whether a file that was left in the sandbox is still there; None where that says nothing."""
    serves: bool
    """Whether the agent's server runs in the sandbox of the current generation."""
    sessions: Mapping[str, Sequence[int]]
    """By tab: the numbers of its sessions that exist there."""
    messages: Sequence[Message]
    accepted: Sequence[str]
    """The ids of all messages that were accepted."""
    prompts: Sequence[str]
    """The ids of the messages that agents wrote down, as often as they did."""
    kept: Kept
    jobs: Sequence[Job]
    """Every repo job that was asked for."""
    ended_jobs: Collection[str]
    """Those whose end was asked for."""
    heads: Mapping[str, str]
    """The branches of the service clone."""
    disorder: Sequence[str]
    """What a git that was killed has left in it."""
    history: Sequence[StoredEvent]
    feed: Sequence[FeedEntry]
    versions: Mapping[tuple[str, str], int]
    """By kind and id: the version of each record that the feed tells of."""


async def look(scene: Scene) -> Sight:
    """Look at all of it; nothing may be under way."""
    await scene.keep_log()
    view = await scene.view()
    boxes = await _boxes(scene, view.task)
    serves, sessions = await _sessions(scene, view)
    feed = await _feed(scene)
    return Sight(
        view=view,
        boxes=boxes,
        has_mark=await scene.has_mark(),
        serves=serves,
        sessions=sessions,
        messages=[one for tab in view.tabs for one in await scene.dock.messages(tab.id)],
        accepted=scene.accepted,
        prompts=[entry["request"] for entries in scene.log.values() for entry in entries],
        kept=await _kept(scene, view.task, boxes),
        jobs=[await scene.dock.job(job_id) for job_id in scene.jobs],
        ended_jobs=scene.ended_jobs,
        heads=await scene.outside.clones.branch_heads(view.task.repo_id),
        disorder=await to_thread.run_sync(_disorder, scene.outside.clones.path(view.task.repo_id) / ".git"),
        history=await _history(scene),
        feed=feed,
        versions=await _versions(scene, feed),
    )


async def _boxes(scene: Scene, task: Task) -> Boxes:
    """Each generation by name, then the list, which may lag for as long as it is said to."""
    provider = scene.site(task.provider).provider
    names = [sandbox_name(task.owner, task.id, number) for number in range(1, task.generation + 1)]
    keeps_files = provider.capabilities.stop_keeps_files
    deadline = anyio.current_time() + scene.process.patience.list_seconds
    while True:
        observed = {name: await provider.observe(SandboxRef(task.provider, name)) for name in names}
        boxes = Boxes(observed, [one async for one in provider.list_owned(task.owner)], keeps_files)
        if boxes.there.keys() == {one.ref.name for one in boxes.listed} or anyio.current_time() >= deadline:
            return boxes
        await anyio.sleep(_LIST_PAUSE_SECONDS)


async def _sessions(scene: Scene, view: TaskView) -> tuple[bool, dict[str, list[int]]]:
    """Try to attach to each session that a tab has had in this generation."""
    access, gateway = scene.site(view.task.provider).access, scene.outside.gateway
    found: dict[str, list[int]] = {tab.id: [] for tab in view.tabs}
    try:
        endpoint = await access.endpoint(ref_of(view.task.sandbox), SERVICE)
    except Unreachable:
        return False, found
    for tab in view.tabs:
        for conversation in _conversations(view.task, tab):
            try:
                async with gateway.attach(endpoint, conversation):
                    found[tab.id].append(conversation.session)
            except Unreachable:
                continue
    return True, found


def _conversations(task: Task, tab: Tab) -> list[Conversation]:
    if tab.generation != task.generation:
        return []
    return [Conversation(tab.id, tab.generation, tab.agent, number) for number in range(1, tab.session + 1)]


async def _kept(scene: Scene, task: Task, boxes: Boxes) -> Kept:
    clones = scene.outside.clones
    heads = await clones.branch_heads(task.repo_id)
    known = await clones.known_heads(task.repo_id, task.id)
    told = _COMMITTED.findall(await _words(scene))
    current = boxes.there.get(task.sandbox.name)
    head = None
    if current is not None and current.phase is Phase.RUNNING:
        command = Exec(("git", "rev-parse", "HEAD"), cwd="checkout")
        done = await scene.site(task.provider).access.exec(current.ref, command)
        head = done.stdout.decode().strip() or done.stderr.decode(errors="replace").strip()
    return Kept(told[-1] if told else None, heads.get(task.branch or ""), known, head)


def _disorder(git_dir: Path) -> list[str]:
    left = [path.name for path in git_dir.rglob("*.lock")]
    return left + [
        name for name in ("rebase-merge", "rebase-apply", "MERGE_HEAD") if (git_dir / name).exists()
    ]


async def _words(scene: Scene) -> str:
    """What the agent of the first tab has said, what came between two words as a line's end."""
    words: list[str] = []
    after = 0
    while page := await scene.dock.transcript(scene.tab_id, after=after, limit=_PAGE):
        after = page[-1].position
        words += [str(item.body.get("text", "")) if item.kind == "text" else "\n" for item in page]
    return "".join(words)


async def _history(scene: Scene) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    while page := await scene.dock.history(
        scene.task_id, after=found[-1].number if found else 0, limit=_PAGE
    ):
        found += page
    return found


async def _feed(scene: Scene) -> list[FeedEntry]:
    """All of it that concerns the task."""
    found: list[FeedEntry] = []
    after = 0
    while page := await scene.dock.reads.feed(after, limit=_PAGE):
        after = page[-1].position
        found += page
    return [entry for entry in found if entry.boundary == scene.task_id]


async def _versions(scene: Scene, feed: Sequence[FeedEntry]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for kind, record_id in {
        (entry.kind, entry.id) for entry in feed if entry.kind in ("task", "tab", "message")
    }:
        stored: Any = await scene.dock.reads.record(kind, record_id)
        found[kind, record_id] = 0 if stored is None else stored.version
    return found

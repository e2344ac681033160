"""Kept store: a store as this version of Taskdock writes it, kept for every later version to open.

Owns: tests/stores/<version>.db, and the lives that the tasks in it have led so far.
Never: a change to a store that is kept; a new version of the schema or of a document gets a new one.
Reads as: `.venv/bin/python tools/keep_store.py` -> the real request path, core and SQLite store -> one file.

No adapter of the outside runs: what became of an intent is said by `VALUES`. The claims are left as a process leaves them
that was killed: running, some cancelled. `tests/integration/test_kept_stores.py` opens each file.
"""

import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
from attrs import field, mutable

from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core import inputs, intents
from taskdock.core.inputs import Failed, FailureClass, Outcome, OutcomeReported, Succeeded, Value
from taskdock.core.intents import Body, Figures, Intent
from taskdock.core.job_record import JobResult
from taskdock.ports.store import NewItem
from taskdock.services.message_requests import MessageRequests
from taskdock.services.stepping import Stepper
from taskdock.services.workbench import Offer

FOLDER = Path(__file__).resolve().parent.parent / "tests/stores"
REMOTE = "https://git.example.org/acme/api"
_BEGIN = datetime(2026, 1, 1, 9, 30, 0, 123456, tzinfo=UTC)
_ROOM = {"*": 1_000}

VALUES: Mapping[type[Body], Callable[[Any], Value]] = {
    intents.EnsureName: lambda body: inputs.NameEnsured(
        body.title or "Thing", body.branch or f"thing-{body.task_id[-6:]}", body.base or "main"
    ),
    intents.CreateSandbox: lambda _: inputs.SandboxReady(adopted=False),
    intents.EnsureAgent: lambda _: inputs.AgentReady(),
    intents.ObserveSandbox: lambda _: inputs.Observed(inputs.SandboxPhase.RUNNING, _BEGIN),
    intents.StopSandbox: lambda _: inputs.SandboxStopped(_BEGIN + timedelta(days=365), 0.0),
    intents.ResumeSession: lambda body: inputs.SessionReady(body.session_id, "process-2"),
    intents.AnswerPermission: lambda _: inputs.Asked(),
    intents.CreateSession: lambda body: inputs.SessionReady(f"session-of-{body.tab_id}", "process-1"),
    intents.SendPrompt: lambda _: inputs.TurnEnded(inputs.TurnEnd.COMPLETED, "end_turn"),
    intents.CancelTurn: lambda _: inputs.Asked(),
    intents.CloseSession: lambda _: inputs.SessionClosed(),
    intents.CollectWork: lambda _: inputs.WorkCollected("a" * 40, branch_moved=True),
    intents.DestroySandbox: lambda _: inputs.SandboxReleased(_BEGIN + timedelta(days=365), 0.0),
    intents.CloneRepo: lambda _: inputs.Cloned("main", "b" * 40),
    intents.RunRepoJob: lambda _: inputs.JobEnded(JobResult()),
    intents.Tell: lambda _: inputs.Told(),
    intents.Wake: lambda _: inputs.Woken(),
}
"""What each kind of intent brings when it succeeds."""


@mutable
class CountingClock:
    """A clock that moves a second with each look, and ids that count."""

    at: datetime = _BEGIN
    count: int = 0

    def now(self) -> datetime:
        """The time, a second after the last look."""
        self.at += timedelta(seconds=1)
        return self.at

    def new_id(self, kind: str) -> str:
        """The next id."""
        self.count += 1
        return f"{kind}-{self.count:020d}"


@mutable
class Story:
    """One installation, led by hand; `held` are the claims that nobody has answered yet."""

    store: SqliteStore
    clock: CountingClock = field(factory=CountingClock)
    held: dict[str, Intent] = field(factory=dict)

    @property
    def stepper(self) -> Stepper:
        """What feeds inputs to boundaries, as the services do."""
        return Stepper(self.store, self.clock, Figures())

    async def workbench(self) -> MessageRequests:
        """The request path."""
        offer = Offer(("local",), ("demo",))
        return MessageRequests(self.stepper, self.store, self.clock, offer, await self.store.owner())

    async def claim(self) -> None:
        """Claim whatever is due."""
        deadlines = {kind: figure.deadline_seconds for kind, figure in Figures().intents.items()}
        for claimed in await self.store.claim(_ROOM, self.clock.now(), deadlines):
            self.held[claimed.intent.id] = claimed.intent

    async def held_by(self, boundary: str, kind: type[Body]) -> Intent:
        """The claimed intent of a kind that the boundary has."""
        await self.claim()
        of_boundary = [one for one in self.held.values() if one.boundary == boundary]
        found = [one for one in of_boundary if isinstance(one.body, kind)]
        assert found, f"{boundary} has no {kind.__name__}: {of_boundary}"
        return found[0]

    async def answer(self, intent: Intent, outcome: Outcome) -> None:
        """Report an outcome as the scheduler does; `Tell` is carried out first."""
        if isinstance(intent.body, intents.Tell):
            await self.stepper.apply(intent.body.target, intent.body.input)
        del self.held[intent.id]
        applied = await self.stepper.apply(intent.boundary, OutcomeReported(intent.id, intent.issue, outcome))
        if applied.change.ignored is not None:
            await self.store.ended(intent.id, intent.issue)

    async def succeed(self, boundary: str, *kinds: type[Body]) -> None:
        """Let one intent of each kind succeed, in that order."""
        for kind in kinds:
            intent = await self.held_by(boundary, kind)
            await self.answer(intent, Succeeded(VALUES[kind](intent.body)))

    async def fail(self, boundary: str, kind: type[Body], reason: str) -> None:
        """Let it fail for good."""
        intent = await self.held_by(boundary, kind)
        await self.answer(intent, Failed(FailureClass.PERMANENT, reason, log_tail="line 1\nline 2 äß"))

    async def turn(self, boundary: str) -> None:
        """Let a turn begin, and complete."""
        prompt = await self.start(boundary, intents.SendPrompt)
        await self.stepper.apply(boundary, inputs.Delivered(prompt.id, prompt.issue))
        await self.succeed(boundary, intents.SendPrompt, intents.CollectWork)

    async def start(self, boundary: str, kind: type[Body]) -> Intent:
        """Commit that its first call follows."""
        intent = await self.held_by(boundary, kind)
        await self.stepper.apply(boundary, inputs.Started(intent.id, intent.issue))
        return intent


_UP = (intents.EnsureName, intents.CreateSandbox, intents.EnsureAgent, intents.CreateSession)


async def live(story: Story) -> None:
    """Lead tasks into every status that there is, and leave them there."""
    bench = await story.workbench()
    repo = await bench.add_repo(REMOTE)
    await story.succeed(repo.repo_id, intents.CloneRepo)
    await _on_the_way(story, bench, repo.repo_id)
    await _up(story, bench, repo.repo_id)
    await _ending(story, bench, repo.repo_id)
    await bench.create_task(prompt="Wait for a clone", repo="https://git.example.org/acme/slow")
    await story.claim()
    lost = await bench.create_task(prompt="A clone that fails", repo="https://git.example.org/acme/lost")
    assert lost.repo_id is not None
    await story.succeed(lost.task_id, intents.Tell)
    await story.fail(lost.repo_id, intents.CloneRepo, "the remote is not there")
    await story.succeed(lost.repo_id, intents.Tell)
    await bench.create_task(prompt="Not claimed yet", repo=repo.repo_id, key="click-7f3c", title="Queued")


async def _on_the_way(story: Story, bench: MessageRequests, repo: str) -> None:
    for reached in range(len(_UP)):
        task = await bench.create_task(prompt=f"Stop after {reached}", repo=repo)
        await story.succeed(task.task_id, *_UP[:reached])
        await story.start(task.task_id, _UP[reached])
        await bench.open_tab(task.task_id, name="second", prompt="Me too")
    broken = await bench.create_task(prompt="Break", repo=repo, branch="broken", base="main")
    await bench.open_tab(broken.task_id)
    await story.succeed(broken.task_id, *_UP[:1])
    await story.fail(broken.task_id, intents.CreateSandbox, "no room for a sandbox")


async def _up(story: Story, bench: MessageRequests, repo: str) -> None:
    rests = await bench.create_task(prompt="Say hello, then rest", repo=repo)
    assert rests.tab_id is not None
    await story.succeed(rests.task_id, *_UP)
    await story.turn(rests.task_id)
    body = {"text": "Hello, Zürich", "deep": [1, {"a": None}]}
    item = NewItem(rests.tab_id, rests.task_id, "agent-1", "1", "text", body, story.clock.now())
    await story.store.append([item])
    other = await bench.open_tab(rests.task_id, prompt="And this")
    await bench.close_tab(other.tab_id, force=True)
    works = await bench.create_task(prompt="Work for long", repo=repo)
    assert works.tab_id is not None
    await story.succeed(works.task_id, *_UP)
    prompt = await story.start(works.task_id, intents.SendPrompt)
    await story.stepper.apply(works.task_id, inputs.Delivered(prompt.id, prompt.issue))
    await bench.send(works.tab_id, "And then this", key="send-1")


async def _ending(story: Story, bench: MessageRequests, repo: str) -> None:
    dead = await bench.create_task(prompt="Be killed", repo=repo)
    await story.succeed(dead.task_id, *_UP)
    await story.turn(dead.task_id)
    await bench.kill_task(dead.task_id)
    await story.succeed(dead.task_id, intents.CollectWork, intents.DestroySandbox)
    dies = await bench.create_task(prompt="Be killed in a turn", repo=repo)
    await story.succeed(dies.task_id, *_UP)
    await story.start(dies.task_id, intents.SendPrompt)
    await bench.kill_task(dies.task_id)
    early = await bench.create_task(prompt="Be killed while made", repo=repo)
    await story.succeed(early.task_id, *_UP[:1])
    await story.start(early.task_id, intents.CreateSandbox)
    await bench.kill_task(early.task_id)


async def make(path: Path) -> None:
    """Write the store, and leave one file without a log beside it."""
    async with SqliteStore.open(path, clock_now=lambda: _BEGIN) as store:
        await live(Story(store))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")


def shown(path: Path) -> str:
    """How many tasks, tabs, messages and intents it has in which status."""
    with closing(sqlite3.connect(path)) as connection:
        lines = []
        for kind, column in (("task", "at"), ("tab", "at"), ("message", "at"), ("intent", "status")):
            counts = Counter(at for (at,) in connection.execute(f"SELECT {column} FROM {kind}"))  # noqa: S608
            lines.append(f"{kind}: " + ", ".join(f"{count} {at}" for at, count in sorted(counts.items())))
    return "\n".join(lines)


def main(version: str) -> int:
    """Keep a store under a version's name; one that is there stays."""
    path = FOLDER / f"{version}.db"
    if path.exists():
        print(f"{path} is kept already; it never changes")
        return 1
    anyio.run(make, path)
    print(f"{path}: {path.stat().st_size:,} bytes\n{shown(path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

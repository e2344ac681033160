"""Installation: the command line over a real store, with the outside world played by a script.

Owns: `Stage` (a home, its store and who plays), `Outside` (what each intent comes to) and `taskdock` (one run).
Never: a scripted store, feed or core; only what an executor would have reported is made up.
Reads as: tests/unit/cli -> Stage.taskdock(...) -> build_cli -> Dock over SqliteStore.
"""

import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import evolve, field, frozen, mutable
from click.testing import CliRunner

from taskdock.adapters.clock import SystemClock
from taskdock.adapters.entry.cli.app import build_cli
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core import inputs, intents
from taskdock.core.inputs import Failed, FailureClass, Outcome, OutcomeReported, Started, Succeeded, TurnEnd
from taskdock.core.intents import Figures, Intent
from taskdock.core.job_record import BranchSeen, JobFailure, JobResult
from taskdock.ports.store import NewItem
from taskdock.services.dock import Dock, TaskView
from taskdock.services.feed import Hub
from taskdock.services.stepping import Stepper
from taskdock.services.workbench import Offer

HEAD = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
QUICK = evolve(
    Figures(),
    backoff_seconds=0.01,
    settle_seconds=0.01,
    closing_seconds=0.05,
    call_seconds=0.0,
    absent_seconds=0.01,
)
ROOM = {"*": 100}
SECONDS_MAX = 60.0

Answer = Callable[[Any], Outcome]


def _done(value: inputs.Value) -> Answer:
    return lambda _body: Succeeded(value)


def _named(body: intents.EnsureName) -> Outcome:
    return Succeeded(
        inputs.NameEnsured(body.title or "A title", body.branch or "a-branch", body.base or "main")
    )


def _gone(_body: object) -> Outcome:
    return Succeeded(inputs.SandboxReleased(datetime.now(UTC), create_window_seconds=0.0))


def _stopped(_body: object) -> Outcome:
    return Succeeded(inputs.SandboxStopped(datetime.now(UTC), create_window_seconds=0.0))


def seen(phase: inputs.SandboxPhase) -> Answer:
    """Find a sandbox in this phase."""
    return lambda _body: Succeeded(inputs.Observed(phase, datetime.now(UTC)))


def permanent(reason: str, log_tail: str | None = None) -> Answer:
    """Fail for good."""
    return lambda _body: Failed(FailureClass.PERMANENT, reason, log_tail=log_tail)


def job_ends(
    result: JobResult | None = None, failure: JobFailure | None = None, branches: tuple[BranchSeen, ...] = ()
) -> Answer:
    """A job ends so, with these branches seen."""
    return lambda _body: Succeeded(
        inputs.JobEnded(result or JobResult(), failure, branches, HEAD, datetime.now(UTC))
    )


def failing_once(reason: str, then: Answer) -> Answer:
    """Fail for now, the first time."""
    answers = iter([Failed(FailureClass.TRANSIENT, reason)])
    return lambda body: next(answers, None) or then(body)


def _answers() -> dict[type, Answer]:
    return {
        intents.CloneRepo: _done(inputs.Cloned("main", HEAD)),
        intents.EnsureName: _named,
        intents.CreateSandbox: _done(inputs.SandboxReady(adopted=False)),
        intents.EnsureAgent: _done(inputs.AgentReady()),
        intents.CreateSession: _done(inputs.SessionReady("session", "process")),
        intents.SendPrompt: _done(inputs.TurnEnded(TurnEnd.COMPLETED, "end_turn")),
        intents.CollectWork: _done(inputs.WorkCollected(HEAD, branch_moved=True)),
        intents.CloseSession: _done(inputs.SessionClosed()),
        intents.CancelTurn: _done(inputs.Asked()),
        intents.ResumeSession: _done(inputs.SessionReady("session", "process")),
        intents.AnswerPermission: _done(inputs.Asked()),
        intents.ObserveSandbox: seen(inputs.SandboxPhase.RUNNING),
        intents.StopSandbox: _stopped,
        intents.DestroySandbox: _gone,
        intents.RunRepoJob: job_ends(),
        intents.Wake: _done(inputs.Woken()),
    }


@frozen
class Played:
    """What the world answers, and what the agent says in each turn."""

    answers: dict[type, Answer] = field(factory=_answers)
    says: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("text", {"text": "Bon"}),
        ("text", {"text": "jour."}),
    )
    holds: set[type] = field(factory=set)
    """Kinds that are claimed and never answered."""
    asks: tuple[inputs.PermissionOption, ...] = ()
    """What the agent offers in each turn before it goes on; nothing is asked when it is empty."""


@frozen
class Run:
    """What one run of the command line left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def problem(self) -> dict[str, Any]:
        """The one JSON document on stderr."""
        problem: dict[str, Any] = json.loads(self.err)
        return problem


@frozen
class Playing:
    """The dock of whoever schedules meanwhile."""

    portal: BlockingPortal
    dock: Dock

    def until(self, task_id: str, holds: Callable[[TaskView], bool]) -> TaskView:
        """Wait, driven by the feed, until the task is as wanted."""
        return self.portal.call(self._until, task_id, holds)

    async def _until(self, task_id: str, holds: Callable[[TaskView], bool]) -> TaskView:
        view = await self.dock.task(task_id)
        with anyio.fail_after(SECONDS_MAX):
            async for _ in self.dock.watch(task=task_id):
                view = await self.dock.task(task_id)
                if holds(view):
                    break
        return view


async def _hear(hub: Hub, store: SqliteStore) -> None:
    """Hear what other processes commit, as the app does."""
    while True:
        hub.announce(await store.position())
        await anyio.sleep(0.01)


def _give_up(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise TimeoutError(f"it went on for {SECONDS_MAX:g} s")


@mutable(eq=False)
class Stage:
    """One home. `plays` is whether a process that asks for the scheduler's seat gets it."""

    home: Path
    played: Played = field(factory=Played)
    plays: bool = True
    has_stack_tool: bool = True
    asked: list[bool] = field(factory=list)
    """Of each opening: whether the command asked for the seat."""
    _asking: dict[str, Intent] = field(factory=dict, init=False)
    """By tab: the turn that waits for an answer."""
    _made: set[str] = field(factory=set, init=False)
    """The sandboxes that are there."""

    def taskdock(self, *words: str, stdin: str | None = None, **more: Any) -> Run:
        """Run the command line once, as in a pipe; for a bounded time, and then TimeoutError."""
        cli = build_cli(self.open, **more)
        signal.signal(signal.SIGALRM, _give_up)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_MAX)
        try:
            result = CliRunner().invoke(cli, ["--home", str(self.home), *words], input=stdin)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout, result.stderr)

    @asynccontextmanager
    async def open(self, home: Path, *, schedule: bool, read_only: bool = False) -> AsyncIterator[Dock]:
        """Open the home as the app would."""
        assert not (schedule and read_only)
        self.asked.append(schedule)
        await anyio.Path(home).mkdir(parents=True, exist_ok=True)
        hub, clock = Hub(), SystemClock()
        failure: Exception | None = None
        async with SqliteStore.open(home / "taskdock.db", on_commit=hub.announce) as store:
            dock = Dock(
                stepper=Stepper(store, clock, QUICK),
                reads=store,
                clock=clock,
                offer=Offer(("local", "remote"), ("demo", "other"), stack_tool=self.has_stack_tool),
                owner=await store.owner(),
                store=store,
                hub=hub,
                home=home,
                schedules_now=lambda: schedule and self.plays,
            )
            async with anyio.create_task_group() as group:
                if dock.schedules:
                    group.start_soon(self.play, dock, store)
                else:
                    group.start_soon(_hear, hub, store)
                try:
                    yield dock
                except Exception as error:  # noqa: BLE001 - raised again below, outside the group that would wrap it
                    failure = error
                group.cancel_scope.cancel()
            if failure is not None:
                raise failure

    @contextmanager
    def playing(self) -> Iterator["Playing"]:
        """Let another process schedule, as a second terminal would find it; here it is a thread."""
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self.open(self.home, schedule=True)) as dock,
        ):
            self.plays = False
            try:
                yield Playing(portal, dock)
            finally:
                self.plays = True

    async def play(self, dock: Dock, queue: SqliteStore) -> None:
        """Answer every intent, until cancelled."""
        await queue.recover()
        deadlines = dict.fromkeys(QUICK.intents, 60.0)
        while True:
            for claimed in await queue.claim(ROOM, datetime.now(UTC), deadlines):
                await self._answer(dock, claimed.intent)
            await anyio.sleep(0.005)

    async def _answer(self, dock: Dock, intent: Intent) -> None:
        body = intent.body
        if type(body) in self.played.holds:
            return
        if isinstance(body, intents.Tell):
            await dock.stepper.apply(body.target, body.input)
            outcome: Outcome = Succeeded(inputs.Told())
        else:
            if isinstance(
                body, intents.EnsureName | intents.CreateSandbox | intents.SendPrompt | intents.RunRepoJob
            ):
                await dock.stepper.apply(intent.boundary, Started(intent.id, intent.issue))
            if isinstance(body, intents.RunRepoJob):
                await self._step(dock, intent)
            if isinstance(body, intents.SendPrompt):
                await self._speak(dock, intent.boundary, body)
                if self.played.asks:
                    await self._ask(dock, intent, body)
                    return
            outcome = self._remembered(body, self.played.answers[type(body)](body))
        await dock.stepper.apply(intent.boundary, OutcomeReported(intent.id, intent.issue, outcome))
        if isinstance(body, intents.AnswerPermission | intents.CancelTurn) and body.tab_id in self._asking:
            turn = self._asking.pop(body.tab_id)
            outcome = self.played.answers[intents.SendPrompt](turn.body)
            await dock.stepper.apply(turn.boundary, OutcomeReported(turn.id, turn.issue, outcome))

    async def _step(self, dock: Dock, intent: Intent) -> None:
        """Begin each step of a job."""
        for step in ("lock", "preflight", "snapshot", "pre_sync", "act", "post_sync"):
            await dock.stepper.apply(intent.boundary, inputs.JobStepped(intent.id, intent.issue, step))

    def _remembered(self, body: object, outcome: Outcome) -> Outcome:
        """A sandbox that was made before is adopted; one that is released is there no more."""
        if isinstance(body, intents.DestroySandbox):
            self._made.discard(body.sandbox.name)
        if not isinstance(body, intents.CreateSandbox) or not isinstance(outcome, Succeeded):
            return outcome
        adopted = body.sandbox.name in self._made
        self._made.add(body.sandbox.name)
        return Succeeded(inputs.SandboxReady(adopted=adopted))

    async def _ask(self, dock: Dock, intent: Intent, body: intents.SendPrompt) -> None:
        """Ask before the turn goes on; its answer, or its cancel, ends it."""
        self._asking[body.tab_id] = intent
        asked = inputs.PermissionAsked(
            body.tab_id, body.message_id, f"ask-{body.message_id}", "Run rm -rf build", self.played.asks
        )
        await dock.stepper.apply(intent.boundary, asked)

    async def _speak(self, dock: Dock, task_id: str, body: intents.SendPrompt) -> None:
        text = await dock.reads.message_text(body.message_id)
        user = ("user", {"text": text, "message": body.message_id})
        items = [
            NewItem(
                body.tab_id, task_id, "test", f"{body.message_id}/{number}", kind, said, datetime.now(UTC)
            )
            for number, (kind, said) in enumerate([user, *self.played.says])
        ]
        await dock.store.append(items)

"""Scheduler: claims due intents, runs their executors within limits, and feeds the outcomes back.

Owns: `Scheduler` and `Lanes`.
Never: a decision about retry, backoff or failure (the core's); an execution without a deadline.
Reads as: app starts it in the process that has the seat -> queue.claim -> executor -> Stepper.apply.

One loop claims; each claimed intent runs in a scope of its own, which ends at the step's deadline, when its intent is
cancelled, or when the scheduler drains. An outcome that the store cannot take now is kept and offered again until it can.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

import anyio
import anyio.abc
from attrs import field, frozen, mutable

from taskdock.core.errors import InvariantViolated, PortError, StoreError
from taskdock.core.inputs import Failed, FailureClass, Outcome, OutcomeReported, Succeeded
from taskdock.core.intents import Intent, SendPrompt, Wake
from taskdock.ports.intent_queue import IntentQueue
from taskdock.services.execution import Execution, NotWanted, failure_of
from taskdock.services.executors.catalogue import EXECUTORS, Executor
from taskdock.services.stepping import Decision
from taskdock.services.tools import Tools

_LOG = logging.getLogger(__name__)
_STORE_PAUSE_SECONDS = 0.1
_STORE_PAUSE_SECONDS_MAX = 5.0
_HAND_BACK_SECONDS_MAX = 5.0
_IDLE_SECONDS_MAX = 60.0
"""The longest the loop sleeps when nothing is due: a guard against a hint that was lost."""


def _default_lanes() -> dict[str, int]:
    return {
        "naming": 16, "observe": 16, "agent": 8, "session": 32, "prompt": 1_000, "collect": 4, "release": 8, "clone": 4,
        "job": 4, "tell": 64, "wake": 1_000, "*": 4,
    }  # fmt: skip


@frozen
class Lanes:
    """How many executions may run at once: by lane name, '*' for every other (the providers' `sandbox:<id>`)."""

    limits: Mapping[str, int] = field(factory=_default_lanes)

    def room(self, running: Mapping[str, int]) -> dict[str, int]:
        """What is left of each lane."""
        rest = {lane: limit - running.get(lane, 0) for lane, limit in self.limits.items()}
        others = {
            lane: self.limits["*"] - count for lane, count in running.items() if lane not in self.limits
        }
        return {**rest, **others}


@mutable(eq=False)
class _Running:
    """One execution. Its one scope ends it at its deadline, or before that when nobody wants it any more."""

    intent: Intent
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    wanted: bool = True

    def stop(self) -> None:
        """End it without an outcome."""
        self.wanted = False
        self.scope.cancel()


@mutable(eq=False)
class Scheduler:
    """Runs intents in one process. Start `run` in a task group; `drain` lets it end."""

    queue: IntentQueue
    tools: Tools
    lanes: Lanes = field(factory=Lanes)
    on_doubt: Callable[[], None] | None = None
    """Called when the store failed a claim, which may have been written all the same; must not block."""
    claiming: anyio.Lock = field(factory=anyio.Lock, init=False)
    """Held from before a claim until what it took is noted; who holds it sees none half-way."""
    executors: Mapping[type, Executor] = field(default=EXECUTORS)
    _running: dict[str, _Running] = field(factory=dict, init=False)
    _woken: anyio.Event = field(factory=anyio.Event, init=False)
    _draining: bool = field(default=False, init=False)

    def wake(self) -> None:
        """There may be something to claim or to cancel. Never blocks."""
        self._woken.set()

    @property
    def is_draining(self) -> bool:
        """Whether it claims nothing more."""
        return self._draining

    def executes(self, intent_id: str, issue: int) -> bool:
        """Whether an execution of this claim is under way here."""
        running = self._running.get(intent_id)
        return running is not None and running.intent.issue == issue

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Recover what an earlier process left, then claim and run until drained."""
        await self.queue.recover()
        listeners = self.tools.stepper.listeners
        listeners.append(self._on_change)
        try:
            async with anyio.create_task_group() as group:
                task_status.started()
                while not self._draining:
                    await self._claim(group)
        finally:
            listeners.remove(self._on_change)

    async def drain(self, grace_seconds: float) -> None:
        """Stop claiming, give short executions a bounded time to end, and hand back the rest.

        A turn is handed back at once: its agent goes on without us, and the next process follows it again.
        """
        self._draining = True
        self.wake()
        with anyio.move_on_after(_HAND_BACK_SECONDS_MAX):
            async with self.claiming:
                pass  # a claim under way gives back what it took
        with anyio.move_on_after(grace_seconds):
            while any(not isinstance(one.intent.body, SendPrompt | Wake) for one in self._running.values()):
                await self._next_end()
        for one in list(self._running.values()):
            one.stop()
        with anyio.move_on_after(_HAND_BACK_SECONDS_MAX):
            while self._running:
                await self._next_end()

    async def _next_end(self) -> None:
        """Wait until some execution has ended."""
        self._woken = anyio.Event()
        await self._woken.wait()

    def _on_change(self, decision: Decision) -> None:
        """A commit of this process: end what it cancelled, and look for what it ordered."""
        change = decision.change
        for intent_id in change.cancelled:
            if intent_id in self._running:
                self._running[intent_id].stop()
        if change.ordered:
            self.wake()

    async def _claim(self, group: anyio.abc.TaskGroup) -> None:
        """Claim what there is room for; when there is nothing, sleep until woken or until the next one is due."""
        self._woken = anyio.Event()
        now = self.tools.clock.now()
        try:
            async with self.claiming:
                claimed = await self._claim_now(now)
                for intent in claimed:
                    if self._draining:
                        await self.queue.release(intent.id, intent.issue)
                        continue
                    self._running[intent.id] = _Running(intent)
                    group.start_soon(self._execute, self._running[intent.id], name=intent.id)
            if not claimed and not self._draining:
                await self._sleep(now)
        except StoreError:
            _LOG.exception("the store could not be asked for intents; trying again")
            if self.on_doubt is not None:
                self.on_doubt()
            await anyio.sleep(_STORE_PAUSE_SECONDS_MAX)

    async def _claim_now(self, now: datetime) -> list[Intent]:
        for intent_id in await self.queue.cancelled():
            if intent_id in self._running:
                self._running[intent_id].stop()
        counts: dict[str, int] = {}
        for one in self._running.values():
            counts[one.intent.lane] = counts.get(one.intent.lane, 0) + 1
        figures = self.tools.stepper.figures.intents
        deadlines = {kind: figure.deadline_seconds for kind, figure in figures.items()}
        return [one.intent for one in await self.queue.claim(self.lanes.room(counts), now, deadlines)]

    async def _sleep(self, claimed_at: datetime) -> None:
        """Sleep until woken or until the next one is due, seen from the claim: what fell due since was not claimed."""
        due = await self.queue.next_due_at(claimed_at)
        pause = _IDLE_SECONDS_MAX if due is None else (due - self.tools.clock.now()).total_seconds()
        with anyio.move_on_after(min(max(pause, 0.0), _IDLE_SECONDS_MAX)):
            await self._woken.wait()

    async def _execute(self, running: _Running) -> None:
        """Run one intent to an outcome and report it; what was cancelled or drained is handed back instead."""
        intent = running.intent
        try:
            await self._finish(intent, await self._outcome(running))
        finally:
            if self._running.get(intent.id) is running:
                del self._running[intent.id]
            self.wake()

    async def _outcome(self, running: _Running) -> Outcome | None:
        """The outcome; None when nobody wants it any more."""
        intent = running.intent
        execution = Execution(intent, self.tools.stepper, anyio.current_time)
        running.scope.deadline = self._deadline_at(intent)
        with running.scope:
            try:
                value = await self.executors[type(intent.body)](intent.body, execution, self.tools)
            except NotWanted:
                return None
            except PortError as error:
                return failure_of(error)
            except InvariantViolated:
                raise
            except StoreError:
                _LOG.exception("the store failed %s; it will be claimed again", intent.id)
                await anyio.sleep(_STORE_PAUSE_SECONDS_MAX)
                return None
            except Exception as error:  # noqa: BLE001 - a bug in one adapter must not stop every other task; it is told
                _LOG.exception("the executor of %s failed", intent.id)
                return Failed(
                    FailureClass.PERMANENT, f"bug: {type(error).__name__} in {type(intent.body).__name__}"
                )
            return Succeeded(value)
        return self._too_late(intent) if running.wanted else None

    def _too_late(self, intent: Intent) -> Failed:
        seconds = self.tools.stepper.figures.of(intent.body).deadline_seconds
        return Failed(FailureClass.DEADLINE, f"It did not end within {seconds:g} s over all attempts.")

    def _deadline_at(self, intent: Intent) -> float:
        """The step's deadline on this process's own clock."""
        if intent.deadline_at is None:
            return float("inf")
        return anyio.current_time() + (intent.deadline_at - self.tools.clock.now()).total_seconds()

    async def _finish(self, intent: Intent, outcome: Outcome | None) -> None:
        """Report until the store has taken it. Only a store that refuses during a drain leaves it to the next process."""
        pause = _STORE_PAUSE_SECONDS
        while True:
            try:
                await self._finish_once(intent, outcome)
            except StoreError:
                if self._draining:
                    return
                _LOG.exception("the store did not take the outcome of %s; keeping it", intent.id)
                await anyio.sleep(pause)
                pause = min(pause * 2, _STORE_PAUSE_SECONDS_MAX)
            else:
                return

    async def _finish_once(self, intent: Intent, outcome: Outcome | None) -> None:
        if outcome is None:
            await self.queue.release(intent.id, intent.issue)
            return
        report = OutcomeReported(intent.id, intent.issue, outcome)
        applied = await self.tools.stepper.apply(intent.boundary, report)
        if applied.change.ignored is not None:
            await self.queue.ended(intent.id, intent.issue)

"""Reaper: ends sandboxes that are ours at a provider and that no task needs any more.

Owns: `Reaper`, and what a round of it found (`Round`, `Found`, `Fate`).
Never: a sandbox of another owner, nor the current generation of a task that is not killed.
Reads as: app runs it beside the scheduler, or `taskdock reap` asks once -> providers, task boundary, log.

Rule 1. The provider is looked at before the task is read. A box is made only after its task has committed that it wants
        it, so what a box is for is already in the store when it is seen.
Rule 2. The task's own boundary has the last word: `SandboxReaped` is committed, and so in the history, before the provider
        is asked to destroy; a task that has come to want the sandbox ignores it, and then nothing is destroyed.
Rule 3. A list is a hint. Each box is observed by its name, and judged again right before its end.
Rule 4. Age is counted from when the provider says that the box was made, else from when this process first saw it.
Rule 5. In the background a box is ended in the round after the one that announced it in the log. A store that was put back
        from a backup knows less than the providers do; so there is time to turn the reaper off.
"""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import Enum

import anyio
from attrs import evolve, field, frozen, mutable

from taskdock.core.errors import PortError, StoreError, Transient
from taskdock.core.inputs import SandboxReaped
from taskdock.core.task import Task, TaskStatus
from taskdock.ports.clock import Clock
from taskdock.ports.sandbox import Observation, Phase, SandboxProvider, SandboxRef
from taskdock.ports.store import Reads
from taskdock.services.sandboxes import look, until
from taskdock.services.sites import Sites
from taskdock.services.stepping import Stepper

_LOG = logging.getLogger(__name__)
_END_SECONDS_MAX = 600.0
_LIST_SECONDS_MAX = 60.0


class Fate(Enum):
    """What a round made of a sandbox, or would make of it."""

    KEPT = "kept"
    """Somebody needs it, or whose it is cannot be read."""
    TOO_YOUNG = "too_young"
    """Nobody needs it, but it is younger than the least age."""
    TO_REAP = "to_reap"
    """Nobody needs it; a dry run leaves it so, and so does the round that announces it."""
    REAPED = "reaped"
    """It is gone."""
    FAILED = "failed"
    """Its provider could not end it; the next round tries again."""


@frozen
class Found:
    """One sandbox that carries our owner label; `reason` says why it has its fate."""

    ref: SandboxRef
    fate: Fate
    reason: str
    task_id: str | None = None
    generation: int | None = None
    created_at: datetime | None = None
    takes: Mapping[str, float] = field(factory=dict)
    cost_hourly: float | None = None


@frozen
class Round:
    """Everything that was found, in the order of the providers, and the providers that could not be asked."""

    found: tuple[Found, ...] = ()
    failures: Mapping[str, str] = field(factory=dict)
    """By provider: why its sandboxes could not be listed."""

    def of(self, fate: Fate) -> tuple[Found, ...]:
        """Those of one fate."""
        return tuple(one for one in self.found if one.fate is fate)


@mutable(eq=False)
class Reaper:
    """The reaper of one installation; any process of it may have one, and two at once are harmless."""

    sites: Sites
    stepper: Stepper
    reads: Reads
    clock: Clock
    owner: str
    age_seconds_min: float
    _first_seen: dict[SandboxRef, datetime] = field(factory=dict, init=False)

    async def plan(self) -> Round:
        """Look, and change nothing."""
        found: list[Found] = []
        failures: dict[str, str] = {}
        for name, site in self.sites.by_provider.items():
            try:
                listed = await self._listed(site.provider)
            except PortError as error:
                failures[name] = error.reason
                continue
            found += [await self._look(site.provider, one.ref) for one in listed]
        self._forget({one.ref for one in found})
        return Round(tuple(found), failures)

    async def reap(self, only: Collection[SandboxRef] | None = None) -> Round:
        """End what nobody needs, one after the other; with `only`, nothing else than these."""
        planned = await self.plan()
        found = [
            await self._end(one) if one.fate is Fate.TO_REAP and (only is None or one.ref in only) else one
            for one in planned.found
        ]
        return evolve(planned, found=tuple(found))

    async def run(self, interval_seconds: float) -> None:
        """A round every so often, until cancelled."""
        announced: set[SandboxRef] = set()
        while True:
            await anyio.sleep(interval_seconds)
            try:
                ended = await self.reap(only=announced)
            except StoreError as error:
                _LOG.warning("reaper: the store cannot be used now: %s", error)
                continue
            for one in ended.of(Fate.TO_REAP):
                _LOG.warning("reaper: sandbox %s is ended in the next round: %s", one.ref.name, one.reason)
            for name, reason in ended.failures.items():
                _LOG.warning("reaper: the sandboxes of %s cannot be listed: %s", name, reason)
            announced = {one.ref for one in (*ended.of(Fate.TO_REAP), *ended.of(Fate.FAILED))}

    async def _listed(self, provider: SandboxProvider) -> list[Observation]:
        """All that it lists; Transient when it does not come to an end, so that the others are asked all the same."""
        try:
            with anyio.fail_after(_LIST_SECONDS_MAX):
                return [one async for one in provider.list_owned(self.owner)]
        except TimeoutError as error:
            raise Transient(f"its list did not end within {_LIST_SECONDS_MAX:g} s") from error

    async def _look(self, provider: SandboxProvider, ref: SandboxRef) -> Found:
        """Observe one sandbox, and then read its task: in this order (rule 1)."""
        try:
            seen = await look(provider, ref)
        except PortError as error:
            return Found(ref, Fate.KEPT, f"it cannot be observed: {error.reason}")
        labels = _labels(seen, self.owner)
        if labels is None:
            return Found(ref, Fate.KEPT, "its labels do not say that it is ours")
        task_id, generation = labels
        stored = await self.reads.record("task", task_id)
        task = stored.record if stored is not None and isinstance(stored.record, Task) else None
        needless, reason = _judged(task, generation, seen.phase)
        found = Found(
            ref,
            Fate.TO_REAP if needless else Fate.KEPT,
            reason,
            task_id,
            generation,
            seen.created_at,
            seen.takes,
            seen.cost_hourly,
        )
        return self._aged(found, seen) if needless else found

    def _aged(self, found: Found, seen: Observation) -> Found:
        """Too young, unless it has existed for the least age."""
        since = found.created_at or self._first_seen.setdefault(found.ref, seen.read_at)
        left = timedelta(seconds=self.age_seconds_min) - (seen.read_at - since)
        if left <= timedelta(0):
            return found
        return evolve(
            found,
            fate=Fate.TOO_YOUNG,
            reason=f"{found.reason}; not before {left.total_seconds():.0f} s from now",
        )

    async def _end(self, planned: Found) -> Found:
        provider = self.sites.by_provider[planned.ref.provider].provider
        found = await self._look(provider, planned.ref)
        if found.fate is not Fate.TO_REAP or found.task_id is None:
            return found
        refused = await self._refused(found, found.task_id)
        if refused is not None:
            return evolve(found, fate=Fate.KEPT, reason=refused)
        try:
            with anyio.fail_after(_END_SECONDS_MAX):
                seen = await provider.destroy(found.ref, self.owner)
                await until(provider, seen, (Phase.ABSENT,), _say_nothing)
        except (PortError, TimeoutError) as error:
            reason = (
                error.reason if isinstance(error, PortError) else f"not gone after {_END_SECONDS_MAX:g} s"
            )
            _LOG.warning("reaper: sandbox %s could not be ended: %s", found.ref.name, reason)
            return evolve(found, fate=Fate.FAILED, reason=reason)
        return evolve(found, fate=Fate.REAPED)

    async def _refused(self, found: Found, task_id: str) -> str | None:
        """Why its task keeps it; None once the history says that it is reaped, or the log where there is no task."""
        if await self.reads.record("task", task_id) is None:
            _LOG.warning("reaper: sandbox %s is ended: %s", found.ref.name, found.reason)
            return None
        reaped = SandboxReaped(found.ref.name, found.reason)
        applied = await self.stepper.apply(task_id, reaped)
        return applied.change.ignored

    def _forget(self, listed: set[SandboxRef]) -> None:
        """Remember no more than there is."""
        self._first_seen = {ref: at for ref, at in self._first_seen.items() if ref in listed}


def _labels(seen: Observation, owner: str) -> tuple[str, int] | None:
    """Whose it is, by task and generation; None when the labels do not say so, or another owner's."""
    task_id, generation = seen.labels.get("task", ""), seen.labels.get("generation", "")
    if (
        seen.labels.get("owner") != owner
        or not task_id
        or not (generation.isascii() and generation.isdigit())
    ):
        return None
    return task_id, int(generation)


def _judged(task: Task | None, generation: int, phase: Phase) -> tuple[bool, str]:
    """Whether nobody needs it, and why."""
    if phase is Phase.ABSENT:
        return False, "it is gone already"
    if task is None:
        return True, "there is no such task"
    if generation < task.generation:
        return True, f"it is generation {generation} of a task that is at {task.generation}"
    if generation > task.generation:
        return False, f"the task knows of no generation {generation}: the store may be older than the sandbox"
    if task.status is TaskStatus.KILLED:
        return True, "its task is killed"
    # Also where it is archived: its release raised the generation, so what is there now was made for an unarchive.
    return False, f"its task is {task.status.value}"


async def _say_nothing(_sentence: str) -> None:
    """Nobody waits for this."""

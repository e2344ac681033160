"""Chaos at a remote provider: many creates and ends at once while every third request goes wrong; then all are counted.

TASKDOCK_REMOTE_CREATES says how many creates there are, TASKDOCK_SOAK_SEED where the dice begin. `make soak` runs 1,000.
"""

import os
import random
import sys
import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from attrs import evolve, field, mutable

from stand_in import OWNER, StandIn, running_stand_in
from taskdock.adapters.sandbox.daytona.provider import DaytonaSandboxes
from taskdock.core.errors import AuthFailed, Foreign, PortError
from taskdock.ports.sandbox import Observation, Phase, SandboxRef, SandboxSpec

CREATES = int(os.environ.get("TASKDOCK_REMOTE_CREATES") or 30)
SEED = int(os.environ.get("TASKDOCK_SOAK_SEED") or random.SystemRandom().randrange(1_000_000))
WORKERS = 8
RATE = 0.3
WINDOW = timedelta(seconds=4)
SECONDS_MAX = 300.0


@mutable(eq=False)
class Creator:
    """What the core does with one provider: a generation is replaced only when it is surely gone."""

    boxes: DaytonaSandboxes
    errors: dict[str, int] = field(factory=dict)
    generations: int = 0

    async def up(self, spec: SandboxSpec) -> SandboxSpec:
        """Bring one up, whatever goes wrong; the generation that runs."""
        began = datetime.now(UTC)
        while True:
            seen = await self._try(self.boxes.ensure(spec))
            while seen is not None and seen.phase in (Phase.PENDING, Phase.UNKNOWN):
                await anyio.sleep(0.05)
                seen = await self._try(self.boxes.observe(spec.ref))
            if seen is not None and seen.phase is Phase.RUNNING:
                return spec
            if seen is not None and seen.phase is Phase.FAILED:
                await self.down(spec, began)
                self.generations += 1
                name = f"{spec.ref.name.rpartition('-')[0]}-g{spec.generation + 1}"
                spec = evolve(spec, ref=SandboxRef("daytona", name), generation=spec.generation + 1)
                began = datetime.now(UTC)

    async def down(self, spec: SandboxSpec, began: datetime) -> None:
        """End one for good: gone, and past the time at which its create could still have landed."""
        while True:
            seen = await self._try(self.boxes.destroy(spec.ref, OWNER))
            if seen is not None and seen.phase is Phase.ABSENT and seen.read_at > began + WINDOW:
                return
            await anyio.sleep(0.1)

    async def _try(self, call: "object") -> Observation | None:
        try:
            seen: Observation = await call  # type: ignore[misc] # a coroutine of the provider
        except (AuthFailed, Foreign):
            raise
        except PortError as error:
            name = type(error).__name__
            self.errors[name] = self.errors.get(name, 0) + 1
            await anyio.sleep(0.05)
            return None
        return seen


async def chaos(stand_in: StandIn) -> tuple[set[str], Creator]:
    """All creates, nine of ten ended again; the names that are to be there."""
    boxes = stand_in.sandboxes(create_seconds=4.0, busy_seconds=5.0)
    creator, kept = Creator(boxes), set[str]()
    numbers = iter(range(CREATES))

    async def work() -> None:
        for number in numbers:
            ref = SandboxRef("daytona", f"chaos-{number}-g1")
            began = datetime.now(UTC)
            spec = await creator.up(SandboxSpec(ref, OWNER, f"chaos-{number}", 1))
            if number % 10:
                await creator.down(spec, began)
            else:
                kept.add(spec.ref.name)

    with anyio.fail_after(SECONDS_MAX + CREATES * 2):
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(work)
    await boxes.aclose()
    return kept, creator


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_chaos_leaves_no_orphan_and_no_double() -> None:
    """What is there at the end is what was to be there; no create was stuck, and none of a task was made beside another."""
    began = time.monotonic()
    with running_stand_in() as stand_in:
        stand_in.order(rate=RATE, seed=str(SEED))
        kept, creator = await chaos(stand_in)
        stand_in.clear()
        with anyio.fail_after(30):
            while stand_in.seen()["coming"]:  # noqa: ASYNC110 - the stand-in is looked at from outside
                await anyio.sleep(0.1)
        seen = stand_in.seen()
    sys.stdout.write(
        f"TASKDOCK_SOAK_SEED={SEED}: {CREATES} creates in {time.monotonic() - began:.0f} s, {seen['created']} boxes made,"
        f" {creator.generations} replaced, {len(kept)} kept; faults {seen['happened']}; errors {creator.errors}\n"
    )
    assert {box["name"] for box in seen["boxes"]} == kept
    assert seen["doubles"] == []
    assert seen["referee"]["violations"] == []

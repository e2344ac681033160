"""Sandbox under test: what the sandbox checks need to know of an adapter, and how they speak of it.

Owns: `SandboxUnderTest`, and the few verbs that the checks share.
Never: a wait without a deadline.
Reads as: sandbox_life.py, sandbox_inside.py, sandbox_service.py -> this -> the adapter under test.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import anyio
from attrs import field, frozen

from taskdock.core.errors import PortError
from taskdock.ports.sandbox import (
    Exec,
    ExecResult,
    Observation,
    Phase,
    SandboxAccess,
    SandboxProvider,
    SandboxRef,
    SandboxSpec,
)

_Answer = TypeVar("_Answer")


@frozen
class SandboxUnderTest:
    """An adapter, and what has to be known around it."""

    provider: SandboxProvider
    access: SandboxAccess
    new_spec: Callable[[], SandboxSpec]
    """A spec with a name never used before, always of the same owner."""
    second: Callable[[], tuple[SandboxProvider, SandboxAccess]]
    """A fresh adapter over the same sandboxes, as another process would have it."""
    count_processes: Callable[[SandboxRef], Awaitable[int]]
    """How many processes of the sandbox run, seen from outside and without the adapter; works after its end."""
    leftovers: Callable[[SandboxRef], Awaitable[Sequence[str]]]
    """Names of files of the sandbox that are still there, seen from outside."""
    python: str = "python3"
    """How a Python 3 is called inside."""
    settle_seconds: float = field(default=60.0)
    """How long a sandbox may take to come up or to go."""

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[SandboxSpec]:
        """A running sandbox for one check, destroyed afterwards whatever happens."""
        spec = self.new_spec()
        try:
            await self.provider.ensure(spec)
            await self.until(spec, Phase.RUNNING)
            yield spec
        finally:
            with anyio.CancelScope(shield=True):
                await self.destroyed(spec)

    @asynccontextmanager
    async def another(self) -> AsyncIterator[tuple[SandboxProvider, SandboxAccess]]:
        """A fresh adapter for one check, closed afterwards."""
        provider, access = self.second()
        try:
            yield provider, access
        finally:
            with anyio.CancelScope(shield=True):
                await provider.aclose()

    async def destroyed(self, spec: SandboxSpec) -> None:
        """Destroy the sandbox and wait until it is absent."""
        await self.provider.destroy(spec.ref, spec.owner)
        await self.until(spec, Phase.ABSENT)

    async def until(self, spec: SandboxSpec, phase: Phase) -> Observation:
        """Observe until the sandbox is in this phase, at most `settle_seconds`."""
        pause_seconds = 0.02
        observation = None
        with anyio.move_on_after(self.settle_seconds):
            while True:
                observation = await self.provider.observe(spec.ref)
                if observation.phase is phase:
                    return observation
                await anyio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 1.5, 2.0)
        raise AssertionError(
            f"{spec.ref.name} was not {phase.value} within {self.settle_seconds:g} s; last read: {observation}."
        )

    async def until_processes(self, ref: SandboxRef, at_least: int) -> None:
        """Wait until so many processes can be counted: one that has just been started may not show itself yet."""
        seen = 0
        with anyio.move_on_after(10):
            while (seen := await self.count_processes(ref)) < at_least:  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(0.01)
            return
        raise AssertionError(
            f"{at_least} processes run in the sandbox, but count_processes saw {seen}: it can prove nothing, mend it."
        )

    async def until_no_process(self, ref: SandboxRef, promise: str) -> None:
        """Wait a moment for processes that were killed to be gone; then what is left breaks the promise."""
        left = 0
        with anyio.move_on_after(5):
            while left := await self.count_processes(ref):  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(0.05)
            return
        raise AssertionError(f"{promise} {left} processes are still there.")

    async def run_python(
        self, ref: SandboxRef, source: str, *arguments: str, stdin: bytes = b""
    ) -> ExecResult:
        """Run a few lines of Python inside."""
        return await self.access.exec(ref, Exec((self.python, "-c", source, *arguments), stdin=stdin))


SandboxCheck = Callable[[SandboxUnderTest], Awaitable[None]]


def require(holds: bool, sentence: str) -> None:  # noqa: FBT001 - as `assert` has it
    """Raise AssertionError with the sentence unless it holds. Not `assert`, which an optimised Python leaves out."""
    if not holds:
        raise AssertionError(sentence)


@contextmanager
def refused(kind: type[PortError], promise: str) -> Iterator[None]:
    """Require that what is done inside raises exactly this kind of error (or a finer one)."""
    try:
        yield
    except PortError as error:
        if not isinstance(error, kind):
            broken = f"{promise} It was refused with {error!r}; raise {kind.__name__}."
            raise AssertionError(broken) from error  # noqa: TRY004 - no type of ours is wrong
    else:
        raise AssertionError(f"{promise} It was not refused; raise {kind.__name__}.")


async def all_succeed(promise: str, calls: Sequence[Callable[[], Awaitable[_Answer]]]) -> list[_Answer]:
    """Make all calls at once and return their answers; a `PortError` of any of them breaks the promise."""
    answers: list[_Answer] = []
    errors: list[PortError] = []

    async def make(call: Callable[[], Awaitable[_Answer]]) -> None:
        try:
            answers.append(await call())
        except PortError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(make, call)
    require(not errors, f"{promise} {len(errors)} of {len(calls)} failed, first {errors[:1]}.")
    return answers

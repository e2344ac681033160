"""Sandbox under test: what the sandbox checks need to know of an adapter, and how they speak of it.

Owns: `SandboxUnderTest`, and the few verbs that the checks share.
Never: a wait without a deadline.
Reads as: sandbox_*.py -> this -> the adapter under test.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

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
from taskdock.testing.conformance.promises import Check, NotExamined, PromiseBroken, cleared, require


@frozen
class SandboxUnderTest:
    """An adapter, and what has to be known around it."""

    provider: SandboxProvider
    access: SandboxAccess
    new_spec: Callable[[], SandboxSpec]
    """A spec with a name never used before, always of the same owner."""
    second: Callable[[], tuple[SandboxProvider, SandboxAccess]]
    """A fresh adapter over the same sandboxes, as another process would have it."""
    count_processes: Callable[[SandboxRef], Awaitable[int]] | None = None
    """How many processes of the sandbox run, seen from outside and without the adapter; works after its end.

    None where nobody can see them from outside: then what needs it is told as not examined.
    """
    leftovers: Callable[[SandboxRef], Awaitable[Sequence[str]]] | None = None
    """Names of files of the sandbox that are still there, seen from outside; None as above."""
    python: str = "python3"
    """How a Python 3 is called inside."""
    settle_seconds: float = field(default=60.0)
    """How long a sandbox may take to come up or to go."""

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[SandboxSpec]:
        """A running sandbox for one check, destroyed afterwards whatever happens."""
        spec = self.new_spec()
        async with self.taken_away(spec):
            await self.provider.ensure(spec)
            await self.until(spec, Phase.RUNNING)
            yield spec

    @asynccontextmanager
    async def taken_away(self, spec: SandboxSpec, lands_within_seconds: float = 0.0) -> AsyncIterator[None]:
        """See to it that no sandbox of this spec is left afterwards; after a failure by as many destroys as it takes.

        `lands_within_seconds` is how long after a failure a create may still be under way.
        """
        seconds_max = 2 * self.settle_seconds + lands_within_seconds
        insist = partial(self._insist, spec, lands_within_seconds)
        async with cleared(partial(self.destroyed, spec), seconds_max, insist):
            yield

    @asynccontextmanager
    async def another(self) -> AsyncIterator[tuple[SandboxProvider, SandboxAccess]]:
        """A fresh adapter for one check, closed afterwards."""
        provider, access = self.second()
        async with cleared(provider.aclose, self.settle_seconds):
            yield provider, access

    async def destroyed(self, spec: SandboxSpec) -> None:
        """Destroy the sandbox and wait until it is absent."""
        await self.provider.destroy(spec.ref, spec.owner)
        await self.until(spec, Phase.ABSENT)

    async def _insist(self, spec: SandboxSpec, lands_within_seconds: float) -> None:
        """Destroy it again and again, until it is absent and no create that was under way can land any more."""
        lands_until = anyio.current_time() + lands_within_seconds
        give_up_at = lands_until + self.settle_seconds
        pause_seconds = 0.02
        while True:
            try:
                await self.provider.destroy(spec.ref, spec.owner)
                observation = await self.provider.observe(spec.ref)
                if observation.phase is Phase.ABSENT and anyio.current_time() >= lands_until:
                    return
            except PortError:
                # What is refused now may be done in a moment.
                if anyio.current_time() >= give_up_at:
                    raise
            await anyio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, 2.0)

    async def stopped(self, spec: SandboxSpec) -> None:
        """Stop the sandbox and wait until it is stopped."""
        await self.provider.stop(spec.ref, spec.owner)
        await self.until(spec, Phase.STOPPED)

    async def until(
        self, spec: SandboxSpec, phase: Phase, provider: SandboxProvider | None = None
    ) -> Observation:
        """Observe (through another adapter, if one is given) until it is in this phase, at most `settle_seconds`."""
        observer = provider or self.provider
        pause_seconds = 0.02
        observation = None
        with anyio.move_on_after(self.settle_seconds):
            while True:
                observation = await observer.observe(spec.ref)
                if observation.phase is phase:
                    return observation
                await anyio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 1.5, 2.0)
        raise PromiseBroken(
            f"A sandbox for which that was asked comes to be {phase.value}",
            f"after {self.settle_seconds:g} s observe still said {observation}",
            "carry the request out and read its end, or raise settle_seconds where it takes longer",
        )

    async def processes(self, ref: SandboxRef) -> int:
        """How many processes of the sandbox run. Raises `NotExamined` where nobody can say."""
        if self.count_processes is None:
            raise NotExamined("processes cannot be seen from outside: give count_processes")
        return await self.count_processes(ref)

    async def files(self, ref: SandboxRef) -> Sequence[str]:
        """What of the sandbox's files is there. Raises `NotExamined` where nobody can say."""
        if self.leftovers is None:
            raise NotExamined("files cannot be seen from outside: give leftovers")
        return await self.leftovers(ref)

    async def until_processes(self, ref: SandboxRef, at_least: int) -> None:
        """Wait until so many processes can be counted: one that has just been started may not show itself yet."""
        seen = 0
        with anyio.move_on_after(10):
            while (seen := await self.processes(ref)) < at_least:  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(0.01)
            return
        raise PromiseBroken(
            f"count_processes sees the {at_least} processes that were started in the sandbox",
            f"it saw {seen}",
            "mend count_processes, which proves nothing like this, or let what is started inside go on",
        )

    async def until_no_process(self, ref: SandboxRef, promise: str) -> None:
        """Wait a moment for processes that were killed to be gone; then what is left breaks the promise."""
        left = 0
        with anyio.move_on_after(5):
            while left := await self.processes(ref):  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(0.05)
            return
        mend = "kill all that it started, sessions of their own included, before you answer"
        raise PromiseBroken(promise, f"{left} processes are still there", mend)

    async def run_python(
        self, ref: SandboxRef, source: str, *arguments: str, stdin: bytes = b""
    ) -> ExecResult:
        """Run a few lines of Python inside."""
        return await self.access.exec(ref, Exec((self.python, "-c", source, *arguments), stdin=stdin))

    async def must_run(self, ref: SandboxRef, source: str, *arguments: str) -> bytes:
        """Run a few lines of Python inside that prepare a check; gives what they print."""
        result = await self.run_python(ref, source, *arguments)
        require(
            result.exit_code == 0,
            "A small Python program runs in a sandbox",
            f"it ended with {result.exit_code} and wrote {result.stderr[-300:]!r}",
            "have a Python 3 inside and name it as `python` of the SandboxUnderTest",
        )
        return result.stdout

    async def leave_running(self, ref: SandboxRef) -> None:
        """Start a process in the background of the sandbox and see that it can be counted."""
        await self.must_run(ref, _BACKGROUND)
        await self.until_processes(ref, 1)


_BACKGROUND = (
    "import subprocess, sys\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdin=-3, stdout=-3, stderr=-3)\n"
)

SandboxCheck = Check[SandboxUnderTest]

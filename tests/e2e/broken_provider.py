"""Broken provider: the real local one with one promise broken, each the way a real adapter breaks it.

Owns: one function for each fault (for a config: `wrap = "e2e.broken_provider:second_box"`).
Never: a box of its own; each is a real one of the provider behind it.
Reads as: test_kill_matrix.py -> the kill matrix -> wiring -> one of these -> the real provider.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from attrs import evolve

from e2e.odd_provider import with_provider
from taskdock.core.errors import Foreign
from taskdock.ports.sandbox import Observation, Phase, SandboxProvider, SandboxRef, SandboxSpec
from taskdock.services.tools import Outside


class _Behind:
    """What a fault does not change is the real provider's."""

    def __init__(self, provider: SandboxProvider) -> None:
        self.real = provider

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the provider has
        return getattr(self.real, name)


class SecondBox(_Behind):
    """Never looks before it makes: a name that is taken gets a box beside the first."""

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Make a box, whatever is there."""
        if (await self.real.observe(spec.ref)).phase is not Phase.ABSENT:
            beside = evolve(spec.ref, name=f"{spec.ref.name}-again")
            await self.real.ensure(evolve(spec, ref=beside))
        return await self.real.ensure(spec)


class EarlyAbsent(_Behind):
    """Takes the order to destroy for its end; the end comes some looks later, if its process lives."""

    def __init__(self, provider: SandboxProvider) -> None:
        super().__init__(provider)
        self._looks_left: dict[SandboxRef, int] = {}

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """Say that it is gone."""
        seen = await self.real.observe(ref)
        self._looks_left.setdefault(ref, 3)
        self._owner = owner
        return evolve(seen, phase=Phase.ABSENT)

    async def observe(self, ref: SandboxRef) -> Observation:
        """Say what is there, and come to the end at last."""
        self._looks_left = {one: left - (one == ref) for one, left in self._looks_left.items()}
        if self._looks_left.get(ref) == 0:
            return await self.real.destroy(ref, self._owner)
        return await self.real.observe(ref)


class ForgetfulList(_Behind):
    """Lists from its own memory, which the next process does not have."""

    def __init__(self, provider: SandboxProvider) -> None:
        super().__init__(provider)
        self._made: set[str] = set()

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Make it, and remember that."""
        self._made.add(spec.ref.name)
        return await self.real.ensure(spec)

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """Only what was made here."""
        async for seen in self.real.list_owned(owner):
            if seen.ref.name in self._made:
                yield seen


class Jealous(_Behind):
    """Takes a box that another process made for somebody else's."""

    def __init__(self, provider: SandboxProvider) -> None:
        super().__init__(provider)
        self._made: set[str] = set()

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Adopt only what was made here."""
        there = (await self.real.observe(spec.ref)).phase is not Phase.ABSENT
        if there and spec.ref.name not in self._made:
            raise Foreign(f"{spec.ref.name} exists already.")
        self._made.add(spec.ref.name)
        return await self.real.ensure(spec)


class Amnesiac(_Behind):
    """Starts a stopped box by making an empty one of its name."""

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        """Start an empty one of the same name."""
        labels = (await self.real.observe(ref)).labels
        await self.real.destroy(ref, owner)
        return await self.real.ensure(SandboxSpec(ref, owner, labels["task"], int(labels["generation"])))


class Brittle(_Behind):
    """Lets an error of its own out."""

    async def stop(self, ref: SandboxRef, _owner: str) -> Observation:
        """Fail as a client library does."""
        raise KeyError(ref.name)


def _wrapper(kind: Callable[[SandboxProvider], object]) -> Callable[[Outside], Outside]:
    return lambda outside: with_provider(outside, kind)


second_box = _wrapper(SecondBox)
early_absent = _wrapper(EarlyAbsent)
forgetful_list = _wrapper(ForgetfulList)
jealous = _wrapper(Jealous)
amnesiac = _wrapper(Amnesiac)
brittle = _wrapper(Brittle)

"""Gits: the programs at work in the simulated clones, and the one lock of each clone.

Owns: `Gits`: who holds a clone, and how long a git takes.
Never: a git that ends with the process that began it: it ends what it is at, and holds the lock until then, as a child
    that was given the lock's file does.
Reads as: stack.py, carrier.py -> this -> code.py.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random

import anyio
from attrs import field, frozen, mutable

from taskdock.core.errors import Transient
from taskdock.testing.simulation.calls import Calls
from taskdock.testing.simulation.nature import Nature

_LOCK_SECONDS_MAX = 60.0
_LOOK_SECONDS = 0.5
_GIT_SECONDS = (0.0, 0.01, 0.5, 5.0)


@frozen(eq=False)
class Git:
    """One program that works in a clone."""

    name: str
    ended: anyio.Event = field(factory=anyio.Event)


@mutable(eq=False)
class Gits:
    """Everything that works in a clone."""

    nature: Nature
    holders: dict[str, Calls] = field(factory=dict)
    """By repo: the process that has its lock, or had it when it died."""
    running: dict[str, list[Git]] = field(factory=dict)
    """By repo: what works in its clone right now."""
    _dice: Random | None = None

    @asynccontextmanager
    async def hold(self, repo_id: str, calls: Calls) -> AsyncIterator[None]:
        """Have the clone alone; Transient when another has it for too long."""
        await self._wait_for(repo_id)
        self.holders[repo_id] = calls
        try:
            yield
        finally:
            # What a dead process held is free when its last git has ended, and may be another's by now.
            if calls.is_alive and self.holders.get(repo_id) is calls:
                del self.holders[repo_id]

    async def _wait_for(self, repo_id: str) -> None:
        with anyio.move_on_after(_LOCK_SECONDS_MAX):
            while not self._is_free(repo_id):  # noqa: ASYNC110 - as a flock is waited for
                await anyio.sleep(_LOOK_SECONDS)
            return
        raise Transient("another writer held the clone for too long")

    def _is_free(self, repo_id: str) -> bool:
        holder = self.holders.get(repo_id)
        return (holder is None or not holder.is_alive) and not self.running.get(repo_id)

    def begin(self, repo_id: str, name: str, effect: Callable[[], None]) -> Git:
        """Start one; what it is to do happens at its end, whoever is still there to see it."""
        at_work = self.running.setdefault(repo_id, [])
        if at_work:
            self.nature.broken(
                6, f"{name} begins in the clone of {repo_id}, where {at_work[0].name} is at work"
            )
        git = Git(name)
        at_work.append(git)
        self._dice = self._dice or self.nature.dice("gits")
        self.nature.later(self._dice.choice(_GIT_SECONDS), lambda: self._end(at_work, git, effect))
        return git

    def _end(self, at_work: list[Git], git: Git, effect: Callable[[], None]) -> None:
        effect()
        at_work.remove(git)
        git.ended.set()

    @contextmanager
    def at_once(self, repo_id: str, name: str) -> Iterator[None]:
        """One that takes no time."""
        if self.running.get(repo_id):
            self.nature.broken(6, f"{name} begins in the clone of {repo_id}, where another git is at work")
        yield

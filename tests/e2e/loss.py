"""Loss: a sandbox that is lost behind Taskdock's back.

Owns: `Loss`, the three ways, and `lose`.
Never: a word to Taskdock; it has to find out.
Reads as: a test -> `lose` -> the real provider, or the file that makes an odd one say so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

from attrs import evolve, frozen

from e2e.installation import Installation
from e2e.providers import kill_all
from taskdock.app import Dock, ports_of
from taskdock.services.sandboxes import ref_of
from taskdock.services.tools import Outside


class Loss(Enum):
    """What happens to the sandbox."""

    DESTROYED = "destroyed"
    STOPPED = "stopped"
    FAILED = "failed"


@frozen
class Losses:
    """Loses sandboxes of one installation through ports of its own, which no gate holds up."""

    place: Installation
    ports: Outside

    async def lose(self, dock: Dock, task_id: str, how: Loss) -> str:
        """Lose the sandbox that the task has now; its name."""
        sandbox = (await dock.task(task_id)).task.sandbox
        provider = self.ports.sites.of(sandbox).provider
        if how is Loss.DESTROYED:
            await provider.destroy(ref_of(sandbox), sandbox.owner)
        elif how is Loss.STOPPED:
            await provider.stop(ref_of(sandbox), sandbox.owner)
        else:
            (self.place.gates / f"{sandbox.name}.failed").touch()
            kill_all([pid for box in self.place.sandboxes() if box.name == sandbox.name for pid in box.pids])
        return sandbox.name


@asynccontextmanager
async def losses(place: Installation) -> AsyncIterator[Losses]:
    """What can be lost in this installation."""
    async with ports_of(evolve(place.config(), wrap=None)) as ports:
        yield Losses(place, ports)

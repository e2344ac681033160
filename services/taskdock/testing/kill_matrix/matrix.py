"""Matrix: the chosen cells tried, each in a home of its own, several at once.

Owns: `KillMatrix`.
Never: a trial's folder removed where something was broken; a home, a config or a sandbox of the user touched.
Reads as: __main__.py or a test -> `KillMatrix.run` -> Trial.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
from anyio import to_thread
from attrs import evolve, field, frozen

from taskdock.adapters.entry.cli.demo_repo import demo_repo
from taskdock.testing.kill_matrix.cells import CELLS, Cell
from taskdock.testing.kill_matrix.installation import Installation
from taskdock.testing.kill_matrix.process import Patience
from taskdock.testing.kill_matrix.trial import Trial, Witness
from taskdock.testing.kill_matrix.verdicts import Verdict


def _ignore(_verdict: Verdict) -> None:
    """Nobody wants to hear of it before the end."""


@frozen
class KillMatrix:
    """How to try a provider: the config that names it, and what is known about it."""

    config_file: Path
    provider: str | None = None
    """Which of the config's; None: its first."""
    jobs: int = 2
    """How many trials at once; each has a serving process and a sandbox."""
    folder: Path | None = None
    """Where homes and logs go; None: a new temporary folder."""
    patience: Patience = field(factory=Patience)
    witness: Witness | None = None
    """What else is to be counted while the task rests."""

    async def run(
        self, cells: Sequence[Cell] = CELLS, on_verdict: Callable[[Verdict], None] = _ignore
    ) -> tuple[Verdict, ...]:
        """Try the cells and give their verdicts in the same order; `on_verdict` hears each as it is known.

        Raises InvalidCommand when the config cannot be read, Unsupported without git.
        """
        folder = await to_thread.run_sync(self._new_folder)
        provider = self.provider or self._default(folder)
        remote = await demo_repo(folder)
        found: dict[Cell, Verdict] = {}
        limit = anyio.CapacityLimiter(self.jobs)

        async def judge(cell: Cell) -> None:
            async with limit:
                found[cell] = await self._try(cell, folder / cell.name.replace("/", "-"), provider, remote)
            on_verdict(found[cell])

        async with anyio.create_task_group() as group:
            for cell in cells:
                group.start_soon(judge, cell)
        if all(verdict.kept is None for verdict in found.values()):
            await to_thread.run_sync(shutil.rmtree, remote)
            if self.folder is None:
                await to_thread.run_sync(folder.rmdir)
        return tuple(found[cell] for cell in cells)

    def _new_folder(self) -> Path:
        if self.folder is None:
            return Path(tempfile.mkdtemp(prefix="taskdock-kills-"))
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder.absolute()

    def _default(self, folder: Path) -> str:
        return Installation(self.config_file, folder / "none").config().providers[0]

    async def _try(self, cell: Cell, folder: Path, provider: str, remote: Path) -> Verdict:
        home, gates = folder / "home", folder / "gates"
        for made in (folder, home, gates):
            made.mkdir(mode=0o700)
        installation = Installation(self.config_file.absolute(), home, provider, gates)
        verdict = await Trial(cell, installation, remote, self.patience, self.witness).run()
        if not verdict.is_fine:
            return evolve(verdict, kept=folder)
        await to_thread.run_sync(shutil.rmtree, folder)
        return verdict

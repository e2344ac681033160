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

from taskdock.adapters.entry.cli.demo_repo import NAME, demo_repo
from taskdock.core.errors import InvalidCommand
from taskdock.testing.kill_matrix.cells import CELLS, Cell
from taskdock.testing.kill_matrix.installation import Installation
from taskdock.testing.kill_matrix.process import Patience
from taskdock.testing.kill_matrix.trial import Trial, Witness
from taskdock.testing.kill_matrix.verdicts import Verdict


def _ignore(_verdict: Verdict) -> None:
    """Nobody wants to hear of it before the end."""


@frozen
class KillMatrix:
    """How to try a provider, and what is known about it."""

    config_file: Path | None = None
    """The config that names the provider; None: the defaults."""
    provider: str | None = None
    """Which provider; None: the config's first."""
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

        Raises InvalidCommand for a config or a folder that cannot be used, Unsupported where the provider does not work
        on this machine or there is no git.
        """
        folder = await to_thread.run_sync(self._new_folder, cells)
        try:
            provider = await self._checked(folder)
            remote = await demo_repo(folder)
            return await self._all(cells, folder, provider, remote, on_verdict)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._tidy, cells, folder)

    async def _all(
        self,
        cells: Sequence[Cell],
        folder: Path,
        provider: str,
        remote: Path,
        on_verdict: Callable[[Verdict], None],
    ) -> tuple[Verdict, ...]:
        found: dict[Cell, Verdict] = {}
        limit = anyio.CapacityLimiter(self.jobs)

        async def judge(cell: Cell) -> None:
            async with limit:
                found[cell] = await self._try(cell, _place(folder, cell), provider, remote)
            on_verdict(found[cell])

        async with anyio.create_task_group() as group:
            for cell in cells:
                group.start_soon(judge, cell)
        return tuple(found[cell] for cell in cells)

    def _new_folder(self, cells: Sequence[Cell]) -> Path:
        if self.folder is None:
            return Path(tempfile.mkdtemp(prefix="taskdock-kills-"))
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = self.folder.absolute()
        if there := [place.name for cell in cells if (place := _place(folder, cell)).exists()]:
            raise InvalidCommand(f"{folder} holds {there[0]} from before: remove it, or name another folder.")
        return folder

    async def _checked(self, folder: Path) -> str:
        """The provider's name, once its adapter was made."""
        installation = Installation(folder, self.config_file, self.provider)
        provider = self.provider or installation.config().providers[0]
        async with evolve(installation, provider=provider).ports():
            return provider

    def _tidy(self, cells: Sequence[Cell], folder: Path) -> None:
        """Leave nothing behind where nothing was kept."""
        if any(_place(folder, cell).exists() for cell in cells):
            return
        shutil.rmtree(folder if self.folder is None else folder / f"{NAME}.git", ignore_errors=True)

    async def _try(self, cell: Cell, folder: Path, provider: str, remote: Path) -> Verdict:
        home, gates = folder / "home", folder / "gates"
        for made in (folder, home, gates):
            made.mkdir(mode=0o700)
        config_file = None if self.config_file is None else self.config_file.absolute()
        installation = Installation(home, config_file, provider, gates)
        verdict = await Trial(cell, installation, remote, self.patience, self.witness).run()
        if not verdict.is_fine:
            return evolve(verdict, kept=folder)
        await to_thread.run_sync(shutil.rmtree, folder)
        return verdict


def _place(folder: Path, cell: Cell) -> Path:
    return folder / cell.name.replace("/", "-")

"""Trial: one cell of the matrix, from a new home to the last sandbox taken away.

Owns: `Trial`, `Witness`.
Never: a second kill; a process or a sandbox left behind, or else a finding says so.
Reads as: matrix.py -> `Trial.run` -> journeys.py (drive), sight.py (look), judge.py (findings) -> Verdict.
"""

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
from attrs import frozen

from taskdock.app import TaskView
from taskdock.core import task_record as at
from taskdock.core.errors import CommandRejected, InvariantViolated, PortError
from taskdock.core.values import sandbox_name
from taskdock.ports.sandbox import Phase, SandboxRef
from taskdock.testing.kill_matrix.cells import Cell
from taskdock.testing.kill_matrix.installation import Installation
from taskdock.testing.kill_matrix.judge import judge
from taskdock.testing.kill_matrix.process import NotSeen, Patience, ServingProcess
from taskdock.testing.kill_matrix.promises import Finding, Promise
from taskdock.testing.kill_matrix.scene import Scene, owned
from taskdock.testing.kill_matrix.sight import look
from taskdock.testing.kill_matrix.verdicts import Verdict

Witness = Callable[[Path, TaskView], Awaitable[Sequence[str]]]
"""Counts what only its own world can tell, e.g. processes: given the home and the task at rest, a sentence for each wrong."""


class _Broken(Exception):
    """The trial cannot go on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.seen)
        self.finding = finding


@frozen
class Trial:
    """One kill, with everything around it."""

    cell: Cell
    installation: Installation
    remote: Path
    patience: Patience
    witness: Witness | None = None

    async def run(self) -> Verdict:
        """Drive, kill, start again, judge, and take everything away."""
        began = anyio.current_time()
        findings: list[Finding] = []
        reason: str | None = None
        try:
            async with self._scene(findings) as scene:
                reason = self._not_asked(scene)
                if reason is None:
                    await self._go(scene, findings)
        except _Broken as broken:
            findings.append(broken.finding)
        except InvariantViolated:
            raise
        except Exception as error:  # noqa: BLE001 - an adapter under test may break in any way, and that is its verdict
            where = traceback.format_exception(error)[-2].strip()
            findings.append(Finding(Promise.KEEPS_FAITH, f"{type(error).__name__}: {error}\n    {where}"))
        return Verdict(self.cell, anyio.current_time() - began, tuple(dict.fromkeys(findings)), reason)

    @property
    def _folder(self) -> Path:
        return self.installation.home.parent

    @asynccontextmanager
    async def _scene(self, findings: list[Finding]) -> AsyncIterator[Scene]:
        process = ServingProcess(self.installation, self._folder / "serving.log", self.patience)
        async with self.installation.client() as dock, self.installation.ports() as outside:
            scene = Scene(dock, process, outside, self.remote)
            try:
                yield scene
            finally:
                with anyio.CancelScope(shield=True):
                    await process.kill()
                    findings += await self._clear(scene)

    def _not_asked(self, scene: Scene) -> str | None:
        """Why this cell says nothing about the provider; None when it does."""
        if self.cell.method == "stack.act" and not scene.dock.offer.stack_tool:
            return "there is no git-spice here, and a job that only syncs has no such step"
        if self.cell.method != "provider.start":
            return None
        keeps_files = scene.site(self._provider).provider.capabilities.stop_keeps_files
        return None if keeps_files else "its stop keeps no files, so it is made anew and not started"

    @property
    def _provider(self) -> str:
        assert self.installation.provider is not None
        return self.installation.provider

    async def _go(self, scene: Scene, findings: list[Finding]) -> None:
        """Up to the kill, over it, and to the task's end."""
        journey = self.cell.journey
        with _breaks(Promise.GOES_ON, "before the kill: "):
            await scene.process.start()
            await journey.prepare(scene)
            await scene.keep_log()
            scene.process.set_gate(self.cell.gate)
            await journey.ask(scene)
        with _breaks(Promise.REACHED):
            await scene.process.reached(self.cell.gate)
            await scene.leave_mark()
        await scene.process.kill()
        scene.process.open_gate(self.cell.gate)
        with _breaks(Promise.RESTS):
            await scene.process.start()
            over = f"the end of the journey {journey.name} ({journey.ends})"
            await scene.rest(lambda view: view.task.at == journey.ends and journey.is_over(view), over)
        await self._judge(scene, findings)
        if journey.ends != at.KILLED:
            with _breaks(Promise.RESTS):
                await scene.dock.kill_task(scene.task_id, force=True)
                await scene.rest(lambda view: view.task.at == at.KILLED, "the end of the task (killed)")
            await self._judge(scene, findings)

    async def _judge(self, scene: Scene, findings: list[Finding]) -> None:
        with _breaks(Promise.KEEPS_FAITH):
            sight = await look(scene)
        findings += judge(sight)
        if self.witness is not None:
            sentences = await self.witness(self.installation.home, sight.view)
            findings += [Finding(Promise.WITNESSED, one) for one in sentences]

    async def _clear(self, scene: Scene) -> list[Finding]:
        """Destroy what is still there; what cannot be destroyed is a finding, and named."""
        names: set[str] = set()
        if scene.task_id:
            task = (await scene.view()).task
            names = {sandbox_name(task.owner, task.id, number) for number in range(1, task.generation + 1)}
        listed = await owned(scene.outside, self._provider, scene.dock.owner)
        refs = {SandboxRef(self._provider, name) for name in names} | set(listed)
        return [found for ref in sorted(refs, key=str) if (found := await self._end(scene, ref)) is not None]

    async def _end(self, scene: Scene, ref: SandboxRef) -> Finding | None:
        provider = scene.site(self._provider).provider
        try:
            if (await provider.observe(ref)).phase is not Phase.ABSENT:
                with anyio.fail_after(self.patience.seconds_max):
                    await provider.destroy(ref, scene.dock.owner)
                await scene.absent(self._provider, ref)
        except TimeoutError:
            return Finding(Promise.CLEARED, f"{ref.name} is left behind: its destroy does not end")
        except (PortError, NotSeen) as error:
            return Finding(Promise.CLEARED, f"{ref.name} is left behind: {error}")
        return None


@contextmanager
def _breaks(promise: Promise, when: str = "") -> Iterator[None]:
    """What goes wrong inside breaks this promise; a port's error breaks faith."""
    try:
        yield
    except (NotSeen, CommandRejected) as error:
        raise _Broken(Finding(promise, f"{when}{error}")) from error
    except PortError as error:
        seen = f"{when}{type(error).__name__}: {error.reason}"
        raise _Broken(Finding(Promise.KEEPS_FAITH, seen)) from error

"""World: one installation under test, seen from outside: its process, its files, its sandboxes.

Owns: `World`, which starts and kills the scheduling process, and counts what is really there.
Never: a mock; the store, git, the sandboxes, sandbox-agent and the demo agent are the real ones.
Reads as: a test -> World -> taskdock.testing.kill_matrix.serving in a process of its own.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from agent_server import CACHE
from e2e.providers import Box, command_of, kill_all, toml_of, under_test
from taskdock import app
from taskdock.app import Config, Dock, TaskView, load_config

PATIENCE = float(os.environ.get("TASKDOCK_PATIENCE") or 1.0)
"""How many times longer than usual is waited for what has to come; for a machine that is busy with other things."""
START_SECONDS_MAX = 60.0 * PATIENCE
REST_SECONDS_MAX = 60.0 * PATIENCE

_CONFIG = """\
{providers}cache = {cache}
wrap = "{wrap}"
drain_seconds = 2.0
{settings}
[figures]
{figures}
{table}"""
_FIGURES = {"backoff_seconds": 0.05, "settle_seconds": 2.0, "closing_seconds": 1.0}


class World:
    """One home folder, its gates, and at most one scheduling process. `figures` replace some of the quick ones, `settings` are lines of the config."""

    def __init__(
        self,
        folder: Path,
        *,
        wrap: str = "taskdock.testing.gates:install",
        settings: str = "",
        **figures: float,
    ) -> None:
        self.home = folder / "home"
        self.gates = folder / "gates"
        self.home.mkdir(mode=0o700)
        self.gates.mkdir()
        lines = "\n".join(f"{name} = {value}" for name, value in {**_FIGURES, **figures}.items())
        providers, table = toml_of(under_test())
        config = _CONFIG.format(
            providers="" if "providers" in settings else providers,
            cache=json.dumps(str(CACHE)),
            wrap=wrap,
            settings=settings,
            figures=lines,
            table=table,
        )
        (self.home / "taskdock.toml").write_text(config)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the scheduling process and wait until it schedules."""
        self.spawn()
        self.await_serving()

    def spawn(self) -> None:
        """Start the scheduling process."""
        environment = {
            **os.environ,
            "TASKDOCK_GATES": str(self.gates),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with (self.home.parent / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                serving(self.home), stdout=subprocess.PIPE, stderr=log, env=environment
            )

    def await_serving(self) -> None:
        """Wait until it schedules."""
        assert self._process is not None and self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS_MAX)
        said = self._process.stdout.readline() if ready else b""
        assert said == b"serving\n", self.log()

    def is_alive(self) -> bool:
        """Whether it runs, or was never started."""
        return self._process is None or self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM it, and wait until it has drained; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        code = process.wait(START_SECONDS_MAX)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def close(self) -> None:
        """End the process, and what this home still has at the provider."""
        self.kill()
        under_test().end(self.home)

    def log(self) -> str:
        """What the scheduling process wrote to stderr."""
        return (self.home.parent / "serve.log").read_text()

    # Gates

    def gate(self, name: str) -> Path:
        """Set a waiting gate, e.g. `provider.ensure.before`."""
        gate = self.gates / name
        gate.touch()
        return gate

    async def reached(self, gate: Path) -> None:
        """Wait until the process stands at the gate."""
        await until(gate.with_name(gate.name + ".reached").exists, f"{gate.name} is reached", self.log)

    def open_gate(self, gate: Path) -> None:
        """Let it go on."""
        gate.unlink()

    def fail(self, method: str, *lines: str) -> None:
        """Let the next calls of a method fail, e.g. `fail("provider.ensure", "transient the box is shy")`."""
        (self.gates / f"{method}.fail").write_text("\n".join(lines) + "\n")

    # What is really there

    def sandboxes(self) -> list[Box]:
        """What is there of sandboxes."""
        return under_test().boxes(self.home)

    def processes(self, words: str = "") -> list[int]:
        """Live processes of this home's sandboxes, with these words in their command line."""
        return [pid for box in self.sandboxes() for pid in box.pids if words in command_of(pid)]

    def servers(self) -> list[int]:
        """The processes of sandbox-agent itself."""
        return self.processes("sandbox-agent\0server")

    def end_servers(self) -> None:
        """SIGKILL what runs in the sandboxes, as a host does that breaks."""
        kill_all(self.processes())

    def prompts_seen(self) -> list[dict[str, str]]:
        """What the agents in all sandboxes have logged, one entry per prompt that reached them."""
        seen: list[dict[str, str]] = []
        for sandbox in self.sandboxes():
            log = sandbox.path / "home" / ".taskdock" / "demo-agent.jsonl"
            if log.exists():
                seen += [json.loads(line) for line in log.read_text().splitlines()]
        return seen

    # The client's side

    def config(self) -> Config:
        """The config that the scheduling process has."""
        os.environ["TASKDOCK_GATES"] = str(self.gates)
        return load_config(self.home / "taskdock.toml", home=self.home)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Dock]:
        """A dock in the test's process that submits and reads only."""
        async with app.open(self.config(), schedule=False) as dock:
            yield dock

    async def rest(self, dock: Dock, task_id: str, *statuses: str) -> TaskView:
        """Wait until the task has one of these statuses."""
        return await self.see(
            dock, task_id, lambda view: view.task.status.value in statuses, f"status in {statuses}"
        )

    async def copies_failed(self, dock: Dock, task_id: str, count: int) -> None:
        """Wait until so many copies of the task's work have failed."""
        with anyio.fail_after(REST_SECONDS_MAX):
            async for _ in dock.watch(task=task_id):
                history = [one.event for one in await dock.history(task_id)]
                if sum(event.data.get("step") == "collect_work" for event in history) >= count:
                    return

    async def see(self, dock: Dock, task_id: str, wanted: Callable[[TaskView], bool], what: str) -> TaskView:
        """Wait until the task's view is as wanted, driven by the feed."""
        view = await dock.task(task_id)
        with anyio.move_on_after(REST_SECONDS_MAX):
            async for _ in dock.watch(task=task_id):
                view = await dock.task(task_id)
                if wanted(view):
                    return view
        raise AssertionError(f"never saw {what}; it is {view}\n{self.log()}")


def serving(home: Path) -> list[str]:
    """The command of a process that schedules a home by its own config file."""
    program = "taskdock.testing.kill_matrix.serving"
    return [sys.executable, "-m", program, str(home), "--config", str(home / "taskdock.toml")]


async def until(condition: Callable[[], bool], what: str, log: Callable[[], str]) -> None:
    """Wait, bounded, for something that only files or processes can tell."""
    with anyio.move_on_after(REST_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - files and processes give no event
            await anyio.sleep(0.01)
        return
    raise AssertionError(f"never: {what}\n{log()}")


def end_processes(folder: Path) -> None:
    """End all that the installations of a folder have left at the provider."""
    for home in (folder, folder / "home"):
        under_test().end(home)

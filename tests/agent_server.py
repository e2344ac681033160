"""Agent servers under test: a real sandbox-agent on this machine, started from the service that the gateway describes.

Owns: `AgentHost`, the program's place in the cache, and eyes on processes and prompts that share nothing with the adapter.
Never: a sandbox adapter; a server that outlives its test.
Reads as: tests/integration, tests/conformance -> this -> sandbox-agent.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest

from taskdock.adapters.agent.catalogue import AGENTS, AgentSpec
from taskdock.adapters.agent.fetch import Program, ProgramCache
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.core.errors import PortError
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    AgentStream,
    Conversation,
    ItemKind,
    Received,
    Replied,
    Update,
)
from taskdock.ports.sandbox import Endpoint, ProgramFile, ServiceSpec

CACHE = Path(os.environ.get("TASKDOCK_CACHE") or Path(__file__).resolve().parent.parent / ".cache/programs")
"""Ignored by git. The program is fetched once, by whichever test comes first, through the adapter itself."""

HEALTHY_SECONDS_MAX = 20.0
START_ATTEMPTS_MAX = 3


class AgentHost:
    """A home and a checkout, and the server that runs in them. Its files are the proof of what the agent saw."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.checkout = root / "checkout"
        self.home.mkdir(parents=True)
        self.checkout.mkdir()
        self.url = ""
        self.token = ""
        self.incarnation = ""
        self.process: subprocess.Popen[bytes] | None = None

    def make_repository(self) -> None:
        """Turn the checkout into a git repository with one commit."""
        self.git("init", "-q", "-b", "main")
        self.git(
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.org",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "first",
        )

    def git(self, *arguments: str) -> str:
        """Run git in the checkout."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.checkout, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    async def start(self, service: ServiceSpec) -> None:
        """Put the service's files in place, start it, and wait until it is healthy."""
        for file in service.files:
            target = self.home / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.host_path is not None:
                target.unlink(missing_ok=True)
                target.symlink_to(file.host_path)
            else:
                target.write_bytes(file.content or b"")
                target.chmod(file.mode)
        for _ in range(START_ATTEMPTS_MAX):
            if await self._start_once(service):
                return
        pytest.fail(f"sandbox-agent did not start:\n{self.log()}")

    async def _start_once(self, service: ServiceSpec) -> bool:
        self.process = self._spawn(service)
        deadline = time.monotonic() + HEALTHY_SECONDS_MAX
        # Loopback without TLS: certificates would take 200 ms to load.
        async with httpx.AsyncClient(trust_env=False, verify=False, headers=self.endpoint.headers) as client:  # noqa: S501
            while self.process.poll() is None and time.monotonic() < deadline:
                try:
                    answer = await client.get(self.url + service.health_path)
                except httpx.TransportError:
                    await anyio.sleep(0.01)
                else:
                    return answer.status_code == httpx.codes.OK
        self.stop()
        return False

    def _spawn(self, service: ServiceSpec) -> subprocess.Popen[bytes]:
        self.token, self.incarnation = secrets.token_hex(8), secrets.token_hex(4)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        names = {"home": self.home, "checkout": self.checkout, "token": self.token, "port": port}
        environment = {name: value.format(**names) for name, value in service.env.items()}
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                [word.format(**names) for word in service.argv],
                env={"PATH": os.environ["PATH"], "HOME": str(self.home), **environment},
                cwd=self.checkout,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Kill the server and what it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the server answers."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return Endpoint(self.url, headers, self.incarnation, str(self.checkout))

    def log(self) -> str:
        """Read what the server printed."""
        path = self.home / "server.log"
        return path.read_text() if path.exists() else ""

    def prompts(self) -> list[dict[str, str]]:
        """List the prompts that the demo agent saw, as it wrote them down before it worked on them."""
        path = self.home / ".taskdock/demo-agent.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def agents(self, name: str = "demo_agent.py") -> list[int]:
        """List the processes of the server's session that run `name` themselves (their relay names it too)."""
        return [pid for pid, words in self._processes() if words.endswith(name) and "relay.py" not in words]

    def relays(self) -> list[int]:
        """List the relays."""
        return [pid for pid, words in self._processes() if "relay.py" in words]

    @contextmanager
    def frozen_relay(self) -> Iterator[None]:
        """Stop the one relay for a while: what is sent to it waits in its pipe, which holds 64 kB."""
        [pid] = self.relays()
        os.kill(pid, signal.SIGSTOP)
        # A stop is no more than asked for when kill returns, and a thread may still read a whole prompt.
        deadline = time.monotonic() + 5
        while any(state != "T" for state in _thread_states(pid)) and time.monotonic() < deadline:
            time.sleep(0.001)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _processes(self) -> list[tuple[int, str]]:
        pids = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        ours = self.process.pid if self.process is not None else None
        return [(int(entry.name), _command(entry)) for entry in pids if _session(entry) == ours]


async def program() -> Program:
    """Fetch the program into the cache; a machine that cannot skips with the reason."""
    try:
        return await ProgramCache(CACHE).fetch(silent)
    except PortError as error:
        pytest.skip(f"sandbox-agent cannot be had here: {error.reason}")


async def silent(_: str) -> None:
    """Take a sentence of progress and say nothing."""


@asynccontextmanager
async def gateway(*agents: AgentSpec) -> AsyncIterator[SandboxAgentGateway]:
    """Make a gateway over the fetched program, with the usual agents unless others are given."""
    fetched = await program()
    programs = ProgramCache(CACHE, program=fetched.path, digest=fetched.sha256)
    one = SandboxAgentGateway(CACHE, agents=agents or AGENTS, programs=programs)
    try:
        yield one
    finally:
        with anyio.CancelScope(shield=True):
            await one.aclose()


@asynccontextmanager
async def running(root: Path, *agents: AgentSpec) -> AsyncIterator[tuple[SandboxAgentGateway, AgentHost]]:
    """Run a server in a repository below `root`, with a gateway for the given agents, and stop it at the end."""
    host = AgentHost(root)
    host.make_repository()
    async with gateway(*agents) as one:
        try:
            await host.start(await one.service((agents or AGENTS)[0].id, silent))
            yield one, host
        finally:
            host.stop()


def conversation(tab: str = "tab-1", *, agent: str = "demo", session: int = 1) -> Conversation:
    """Name a conversation of the first generation."""
    return Conversation(tab, 1, agent, session)


async def until_replied(stream: AgentStream, request_id: str) -> tuple[list[AgentEvent], Replied]:
    """Read a stream until the end of a turn; what came before is returned too."""
    events: list[AgentEvent] = []
    with anyio.fail_after(20):
        while True:
            event = await stream.receive()
            assert event is not None, "the stream ended before the turn did"
            if isinstance(event, Replied) and event.request_id == request_id:
                return events, event
            events.append(event)


async def until_exited(stream: AgentStream) -> AgentExited:
    """Read a stream until the agent's exit."""
    with anyio.fail_after(20):
        while True:
            event = await stream.receive()
            assert event is not None, "the stream ended before the agent did"
            if isinstance(event, AgentExited):
                return event


async def until_received(stream: AgentStream, request_id: str) -> None:
    """Read a stream until the receipt of a prompt."""
    with anyio.fail_after(20):
        while (event := await stream.receive()) != (event and Received(event.event_id, request_id)):
            assert event is not None, "the stream ended before the receipt"


async def until(condition: Callable[[], object]) -> None:
    """Wait for something outside that can only be looked at."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.02)


def text_of(events: list[AgentEvent], kind: ItemKind = ItemKind.TEXT) -> str:
    """Put the streamed pieces of one kind together."""
    return "".join(e.body["text"] for e in events if isinstance(e, Update) and e.kind is kind)


def _session(entry: Path) -> int:
    """The session of a process that runs; -1 for one that is gone or waits for its parent."""
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return -1 if fields[0] == "Z" else int(fields[3])


def _thread_states(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return [task.read_text().rpartition(")")[2].split()[0] for task in tasks]


def _command(entry: Path) -> str:
    try:
        return " ".join((entry / "cmdline").read_text().rstrip("\0").split("\0"))
    except (FileNotFoundError, ProcessLookupError):
        return ""


def odd(way: str) -> AgentSpec:
    """Name an agent `odd` that misbehaves in one way (odd_agent.py)."""
    source = Path(__file__).with_name("odd_agent.py").read_bytes()
    file = ProgramFile(".taskdock/bin/odd_agent.py", content=source)
    return AgentSpec("odd", "mock", ("{python}", "-S", "-E", "{bin}/odd_agent.py", way), (file,))

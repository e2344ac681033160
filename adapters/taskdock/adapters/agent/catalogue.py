"""Catalogue: which agents there are, and what sandbox-agent needs in a sandbox to run them behind our relay.

Owns: `AgentSpec`, the layout of our files below a sandbox's home, and the launchers.
Never: a word of a user in a launcher; a key in a file (agents take theirs from the sandbox's environment).
Reads as: sandbox_agent.py -> this -> ServiceSpec.
"""

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from attrs import field, frozen

from taskdock.adapters.agent.fetch import VERSION, Program
from taskdock.core.errors import Permanent
from taskdock.ports.sandbox import ProgramFile, ServiceSpec

SERVICE = "sandbox-agent"

BIN = ".taskdock/bin"
"""Where our files are, below a sandbox's home."""
_DATA = ".local/share"
"""Where agents keep their data too when nobody says otherwise: the server's environment is theirs."""
_PROGRAM = f"{BIN}/sandbox-agent"
_DAY_MS = 24 * 60 * 60 * 1000
_ENVIRONMENT = {
    "XDG_DATA_HOME": "{home}/" + _DATA,
    "TASKDOCK_BIN": "{home}/" + BIN,
    # A request that outlives this is never answered at all; turns may take hours.
    "SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS": str(_DAY_MS),
    # Agents are ours to bring: the server must not fetch one by itself.
    "SANDBOX_AGENT_REQUIRE_PREINSTALL": "1",
    # Else it logs to a file named by the day, which no provider could find; prompts and tokens are in neither.
    "SANDBOX_AGENT_LOG_STDOUT": "1",
}

_LAUNCHER = """\
#!/bin/sh
# Runs the agent {agent} behind the relay. $TASKDOCK_BIN comes with the environment of the server.
set -eu
python={python}
[ -x "$python" ] || python=$(command -v python3) || {{ echo "there is no python3 in this sandbox" >&2; exit 127; }}
{unset}exec "$python" -S -E "$TASKDOCK_BIN/relay.py" {argv}
"""

_PREINSTALLED = ("claude", "codex", "opencode")
_STAND_IN = b"""\
#!/bin/sh
# sandbox-agent looks for this file before it runs the launcher, and never runs it.
exit 1
"""


@frozen
class AgentSpec:
    """One agent: our id, the id under which the server runs it, and its command line.

    In `argv`, `{python}` is the interpreter of the relay and `{bin}` the folder of our files in the sandbox. `files` are
    put there beside ours. `environment` names the variables of this process that it is given.
    """

    id: str
    server_agent: str
    argv: tuple[str, ...]
    files: tuple[ProgramFile, ...] = ()
    environment: tuple[str, ...] = ()


def own_file(name: str) -> ProgramFile:
    """Read a file of this package: a program, to stand in the sandbox under the same name, or a module of `inside`.

    A module lies in folders of its dotted name beside the programs, so they import it there as they do here.
    """
    content = (resources.files("taskdock.adapters.agent") / name).read_bytes()
    folder = f"{BIN}/taskdock/adapters/agent" if name.startswith("inside/") else BIN
    return ProgramFile(f"{folder}/{name}", content=content)


RELAY_FILES = tuple(own_file(name) for name in ("relay.py", "inside/permissions.py"))
_DEMO_MODULES = ("demo_checkout", "demo_directives", "demo_sessions", "demo_turn", "demo_wire")
DEMO = AgentSpec(
    "demo",
    "mock",
    ("{python}", "-S", "-E", "{bin}/demo_agent.py"),
    (own_file("demo_agent.py"), *(own_file(f"inside/{module}.py") for module in _DEMO_MODULES)),
)
AGENTS = (DEMO,)


@frozen
class Catalogue:
    """The agents of one gateway. `python` is tried first in the sandbox, then `python3` on its PATH.

    `environment` is where the variables that agents are given are read, each time a server is described.
    """

    agents: tuple[AgentSpec, ...] = AGENTS
    python: str = field(factory=lambda: str(Path(sys.executable).resolve()))
    environment: Mapping[str, str] = field(factory=lambda: os.environ, repr=False)

    def __attrs_post_init__(self) -> None:
        for ids in ([agent.id for agent in self.agents], [agent.server_agent for agent in self.agents]):
            if len(ids) != len(set(ids)):
                raise ValueError(f"two agents of the catalogue share an id: {ids}")

    def agent(self, agent_id: str) -> AgentSpec:
        """Look an agent up; `Permanent` when there is none."""
        for agent in self.agents:
            if agent.id == agent_id:
                return agent
        known = ", ".join(agent.id for agent in self.agents)
        raise Permanent(f"There is no agent {agent_id!r}; there are: {known}")

    def service(self, program: Program) -> ServiceSpec:
        """Describe the server for a sandbox. Its version changes with every file, so what runs there is always this.

        It does not change with a key: a server that runs keeps the one that it was started with.
        """
        files = tuple(own for agent in self.agents for own in agent.files)
        known = (*RELAY_FILES, *files)
        return ServiceSpec(
            name=SERVICE,
            version=f"{VERSION}+{self._fingerprint(program, known)}",
            argv=(
                *("{home}/" + _PROGRAM, "server", "--no-telemetry", "--token", "{token}"),
                *("--host", "127.0.0.1", "--port", "{port}"),
            ),
            env={**self._given(), **_ENVIRONMENT},
            files=(
                ProgramFile(_PROGRAM, host_path=program.path, mode=0o755),
                *known,
                *(own for agent in self.agents for own in self._launchers(agent)),
            ),
            health_path="/v1/health",
        )

    def _given(self) -> dict[str, str]:
        """What the environment holds of all that agents are given; the launcher of each leaves it only its own."""
        names = {name for agent in self.agents for name in agent.environment}
        return {name: self.environment[name] for name in sorted(names) if name in self.environment}

    def _launchers(self, agent: AgentSpec) -> Iterator[ProgramFile]:
        """What makes the server run the agent; of three it wants to see their program first."""
        others = {name for one in self.agents for name in one.environment} - {*agent.environment}
        text = _LAUNCHER.format(
            agent=agent.id,
            python=shlex.quote(self.python),
            argv=shlex.join(agent.argv),
            unset=f"unset {' '.join(sorted(others))}\n" if others else "",
        )
        folder = f"{_DATA}/sandbox-agent/bin"
        path = f"{folder}/agent_processes/{agent.server_agent}-acp"
        yield ProgramFile(path, content=text.encode(), mode=0o755)
        if agent.server_agent in _PREINSTALLED:
            yield ProgramFile(f"{folder}/{agent.server_agent}", content=_STAND_IN, mode=0o755)

    def _fingerprint(self, program: Program, files: Sequence[ProgramFile]) -> str:
        """Hash what runs, without the interpreter: it differs between hosts that share a remote sandbox."""
        digest = hashlib.sha256(program.sha256.encode())
        known = [(one.server_agent, one.argv, one.environment) for one in self.agents]
        digest.update(json.dumps([_ENVIRONMENT, known]).encode())
        for file in files:
            digest.update(file.path.encode() + b"\0" + (file.content or _size(file.host_path)))
        return digest.hexdigest()[:12]


def _size(program: Path | None) -> bytes:
    """A program of the host is known by its size: to read all of it each time would take too long."""
    return b"" if program is None or not program.exists() else str(program.stat().st_size).encode()

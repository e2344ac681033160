"""Catalogue: which agents there are, and what sandbox-agent needs in a sandbox to run them behind our relay.

Owns: `AgentSpec`, the layout of our files below a sandbox's home, and the launchers.
Never: a word of a user in a launcher; a key in a file (agents take theirs from the sandbox's environment).
Reads as: sandbox_agent.py -> this -> ServiceSpec.
"""

import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from attrs import field, frozen

from taskdock.adapters.agent.fetch import VERSION, Program
from taskdock.core.errors import Permanent
from taskdock.ports.sandbox import ProgramFile, ServiceSpec

SERVICE = "sandbox-agent"

_BIN = ".taskdock/bin"
_DATA = ".local/share"
"""Where agents keep their data too when nobody says otherwise: the server's environment is theirs."""
_PROGRAM = f"{_BIN}/sandbox-agent"
_DAY_MS = 24 * 60 * 60 * 1000
_ENVIRONMENT = {
    "XDG_DATA_HOME": "{home}/" + _DATA,
    "TASKDOCK_BIN": "{home}/" + _BIN,
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
exec "$python" -S -E "$TASKDOCK_BIN/relay.py" {argv}
"""


@frozen
class AgentSpec:
    """One agent: our id, the id under which the server runs it, and its command line.

    In `argv`, `{python}` is the interpreter of the relay and `{bin}` the folder of our files in the sandbox. `files` are
    put there beside ours.
    """

    id: str
    server_agent: str
    argv: tuple[str, ...]
    files: tuple[ProgramFile, ...] = ()


def own_file(name: str) -> ProgramFile:
    """Read a file of this package: a program, to stand in the sandbox under the same name, or a module of `inside`.

    A module lies in folders of its dotted name beside the programs, so they import it there as they do here.
    """
    content = (resources.files("taskdock.adapters.agent") / name).read_bytes()
    folder = f"{_BIN}/taskdock/adapters/agent" if name.startswith("inside/") else _BIN
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
    """The agents of one gateway. `python` is tried first in the sandbox, then `python3` on its PATH."""

    agents: tuple[AgentSpec, ...] = AGENTS
    python: str = field(factory=lambda: str(Path(sys.executable).resolve()))

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
        """Describe the server for a sandbox. Its version changes with every file, so what runs there is always this."""
        files = tuple(own for agent in self.agents for own in agent.files)
        known = (*RELAY_FILES, *files)
        return ServiceSpec(
            name=SERVICE,
            version=f"{VERSION}+{self._fingerprint(program, known)}",
            argv=(
                *("{home}/" + _PROGRAM, "server", "--no-telemetry", "--token", "{token}"),
                *("--host", "127.0.0.1", "--port", "{port}"),
            ),
            env=_ENVIRONMENT,
            files=(
                ProgramFile(_PROGRAM, host_path=program.path, mode=0o755),
                *known,
                *(self._launcher(agent) for agent in self.agents),
            ),
            health_path="/v1/health",
        )

    def _launcher(self, agent: AgentSpec) -> ProgramFile:
        text = _LAUNCHER.format(agent=agent.id, python=shlex.quote(self.python), argv=shlex.join(agent.argv))
        path = f"{_DATA}/sandbox-agent/bin/agent_processes/{agent.server_agent}-acp"
        return ProgramFile(path, content=text.encode(), mode=0o755)

    def _fingerprint(self, program: Program, files: Sequence[ProgramFile]) -> str:
        """Hash what runs, without the interpreter: it differs between hosts that share a remote sandbox."""
        digest = hashlib.sha256(program.sha256.encode())
        digest.update(json.dumps([_ENVIRONMENT, [(a.server_agent, a.argv) for a in self.agents]]).encode())
        for file in files:
            digest.update(file.path.encode() + b"\0" + (file.content or b""))
        return digest.hexdigest()[:12]

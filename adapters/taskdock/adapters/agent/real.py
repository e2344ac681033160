"""Real agents: what can be said of each in the configuration, and how it is run.

Owns: `AgentConfig`, the table `[agent.<id>]`; `KNOWN`, which agents there are beside the demo; `specs_of`.
Never: a key: a setting names the variables that hold it, and they are read when a server starts (catalogue.py).
Reads as: config_file.py, wiring.py -> these -> catalogue.py.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from attrs import Attribute, field, frozen

from taskdock.adapters.agent.catalogue import BIN, DEMO, AgentSpec
from taskdock.core.errors import InvalidCommand
from taskdock.ports.sandbox import ProgramFile

KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "claude": ("claude-agent-acp",),
        "codex": ("codex-acp",),
        "opencode": ("opencode", "acp"),
        "amp": (),
        "pi": (),
        "cursor": (),
    }
)
"""The ids that sandbox-agent knows, and the command by which each speaks ACP; one without has to be told."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"PATH|HOME|TMPDIR|(TASKDOCK|XDG|SANDBOX_AGENT|LD|PYTHON)_?[A-Z0-9_]*")
"""By these the server itself and our relay are run."""


def _listed(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _names(_config: object, attribute: "Attribute[tuple[str, ...]]", value: Sequence[str]) -> None:
    for name in value:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{attribute.name} lists names of variables, never their values")
        if _OURS.fullmatch(name):
            raise ValueError(f"{attribute.name} cannot hold {name}: the agent's server is run by it")


def _words(_config: object, attribute: "Attribute[tuple[str, ...]]", value: Sequence[str]) -> None:
    if any(not word or "\0" in word for word in value):
        raise ValueError(f"{attribute.name} is a list of words, none of them empty")


def _file(_config: object, attribute: "Attribute[Path | None]", value: Path | None) -> None:
    if value is not None and not (value.is_absolute() and value.is_file()):
        raise ValueError(f"{attribute.name} is the whole path of a file on this machine, and {value} is not")


@frozen
class AgentConfig:
    """The table `[agent.<id>]` of one real agent."""

    command: tuple[str, ...] = field(default=(), converter=_listed, validator=_words)
    """How it is called inside; a known agent's own command when empty."""
    program: Path | None = field(default=None, validator=_file)
    """A single program of this machine that is brought into each sandbox, and is the command's first word."""
    environment: tuple[str, ...] = field(default=(), converter=_listed, validator=_names)
    """Which variables of the scheduling process the agent is given, such as the one that holds its key."""


def specs_of(agents: Sequence[str], settings: Mapping[str, AgentConfig]) -> tuple[AgentSpec, ...]:
    """What is needed to run these. InvalidCommand for one that there is not, or whose command is not known."""
    return tuple(DEMO if one == DEMO.id else _spec(one, settings.get(one, AgentConfig())) for one in agents)


def _spec(agent: str, config: AgentConfig) -> AgentSpec:
    if agent not in KNOWN:
        known = ", ".join((DEMO.id, *KNOWN))
        raise InvalidCommand(f"There is no agent {agent!r}; there are: {known}.", field="agents")
    command = config.command or KNOWN[agent]
    if not command:
        raise InvalidCommand(
            f"How the agent {agent} is called has to be said: [agent.{agent}] command.", field="agents"
        )
    files: tuple[ProgramFile, ...] = ()
    if config.program is not None:
        files = (ProgramFile(f"{BIN}/agents/{agent}", host_path=config.program, mode=0o755),)
        command = ("{bin}/agents/" + agent, *command[1:])
    return AgentSpec(agent, agent, command, files, config.environment)

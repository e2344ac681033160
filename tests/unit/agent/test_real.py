"""Real agents: what can be said of one, and what comes of it."""

from pathlib import Path

import pytest

from taskdock.adapters.agent.catalogue import DEMO
from taskdock.adapters.agent.real import AgentConfig, specs_of
from taskdock.app import Config, load_config
from taskdock.core.errors import InvalidCommand


def test_known_agents_need_no_command() -> None:
    """Each of the three is called as it is usually called, in the order of the config."""
    specs = specs_of(("opencode", "demo", "claude", "codex"), {"claude": AgentConfig(environment=("KEY",))})
    assert [(one.id, one.server_agent, one.argv, one.environment) for one in specs if one != DEMO] == [
        ("opencode", "opencode", ("opencode", "acp"), ()),
        ("claude", "claude", ("claude-agent-acp",), ("KEY",)),
        ("codex", "codex", ("codex-acp",), ()),
    ]
    assert specs[1] == DEMO


def test_program_is_brought_along(tmp_path: Path) -> None:
    """A program of this machine stands for the first word of the command, and goes into the sandbox."""
    program = tmp_path / "oc"
    program.write_text("")
    (spec,) = specs_of(("opencode",), {"opencode": AgentConfig(program=program)})
    assert spec.argv == ("{bin}/agents/opencode", "acp")
    assert [(file.path, file.host_path, file.mode) for file in spec.files] == [
        (".taskdock/bin/agents/opencode", program, 0o755)
    ]


@pytest.mark.parametrize(
    ("agent", "said"), [("gpt", "no agent 'gpt'; there are: demo, claude"), ("pi", "agent.pi.*command")]
)
def test_what_cannot_be_run_is_told(agent: str, said: str) -> None:
    """An agent that there is not, and one of which nobody knows how it is called."""
    with pytest.raises(InvalidCommand, match=said):
        specs_of((agent,), {})


TABLE = "agents = ['opencode']\n[agent.opencode]\n"


def test_table_is_read(tmp_path: Path) -> None:
    """What stands in the file is what the agent is run by."""
    path = tmp_path / "taskdock.toml"
    path.write_text(f"{TABLE}command = ['oc', 'acp']\nenvironment = ['A_KEY']\n")
    config = load_config(path, home=tmp_path)
    assert config.agents == ("opencode",)
    assert config.agent == {"opencode": AgentConfig(("oc", "acp"), environment=("A_KEY",))}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("environment = ['sk-live-1']", "names of variables, never their values"),
        ("environment = ['PATH']", "cannot hold PATH"),
        ("environment = ['TASKDOCK_BIN']", "cannot hold TASKDOCK_BIN"),
        ("environment = ['LD_PRELOAD']", "cannot hold LD_PRELOAD"),
        ("environment = 'A_KEY'", "a list"),
        ("program = 'oc'", "the whole path of a file"),
        ("program = '/no/such/oc'", "the whole path of a file"),
        ("command = ['']", "a list of words"),
        ("comand = ['oc']", "did you mean 'command'"),
    ],
)
def test_mistake_is_told_by_its_line(tmp_path: Path, line: str, said: str) -> None:
    """What is wrong in a table is refused with the file, the line and what is wanted."""
    path = tmp_path / "taskdock.toml"
    path.write_text(f"{TABLE}{line}\n")
    with pytest.raises(InvalidCommand, match=rf"{path}:3: .*{said}"):
        load_config(path, home=tmp_path)


@pytest.mark.parametrize("agent", ["demo", "opncode"])
def test_table_of_no_real_agent_is_refused(tmp_path: Path, agent: str) -> None:
    """The demo has no settings, and neither has one that there is not."""
    path = tmp_path / "taskdock.toml"
    path.write_text(f"[agent.{agent}]\n")
    with pytest.raises(InvalidCommand, match=rf"unknown key 'agent.{agent}'"):
        load_config(path, home=tmp_path)


def test_settings_of_a_backend_are_of_their_class() -> None:
    """A backend that gives a table where an `AgentConfig` belongs is told so."""
    with pytest.raises(InvalidCommand, match="AgentConfig"):
        Config(agent={"opencode": {"command": ["oc"]}})  # type: ignore[dict-item] # that is the mistake

"""What the gateway wants to have run in a sandbox."""

import ast
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from taskdock.adapters.agent import inside
from taskdock.adapters.agent.catalogue import AGENTS, DEMO, RELAY_FILES, AgentSpec, Catalogue
from taskdock.adapters.agent.fetch import Program
from taskdock.core.errors import Permanent
from taskdock.ports.sandbox import ProgramFile

PROGRAM = Program(Path("/cache/sandbox-agent"), "0" * 64)


def test_server_is_told_everything_on_its_command_line() -> None:
    """The server has a token, no telemetry, and listens on loopback at the port that the provider chooses."""
    service = Catalogue().service(PROGRAM)
    assert service.argv == (
        "{home}/.taskdock/bin/sandbox-agent",
        "server",
        "--no-telemetry",
        "--token",
        "{token}",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
    )
    assert service.health_path == "/v1/health"


def test_environment_is_short_and_below_the_home() -> None:
    """Agents inherit the server's environment: nothing of this process is in it."""
    service = Catalogue().service(PROGRAM)
    assert set(service.env) == {
        "XDG_DATA_HOME",
        "TASKDOCK_BIN",
        "SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS",
        "SANDBOX_AGENT_REQUIRE_PREINSTALL",
        "SANDBOX_AGENT_LOG_STDOUT",
    }
    assert service.env["XDG_DATA_HOME"].startswith("{home}/")


def test_program_is_brought_from_the_host() -> None:
    """The program is taken from the cache as it is; scripts travel as bytes; launchers can be executed."""
    files = {file.path: file for file in Catalogue().service(PROGRAM).files}
    assert files[".taskdock/bin/sandbox-agent"].host_path == PROGRAM.path
    assert b"class Relay" in (files[".taskdock/bin/relay.py"].content or b"")
    assert b"class Agent" in (files[".taskdock/bin/demo_agent.py"].content or b"")
    launcher = files[".local/share/sandbox-agent/bin/agent_processes/mock-acp"]
    assert launcher.mode == files[".taskdock/bin/sandbox-agent"].mode == 0o755


def test_version_changes_with_what_runs() -> None:
    """Another program, another script or another command line is another version; another interpreter is not."""
    usual = Catalogue().service(PROGRAM).version
    assert usual.startswith("0.4.2+")
    assert Catalogue(python="/opt/python").service(PROGRAM).version == usual
    other_script = ProgramFile(DEMO.files[0].path, content=b"pass")
    changed = {
        Catalogue().service(Program(PROGRAM.path, "1" * 64)).version,
        Catalogue((evolve(DEMO, argv=("x",)),)).service(PROGRAM).version,
        Catalogue((evolve(DEMO, files=(other_script,)),)).service(PROGRAM).version,
        Catalogue((*AGENTS, AgentSpec("other", "amp", ("x",)))).service(PROGRAM).version,
    }
    assert len(changed | {usual}) == 5


@pytest.mark.parametrize("ids", [("demo", "amp"), ("other", "mock")])
def test_two_agents_cannot_share_a_place(ids: tuple[str, str]) -> None:
    """Two agents under one id, ours or the server's, are a mistake of who configures them."""
    with pytest.raises(ValueError, match="share an id"):
        Catalogue((DEMO, AgentSpec(*ids, ("x",))))


def test_unknown_agent_names_the_known() -> None:
    """An agent that is not there is permanent, and those that are there are named."""
    with pytest.raises(Permanent, match=r"'gpt'; there are: demo"):
        Catalogue().agent("gpt")


def launch(tmp_path: Path, python: str, path: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a launcher with a relay that only prints its arguments."""
    spec = AgentSpec("one", "mock", argv)
    [text] = [
        f.content for f in Catalogue((spec,), python).service(PROGRAM).files if f.path.endswith("mock-acp")
    ]
    launcher = tmp_path / "mock-acp"
    launcher.write_bytes(text or b"")
    launcher.chmod(0o755)
    (tmp_path / "relay.py").write_text("import sys; print(sys.flags.no_site, sys.argv[1:])")
    environment = {"PATH": path, "TASKDOCK_BIN": str(tmp_path)}
    return subprocess.run(
        ["/bin/sh", str(launcher)], env=environment, capture_output=True, text=True, check=False
    )


def test_launcher_passes_words_as_they_are(tmp_path: Path) -> None:
    """The launcher starts the relay with the agent's command line, whatever signs are in it."""
    argv = ("{python}", "a b", "it's", "$HOME", "`id`", 'x"y', "")
    done = launch(tmp_path, sys.executable, "/nonexistent", *argv)
    assert done.stdout.strip() == f"1 {list(argv)}"


def test_launcher_finds_another_python(tmp_path: Path) -> None:
    """Where this host's interpreter is not, the sandbox's own does; without any the launcher says so."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    missing = shlex.quote("/no such/python")
    assert launch(tmp_path, missing, str(tmp_path / "bin"), "x").stdout.strip() == "1 ['x']"
    done = launch(tmp_path, missing, "/nonexistent", "x")
    assert (done.returncode, done.stderr) == (127, "there is no python3 in this sandbox\n")


CLAUDE = AgentSpec("claude", "claude", ("claude-agent-acp",), environment=("CLAUDE_KEY", "PROXY"))
CODEX = AgentSpec("codex", "codex", ("codex-acp",), environment=("CODEX_KEY", "PROXY"))


def keyed(**changes: str) -> Catalogue:
    """Three agents, two of which are given something, in an environment that holds most of it and more."""
    environment = {"CLAUDE_KEY": "sk-one", "CODEX_KEY": "sk-two", "OTHER": "sk-three", **changes}
    return Catalogue((DEMO, CLAUDE, CODEX), environment=environment)


def test_agents_are_given_what_is_named_and_no_more() -> None:
    """The server's environment holds the variables that some agent names, where they are set, and nothing else of ours."""
    service = keyed(PATH="/elsewhere").service(PROGRAM)
    assert service.env == {**Catalogue().service(PROGRAM).env, "CLAUDE_KEY": "sk-one", "CODEX_KEY": "sk-two"}


def test_keys_are_in_nothing_but_the_environment() -> None:
    """No argument, no file, no version and no repr holds a key; another key is no other version."""
    service = keyed().service(PROGRAM)
    written = repr((service, service.argv, [file.content for file in service.files], keyed()))
    assert not [key for key in ("sk-one", "sk-two", "sk-three") if key in written]
    assert keyed(CLAUDE_KEY="sk-new").service(PROGRAM).version == service.version
    named = Catalogue((DEMO, CLAUDE, evolve(CODEX, environment=())), environment={})
    assert named.service(PROGRAM).version != service.version


def test_each_agent_is_left_its_own_variables(tmp_path: Path) -> None:
    """The launcher takes away what only other agents are given."""
    given = {
        "CLAUDE_KEY": "1",
        "CODEX_KEY": "2",
        "PROXY": "3",
        "PATH": "/usr/bin:/bin",
        "TASKDOCK_BIN": str(tmp_path),
    }
    (tmp_path / "relay.py").write_text(
        "import os; print(sorted({'CLAUDE_KEY', 'CODEX_KEY', 'PROXY'} & set(os.environ)))"
    )
    left = []
    for name in ("mock-acp", "claude-acp", "codex-acp"):
        (text,) = [file.content for file in keyed().service(PROGRAM).files if file.path.endswith(name)]
        (tmp_path / name).write_bytes(text or b"")
        done = subprocess.run(
            ["/bin/sh", str(tmp_path / name)], env=given, capture_output=True, text=True, check=True
        )
        left.append(done.stdout.strip())
    assert left == ["[]", "['CLAUDE_KEY', 'PROXY']", "['CODEX_KEY', 'PROXY']"]


def test_what_the_server_looks_for_is_there() -> None:
    """sandbox-agent runs the launcher of claude, codex and opencode only where it finds a program of that name."""
    there = {file.path for file in keyed().service(PROGRAM).files}
    folder = ".local/share/sandbox-agent/bin"
    assert {f"{folder}/claude", f"{folder}/codex"} <= there
    assert f"{folder}/mock" not in there


SCRIPTS = (*RELAY_FILES, *DEMO.files)


def imported_by(tree: ast.Module) -> set[str]:
    """Every module that a script imports, also where it is for types only."""
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            is_package = node.module.endswith(".inside")
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if is_package else {node.module}
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.path)
def test_script_runs_on_an_older_python(script: ProgramFile) -> None:
    """What is run by the sandbox's Python keeps to the syntax of 3.9, to the standard library and to what is shipped."""
    imported = imported_by(ast.parse((script.content or b"").decode(), feature_version=(3, 9)))
    ours = {module for module in imported if module.startswith("taskdock.")}
    shipped = {file.path for file in SCRIPTS}
    assert {f".taskdock/bin/{module.replace('.', '/')}.py" for module in ours} <= shipped
    assert {module.partition(".")[0] for module in imported - ours} <= sys.stdlib_module_names
    assert "__future__" in imported


def test_all_that_runs_inside_is_shipped() -> None:
    """No module of `inside` is forgotten."""
    there = {path.name for path in Path(inside.__file__ or "").parent.glob("*.py")} - {"__init__.py"}
    assert {Path(file.path).name for file in SCRIPTS} == {*there, "relay.py", "demo_agent.py"}

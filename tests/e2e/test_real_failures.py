"""Real failures: programs that are missing, wrong or broken, and an agent that refuses; each names itself and is mended."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_server import CACHE
from e2e.installation import Installation, rest
from e2e.world import end_processes
from git_repos import make_remote
from taskdock.adapters.agent.catalogue import AGENTS, DEMO, AgentSpec
from taskdock.adapters.agent.fetch import ProgramCache
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.app import TaskView
from taskdock.ports.sandbox import ProgramFile

pytestmark = pytest.mark.anyio

ODD_AGENT = Path(__file__).parents[1] / "odd_agent.py"


def program(folder: Path, text: str) -> Path:
    """A program of the test in the place of sandbox-agent."""
    path = folder / "sandbox-agent"
    path.write_text(text)
    path.chmod(0o755)
    return path


async def failed_then_mended(
    folder: Path, *, programs: ProgramCache | None = None, agents: Sequence[AgentSpec] = AGENTS
) -> TaskView:
    """Create a task with a gateway that cannot work, see it fail, then retry it with the real one and see it run."""
    place = Installation(folder)
    remote = make_remote(folder / "remote")
    broken = SandboxAgentGateway(folder / "cache" if programs else CACHE, programs=programs, agents=agents)
    async with place.open({"gateway": broken}) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        failed = await rest(dock, receipt.task_id, "error")
    await broken.aclose()
    async with place.open() as dock:
        await dock.retry_task(receipt.task_id)
        await rest(dock, receipt.task_id, "running")
    end_processes(folder)
    return failed


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    """A configured program that is not there is a permanent failure of the agent's step that names the path."""
    view = await failed_then_mended(
        tmp_path, programs=ProgramCache(tmp_path / "cache", program=tmp_path / "nothing")
    )
    failure = view.task.failure
    assert failure is not None
    assert (failure.step, failure.failure_class.value) == ("init_ensure_agent", "permanent")
    assert str(tmp_path / "nothing") in failure.reason


async def test_a_wrong_digest_is_refused_and_nothing_of_it_is_run(tmp_path: Path) -> None:
    """A program whose digest is not the pinned one is a permanent failure, and it was never started."""
    proof = tmp_path / "was-run"
    strange = program(tmp_path, f"#!/bin/sh\ntouch {proof}\n")
    view = await failed_then_mended(tmp_path, programs=ProgramCache(tmp_path / "cache", program=strange))
    failure = view.task.failure
    assert failure is not None
    assert (failure.step, failure.failure_class.value) == ("init_ensure_agent", "permanent")
    assert "sha256" in failure.reason
    assert not proof.exists()


async def test_a_server_that_exits_at_start_shows_its_last_words(tmp_path: Path) -> None:
    """A server that dies at once is tried as often as the step allows, then the failure carries its output."""
    dying = program(tmp_path, "#!/bin/sh\necho no room for a server >&2\nexit 3\n")
    programs = ProgramCache(tmp_path / "cache", program=dying, is_checked=False)
    view = await failed_then_mended(tmp_path, programs=programs)
    failure = view.task.failure
    assert failure is not None
    assert (failure.step, failure.attempts) == ("init_ensure_agent", 5)
    assert "no room for a server" in (failure.log_tail or "")


async def test_an_agent_that_refuses_its_session_is_quoted(tmp_path: Path) -> None:
    """An agent that wants a login fails the session step with its own words; the tab and the task say so."""
    odd = ProgramFile(".taskdock/bin/odd_agent.py", content=ODD_AGENT.read_bytes())
    argv = ("{python}", "-S", "-E", "{bin}/odd_agent.py", "login")
    agents = (AgentSpec("demo", "mock", argv, (odd, *DEMO.files)),)
    view = await failed_then_mended(tmp_path, agents=agents)
    failure = view.task.failure
    assert failure is not None
    assert failure.step == "init_create_session"
    assert "Authentication required" in failure.reason
    assert view.tabs[0].failure is not None

"""What the doctor finds in a real home, and which command it names for it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from taskdock.adapters.entry.cli.checks import Check
from taskdock.adapters.naming.chat import ChatNaming
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.app import Config
from taskdock.app import open as open_dock
from taskdock.app.doctor import _held, examine
from taskdock.core.values import sandbox_name
from taskdock.ports.sandbox import Capabilities, SandboxRef, SandboxSpec

pytestmark = pytest.mark.anyio

UNKNOWN = "task-00000000000000000000"


async def found(home: Path) -> dict[str, Check]:
    """Each check by its name."""
    return {check.name: check for check in await examine(home)}


async def test_a_fresh_home_lacks_nothing_but_a_store(tmp_path: Path) -> None:
    """Nothing is made by looking, and what is not there yet is no failure."""
    home = tmp_path / "home"
    checks = await found(home)
    assert all(check.ok for name, check in checks.items() if name in ("python", "git", "home", "namer"))
    assert "store" not in checks
    assert not home.exists()


async def test_a_config_that_is_not_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the folder where one stands is not that of the home; both are named, and the way out as a command."""
    home, here = tmp_path / "home", tmp_path / "my repo"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    read, unread = home / "taskdock.toml", here / "taskdock.toml"
    check = (await found(home))["config"]
    assert (check.ok, check.detail) == (True, f"the defaults: there is no {read}")
    unread.write_text('providers = ["local-process"]\n')
    check = (await found(home))["config"]
    assert (check.ok, check.essential) == (False, False)
    assert check.detail == f"the defaults: there is no {read}; {unread} is not read"
    assert check.mend == f"mv '{unread}' {read}, or make this folder the home: taskdock --home ."
    read.write_text("")
    check = (await found(home))["config"]
    assert (check.ok, check.detail) == (False, f"{read}; {unread} is not read")
    assert (check.mend or "").startswith(f"write what is in it into {read}, or ")
    assert (await found(here))["config"].ok
    unread.unlink()
    assert (await found(home))["config"] == Check("config", ok=True, detail=str(read), essential=False)


async def test_real_agents_are_told_with_what_they_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each agent but the demo: how it is called and which variables it gets, by name alone; and what is wrong with it."""
    (tmp_path / "taskdock.toml").write_text(
        "agents = ['opencode', 'demo', 'claude', 'gpt']\n"
        "[agent.opencode]\nenvironment = ['OC_KEY', 'OC_URL']\n[agent.claude]\nenvironment = ['CLAUDE_KEY']\n"
    )
    monkeypatch.setenv("OC_KEY", "sk-secret")
    monkeypatch.delenv("CLAUDE_KEY", raising=False)
    checks = await found(tmp_path)
    assert "agent demo" not in checks
    assert checks["agent opencode"].ok
    assert checks["agent opencode"].detail == "opencode acp, given OC_KEY"
    claude = checks["agent claude"]
    assert (claude.ok, claude.essential, claude.detail) == (False, False, "nothing is set here of CLAUDE_KEY")
    assert (claude.mend or "").startswith("export CLAUDE_KEY=")
    assert not checks["agent gpt"].ok
    assert "sk-secret" not in repr(checks)


def test_what_a_provider_says_are_sentences() -> None:
    """What is limited and what is not held each end with a full stop, also where the provider wrote none."""
    says = Capabilities(
        None, "a shed", 0.0, True, limits=("Memory: 1 GiB", "Two doors."), not_enforced=("Noise",)
    )
    assert _held("provider shed", says).detail == "isolation a shed. Memory: 1 GiB. Two doors. Noise."


async def test_work_that_waits_for_a_scheduler_is_told(tmp_path: Path) -> None:
    """While nothing waits nobody need schedule; when something does, the command that drives it is named."""
    async with open_dock(Config(home=tmp_path), schedule=False) as dock:
        assert (await found(tmp_path))["scheduler"].ok
        await dock.create_task(repo="https://git.example.org/a/b", prompt="Do it")
    checks = await found(tmp_path)
    assert checks["store"].ok
    scheduler = checks["scheduler"]
    assert (scheduler.ok, scheduler.essential) == (False, False)
    assert "taskdock task watch" in (scheduler.mend or "")


async def test_sandboxes_that_are_left_over_are_told(tmp_path: Path) -> None:
    """How many, and the command that ends them; one that is too young to be ended is none yet."""
    (tmp_path / "taskdock.toml").write_text("reap_age_seconds = 0.0\n")
    async with open_dock(Config(home=tmp_path), schedule=False) as dock:
        assert (await found(tmp_path))["sandboxes"].detail == "0, none left over"
        local = LocalSandboxes(tmp_path / "sandboxes", "here", lambda: datetime.now(UTC))
        ref = SandboxRef("local", sandbox_name(dock.owner, UNKNOWN, 1))
        await local.ensure(SandboxSpec(ref, dock.owner, UNKNOWN, 1))
    check = (await found(tmp_path))["sandboxes"]
    assert (check.ok, check.detail, check.mend) == (False, "1 of 1 are needed by no task", "taskdock reap")
    (tmp_path / "taskdock.toml").unlink()
    assert (await found(tmp_path))["sandboxes"].ok


async def test_a_namer_without_its_key_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, and that the heuristic stands in; with the variable set all is well."""
    naming = ChatNaming("https://llm.example.org/v1", "m", "DOCTOR_KEY")
    (tmp_path / "taskdock.toml").write_text(
        f'namer = "chat"\n[chat_namer]\nurl = "{naming.url}"\nmodel = "m"\nkey_variable = "DOCTOR_KEY"\n'
    )
    monkeypatch.delenv("DOCTOR_KEY", raising=False)
    check = (await found(tmp_path))["namer"]
    assert (check.ok, check.essential, "DOCTOR_KEY" in (check.mend or "")) == (False, False, True)
    monkeypatch.setenv("DOCTOR_KEY", "sk-canary")
    check = (await found(tmp_path))["namer"]
    assert (check.ok, "canary" in check.detail) == (True, False)


async def test_a_store_that_is_none_names_what_to_do(tmp_path: Path) -> None:
    """It is essential, and the file stays as it is."""
    (tmp_path / "taskdock.db").write_text("something else")
    check = (await found(tmp_path))["store"]
    assert (check.ok, check.essential) == (False, True)
    assert "taskdock store check" in (check.mend or "")
    assert (tmp_path / "taskdock.db").read_text() == "something else"

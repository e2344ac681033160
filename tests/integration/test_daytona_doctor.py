"""What doctor and reaper say of Daytona: whether it opens, what is ours there, what it takes, what it costs, what is left over."""

from pathlib import Path

import pytest

from stand_in import StandIn
from taskdock.adapters.entry.cli.checks import Check
from taskdock.app import Config
from taskdock.app import open as open_dock
from taskdock.app.doctor import examine
from taskdock.app.wiring import open_reaper
from taskdock.core.values import sandbox_name
from taskdock.ports.sandbox import SandboxRef, SandboxSpec
from taskdock.services.reaper import Fate

pytestmark = pytest.mark.anyio

UNKNOWN = "task-00000000000000000000"


async def found(home: Path) -> dict[str, Check]:
    """Each check by its name."""
    return {check.name: check for check in await examine(home)}


def configure(home: Path, stand_in: StandIn) -> None:
    """A home whose only provider is Daytona, with prices."""
    (home / "taskdock.toml").write_text(
        f"""
        providers = ["daytona"]
        reap_age_seconds = 0.0
        [provider.daytona]
        api_url = "{stand_in.url}/api"
        price_cpu_hour = 0.05
        price_memory_gib_hour = 0.01
        price_disk_gib_hour = 0.001
        """
    )


async def test_without_a_key_it_says_how_to_get_it_one(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's line fails, names the variable, and the command that sets it."""
    configure(tmp_path, stand_in)
    monkeypatch.delenv("DAYTONA_API_KEY", raising=False)
    check = (await found(tmp_path))["provider daytona"]
    assert (check.ok, "export DAYTONA_API_KEY" in (check.mend or "")) == (False, True)


async def test_what_is_ours_there_is_told_and_the_needless_ended(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes are summed, hours priced, one of no task is named as such and ended; other people's are not even counted."""
    configure(tmp_path, stand_in)
    monkeypatch.setenv("DAYTONA_API_KEY", stand_in.key)
    boxes = stand_in.sandboxes()
    foreign = stand_in.new_spec()
    await boxes.ensure(foreign)
    config = Config(home=tmp_path)
    async with open_dock(config, schedule=False) as dock:
        ref = SandboxRef("daytona", sandbox_name(dock.owner, UNKNOWN, 1))
        await boxes.ensure(SandboxSpec(ref, dock.owner, UNKNOWN, 1))
    checks = await found(tmp_path)
    about = checks["provider daytona"]
    assert (about.ok, "never against the real cloud" in about.detail) == (True, True)
    assert stand_in.key not in repr(checks)
    check = checks["sandboxes"]
    assert (check.ok, check.mend) == (False, "taskdock reap")
    assert check.detail == (
        "1 of 1 are needed by no task; 1 vCPU, 1 GiB of memory, 3 GiB of disk; 0.063 an hour"
    )
    async with open_reaper(
        Config(
            home=tmp_path,
            providers=("daytona",),
            provider={"daytona": stand_in.config},
            reap_age_seconds=0.0,
        )
    ) as reaper:
        ended = await reaper.reap()
    assert [one.fate for one in ended.found] == [Fate.REAPED]
    names = stand_in.names()
    assert (foreign.ref.name in names, ref.name in names) == (True, False)
    await boxes.destroy(foreign.ref, foreign.owner)
    await boxes.aclose()

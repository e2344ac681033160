"""The kill matrix on providers that break a promise: each is found, and told by the promise that it breaks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_server import CACHE
from e2e.providers import eyes_on, only_on_local
from taskdock.core.errors import InvalidCommand
from taskdock.testing.kill_matrix.cells import chosen
from taskdock.testing.kill_matrix.installation import Installation
from taskdock.testing.kill_matrix.matrix import KillMatrix
from taskdock.testing.kill_matrix.process import NotSeen, Patience, ServingProcess
from taskdock.testing.kill_matrix.promises import Promise
from taskdock.testing.kill_matrix.verdicts import Outcome, Verdict

CONFIG = f"""\
cache = "{CACHE}"
providers = ["local-process"]
wrap = "e2e.broken_provider:{{fault}}"
drain_seconds = 1.0
[figures]
backoff_seconds = 0.05
settle_seconds = 1.0
absent_seconds = 0.2
[figures.intents.StopSandbox]
deadline_seconds = 60
attempts_max = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the homes are; what a broken provider leaves behind is ended with the test."""
    only_on_local("it is about the matrix, on a local provider with faults")
    yield tmp_path / "kills"
    for trial in (tmp_path / "kills").glob("*-*"):
        eyes_on("local-process").end(trial / "home")


def config_with(folder: Path, fault: str) -> Path:
    """A config whose provider has this fault."""
    folder.mkdir(exist_ok=True)
    config = folder / "taskdock.toml"
    config.write_text(CONFIG.format(fault=fault))
    return config


async def tried(folder: Path, fault: str, cell: str) -> Verdict:
    """One kill, on a provider with this fault."""
    config = config_with(folder, fault)
    (verdict,) = await KillMatrix(config, folder=folder, patience=Patience(60.0)).run(chosen([cell]))
    return verdict


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("fault", "cell", "promise"),
    [
        ("second_box", "create/provider.ensure.after", Promise.ONE_SANDBOX),
        ("early_absent", "kill/provider.destroy.after", Promise.NOTHING_LEFT),
        ("forgetful_list", "create/provider.ensure.after", Promise.LISTED),
        ("jealous", "create/provider.ensure.after", Promise.GOES_ON),
        ("amnesiac", "resume/provider.start.before", Promise.FILES_STAY),
        ("brittle", "stop/provider.stop.before", Promise.GOES_ON),
    ],
)
async def test_a_broken_promise_is_found(folder: Path, fault: str, cell: str, promise: Promise) -> None:
    """A provider with one fault is broken, and the first sentence names the promise."""
    verdict = await tried(folder, fault, cell)
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.findings[0].promise is promise, verdict.story()
    assert promise.value in verdict.story()
    assert verdict.kept is not None and (verdict.kept / "home" / "taskdock.db").exists()


@pytest.mark.anyio
async def test_a_process_that_does_not_come_up_is_told_with_its_words(folder: Path) -> None:
    """A wrap that there is not ends the process, and what it logged is in the sentence."""
    config = config_with(folder, "no_such_fault")
    installation = Installation(folder / "home", config, "local-process")
    process = ServingProcess(installation, folder / "serving.log", Patience(60.0))
    with pytest.raises(NotSeen, match=r"does not serve(.|\n)*no_such_fault(.|\n)*cannot be loaded"):
        await process.start()
    await process.kill()


@pytest.mark.anyio
async def test_a_gate_that_nobody_comes_to_is_told(tmp_path: Path) -> None:
    """Waiting for it ends when the patience does."""
    installation = Installation(tmp_path / "home", gates=tmp_path)
    process = ServingProcess(installation, tmp_path / "serving.log", Patience(0.1))
    process.set_gate("provider.ensure.before")
    with pytest.raises(NotSeen, match=r"provider\.ensure\.before was not reached within 0\.1 s"):
        await process.reached("provider.ensure.before")


@pytest.mark.anyio
async def test_what_cannot_be_tried_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """An unknown provider, and a folder that holds an earlier trial, are told before anything is killed."""
    cells = chosen(["create/provider.ensure.before"])
    folder = tmp_path / "kills"
    with pytest.raises(InvalidCommand, match="'nowhere'"):
        await KillMatrix(provider="nowhere", folder=folder).run(cells)
    assert list(folder.iterdir()) == []
    (folder / "create-provider.ensure.before").mkdir()
    with pytest.raises(InvalidCommand, match=r"holds create-provider\.ensure\.before from before"):
        await KillMatrix(provider="local-process", folder=folder).run(cells)

"""A real agent: opencode in a local sandbox, offline, with a model of ours on the loopback.

Runs where TASKDOCK_OPENCODE names the program (the guide on agents says how it is had); it is large, so nothing fetches it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from e2e.installation import Installation, ended, rest, see
from e2e.providers import only_on_local
from e2e.work import checkout_of
from model_stand_in import SAID, ModelStandIn, running_model
from taskdock import app
from taskdock.adapters.agent.real import AgentConfig
from taskdock.app import Config, Dock, TaskView
from taskdock.core.intents import Figure

PROGRAM = os.environ.get("TASKDOCK_OPENCODE")
VARIABLES = (
    "OPENCODE_CONFIG_CONTENT",
    "OPENCODE_DISABLE_AUTOUPDATE",
    "OPENCODE_DISABLE_MODELS_FETCH",
    "STANDIN_MODEL_KEY",
)
START_SECONDS_MAX = 300.0
"""A program of this size takes its time on a machine that is busy: half a minute of computing."""
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(PROGRAM is None, reason="TASKDOCK_OPENCODE does not name the program of opencode"),
]


@pytest.fixture
def anyio_backend() -> str:
    """One loop: what differs between them is tested with the demo agent."""
    return "asyncio"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelStandIn]:
    """A model that runs, and an environment that leads to it."""
    with running_model() as one:
        options = {"baseURL": one.url, "apiKey": "{env:STANDIN_MODEL_KEY}"}
        provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m": {"name": "m"}}}
        config = {
            "provider": {"standin": provider},
            "model": "standin/m",
            "small_model": "standin/m",
            "permission": {"bash": "ask"},
            "share": "disabled",
        }
        values = (json.dumps(config), "1", "1", one.key)
        for name, value in zip(VARIABLES, values, strict=True):
            monkeypatch.setenv(name, value)
        yield one


def config_of(place: Installation) -> Config:
    """A config with opencode alone."""
    opencode = AgentConfig(program=Path(PROGRAM or ""), environment=VARIABLES)
    slow = {name: Figure(START_SECONDS_MAX, 5) for name in ("CreateSession", "ResumeSession")}
    figures = evolve(place.figures, intents={**place.figures.intents, **slow})
    return place.config(agents=("opencode",), agent={"opencode": opencode}, figures=figures)


def is_asked(view: TaskView) -> bool:
    """Whether the agent waits for an answer."""
    return len(view.permissions) == 1


async def allow(dock: Dock, task_id: str) -> None:
    """Wait for the question of the agent, and allow what it is about, once."""
    view = await see(dock, task_id, is_asked, "a question", seconds=START_SECONDS_MAX)
    (asked,) = view.permissions
    option = next(one for one in asked.options if one.kind == "allow_once")
    await dock.answer_permission(view.tabs[0].id, asked.id, option.id)


def carries(key: str, *folders: Path) -> list[str]:
    """The command lines of this machine, and the files of these folders, in which the key stands."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if key.encode() in (entry / "cmdline").read_bytes():
                found.append(f"the command line of {entry.name}")
        except (FileNotFoundError, ProcessLookupError):
            continue
    files = (
        path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    )
    return [*found, *(str(path) for path in files if key.encode() in path.read_bytes())]


async def test_opencode_works_in_a_sandbox(place: Installation, remote: Path, model: ModelStandIn) -> None:
    """It asks before it acts, writes a file, goes on with its session after a stop, and leaves its key nowhere."""
    only_on_local("the model is on this machine's loopback")
    async with app.open(config_of(place)) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Note that herons are patient")
        await allow(dock, receipt.task_id)
        await ended(dock, receipt.task_id, 1)
        note = checkout_of(place.home, receipt.task_id, 1) / "herons.txt"
        written = note.read_text()
        items = await dock.transcript(receipt.tab_id or "")
        leaks = carries(model.key, place.home)
        note.unlink()
        await dock.stop_task(receipt.task_id)
        first = (await rest(dock, receipt.task_id, "stopped")).tabs[0].session_id
        await dock.send(receipt.tab_id or "", "Note it again")
        await allow(dock, receipt.task_id)
        again = await ended(dock, receipt.task_id, 2)
        rewritten = note.read_text()
        await dock.kill_task(receipt.task_id, force=True)
        await rest(dock, receipt.task_id, "killed")
    assert (written, rewritten) == ("herons are patient\n", "herons are patient\n")
    assert "".join(str(item.body["text"]) for item in items if item.kind == "text").strip() == SAID
    assert any("herons.txt" in json.dumps(item.body) for item in items if item.kind.startswith("tool_call"))
    assert again.tabs[0].session_id == first
    assert "Note that herons" in json.dumps(model.asked[-1]["messages"])
    assert (leaks, model.refused) == ([], [])
    assert place.sandboxes() == []

"""Configuration page: its tables say what the code says, and leave nothing out."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import NOTHING, fields

from architecture.source_tree import REPOSITORY, module_name, parsed, sources
from docs.pages import Block, blocks, code, prose, rows, section
from taskdock.adapters.agent.catalogue import DEMO
from taskdock.adapters.agent.real import KNOWN, AgentConfig
from taskdock.adapters.clock import SystemClock
from taskdock.adapters.clone.environment import OWNER_VARIABLE
from taskdock.adapters.entry.cli.exit_codes import table
from taskdock.adapters.naming.chat import ChatNaming
from taskdock.adapters.sandbox.daytona.settings import DaytonaConfig
from taskdock.adapters.store.sqlite.connection import Limits
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.app import Config, load_config
from taskdock.core import values
from taskdock.core.errors import InvalidCommand
from taskdock.core.intents import Figures
from taskdock.services import requests
from taskdock.services.retention import Keep
from taskdock.services.scheduler import Lanes

PAGE = REPOSITORY / "docs/configuration.md"
TASK = "task-06gzr7n93b49m33b66yw"


def table_of(heading: str) -> list[list[str]]:
    """The rows of the tables under one heading."""
    found = rows(section(PAGE, heading))
    assert found, heading
    return found


def shown(value: object) -> str:
    """A default as the page writes it."""
    return f'"{value}"' if isinstance(value, str) else str(value).replace("'", '"')


def test_every_key_is_there() -> None:
    """Each key of a Config has its row, in order, and no row is of a key that is no more."""
    assert [code(row[0])[0] for row in table_of("Keys")] == [one.name for one in fields(Config)]


def test_defaults_are_those_of_the_code() -> None:
    """Where the page gives a default, it is the code's; where it points below, the code computes one."""
    told = {code(row[0])[0]: code(row[1]) for row in table_of("Keys")}
    plain = [one for one in fields(Config) if isinstance(one.default, str | float | int | tuple | None)]
    assert {one.name for one in plain} == {name for name, default in told.items() if default}
    assert {one.name: [shown(one.default)] for one in plain} == {one.name: told[one.name] for one in plain}
    assert all(one.default is not NOTHING for one in fields(Config))


def test_periods_are_those_of_the_code() -> None:
    """Every period has its row, with what it is when nobody sets one."""
    own = {one.name: str(one.default) for one in fields(Keep)}
    assert {code(row[0])[0]: row[1] for row in table_of("Keep")} == own


def test_lanes_are_those_of_the_code() -> None:
    """Every lane has its row, with the limit it has when nobody sets one."""
    assert {code(row[0])[0]: int(row[1]) for row in table_of("Lanes")} == dict(Lanes().limits)


def test_figures_are_those_of_the_code() -> None:
    """Every figure has its row: the pauses by their keys, the intents by their kinds."""
    found = table_of("Figures")
    kinds = [row for row in found if code(row[0])[0] in Figures().intents]
    keys = {code(row[0])[0]: row[1] for row in found if row not in kinds}
    assert {code(row[0])[0]: (float(row[1]), int(row[2])) for row in kinds} == {
        kind: (figure.deadline_seconds, figure.attempts_max) for kind, figure in Figures().intents.items()
    }
    own = {one.name: getattr(Figures(), one.name) for one in fields(Figures)}
    assert {name: text for name, text in keys.items() if name != "intents"} == {
        name: str(value) for name, value in own.items() if not isinstance(value, Mapping)
    }
    assert "intents" in keys


def test_chat_namer_is_that_of_the_code() -> None:
    """Every setting of the model-backed namer has its row, with its default."""
    told = {code(row[0])[0]: row[1] for row in table_of("Namer")}
    assert told == {
        one.name: "none" if one.default is NOTHING else f"`{one.default}`" for one in fields(ChatNaming)
    }


def test_daytona_is_that_of_the_code() -> None:
    """Every setting of the provider has its row, in order, with its default."""
    told = [(code(row[0])[0], code(row[1])[0]) for row in table_of("Daytona")]
    assert told == [(one.name, shown(one.default)) for one in fields(DaytonaConfig)]


def test_agents_are_those_of_the_code() -> None:
    """Every setting of an agent has its row, in order, with its default; every agent is named."""
    told = [(code(row[0])[0], code(row[1])[0]) for row in table_of("Agents")]
    assert told == [(one.name, shown(one.default)) for one in fields(AgentConfig)]
    assert {DEMO.id, *KNOWN} <= set(code(section(PAGE, "Agents")))


EXAMPLES = [one for one in blocks(PAGE) if one.language == "toml"]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda one: one.name)
def test_every_example_can_be_loaded(block: Block, tmp_path: Path) -> None:
    """Each example is a configuration that works."""
    path = tmp_path / "taskdock.toml"
    path.write_text(block.text)
    assert load_config(path, home=tmp_path) != Config(home=tmp_path)


@pytest.mark.parametrize("block", EXAMPLES[:1], ids=lambda one: one.name)
def test_first_example_says_what_it_means(block: Block, tmp_path: Path) -> None:
    """The first example sets what it shows, and with a word misspelt it is none."""
    path = tmp_path / "taskdock.toml"
    path.write_text(block.text)
    config = load_config(path, home=tmp_path)
    assert (config.drain_seconds, config.lanes.limits["clone"]) == (10.0, 2)
    assert config.figures.intents["CreateSandbox"].deadline_seconds == 1200
    path.write_text(block.text.replace("backoff_seconds", "backoff_second"))
    with pytest.raises(InvalidCommand, match="backoff_second"):
        load_config(path, home=tmp_path)


def variables() -> set[str]:
    """The variables that the sources name and that are ours or say where a user's folders are."""
    found: set[str] = set()
    for path in sources():
        if module_name(path).startswith("taskdock.testing.conformance"):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(
                    re.findall(
                        r"\b(?:TASKDOCK_[A-Z_]+[A-Z]|XDG_(?:STATE|CACHE)_HOME|XDG_RUNTIME_DIR)\b", node.value
                    )
                )
    return found


def test_every_variable_is_told() -> None:
    """Each variable of ours that the code reads or sets has a row, and so have those that say where folders are."""
    told = {code(row[0])[0] for row in table_of("Environment variables")}
    assert told - {"TERM"} == variables()
    assert OWNER_VARIABLE in told


def test_exit_codes_are_those_of_the_code() -> None:
    """The table is the code's own, to the letter."""
    assert table() in PAGE.read_text()


def made_ids() -> dict[str, str]:
    """One of each kind of id, made by the code itself."""
    clock = SystemClock()
    return {
        "a task": clock.new_id("task"),
        "a tab": clock.new_id("tab"),
        "a message": clock.new_id("message"),
        "a repo": values.repo_id("default", "https://git.example.org/acme/api"),
        "a sandbox": values.sandbox_name("c3c1ba0230a94015", clock.new_id("task"), 12),
        "an automatic branch": values.automatic_branch("add-a-note", TASK, 3),
        "an intent": f"{clock.new_id('task')}#{12}",
    }


def forms() -> dict[str, tuple[str, str]]:
    """The pattern and the example of each kind of id."""
    return {row[0]: (code(row[1])[0].replace("\\|", "|"), code(row[2])[0]) for row in id_rows()}


def id_rows() -> list[list[str]]:
    """The table of ids; a pipe inside a pattern is escaped, as Markdown wants it."""
    text = section(PAGE, "Ids and names").replace("\\|", "\0")
    return [[cell.replace("\0", "\\|") for cell in row] for row in rows(text)]


@pytest.mark.parametrize("kind", made_ids())
def test_ids_have_the_form_they_are_told_to_have(kind: str) -> None:
    """What the code makes matches the pattern, and so does the example."""
    pattern, example = forms()[kind]
    assert re.fullmatch(pattern, made_ids()[kind])
    assert re.fullmatch(pattern, example)


@pytest.mark.anyio
async def test_owner_has_its_form(tmp_path: Path) -> None:
    """The id of an installation is made with its store."""
    pattern, example = forms()["an installation (owner)"]
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        assert re.fullmatch(pattern, await store.owner())
    assert re.fullmatch(pattern, example)


def test_every_id_is_checked() -> None:
    """No row of the table is without one that the code made."""
    assert forms().keys() == {*made_ids(), "an installation (owner)"}


def test_limits_are_those_of_the_code() -> None:
    """Each limit of the request path has its row."""
    assert [int(row[1]) for row in table_of("Limits")] == [
        values.PROMPT_BYTES_MAX,
        values.TITLE_CHARACTERS_MAX,
        values.BRANCH_BYTES_MAX,
        values.REMOTE_CHARACTERS_MAX,
        requests._KEY_CHARACTERS_MAX,
        Limits().waiting_max,
    ]


def test_git_gets_what_the_page_says() -> None:
    """The tokens that go to a git on the network are the ones that the page names."""
    text = prose(PAGE)
    tokens = set(
        re.findall(
            r"\b[A-Z]+_TOKEN\b", (REPOSITORY / "adapters/taskdock/adapters/clone/environment.py").read_text()
        )
    )
    assert tokens
    assert [token for token in sorted(tokens) if f"`{token}`" not in text] == []

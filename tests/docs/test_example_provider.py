"""The guide to a provider shows the example as it is: its metadata and its test, to the letter."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import fields

from architecture.source_tree import REPOSITORY
from docs.pages import Block, blocks, code, rows, section
from taskdock.ports.provider import GROUP, ProviderSpec
from taskdock.ports.sandbox import Capabilities, Phase, SandboxAccess, SandboxProvider
from taskdock.testing.conformance.sandbox import SandboxUnderTest

GUIDE = REPOSITORY / "docs/guides/write-a-provider.md"
EXAMPLE = REPOSITORY / "examples/taskdock-folder-provider"
EXAMPLES = sorted((REPOSITORY / "examples").glob("taskdock-*-provider"))


def shown(language: str) -> Block:
    """The first block of the guide in a language."""
    return next(block for block in blocks(GUIDE) if block.language == language)


@pytest.mark.parametrize(
    ("language", "name"),
    [("py", "test_taskdock_folder.py"), ("toml", "pyproject.toml")],
    ids=["test", "metadata"],
)
def test_files_are_shown_as_they_are(language: str, name: str) -> None:
    """Who copies from the guide has what our tests ran."""
    assert shown(language).text == (EXAMPLE / name).read_text()


def test_the_group_is_the_one_that_is_looked_for() -> None:
    """The entry point stands under the group's own name."""
    assert f'[project.entry-points."{GROUP}"]' in shown("toml").text


def test_every_phase_is_explained() -> None:
    """The list of phases is the code's."""
    (line,) = [one for one in section(GUIDE, "Life and death").split("\n\n") if one.startswith("Phases:")]
    assert re.findall(r"`([a-z]+)`(?:,| \(|\.)", line) == [phase.value for phase in Phase]


def test_tables_leave_nothing_out() -> None:
    """Each thing that a provider says of itself, each half of the kit's record and each method has its word."""
    text = GUIDE.read_text()
    said = {word for row in rows(section(GUIDE, "The spec")) for word in code(row[0])}
    assert said == {one.name for one in fields(Capabilities)}
    asked = {word for row in rows(section(GUIDE, "Test it")) for word in code(row[0])}
    assert asked == {one.name for one in fields(SandboxUnderTest)}
    methods = {
        name
        for port in (SandboxProvider, SandboxAccess)
        for name in vars(port)
        if inspect.isfunction(vars(port)[name])
    }
    wanted = {name for name in methods if not name.startswith("_")}
    assert {name for name in wanted if f"`{name}`" not in text} == set()
    fields_of_spec = {one.name for one in fields(ProviderSpec)}
    assert {name for name in fields_of_spec if f"`{name}`" not in text} == set()


def signature(name: str, method: Callable[..., object]) -> str:
    """How a method is written, as Python has it."""
    shown = str(inspect.signature(method)).replace("self, ", "").replace("(self)", "()")
    shown = re.sub(r"\b(?:taskdock|collections|pathlib)(?:\.[a-z_]+)*\.", "", shown)
    return f"{'async ' * inspect.iscoroutinefunction(method)}def {name}{shown}"


def test_the_methods_are_shown_as_they_are() -> None:
    """The table has each method of both ports with its signature, in the order of the code."""
    wanted = [
        f"| `{port.__name__}` | `{signature(name, method)}` |"
        for port in (SandboxProvider, SandboxAccess)
        for name, method in vars(port).items()
        if inspect.isfunction(method) and not name.startswith("_")
    ]
    shown = [line for line in section(GUIDE, "What you write").splitlines() if line.startswith("| `Sandbox")]
    assert shown == wanted, "\n".join(wanted)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_one_module_of_its_own(example: Path) -> None:
    """It uses what the guide names: the ports, the errors and the kit."""
    for path in example.glob("*.py"):
        imported = [
            node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        ]
        ours = {module for module in imported if module and module.startswith("taskdock.")}
        assert ours <= {
            "taskdock.core.errors",
            "taskdock.ports.provider",
            "taskdock.ports.sandbox",
            "taskdock.testing.conformance.sandbox",
        }

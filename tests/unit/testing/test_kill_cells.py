"""The cells of the kill matrix, how they are chosen, and what the command says without killing anything."""

from inspect import iscoroutinefunction

import pytest
from click.testing import CliRunner

from taskdock.ports.agent import AgentGateway
from taskdock.ports.clone import CloneStore
from taskdock.ports.naming import Namer
from taskdock.ports.sandbox import SandboxAccess, SandboxProvider
from taskdock.ports.stack import StackJobs
from taskdock.testing.conformance.stack import STEPS
from taskdock.testing.kill_matrix.__main__ import main
from taskdock.testing.kill_matrix.cells import CELLS, chosen
from taskdock.testing.kill_matrix.promises import Finding, Promise
from taskdock.testing.kill_matrix.verdicts import Outcome, Verdict, summary

PORTS = {
    "provider": SandboxProvider,
    "access": SandboxAccess,
    "gateway": AgentGateway,
    "clones": CloneStore,
    "namer": Namer,
    "stack": StackJobs,
}
UNGATED = {"provider.aclose", "stack.probe", "clones.tasks_with_work", "clones.remove"}
"""Closing is what a process that is killed never comes to; probing is what no job does; a task that is judged has its clone.

The end of a clone is killed in tests/e2e/test_removed_repos.py."""


def methods() -> set[str]:
    """Every method of a port that can be held at a gate."""
    return {
        f"{port}.{name}"
        for port, protocol in PORTS.items()
        for name, method in vars(protocol).items()
        if iscoroutinefunction(method)
    }


def test_every_method_of_every_port_has_its_cells() -> None:
    """No method is left out, and none is named that there is not."""
    steps = {f"stack.{step}" for step in STEPS}
    assert {cell.method for cell in CELLS} == (methods() | steps) - UNGATED


def test_every_cell_has_a_name_of_its_own() -> None:
    """Two kills are never the same, and each gate has both sides."""
    names = [cell.name for cell in CELLS]
    assert len(names) == len(set(names))
    assert sum(cell.side == "before" for cell in CELLS) * 2 == len(CELLS)


@pytest.mark.parametrize(
    ("pattern", "first", "count"),
    [
        ("create/provider.ensure.after", "create/provider.ensure.after", 1),
        ("create/provider.ensure", "create/provider.ensure.before", 2),
        ("provider.stop", "stop/provider.stop.before", 2),
        ("provider.stop.after", "stop/provider.stop.after", 1),
        ("namer", "create/namer.propose.before", 2),
        ("doubt", "doubt/gateway.delivery.before", 2),
        ("resume/*.after", "resume/provider.ensure.after", 4),
        ("provider.ens", None, 0),
    ],
)
def test_a_pattern_means_its_cells(pattern: str, first: str | None, count: int) -> None:
    """By cell, gate, method, port, journey or glob, and never by a part of a word."""
    cells = chosen([pattern])
    assert len(cells) == count
    assert first is None or cells[0].name == first


def test_patterns_add_up_in_the_order_of_the_matrix() -> None:
    """What two patterns mean is tried once, and without a pattern everything is."""
    assert [cell.name for cell in chosen(["namer", "clones.clone", "namer.propose"])] == [
        "create/clones.clone.before",
        "create/clones.clone.after",
        "create/namer.propose.before",
        "create/namer.propose.after",
    ]
    assert chosen([]) == CELLS


def test_a_verdict_is_told_in_a_line_and_a_story() -> None:
    """What was broken stands under the promise; what was not reached or not asked is told apart from what held."""
    broken = Verdict(CELLS[0], 1.0, (Finding(Promise.ONCE, "it was seen twice"),))
    unreached = Verdict(CELLS[1], 1.0, (Finding(Promise.REACHED, "nobody came"),))
    skipped = Verdict(CELLS[2], 1.0, reason="it keeps no files")
    held = Verdict(CELLS[3], 1.0)
    assert [one.outcome for one in (broken, unreached, skipped, held)] == [
        Outcome.BROKEN,
        Outcome.NOT_REACHED,
        Outcome.NOT_ASKED,
        Outcome.HELD,
    ]
    assert [one.is_fine for one in (broken, unreached, skipped, held)] == [False, False, True, True]
    assert broken.story().splitlines()[1:] == [
        f"  promised: {Promise.ONCE.value}",
        "  seen:     it was seen twice",
    ]
    assert held.story() == ""
    assert "it keeps no files" in skipped.line()
    told = summary([broken, unreached, skipped, held], 4.4)
    assert told == "4 kills in 4 s: 1 held, 1 broken, 1 not reached, 1 not asked"


def test_the_command_lists_its_kills() -> None:
    """`--list` names the cells that would be tried, and tries none."""
    done = CliRunner().invoke(main, ["--list", "--only", "namer"])
    assert (done.exit_code, done.output) == (0, "create/namer.propose.before\ncreate/namer.propose.after\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--provider", "local-process", "--only", "nothing"], "--only fits no kill"),
        ([], "Name the provider"),
        (["--provider", "nowhere"], "Unknown provider 'nowhere'"),
    ],
)
def test_what_cannot_be_tried_exits_with_two(arguments: list[str], words: str) -> None:
    """A mistake in the options is told with what would fit."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert words in done.output

"""Kit: scripts are text, every command is an act, and what the acts do reaches every status."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import field, mutable
from hypothesis import given
from hypothesis import strategies as st
from transitions import Machine

from taskdock.core import message, permission, repo, tab, task
from taskdock.core.machine import NEW
from taskdock.core.task_record import TaskStatus
from taskdock.services.message_requests import MessageRequests
from taskdock.testing.simulation import (
    ACTS,
    Act,
    Kind,
    Outcome,
    Script,
    World,
    run_script,
    script_of,
)
from taskdock.testing.simulation.calls import Calls
from taskdock.testing.simulation.client import COMMANDS
from taskdock.testing.simulation.mischief import CALLS, JOB_CALLS, KINDS, MISCHIEF, STORE_CALLS
from taskdock.testing.simulation.script import NUMBERS, PAUSES_SECONDS

SEEDS = range(1780, 1816)
"""Always the same: what a change of the weights or of the product puts out of reach is seen at once."""
MACHINES: dict[str, Machine] = {
    "task": task.MACHINE,
    "tab": tab.MACHINE,
    "message": message.MESSAGE_MACHINE,
    "turn": message.TURN_MACHINE,
    "permission": permission.MACHINE,
    "repo": repo.MACHINE,
}
TOLD = {
    "kill": r"killed (before|after) ", "drain": r"process \d+ starts", "fail": r"will be (?!lost|refused)", "lose": r" is gone$",
    "fail_store": r"calls of store\.", "break_box": r" fails$", "halt": r" stops$", "crash_agent": r" crashed$",
    "end_server": r"^the server in ", "cut": r"^the connections to ", "come_late": r" unseen$", "lie": r"^the next looks ",
    "jump": r"^the wall clock ", "second": r"process \d+ starts", "echo": r"is reported again$",
    "fail_job": r"calls of stack\.",
}  # fmt: skip
"""What the timeline says once mischief had an effect."""

numbers = st.integers(0, NUMBERS - 1)
acts = st.builds(
    Act, st.sampled_from(sorted(ACTS)), numbers, numbers, numbers, st.integers(0, len(PAUSES_SECONDS) - 1)
)


@mutable(eq=False)
class Reached:
    """What a number of worlds reached."""

    states: Counter[tuple[str, str]] = field(factory=Counter)
    calls: set[str] = field(factory=set)
    outcomes: list[Outcome] = field(factory=list)

    def sentences(self) -> Iterator[str]:
        """Everything that their timelines say."""
        return (sentence for outcome in self.outcomes for _, sentence in outcome.timeline)

    def never(self, name: str) -> list[str]:
        """The states of a machine that no world reached."""
        return [state for state in MACHINES[name].states if state != NEW and not self.states[name, state]]


@pytest.fixture(scope="module")
def reached() -> Reached:
    """Run the seeds, and note which states were entered and which calls were made."""
    found = Reached()
    with pytest.MonkeyPatch.context() as patch:
        for name, machine in MACHINES.items():
            patch.setattr(machine, "set_state", _noting(found, name, machine.set_state))
        make = Calls.make

        async def noted(self: Calls, name: str, effect: Callable[[], object]) -> object:
            found.calls.add(name)
            return await make(self, name, effect)

        patch.setattr(Calls, "make", noted)
        found.outcomes += [run_script(script_of(seed), recovers=False) for seed in SEEDS]
    return found


def _noting(found: Reached, name: str, set_state: Callable[..., Any]) -> Callable[..., Any]:
    def noted(state: object, model: object) -> None:
        found.states[name, str(getattr(state, "name", state))] += 1
        set_state(state, model)

    return noted


@given(st.builds(Script, st.integers(0, 2**40), st.lists(acts, max_size=20).map(tuple)))
def test_a_script_is_one_word_and_back(script: Script) -> None:
    """Whatever a script says, its text says it, too, and needs no quotes in a shell."""
    assert Script.parse(str(script)) == script
    assert re.fullmatch(r"[\w:,]+", str(script))


@pytest.mark.parametrize("text", ["", "x", "1,send", "1,send:1:2:3", "1,send:1:2:3:x", "1,send:1:2:3:4:5"])
def test_what_is_no_script_is_refused(text: str) -> None:
    """A word that is missing or too much is not guessed."""
    with pytest.raises(ValueError, match=r"."):
        Script.parse(text)


def test_every_command_of_a_dock_is_an_act() -> None:
    """A command that a dock learns is one that the simulated client gives, and nothing else is a command."""
    commands = {
        name for name in dir(MessageRequests) if name[0] != "_" and callable(getattr(MessageRequests, name))
    }
    # A create on a branch that is there is an act of its own, so that a world may like it.
    assert set(COMMANDS) == commands | {"attach_task"}
    assert set(ACTS) == set(COMMANDS) | set(MISCHIEF)


def test_every_kind_of_fault_is_used() -> None:
    """A fault that ports may have is one that mischief plans."""
    assert set(KINDS) == set(Kind)


def test_acts_of_a_seed_begin_with_a_task_and_differ_in_their_liking() -> None:
    """No world is spent on nothing, and no two like the same."""
    scripts = [script_of(seed) for seed in range(200)]
    assert {script.acts[0].name for script in scripts} == {"create_task"}
    shares = [Counter(act.name for act in script.acts)["fail"] for script in scripts]
    assert min(shares) == 0
    assert max(shares) > 40


def test_own_acts_are_chosen_and_done() -> None:
    """A seed chooses an act of the user's as it does others, and the world does it with its numbers."""
    done: list[Act] = []

    async def own(world: World, act: Act) -> None:
        assert world.seed == script.seed
        done.append(act)

    scripts = (script_of(seed, 60, {"own": own}) for seed in range(10))
    script = next(one for one in scripts if any(act.name == "own" for act in one.acts))
    run_script(script, own_acts={"own": own}, recovers=False)
    assert done == [act for act in script.acts if act.name == "own"] != []


def test_worlds_reach_every_status(reached: Reached) -> None:
    """Over a few seeds each record gets into each of its statuses; which steps were never reached is printed."""
    never = {name: reached.never(name) for name in MACHINES}
    sys.stdout.write(f"never reached in {len(SEEDS)} seeds: {never}\n")
    tasks = {state.partition("/")[0] for name, state in reached.states if name == "task"}
    assert tasks == {status.value for status in TaskStatus}
    assert {name: states for name, states in never.items() if name != "task" and states} == {}
    assert len(never["task"]) <= 14


def test_every_fault_strikes_and_every_named_call_is_made(reached: Reached) -> None:
    """Each kind of fault met a call, and each call that faults are planned for exists."""
    struck = {
        match[1] for sentence in reached.sentences() if (match := re.fullmatch(r"[\w.]+: (\w+)", sentence))
    }
    assert {kind.value for kind in Kind} <= struck
    assert {*CALLS, *JOB_CALLS} <= reached.calls
    planned = {
        match[1] for sentence in reached.sentences() if (match := re.search(r"calls of (\S+) will", sentence))
    }
    assert planned == {*CALLS, *JOB_CALLS, *STORE_CALLS}


def test_every_act_has_an_effect(reached: Reached) -> None:
    """Each command was taken at least once, and each kind of mischief did something."""
    taken = {act for outcome in reached.outcomes for act in _taken(outcome)}
    assert set(COMMANDS) - taken == set()
    said = list(reached.sentences())
    assert [name for name in MISCHIEF if not any(re.search(TOLD[name], sentence) for sentence in said)] == []


def _taken(outcome: Outcome) -> Iterator[str]:
    """The commands that were answered with a status right after they were given."""
    act = ""
    for _, sentence in outcome.timeline:
        if found := re.fullmatch(r"-- (\w+)(:\d+){4}", sentence):
            act = found[1]
        elif re.fullmatch(r"\w+: [a-z_/]+", sentence):
            yield act
            act = ""


def test_no_seed_is_broken(reached: Reached) -> None:
    """What was run for its coverage holds as well."""
    assert [outcome.violations for outcome in reached.outcomes if outcome.violations] == []

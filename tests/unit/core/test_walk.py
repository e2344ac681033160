"""Walks: at random through everything that can happen to a task, with every invariant checked after every step."""

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from unit.core import moves
from unit.core.arcs import TABLES, arcs, recorded
from unit.core.givens import TASKS
from unit.core.walk import Script, TaskWalk

STARTS = sorted(TASKS.keys() - {"no_task"})
KINDS = tuple(dict.fromkeys(moves.MOVES))
TASK_TABLES = ("task", "tab", "message", "turn", "permission")
ROUNDS_MAX = 12
"""How often each move is the first one from each situation, until the walks have been everywhere."""

SCRIPTS = st.lists(st.tuples(st.integers(0, 2**10), st.integers(0, 2**16)), min_size=20, max_size=60)


def walk(start: str, script: Script, *, to_the_end: bool = True) -> None:
    """One walk; what happened in it is told when it fails."""
    walked = TaskWalk(TASKS[start]())
    try:
        moves.play(walked, script, to_the_end=to_the_end)
    except BaseException as broken:
        broken.add_note(f"from {start}:\n" + "\n".join(walked.log))
        raise


@settings(
    max_examples=300,
    deadline=None,
    # The same walks in every run; what is new is looked for by mass seeds, which print the one that failed.
    derandomize=True,
    # Without `explain`: which numbers do not matter is said by the log of the walk.
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(start=st.sampled_from(STARTS), script=SCRIPTS)
def test_walk_breaks_no_invariant(start: str, script: Script) -> None:
    """From any situation, through any script: every invariant holds, it comes to rest, and what fits there works."""
    walk(start, script)


def test_walks_go_everywhere() -> None:
    """Walks that begin with every move from every situation, and go on by chance, take every row of every table."""
    written = {name for table in TASK_TABLES for name in arcs(TABLES[table])}
    # Every walk begins with a task that was created before.
    left = {name for name in written if not name.startswith("create")}
    with recorded(*(TABLES[table] for table in TASK_TABLES)) as taken:
        for seed in range(ROUNDS_MAX):
            for start in STARTS:
                _walk_each_way(start, Random(f"{seed}/{start}"))  # noqa: S311 - a script is no secret
            if left <= set(taken):
                break
    assert left - set(taken) == set()


def _walk_each_way(start: str, chance: Random) -> None:
    """One short walk for each kind of move."""
    for first in KINDS:
        script = [(moves.MOVES.index(first), chance.randrange(2**16))]
        script += [(chance.randrange(2**10), chance.randrange(2**16)) for _ in range(3)]
        walk(start, script, to_the_end=False)


@pytest.mark.parametrize("start", STARTS)
def test_walk_from_everywhere(start: str) -> None:
    """From every situation, with nothing more going wrong, whatever fits where it rests works, and a kill ends it."""
    for seed in range(4):
        chance = Random(f"{seed}/{start}")  # noqa: S311 - a script is no secret
        walk(start, [(0, chance.randrange(2**16)) for _ in range(4)])

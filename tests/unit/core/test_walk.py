"""Walks: at random through everything that can happen to a task, with every invariant checked after every step."""

from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from unit.core import cases_message, cases_task
from unit.core.arcs import TABLES, arcs, recorded
from unit.core.givens import TASKS
from unit.core.walk import Script, TaskWalk

STARTS = sorted(TASKS.keys() - {"no_task"})
WALKS_MIN, WALKS_MAX, MOVES = 300, 4000, 60
"""How many seeded walks there are at least; more, up to a bound, until they have been everywhere."""

SCRIPTS = st.lists(st.tuples(st.integers(0, 2**10), st.integers(0, 2**16)), min_size=20, max_size=60)


def walk(start: str, script: Script) -> None:
    """One walk; what happened in it is told when it fails."""
    walked = TaskWalk(TASKS[start]())
    try:
        walked.play(script)
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
    """From any situation, through any script: every invariant holds, the task comes to rest, and a kill ends it."""
    walk(start, script)


def test_walks_go_everywhere() -> None:
    """Seeded walks take every row that can be taken, and none that is said to be impossible."""
    impossible = {*cases_task.IMPOSSIBLE, *cases_message.IMPOSSIBLE}
    written = {name for table in ("task", "tab", "message", "turn") for name in arcs(TABLES[table])}
    # Every walk begins with a task that was created before.
    possible = {name for name in written - impossible if not name.startswith("create")}
    with recorded(*TABLES.values()) as taken:
        for seed in range(WALKS_MAX):
            chance = Random(seed)  # noqa: S311 - a script is no secret
            script = [(chance.randrange(2**10), chance.randrange(2**16)) for _ in range(MOVES)]
            walk(STARTS[seed % len(STARTS)], script)
            if seed > WALKS_MIN and possible <= set(taken):
                break
    assert possible - set(taken) == set()
    assert impossible & set(taken) == set()

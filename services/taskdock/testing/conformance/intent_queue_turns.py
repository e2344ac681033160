"""Intent queue turns: how workspaces share a lane, and how lost claims are found.

Owns: `TURN_CHECKS`.
Never: a promise that is not in `taskdock.ports.intent_queue`.
Reads as: intent_queue.py -> these -> your adapter.
"""

from collections import Counter
from collections.abc import Sequence

from attrs import evolve

from taskdock.core.change import Change
from taskdock.core.intents import Intent
from taskdock.ports.intent_queue import Taken
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import (
    NOW,
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    ordering,
    task_id,
    wake,
)

_MANY = 300


async def _claim(sut: StoreUnderTest, room: dict[str, int]) -> list[Intent]:
    return [claimed.intent for claimed in await sut.store.claim(room, NOW, {})]


async def _order(sut: StoreUnderTest, workspace: str, numbers: Sequence[int], lane: str = "a") -> None:
    """Give a workspace one waiting intent for each number, in one lane."""
    for number in numbers:
        intent = evolve(wake(task_id(number), 1, lane=lane), workspace=workspace)
        await sut.commit(evolve(ordering(task_id(number), intent), workspace=workspace))


async def check_workspaces_take_turns(sut: StoreUnderTest) -> None:
    """A workspace with hundreds waiting does not starve one that comes later with a few."""
    await _order(sut, "busy", range(_MANY))
    await _order(sut, "late", range(1000, 1003))
    await _order(sut, "other", range(2000, 2001))
    counts = Counter(intent.workspace for intent in await _claim(sut, {"*": 8}))
    require(
        counts == Counter(busy=4, late=3, other=1),
        f"Room for 8 must go round: 1 to the one that has 1, 3 to the one that has 3, the rest; not {dict(counts)}.",
    )


async def check_turns_go_on_from_claim_to_claim(sut: StoreUnderTest) -> None:
    """With room for one at a time each workspace has its turn too, oldest first within it."""
    await _order(sut, "busy", range(9))
    await _order(sut, "late", range(1000, 1002))
    await _order(sut, "", range(2000, 2001))
    claimed = [intent for _ in range(6) for intent in await _claim(sut, {"*": 1})]
    first = Counter(intent.workspace for intent in claimed[:3])
    require(first == Counter(("busy", "late", "")), f"Three turns must go to three, not {dict(first)}.")
    late = [intent.boundary for intent in claimed if intent.workspace == "late"]
    require(late == [task_id(1000), task_id(1001)], f"Within a workspace the oldest goes first, not {late}.")


async def check_turns_of_each_lane(sut: StoreUnderTest) -> None:
    """Whose turn it is in one lane says nothing about another, and one subject is never out twice."""
    await _order(sut, "busy", range(3), "a")
    await _order(sut, "late", range(1000, 1003), "b")
    twice = [
        evolve(wake(task_id(5000), run, lane=lane), workspace="both") for run, lane in ((1, "b"), (2, "a"))
    ]
    await sut.commit(evolve(ordering(task_id(5000), *twice), workspace="both"))
    claimed = await _claim(sut, {"a": 2, "b": 2})
    lanes = Counter(intent.lane for intent in claimed)
    require(lanes["b"] == 2, f"Lane b has room for two and more waiting, not {lanes}.")  # noqa: PLR2004
    both = [intent.id for intent in claimed if intent.boundary == task_id(5000)]
    require(
        both == [twice[0].id], f"Of a subject in two lanes the oldest must go: {twice[0].id}, not {both}."
    )


async def check_taken_names_every_claim(sut: StoreUnderTest) -> None:
    """Every claim that has not ended is named with its issue, also a cancelled one; nothing else is."""
    await _order(sut, WORKSPACE, range(1, 5))
    await _claim(sut, {"*": 3})
    await sut.commit(Change(task_id(2), WORKSPACE, 1, runs=99, cancelled=(f"{task_id(2)}#1",)))
    await sut.store.release(f"{task_id(3)}#1", 1)
    wanted = [Taken(f"{task_id(number)}#1", 1) for number in (1, 2)]
    taken = list(await sut.store.taken())
    require(taken == wanted, f"What was claimed and has not ended must be named: {wanted}, not {taken}.")
    await sut.store.release(f"{task_id(2)}#1", 1)
    await sut.reopen()
    taken = list(await sut.store.taken())
    require(taken == wanted[:1], f"Claims outlive their process until they are taken back, not {taken}.")


async def check_open_intents_are_counted(sut: StoreUnderTest) -> None:
    """What lies in the outbox is counted by workspace, claimed or not, up to the number asked for."""
    await _order(sut, "busy", range(7))
    await _order(sut, "late", range(1000, 1002))
    await _claim(sut, {"*": 4})
    have = [await sut.store.open_intents(one, 5) for one in ("busy", "late", "none")]
    require(have == [5, 2, 0], f"Count by workspace, and no further than asked: [5, 2, 0], not {have}.")


TURN_CHECKS: tuple[StoreCheck, ...] = (
    check_workspaces_take_turns,
    check_turns_go_on_from_claim_to_claim,
    check_turns_of_each_lane,
    check_taken_names_every_claim,
    check_open_intents_are_counted,
)

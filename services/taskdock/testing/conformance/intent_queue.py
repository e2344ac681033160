"""Intent queue conformance: what every queue over a store's outbox must keep, as checks without a test runner.

Owns: `QUEUE_CHECKS`; each check takes a `StoreUnderTest` and raises AssertionError with the broken promise.
Never: a promise that is not in `taskdock.ports.intent_queue`.
Reads as: your test -> a check -> your adapter.

Used as `taskdock.testing.conformance.store` says, with the same `StoreUnderTest`.
"""

from collections import Counter
from datetime import datetime, timedelta

import anyio
from attrs import evolve

from taskdock.core.change import Change
from taskdock.core.errors import StoreError
from taskdock.core.intents import Intent
from taskdock.testing.conformance.intent_queue_turns import TURN_CHECKS
from taskdock.testing.conformance.promises import require, told
from taskdock.testing.conformance.store_under_test import (
    NOW,
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    ordering,
    task_id,
    wake,
)

_DEADLINES = {"Wake": 60.0}
_LATER = timedelta(seconds=10)


def _ids(intents: list[Intent]) -> list[str]:
    return [intent.id for intent in intents]


async def _claim(sut: StoreUnderTest, room: dict[str, int], now: datetime = NOW) -> list[Intent]:
    return [claimed.intent for claimed in await sut.store.claim(room, now, _DEADLINES)]


async def _order(sut: StoreUnderTest, *intents: Intent) -> None:
    """Order intents, each boundary's in one change, in the given order of boundaries."""
    for boundary in dict.fromkeys(intent.boundary for intent in intents):
        await sut.commit(ordering(boundary, *(intent for intent in intents if intent.boundary == boundary)))


async def _cancel(sut: StoreUnderTest, intent: Intent, version: int = 1) -> None:
    await sut.commit(Change(intent.boundary, WORKSPACE, version, runs=99, cancelled=(intent.id,)))


async def check_claim_is_oldest_first(sut: StoreUnderTest) -> None:
    """Intents are handed out in the order in which they were committed, whatever their lane or boundary."""
    wanted = []
    for number in (3, 1, 2):
        lanes = ("a", "b") if number != 1 else ("b", "a")
        ordered = [
            wake(task_id(number), run, subject=f"s{run}", lane=lane) for run, lane in enumerate(lanes, 1)
        ]
        await _order(sut, *ordered)
        wanted += _ids(ordered)
    claimed = _ids(await _claim(sut, {"*": 2}))
    kept = [id_ for id_ in wanted if id_ in claimed]
    require(claimed == kept, f"Claim in the order of the commits: {kept}, not {claimed}.")
    require(len(claimed) == 4, f"Two lanes with room for two each must give four, not {len(claimed)}.")  # noqa: PLR2004
    rest = _ids(await _claim(sut, {"*": 9}))
    require(
        sorted(claimed + rest) == sorted(wanted), "What there was no room for must be claimable afterwards."
    )


async def check_claim_issues_once(sut: StoreUnderTest) -> None:
    """A claim raises the issue, sets the deadline, and hands nothing out twice."""
    intent = wake(task_id(1), 1)
    await _order(sut, intent)
    claimed = await _claim(sut, {"*": 9})
    wanted = evolve(intent, issue=1, deadline_at=NOW + timedelta(seconds=60))
    require(
        claimed == [wanted],
        f"A claimed intent must come with its issue and deadline: {wanted}, not {claimed}.",
    )
    require(
        await _claim(sut, {"*": 9}) == [], "An intent that is being executed must not be handed out again."
    )
    loaded = (await sut.store.load(task_id(1))).intents
    require(
        loaded == (wanted,), f"The boundary must load with the issue and deadline of the claim, not {loaded}."
    )


async def check_deadline_is_set_once(sut: StoreUnderTest) -> None:
    """A deadline that an intent brings from an earlier run stays; a kind without a figure gets none."""
    given = NOW + timedelta(seconds=5)
    await _order(sut, wake(task_id(1), 1, deadline_at=given))
    claimed = await _claim(sut, {"*": 9})
    require(
        [one.deadline_at for one in claimed] == [given],
        "A deadline handed on from an earlier run must not move.",
    )
    await _order(sut, wake(task_id(2), 1))
    bare = [one.intent.deadline_at for one in await sut.store.claim({"*": 9}, NOW, {})]
    require(bare == [None], f"A kind that deadlines do not name must get none, not {bare}.")


async def check_recover_gives_fresh_time(sut: StoreUnderTest) -> None:
    """After a restart a step's time begins anew, so that nothing fails for time in which nobody worked."""
    await _order(sut, wake(task_id(1), 1, deadline_at=NOW + timedelta(seconds=5)))
    await _claim(sut, {"*": 9})
    await sut.store.recover()
    later = NOW + timedelta(hours=1)
    deadlines = [one.deadline_at for one in await _claim(sut, {"*": 9}, later)]
    require(
        deadlines == [later + timedelta(seconds=60)],
        f"The first claim after `recover` must set the deadline anew, not keep {deadlines}.",
    )


async def check_nothing_before_its_time(sut: StoreUnderTest) -> None:
    """An intent is handed out from its `not_before` on, also when the clock was set back; until then its time is told."""
    times = (None, NOW + 2 * _LATER, NOW + _LATER)
    await _order(sut, *(wake(task_id(number), 1, not_before=at) for number, at in enumerate(times, 1)))
    due = await sut.store.next_due_at(NOW)
    require(due == NOW + _LATER, f"The next one is due at {NOW + _LATER}, not at {due}.")
    first = _ids(await _claim(sut, {"*": 9}))
    require(first == [f"{task_id(1)}#1"], f"Only what is due may be handed out, not {first}.")
    later = await sut.store.next_due_at(NOW + _LATER)
    require(
        later == NOW + 2 * _LATER,
        f"What is due now is not what comes due next: {NOW + 2 * _LATER}, not {later}.",
    )
    none = await _claim(sut, {"*": 0}, NOW + 3 * _LATER)
    back = await sut.store.next_due_at(NOW)
    require(
        back == NOW + _LATER,
        f"After the clock was set back the next one is due at {NOW + _LATER}, not at {back}.",
    )
    early = await _claim(sut, {"*": 9}, NOW)
    require(
        none + early == [],
        f"What is not due by the clock of the claim must stay, not be handed out: {early}.",
    )
    exact = _ids(await _claim(sut, {"*": 9}, NOW + _LATER))
    require(exact == [f"{task_id(3)}#1"], f"An intent is due from its very time on, not {exact}.")
    due = await sut.store.next_due_at(NOW + _LATER)
    require(
        due == NOW + 2 * _LATER, f"Only a later time than now counts as next: {NOW + 2 * _LATER}, not {due}."
    )
    await _claim(sut, {"*": 9}, NOW + 2 * _LATER)
    none_due = await sut.store.next_due_at(NOW)
    require(none_due is None, f"With nothing open, nothing comes due; not {none_due}.")


async def check_room_of_each_lane(sut: StoreUnderTest) -> None:
    """A lane gives at most its room, a lane that is not named that of '*', and none without either."""
    lanes = ("a", "b", "c")
    intents = [wake(task_id(n), 1, lane=lanes[n % 3]) for n in range(9)]
    await _order(sut, *intents)
    require(
        await _claim(sut, {"x": 5}) == [],
        "A lane that is not named has no room where '*' is not named either.",
    )
    claimed = Counter(intent.lane for intent in await _claim(sut, {"a": 1, "b": 0, "*": 2}))
    require(
        claimed == Counter({"a": 1, "c": 2}),
        f"Each lane must give its room: a 1, b 0, c 2 by '*'; not {claimed}.",
    )
    negative = await _claim(sut, {"*": -1})
    require(negative == [], "A lane that is overfull has no room; a negative one must not mean all.")


async def check_one_execution_per_subject(sut: StoreUnderTest) -> None:
    """Of one boundary and subject only one intent is out at a time, across lanes and within one claim."""
    first, second, other = (
        wake(task_id(1), 1, subject="sandbox", lane="make"),
        wake(task_id(1), 2, subject="sandbox", lane="release"),
        wake(task_id(1), 3, subject="tab"),
    )
    elsewhere = wake(task_id(2), 1, subject="sandbox", lane="release")
    await _order(sut, first, second, other, elsewhere)
    claimed = _ids(await _claim(sut, {"*": 9}))
    wanted = _ids([first, other, elsewhere])
    require(
        claimed == wanted,
        f"One claim must take one intent of a subject, the oldest: {wanted}, not {claimed}.",
    )
    require(await _claim(sut, {"*": 9}) == [], "A subject that is busy must wait, also in another lane.")
    await sut.commit(Change(task_id(1), WORKSPACE, 1, runs=3, closed=(first.id,)))
    freed = _ids(await _claim(sut, {"*": 9}))
    require(freed == [second.id], f"A closed intent frees its subject: {second.id} must follow, not {freed}.")


async def check_released_comes_again(sut: StoreUnderTest) -> None:
    """An execution handed back makes its intent claimable with the next issue and the same deadline."""
    await _order(sut, wake(task_id(1), 1))
    (claimed,) = await _claim(sut, {"*": 9})
    await sut.store.release(claimed.id, claimed.issue + 1)
    require(await _claim(sut, {"*": 9}) == [], "A release of another issue must do nothing.")
    await sut.store.release(claimed.id, claimed.issue)
    again = await _claim(sut, {"*": 9}, NOW + _LATER)
    wanted = evolve(claimed, issue=2)
    require(
        again == [wanted],
        f"What was released must come with the next issue and its deadline: {wanted}, not {again}.",
    )


async def check_cancelled_blocks_until_ended(sut: StoreUnderTest) -> None:
    """A running intent that is cancelled leaves the slice at once, and its subject when its execution has ended."""
    first, second = (wake(task_id(1), run, subject="sandbox") for run in (1, 2))
    await _order(sut, first, second)
    (claimed,) = await _claim(sut, {"*": 9})
    await _cancel(sut, first)
    loaded = [intent.id for intent in (await sut.store.load(task_id(1))).intents]
    require(loaded == [second.id], f"A cancelled intent must not be in the slice any more: {loaded}.")
    named = list(await sut.store.cancelled())
    require(named == [first.id], f"An execution that has to end must be named: {[first.id]}, not {named}.")
    require(
        await _claim(sut, {"*": 9}) == [],
        "The subject of a cancelled execution stays busy until that has ended.",
    )
    await sut.store.ended(first.id, claimed.issue + 1)
    require(list(await sut.store.cancelled()) == [first.id], "The end of another issue must do nothing.")
    for _ in range(2):
        await sut.store.ended(first.id, claimed.issue)
    require(
        list(await sut.store.cancelled()) == [], "An execution that has ended must not be named any more."
    )
    following = _ids(await _claim(sut, {"*": 9}))
    require(
        following == [second.id],
        f"The end of an execution frees its subject: {second.id} must follow, not {following}.",
    )


async def check_cancelled_before_claim_is_gone(sut: StoreUnderTest) -> None:
    """An open intent that is cancelled is gone."""
    intent = wake(task_id(1), 1)
    await _order(sut, intent)
    await _cancel(sut, intent)
    gone = (await _claim(sut, {"*": 9}), list(await sut.store.cancelled()))
    require(gone == ([], []), f"An intent cancelled before its claim must be gone, not {gone}.")


async def check_released_after_cancel_is_gone(sut: StoreUnderTest) -> None:
    """A cancelled execution that is handed back is over."""
    await _order(sut, wake(task_id(1), 1))
    (claimed,) = await _claim(sut, {"*": 9})
    await _cancel(sut, claimed)
    await sut.store.release(claimed.id, claimed.issue)
    gone = (await _claim(sut, {"*": 9}), list(await sut.store.cancelled()))
    require(gone == ([], []), f"A cancelled intent that was released must be gone, not {gone}.")


async def check_end_of_running_changes_nothing(sut: StoreUnderTest) -> None:
    """`ended` speaks of cancelled intents only."""
    await _order(sut, wake(task_id(1), 1))
    (claimed,) = await _claim(sut, {"*": 9})
    await sut.store.ended(claimed.id, claimed.issue)
    loaded = (await sut.store.load(task_id(1))).intents
    require(
        loaded == (claimed,),
        f"An intent that nobody cancelled must stay when its execution ends, not {loaded}.",
    )
    await sut.store.release("task-none#1", 1)
    await sut.store.ended("task-none#1", 1)


async def check_recover_takes_back(sut: StoreUnderTest) -> None:
    """Claims outlive their process; at the next start they are taken back, started ones still marked, cancelled ones gone."""
    intents = [wake(task_id(number), 1) for number in (1, 2, 3)]
    await _order(sut, *intents)
    claimed = await _claim(sut, {"*": 2})
    await sut.commit(Change(task_id(1), WORKSPACE, 1, runs=1, marked_started=(intents[0].id,)))
    await _cancel(sut, intents[1])
    await sut.reopen()
    held = _ids(await _claim(sut, {"*": 9}))
    require(
        held == [intents[2].id],
        f"Claims must outlive the process that made them: only #3 is free, not {held}.",
    )
    count = await sut.store.recover()
    require(count == 2, f"Two executions that were running must be taken back, not {count}.")  # noqa: PLR2004
    require(
        list(await sut.store.cancelled()) == [], "Cancelled executions end with their process: remove them."
    )
    again = await _claim(sut, {"*": 9})
    wanted = [(intents[0].id, 2, True), (intents[2].id, 2, False)]
    have = [(intent.id, intent.issue, intent.started) for intent in again]
    require(
        have == wanted,
        f"What was taken back must come with the next issue, started kept: {wanted}, not {have}.",
    )
    require(
        again[0].deadline_at == claimed[0].deadline_at, "A deadline must outlive the process that set it."
    )


async def check_claims_at_once_share_nothing(sut: StoreUnderTest) -> None:
    """Several claims at the same time never hand out the same intent."""
    await _order(sut, *(wake(task_id(number), 1) for number in range(20)))
    claimed: list[str] = []

    async def claim() -> None:
        claimed.extend(_ids(await _claim(sut, {"*": 7})))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(claim)
    twice = [id_ for id_, count in Counter(claimed).items() if count > 1]
    require(not twice, f"An intent must be handed out once, {twice} were handed out twice.")
    require(len(claimed) == 20, f"All 20 must be handed out by four claims of 7, not {len(claimed)}.")  # noqa: PLR2004


async def check_report_counts(sut: StoreUnderTest) -> None:
    """A report counts the open intents of each lane, the executions, and tells when the next one is due."""
    intents = [wake(task_id(number), 1, lane="ab"[number % 2]) for number in range(4)]
    await _order(sut, *intents, wake(task_id(9), 1, lane="a", not_before=NOW + _LATER))
    await _claim(sut, {"a": 1})
    report = await sut.store.report(NOW)
    have = (dict(report.open_by_lane), report.running, report.next_due_at)
    wanted = ({"a": 2, "b": 2}, 1, NOW + _LATER)
    require(have == wanted, f"The report must count what lies in the outbox: {wanted}, not {have}.")


QUEUE_CHECKS: tuple[StoreCheck, ...] = told(
    check_claim_is_oldest_first,
    check_claim_issues_once,
    check_deadline_is_set_once,
    check_nothing_before_its_time,
    check_room_of_each_lane,
    check_one_execution_per_subject,
    check_released_comes_again,
    check_cancelled_blocks_until_ended,
    check_cancelled_before_claim_is_gone,
    check_released_after_cancel_is_gone,
    check_end_of_running_changes_nothing,
    check_recover_takes_back,
    check_recover_gives_fresh_time,
    check_claims_at_once_share_nothing,
    check_report_counts,
    *TURN_CHECKS,
    errors=StoreError,
    is_bounded=False,
)

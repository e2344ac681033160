"""Store readers: the promises about what principals have read and are writing, which no slice holds.

Owns: `READER_CHECKS`.
Never: a look into the database.
Reads as: store.py -> these -> `Store.commit`, `Reads`.
"""

from attrs import evolve

from taskdock.core.change import Record
from taskdock.core.errors import InvariantViolated
from taskdock.core.reader import DraftText, ReadMarker, reader_id
from taskdock.ports.store import Commit
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import (
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    ordering,
    tab_id,
    task_id,
)

_ANN, _BO = "ann", "bo/with a slash"


def _marker(principal: str, turns: int, tab: str = tab_id(1), task: str = task_id(1)) -> ReadMarker:
    return ReadMarker(reader_id(tab, principal), tab, task, principal, turns)


def _draft(principal: str, text: str, tab: str = tab_id(1), task: str = task_id(1)) -> DraftText:
    return DraftText(reader_id(tab, principal), tab, task, principal, text)


async def _write(sut: StoreUnderTest, *records: Record, task: str = task_id(1)) -> None:
    version = (await sut.store.load(task)).version
    await sut.commit(evolve(ordering(task, version=version), records=records))


async def check_markers_of_each_principal(sut: StoreUnderTest) -> None:
    """What a principal has read is kept by tab and principal, the last one wins, and nobody's is another's."""
    await sut.create(1)
    await sut.create(2)
    await _write(sut, _marker(_ANN, 3), _marker(_BO, 1))
    await _write(sut, _marker(_ANN, 5))
    await _write(sut, _marker(_ANN, 2, tab_id(2), task_id(2)), task=task_id(2))
    await sut.reopen()
    store, tabs = sut.store, [tab_id(1), tab_id(2), "tab-none"]
    have = [await store.read_marker(tab_id(1), one) for one in (_ANN, _BO, "nobody")]
    require(
        have == [5, 1, 0], f"A marker is the last one of its principal, 0 without one: [5, 1, 0], not {have}."
    )
    many = [dict(await store.read_markers(one, tabs)) for one in (_ANN, _BO)]
    wanted = [{tab_id(1): 5, tab_id(2): 2}, {tab_id(1): 1}]
    require(many == wanted, f"Markers of many tabs leave out those without one: {wanted}, not {many}.")
    none = dict(await store.read_markers(_ANN, []))
    require(none == {}, f"No tabs have no markers, not {none}.")


async def check_drafts_of_each_principal(sut: StoreUnderTest) -> None:
    """A draft is kept by tab and principal, the last one wins, and an empty one removes it."""
    await sut.create(1)
    await _write(sut, _draft(_ANN, "Dear ag"), _draft(_BO, "x"))
    await _write(sut, _draft(_ANN, "Dear agent äß 漢字 \x00"))
    await _write(sut, _draft(_BO, ""))
    await _write(sut, _draft("nobody", ""))
    await sut.reopen()
    have = [await sut.store.draft(tab_id(1), one) for one in (_ANN, _BO, "nobody")]
    wanted = ["Dear agent äß 漢字 \x00", None, None]
    require(have == wanted, f"A draft is the last one that is not empty: {wanted}, not {have}.")


async def check_readers_are_told_and_not_loaded(sut: StoreUnderTest) -> None:
    """The feed tells markers and drafts by their own kinds, each is found as a record, and no slice holds them."""
    await sut.create(1)
    before = await sut.store.position()
    marker, draft = _marker(_BO, 4), _draft(_BO, "Half a tho")
    await _write(sut, marker, draft)
    told = [
        (entry.kind, entry.id, entry.version, entry.workspace, entry.boundary)
        for entry in await sut.feed(before)
    ]
    wanted = [(kind, marker.id, 2, WORKSPACE, task_id(1)) for kind in ("marker", "draft")]
    require(told == wanted, f"The feed must tell markers and drafts by their ids: {wanted}, not {told}.")
    found = [await sut.store.record(kind, marker.id) for kind in ("marker", "draft", "tab")]
    have = [None if one is None else (one.record, one.version) for one in found]
    require(have == [(marker, 2), (draft, 2), None], f"Both must be found with their version, not {have}.")
    loaded = {type(record) for record in (await sut.store.load(task_id(1))).records}
    require(not loaded & {ReadMarker, DraftText}, "No step needs them: leave them out of the slice.")
    await _write(sut, _draft(_BO, ""))
    require(
        await sut.store.record("draft", draft.id) is None, "A draft that was emptied is no record any more."
    )
    last = (await sut.feed())[-1]
    require((last.kind, last.id) == ("draft", draft.id), "That a draft was emptied must be told too.")


async def check_readers_stay_in_their_task(sut: StoreUnderTest) -> None:
    """A marker or a draft of another task's tab is refused, and changes nothing."""
    await sut.create(1)
    await sut.create(2)
    await _write(sut, _marker(_ANN, 3), _draft(_ANN, "Mine"))
    for record in (_marker(_ANN, 9), _draft(_ANN, "Stolen"), _marker(_ANN, 9, task=task_id(2))):
        try:
            await sut.store.commit(Commit((evolve(ordering(task_id(2), version=1), records=(record,)),)))
        except InvariantViolated:
            continue
        require(False, f"{record} written by another task must be refused.")  # noqa: FBT003
    kept = (await sut.store.read_marker(tab_id(1), _ANN), await sut.store.draft(tab_id(1), _ANN))
    require(kept == (3, "Mine"), f"What was refused must change nothing, not leave {kept}.")


READER_CHECKS: tuple[StoreCheck, ...] = (
    check_markers_of_each_principal,
    check_drafts_of_each_principal,
    check_readers_are_told_and_not_loaded,
    check_readers_stay_in_their_task,
)

"""Store fidelity: what was committed comes back exactly, and stays.

Owns: `FIDELITY_CHECKS`.
Never: a look into the database.
Reads as: store.py -> these -> `Store.load`, `Store.commit`, and reads of what was committed.
"""

from collections.abc import Sequence
from datetime import timedelta

from attrs import evolve

from taskdock.core import inputs
from taskdock.core.change import Change, Record, Slice
from taskdock.core.history import HistoryEvent, HistoryKind
from taskdock.core.intents import CreateSandbox, CreateSession, EnsureAgent, EnsureName, SendPrompt
from taskdock.core.message import MessageText
from taskdock.core.task import Task
from taskdock.ports.store import BranchHeld, NewItem
from taskdock.testing.boundary import Boundary
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import (
    NOW,
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    create_task,
    creation,
    key,
    message_id,
    ordering,
    tab_id,
    task_id,
    wake,
)

_CALLERS = 8


async def check_unknown_boundary_is_empty(sut: StoreUnderTest) -> None:
    """A boundary that does not exist loads as nothing at version 0."""
    loaded = await sut.store.load(task_id(1))
    require(
        loaded == Slice(task_id(1), workspace=""),
        f"A boundary that does not exist must load as a Slice of version 0 with nothing in it, not as {loaded}.",
    )


async def check_life_of_a_task_is_kept(sut: StoreUnderTest) -> None:
    """After every step of a task's life the boundary loads exactly as it was decided."""
    model = Boundary(task_id(1))

    async def take(change: Change) -> None:
        model.take(change)
        await _require_same(sut, model)

    await take(await sut.create(1))
    await sut.claim()
    model.claim(model.claimable(NOW)[0].id, NOW)
    name = next(iter((await sut.store.load(task_id(1))).intents))
    await take(await sut.step(task_id(1), inputs.Started(name.id, name.issue)))
    named = inputs.OutcomeReported(
        name.id, name.issue, inputs.Succeeded(inputs.NameEnsured("Thing", "thing", "main"))
    )
    await take(await sut.step(task_id(1), named))
    await take(await sut.step(task_id(1), inputs.OpenTab("tab-2", message_id="msg-2", prompt="More.")))
    await take(await sut.succeed(CreateSandbox, inputs.SandboxReady(adopted=False)))
    await take(await sut.succeed(EnsureAgent, inputs.AgentReady()))
    await take(await sut.step(task_id(1), inputs.SendMessage(tab_id(1), "msg-3", "And this.")))
    await take(await sut.step(task_id(1), inputs.CloseTab("tab-2", force=True)))
    await take(await sut.succeed(CreateSession, inputs.SessionReady("session", "process")))
    prompt = await sut.claim_kind(SendPrompt)
    await take(await sut.step(task_id(1), inputs.Started(prompt.id, prompt.issue)))
    await take(await sut.step(task_id(1), inputs.Delivered(prompt.id, prompt.issue)))
    await take(await sut.step(task_id(1), inputs.KillTask(force=True)))


async def _require_same(sut: StoreUnderTest, model: Boundary) -> None:
    """Compare without what the queue moves: issue and deadline."""
    loaded, expected = await sut.store.load(model.id), model.slice
    for name in ("boundary", "workspace", "version", "runs"):
        have, want = getattr(loaded, name), getattr(expected, name)
        require(
            have == want, f"At version {expected.version}, {name} must load as {want!r}, not as {have!r}."
        )
    _require_equal(_by_id(loaded.records), _by_id(expected.records), "records")
    bare = [[evolve(i, issue=0, deadline_at=None) for i in one.intents] for one in (loaded, expected)]
    require(
        bare[0] == bare[1],
        f"At version {expected.version} the open intents must load in the order of their runs as {bare[1]}, not as {bare[0]}.",
    )


def _by_id(records: Sequence[Record]) -> dict[str, Record]:
    return {record.id: record for record in records}


def _require_equal(have: dict[str, Record], want: dict[str, Record], what: str) -> None:
    for id_ in have.keys() | want.keys():
        require(
            have.get(id_) == want.get(id_),
            f"A slice must hold the {what} as they were committed, open messages only: "
            f"{id_} is {have.get(id_)}, it should be {want.get(id_)}.",
        )


async def check_order_of_a_slice(sut: StoreUnderTest) -> None:
    """A slice lists its root first, then tabs by number, then messages by tab and number."""
    await sut.create(1)
    for number in range(2, 5):
        await sut.step(
            task_id(1), inputs.OpenTab(f"tab-{9 - number}", message_id=f"msg-{9 - number}", prompt="x")
        )
    await sut.step(task_id(1), inputs.SendMessage(tab_id(1), "msg-0", "y"))
    ids = [record.id for record in (await sut.store.load(task_id(1))).records]
    tabs = [tab_id(1), "tab-7", "tab-6", "tab-5"]
    wanted = [task_id(1), *tabs, message_id(1), "msg-0", "msg-7", "msg-6", "msg-5"]
    require(
        ids == wanted,
        f"Load the root, the tabs by number, the messages by tab and number: {wanted}, not {ids}.",
    )


async def check_outbox_follows_changes(sut: StoreUnderTest) -> None:
    """Intents are open from the change that orders them to the one that closes or cancels them."""
    boundary = task_id(1)
    ordered = [wake(boundary, run, subject=f"s{run}") for run in range(1, 13)]
    await sut.commit(ordering(boundary, *ordered))
    await sut.commit(
        Change(
            boundary,
            WORKSPACE,
            1,
            runs=12,
            marked_started=(ordered[0].id,),
            closed=(ordered[1].id,),
            cancelled=(ordered[2].id,),
        )
    )
    loaded = await sut.store.load(boundary)
    wanted = [evolve(ordered[0], started=True), *ordered[3:]]
    require(
        list(loaded.intents) == wanted,
        "Closed and cancelled intents must be gone, started ones marked, and the rest in the order of their runs: "
        f"{[i.id for i in wanted]}, not {[i.id for i in loaded.intents]}.",
    )
    require(loaded.runs == 12, "The number of runs must be kept, so that no id is used twice.")  # noqa: PLR2004


async def check_times_are_kept_exactly(sut: StoreUnderTest) -> None:
    """Times come back to the microsecond and with their zone."""
    boundary = task_id(1)
    intent = wake(
        boundary,
        1,
        not_before=NOW + timedelta(microseconds=1),
        deadline_at=NOW + timedelta(days=9_999, microseconds=3),
    )
    event = HistoryEvent(HistoryKind.TASK_CREATED, NOW + timedelta(microseconds=7))
    await sut.commit(evolve(ordering(boundary, intent), history=(event,)))
    loaded = (await sut.store.load(boundary)).intents[0]
    require(loaded == intent, f"An intent must come back exactly: {intent}, not {loaded}.")
    stored = (await sut.store.history(boundary, workspace=WORKSPACE))[0].event
    require(stored == event, f"An event must come back exactly: {event}, not {stored}.")
    require(stored.at.tzinfo is not None, "Times must come back with their zone.")


async def check_texts_are_kept_exactly(sut: StoreUnderTest) -> None:
    """Texts come back as they are, in every script, with quotes, line ends and a NUL, and as long as a prompt may be."""
    odd = "quote ' \" \\ \r\n\x00\x1f äß 漢字 👩‍💻 " + "x" * 1_000_000
    change = await sut.decide(task_id(1), create_task(1, prompt=odd, title="T 'é' 👍"))
    event = HistoryEvent(HistoryKind.TASK_FAILED, NOW, data={"reason": odd[:100]})
    await sut.commit(evolve(change, history=(*change.history, event)))
    require(
        await sut.store.message_text(message_id(1)) == odd, "A message's text must come back as it was sent."
    )
    task = await sut.store.record("task", task_id(1))
    title = task.record.title if task is not None and isinstance(task.record, Task) else None
    require(title == "T 'é' 👍", f"A title must come back as it was given, not as {title!r}.")
    reason = (await sut.store.history(task_id(1), workspace=WORKSPACE))[-1].event.data["reason"]
    require(reason == odd[:100], f"History must keep its texts as they were noted, not as {reason!r}.")


async def check_half_surrogates_stop_nothing(sut: StoreUnderTest) -> None:
    """Half a surrogate pair, which an agent may utter and UTF-8 does not know, is kept in records, history and transcript."""
    odd = "half \ud83d of a pair, in Zürich"
    change = await sut.decide(task_id(1), create_task(1, title="T"))
    records = [evolve(one, title=odd) if isinstance(one, Task) else one for one in change.records]
    event = HistoryEvent(HistoryKind.TASK_FAILED, NOW, data={"reason": odd})
    await sut.commit(evolve(change, records=tuple(records), history=(event,)))
    await sut.store.append([NewItem(tab_id(1), task_id(1), "agent", "1", "text", {"text": odd}, NOW)])
    task = await sut.store.record("task", task_id(1))
    kept = (
        getattr(task.record if task else None, "title", None),
        (await sut.store.history(task_id(1), workspace=WORKSPACE))[0].event.data["reason"],
        (await sut.store.transcript(tab_id(1)))[0].body["text"],
    )
    require(
        kept == (odd, odd, odd), f"Keep half a surrogate pair, say as a JSON escape: {odd!r} became {kept}."
    )


async def check_text_outlives_its_message(sut: StoreUnderTest) -> None:
    """The text stays when its message changes, wherever it stood in the change that brought it."""
    await sut.create(1)
    change = await sut.decide(task_id(1), inputs.SendMessage(tab_id(1), "msg-2", "Second."))
    backwards = evolve(change, records=tuple(reversed(change.records)))
    await sut.commit(backwards)
    await sut.step(task_id(1), inputs.CloseTab(tab_id(1), force=True))
    texts = [await sut.store.message_text(id_) for id_ in (message_id(1), "msg-2")]
    require(
        texts == ["Do thing 1.", "Second."], f"A text must stay when its message changes, not become {texts}."
    )
    rewritten = await sut.decide(task_id(1), inputs.OpenTab("tab-2"))
    await sut.commit(evolve(rewritten, records=(*rewritten.records, MessageText("msg-2", "Edited."))))
    text = await sut.store.message_text("msg-2")
    require(
        text == "Edited.",
        f"A text without its message in the change must replace the old one, not leave {text!r}.",
    )


async def check_everything_survives(sut: StoreUnderTest) -> None:
    """What was acknowledged is there after the store was opened again."""
    await sut.create(1, branch="fix")
    await sut.commit(key=key("click"))
    name = await sut.claim_kind(EnsureName)
    await sut.step(task_id(1), inputs.Started(name.id, name.issue))
    before = (
        await sut.everything(task_id(1)),
        await sut.store.owner(),
        await sut.store.key(WORKSPACE, "click"),
    )
    await sut.reopen()
    after = (
        await sut.everything(task_id(1)),
        await sut.store.owner(),
        await sut.store.key(WORKSPACE, "click"),
    )
    require(before == after, f"After opening again everything must be as before: {before}, not {after}.")
    taken = creation(2, branch="fix")
    await sut.require_refused(
        BranchHeld("fix", task_id(1)), taken, "A branch held before the store was opened"
    )


FIDELITY_CHECKS: tuple[StoreCheck, ...] = (
    check_unknown_boundary_is_empty,
    check_life_of_a_task_is_kept,
    check_order_of_a_slice,
    check_outbox_follows_changes,
    check_times_are_kept_exactly,
    check_texts_are_kept_exactly,
    check_half_surrogates_stop_nothing,
    check_text_outlives_its_message,
    check_everything_survives,
)

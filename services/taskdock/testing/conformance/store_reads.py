"""Store reads: the promises of the questions, and of the transcript that only reads show.

Owns: `READ_CHECKS`.
Never: a look into the database.
Reads as: store.py -> these -> `Reads`, `Store.append`.
"""

from collections.abc import Sequence

from taskdock.core import inputs
from taskdock.core.intents import CreateSandbox, CreateSession, EnsureAgent, EnsureName
from taskdock.core.message import Message
from taskdock.core.task import Task
from taskdock.ports.store import FeedEntry, NewItem, Versioned
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import (
    NOW,
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    add_repo,
    create_task,
    message_id,
    tab_id,
    task_id,
)


def _ids(found: Sequence[Versioned]) -> list[str]:
    return [versioned.record.id for versioned in found]


def _item(event: str, *, tab: str = tab_id(1), source: str = "agent-1") -> NewItem:
    return NewItem(
        tab, task_id(1), source, event, "text", {"text": f"said {event}", "deep": [1, {"a": None}]}, NOW
    )


async def check_empty_store_has_nothing(sut: StoreUnderTest) -> None:
    """In an empty store every question has its empty answer."""
    store = sut.store
    require(await store.position() == 0, "The position of an empty store must be 0.")
    require(list(await store.feed(0)) == [], "The feed of an empty store must be empty.")
    nothing = (
        await store.record("task", task_id(1)),
        await store.task_of(tab_id(1)),
        await store.message_text(message_id(1)),
        await store.last_event(tab_id(1), "agent-1"),
        await store.event(1),
        await store.key(WORKSPACE, "click"),
        await store.repo_named(WORKSPACE, "api"),
    )
    require(
        all(one is None for one in nothing), f"What is not there must be answered by None, not by {nothing}."
    )
    snapshot = await store.snapshot(WORKSPACE, task_id(1))
    require((snapshot.position, snapshot.records) == (0, ()), "The snapshot of an empty store must be empty.")


async def check_owner_is_made_once(sut: StoreUnderTest) -> None:
    """The owner's id is made with the store and never changes."""
    owner = await sut.store.owner()
    require(bool(owner), "The owner's id must not be empty: it labels every sandbox that is ours.")
    await sut.reopen()
    require(
        await sut.store.owner() == owner,
        "The owner's id must stay: make it with the store, not with each opening.",
    )


async def check_newest_tasks_come_first(sut: StoreUnderTest) -> None:
    """Tasks are listed newest first, page by page, one workspace at a time."""
    for number in (3, 1, 4, 2):
        await sut.create(number)
    await sut.create(5, workspace="elsewhere")
    wanted = [task_id(number) for number in (4, 3, 2, 1)]
    ids = _ids(await sut.store.tasks(WORKSPACE, limit=10))
    require(ids == wanted, f"List the newest tasks first, of this workspace only: {wanted}, not {ids}.")
    first = _ids(await sut.store.tasks(WORKSPACE, limit=2))
    second = _ids(await sut.store.tasks(WORKSPACE, limit=2, before=first[-1]))
    require(
        [first, second] == [wanted[:2], wanted[2:]],
        f"Pages must join without gap or overlap, not {first, second}.",
    )


async def check_repos_by_name(sut: StoreUnderTest) -> None:
    """Repos are listed by name; of several with one name the oldest is found."""
    later = add_repo("https://b.example/x/api", "x/api")
    await sut.step(
        add_repo("https://c.example/x/web", "x/web").repo_id, add_repo("https://c.example/x/web", "x/web")
    )
    older = add_repo("https://a.example/x/api", "x/api")
    await sut.step(older.repo_id, older, NOW)
    await sut.step(later.repo_id, later, NOW.replace(microsecond=999_999))
    names = [getattr(versioned.record, "name", "") for versioned in await sut.store.repos(WORKSPACE)]
    require(names == ["x/api", "x/api", "x/web"], f"List repos by name, not as {names}.")
    found = await sut.store.repo_named(WORKSPACE, "x/api")
    require(
        found is not None and found.id == older.repo_id,
        f"Of two repos with one name the older must be found, not {found}.",
    )
    require(await sut.store.repo_named("elsewhere", "x/api") is None, "A repo belongs to one workspace.")
    require(list(await sut.store.repos("elsewhere")) == [], "A repo belongs to one workspace.")


async def check_records_carry_versions(sut: StoreUnderTest) -> None:
    """Each record is found by kind and id, with the version of its boundary when it last changed."""
    await sut.create(1)
    await sut.step(task_id(1), inputs.OpenTab("tab-2"))
    wanted = {"task": (task_id(1), 2), "tab": (tab_id(1), 1), "message": (message_id(1), 1)}
    for kind, (id_, version) in wanted.items():
        found = await sut.store.record(kind, id_)
        require(
            found is not None and (found.record.id, found.version) == (id_, version),
            f"The {kind} must be found with version {version}, the last that changed it, not as {found}.",
        )
    require(
        await sut.store.record("tab", task_id(1)) is None, "A record must be found under its own kind only."
    )
    for id_ in (tab_id(1), "tab-2", message_id(1)):
        found_task = await sut.store.task_of(id_)
        require(found_task == task_id(1), f"{id_} belongs to {task_id(1)}, not to {found_task}.")


async def check_messages_stay_listed(sut: StoreUnderTest) -> None:
    """Every message of a tab is listed in order, also those that are final and in no slice any more."""
    await sut.create(1)
    await sut.step(task_id(1), inputs.SendMessage(tab_id(1), "msg-2", "Second."))
    await sut.step(task_id(1), inputs.OpenTab("tab-2", message_id="msg-3", prompt="Elsewhere."))
    await sut.step(task_id(1), inputs.CloseTab(tab_id(1), force=True))
    listed = [(message.id, message.at) for message in await sut.store.messages(tab_id(1))]
    wanted = [(message_id(1), "withdrawn"), ("msg-2", "withdrawn")]
    require(
        listed == wanted, f"List all messages of a tab by number, final ones too: {wanted}, not {listed}."
    )
    open_ones = [r.id for r in (await sut.store.load(task_id(1))).records if isinstance(r, Message)]
    require(
        open_ones == ["msg-3"], f"A slice holds only messages that are not final: ['msg-3'], not {open_ones}."
    )


async def check_history_is_numbered(sut: StoreUnderTest) -> None:
    """Events are numbered over the whole store, and read by boundary or by workspace, in order and in pages."""
    changes = [await sut.create(1), await sut.create(2), await sut.step(task_id(1), inputs.OpenTab("tab-2"))]
    await sut.create(3, workspace="elsewhere")
    everything = await sut.store.history(None, workspace=WORKSPACE)
    wanted = [(change.boundary, event) for change in changes for event in change.history]
    require(
        [(stored.boundary, stored.event) for stored in everything] == wanted,
        f"The history of a workspace must be every event, as noted, in the order of the commits, not {everything}.",
    )
    numbers = [stored.number for stored in everything]
    require(numbers == sorted(set(numbers)), f"Numbers must grow from event to event, not be {numbers}.")
    of_task = await sut.store.history(task_id(1), workspace=WORKSPACE)
    require(
        list(of_task) == [stored for stored in everything if stored.boundary == task_id(1)],
        "The history of a boundary must be its events of the workspace's history.",
    )
    page = await sut.store.history(task_id(1), workspace=WORKSPACE, after=of_task[0].number, limit=2)
    require(list(page) == list(of_task[1:3]), "A page must begin after the number and end at the limit.")
    require(
        list(await sut.store.history(task_id(1), workspace="elsewhere")) == [],
        "History belongs to its workspace.",
    )
    require(await sut.store.event(numbers[1]) == everything[1], "One event must be found by its number.")


async def check_feed_tells_every_change(sut: StoreUnderTest) -> None:
    """The feed has an entry for each record and each event, records first, and ends at the commit's position."""
    change = await sut.decide(task_id(1), create_task(1))
    position = await sut.commit(change)
    entries = await sut.feed()
    events = await sut.store.history(task_id(1), workspace=WORKSPACE)
    records = [("task", task_id(1)), ("tab", tab_id(1)), ("message", message_id(1))]
    named = [(entry.kind, entry.id) for entry in entries]
    require(
        sorted(named[:3]) == sorted(records) and named[3:] == [("history", str(e.number)) for e in events],
        f"The feed must name each record of a commit once (a text is none), then each event by its number, not {named}.",
    )
    whose = {(entry.version, entry.workspace, entry.boundary) for entry in entries}
    require(
        whose == {(1, WORKSPACE, task_id(1))},
        f"Entries must carry version, workspace and boundary, not {whose}.",
    )
    require(
        entries[-1].position == position == await sut.store.position(),
        "A commit's position is its last entry's.",
    )
    positions = [entry.position for entry in entries]
    require(
        positions == sorted(set(positions)) and positions[0] > 0,
        f"Positions must grow from 1 up, not be {positions}.",
    )
    page = await sut.store.feed(positions[1], limit=2)
    require(
        list(page) == list(entries[2:4]),
        "A page of the feed must begin after the position and end at the limit.",
    )


async def check_transcript_is_gapless(sut: StoreUnderTest) -> None:
    """Items get positions from 1 in their tab, each event of a source once, and the feed tells the new end."""
    await sut.create(1)
    before = await sut.store.position()
    position = await sut.store.append([_item("1"), _item("2"), _item("1", tab="tab-2")])
    told = [
        (entry.kind, entry.id, entry.version, entry.workspace, entry.boundary)
        for entry in await sut.feed(before)
    ]
    wanted = [("transcript", id_, end, WORKSPACE, task_id(1)) for id_, end in ((tab_id(1), 2), ("tab-2", 1))]
    require(told == wanted, f"The feed must tell each tab that grew with its new end: {wanted}, not {told}.")
    require(position == await sut.store.position(), "append must answer with the last feed position.")
    again = await sut.store.append([_item("2"), _item("1")])
    require(again == position, "Items that are there already must be left out, without a feed entry.")
    await sut.store.append([_item("2"), _item("3"), _item("3"), _item("1", source="agent-2")])
    items = await sut.store.transcript(tab_id(1))
    have = [(item.position, item.source, item.body["text"]) for item in items]
    want = [
        (1, "agent-1", "said 1"),
        (2, "agent-1", "said 2"),
        (3, "agent-1", "said 3"),
        (4, "agent-2", "said 1"),
    ]
    require(
        have == want,
        f"Items must stand in order, without gap, each event of a source once: {want}, not {have}.",
    )
    require(
        (dict(items[0].body), items[0].kind, items[0].at, items[0].tab_id)
        == (dict(_item("1").body), "text", NOW, tab_id(1)),
        f"An item must come back exactly, not as {items[0]}.",
    )


async def check_transcript_in_pages(sut: StoreUnderTest) -> None:
    """A transcript is read after a position and up to a limit; the newest event of each source is known."""
    await sut.create(1)
    await sut.store.append([_item(str(number)) for number in range(1, 8)])
    await sut.store.append([_item("9", source="agent-2")])
    page = [item.position for item in await sut.store.transcript(tab_id(1), after=2, limit=3)]
    require(
        page == [3, 4, 5],
        f"A page must begin after the position and end at the limit: [3, 4, 5], not {page}.",
    )
    last = [await sut.store.last_event(tab_id(1), source) for source in ("agent-1", "agent-2", "agent-3")]
    require(
        last == ["7", "9", None],
        f"The newest event of each source must be found: ['7', '9', None], not {last}.",
    )


async def check_snapshot_is_one_moment(sut: StoreUnderTest) -> None:
    """A snapshot holds repos and tasks, for one boundary only it with tabs and open messages, at one position."""
    repo = add_repo("https://a.example/x/api", "x/api")
    await sut.step(repo.repo_id, repo)
    await sut.create(1)
    await sut.create(2)
    await sut.create(3, workspace="elsewhere")
    await sut.step(task_id(1), inputs.OpenTab("tab-2", message_id="msg-2", prompt="More."))
    await sut.step(task_id(1), inputs.CloseTab(tab_id(1), force=True))
    snapshot = await sut.store.snapshot(WORKSPACE)
    roots = {repo.repo_id, task_id(1), task_id(2)}
    require(
        snapshot.position == await sut.store.position(), "A snapshot must carry the position it was read at."
    )
    require(
        set(_ids(snapshot.records)) == roots,
        f"A snapshot holds the workspace's roots, not {_ids(snapshot.records)}.",
    )
    detailed = _ids((await sut.store.snapshot(WORKSPACE, task_id(1))).records)
    wanted = {repo.repo_id, task_id(1), tab_id(1), "tab-2", "msg-2"}
    require(
        set(detailed) == wanted and len(detailed) == len(wanted),
        f"For one boundary a snapshot holds no other task, but its tabs and open messages: {wanted}, not {detailed}.",
    )
    foreign = _ids((await sut.store.snapshot(WORKSPACE, task_id(3))).records)
    require(
        set(foreign) == {repo.repo_id},
        f"A snapshot must not show a boundary of another workspace: {foreign}.",
    )


async def check_ready_tabs_with_their_tasks(sut: StoreUnderTest) -> None:
    """The tabs that are ready are found with their tasks, and no others."""
    for number in (1, 2):
        await sut.create(number)
    for intent in await sut.claim():
        if intent.boundary == task_id(1) and isinstance(intent.body, EnsureName):
            named = inputs.Succeeded(inputs.NameEnsured("Thing", "thing", "main"))
            await sut.step(task_id(1), inputs.OutcomeReported(intent.id, intent.issue, named))
    await sut.succeed(CreateSandbox, inputs.SandboxReady(adopted=False))
    await sut.succeed(EnsureAgent, inputs.AgentReady())
    require(list(await sut.store.ready_tabs()) == [], "No tab is ready before its session is.")
    await sut.succeed(CreateSession, inputs.SessionReady("session", "process"))
    ready = [(task.id, tab.id, tab.session_id) for task, tab in await sut.store.ready_tabs()]
    wanted = [(task_id(1), tab_id(1), "session")]
    require(ready == wanted, f"Every tab that is ready must be found with its task: {wanted}, not {ready}.")
    await sut.step(task_id(1), inputs.KillTask())
    require(list(await sut.store.ready_tabs()) == [], "A closed tab is not ready any more.")


async def check_feed_replays_to_the_snapshot(sut: StoreUnderTest) -> None:
    """Whoever reads what the feed names ends with what the snapshot shows."""
    await sut.create(1)
    await sut.create(2)
    await sut.step(task_id(1), inputs.SendMessage(tab_id(1), "msg-2", "Second."))
    seen: dict[str, Versioned] = {}
    for entry in await sut.feed():
        found = await _named(sut, entry)
        if found is not None:
            seen[entry.id] = found
    shown = {
        versioned.record.id: versioned
        for versioned in (await sut.store.snapshot(WORKSPACE, task_id(1))).records
    }
    missing = {id_ for id_, versioned in shown.items() if seen.get(id_) != versioned}
    require(not missing, f"The feed must name every record that changed; it never named {missing}.")


async def _named(sut: StoreUnderTest, entry: FeedEntry) -> Versioned | None:
    return None if entry.kind == "history" else await sut.store.record(entry.kind, entry.id)


async def check_lists_show_no_prompts(sut: StoreUnderTest) -> None:
    """A listed task carries no prompt."""
    await sut.create(1, prompt="First line\nsecret second line", title="Named")
    listed = (await sut.store.tasks(WORKSPACE, limit=1))[0].record
    require(isinstance(listed, Task), f"tasks must list tasks, not {type(listed).__name__}.")
    require("secret second line" not in repr(listed), "A listed task must not carry its prompt.")


READ_CHECKS: tuple[StoreCheck, ...] = (
    check_empty_store_has_nothing,
    check_owner_is_made_once,
    check_newest_tasks_come_first,
    check_repos_by_name,
    check_records_carry_versions,
    check_messages_stay_listed,
    check_history_is_numbered,
    check_feed_tells_every_change,
    check_transcript_is_gapless,
    check_transcript_in_pages,
    check_snapshot_is_one_moment,
    check_ready_tabs_with_their_tasks,
    check_feed_replays_to_the_snapshot,
    check_lists_show_no_prompts,
)

"""Store under test: what the checks of the store and its queue need of an adapter, and how they make what they commit.

Owns: `StoreUnderTest`, and the verbs that the checks share.
Never: a change that no boundary could decide, where `step` can make one.
Reads as: store_*.py, intent_queue.py -> this -> the core's `step` -> the adapter under test.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from attrs import mutable

from taskdock.core import inputs, repo_boundary, task_boundary
from taskdock.core.change import Change, Slice
from taskdock.core.inputs import OutcomeReported, Succeeded
from taskdock.core.intents import Body, Intent, Wake
from taskdock.core.values import repo_id
from taskdock.ports.intent_queue import IntentQueue
from taskdock.ports.store import Commit, CommitResult, Committed, FeedEntry, IdempotencyKey, Reads, Store
from taskdock.ports.upkeep import Upkeep
from taskdock.testing.conformance.promises import require

NOW = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
"""With microseconds, which a store must keep."""

WORKSPACE = "acme"
FEED_MAX = 10_000


class StoreAndQueue(Store, Reads, IntentQueue, Upkeep, Protocol):
    """The four ports that stand on one database."""


@mutable
class StoreUnderTest:
    """A store without anything in it, for one check."""

    store: StoreAndQueue
    open_again: Callable[[], Awaitable[StoreAndQueue]]
    """Close the store and open what it has kept, as the next process would; gives the opened one."""

    async def reopen(self) -> None:
        """Go on with what the store has kept."""
        self.store = await self.open_again()

    async def decide(self, boundary: str, input_: inputs.Input, now: datetime = NOW) -> Change:
        """Decide an input on the boundary as the store has it; nothing is committed."""
        return decide(await self.store.load(boundary), input_, now)

    async def commit(self, *changes: Change, key: IdempotencyKey | None = None) -> int:
        """Commit changes that must be taken; the position."""
        result = await self.store.commit(Commit(changes, key))
        return expect(Committed, result, "A commit that fits must be taken.").position

    async def step(self, boundary: str, input_: inputs.Input, now: datetime = NOW) -> Change:
        """Decide an input and commit what comes of it."""
        change = await self.decide(boundary, input_, now)
        await self.commit(change)
        return change

    async def create(self, number: int, **more: str) -> Change:
        """Create task `number` with its first tab and message; `more` goes into the command."""
        return await self.step(task_id(number), create_task(number, **more), NOW + timedelta(seconds=number))

    async def claim(self, room: int = 100, now: datetime = NOW + timedelta(days=1)) -> list[Intent]:
        """Claim what is due, `room` in every lane."""
        return [claimed.intent for claimed in await self.store.claim({"*": room}, now, {})]

    async def claim_kind(self, kind: type[Body]) -> Intent:
        """Claim everything, and give the one intent of a kind."""
        claimed = [intent for intent in await self.claim() if isinstance(intent.body, kind)]
        require(len(claimed) == 1, f"One {kind.__name__} must be claimable, not {len(claimed)}.")
        return claimed[0]

    async def succeed(self, kind: type[Body], value: inputs.Value) -> Change:
        """Claim the one intent of a kind, and report that it succeeded."""
        intent = await self.claim_kind(kind)
        report = OutcomeReported(intent.id, intent.issue, Succeeded(value))
        return await self.step(intent.boundary, report)

    async def require_refused(self, wanted: CommitResult, change: Change, what: str) -> None:
        """Commit a change that must be answered so, and leave everything as it was."""
        before = await self.everything(change.boundary)
        result = await self.store.commit(Commit((change,)))
        require(result == wanted, f"{what} must be answered by {wanted}, not by {result}.")
        after = await self.everything(change.boundary)
        require(after == before, f"{what} must write nothing: undo all of its commit.")

    async def everything(self, boundary: str) -> object:
        """A boundary, the whole history and the whole feed, to be compared."""
        events = await self.store.history(None, workspace=WORKSPACE)
        return (await self.store.load(boundary), events, await self.feed(), await self.store.position())

    async def feed(self, after: int = 0) -> Sequence[FeedEntry]:
        """The whole feed after a position."""
        return await self.store.feed(after, limit=FEED_MAX)


StoreCheck = Callable[[StoreUnderTest], Awaitable[None]]


_ResultT = TypeVar("_ResultT")


def expect(kind: type[_ResultT], result: object, sentence: str) -> _ResultT:
    """Give the result as the kind that it has to be."""
    if isinstance(result, kind):
        return result
    raise AssertionError(f"{sentence} It answered {result}.")


def decide(slice_: Slice, input_: inputs.Input, now: datetime = NOW) -> Change:
    """Decide an input as the services do."""
    if slice_.boundary.startswith("repo-") and isinstance(input_, inputs.RepoInput):
        return repo_boundary.step(slice_, input_, now)
    assert isinstance(input_, inputs.TaskInput)
    return task_boundary.step(slice_, input_, now)


def task_id(number: int) -> str:
    """Give the id of task `number`; ids sort by number."""
    return f"task-{number:020d}"


def tab_id(number: int) -> str:
    """Give the id of the first tab of task `number`."""
    return f"tab-{number:020d}"


def message_id(number: int) -> str:
    """Give the id of the first message of task `number`."""
    return f"msg-{number:020d}"


def create_task(
    number: int,
    *,
    workspace: str = WORKSPACE,
    repo: str = "repo-1",
    branch: str | None = None,
    title: str | None = None,
    prompt: str | None = None,
) -> inputs.CreateTask:
    """Ask for task `number` on a repo that is ready."""
    return inputs.CreateTask(
        task_id=task_id(number),
        tab_id=tab_id(number),
        message_id=message_id(number),
        workspace=workspace,
        owner="owner",
        repo_id=repo,
        repo_is_ready=True,
        prompt=prompt or f"Do thing {number}.",
        provider="local",
        agent="demo",
        title=title,
        branch=branch,
    )


def creation(number: int, **more: str) -> Change:
    """Decide the creation of task `number`, which is not there yet."""
    return decide(Slice(task_id(number), workspace=""), create_task(number, **more))


def add_repo(remote: str, name: str, workspace: str = WORKSPACE) -> inputs.AddRepo:
    """Ask for a repo."""
    return inputs.AddRepo(repo_id(workspace, remote), workspace, name, remote)


def key(name: str, *, digest: str = "digest", answer: str = '{"task": 1}') -> IdempotencyKey:
    """Make an idempotency key of the workspace."""
    return IdempotencyKey(WORKSPACE, name, digest, answer)


def wake(
    boundary: str,
    run: int,
    *,
    subject: str = "clock",
    lane: str = "wake",
    not_before: datetime | None = None,
    deadline_at: datetime | None = None,
) -> Intent:
    """Make an intent by hand, for what no task would order."""
    return Intent(
        id=f"{boundary}#{run}",
        boundary=boundary,
        workspace=WORKSPACE,
        subject=subject,
        lane=lane,
        body=Wake(f"run {run}"),
        attempt=1,
        created_at=NOW,
        not_before=not_before,
        deadline_at=deadline_at,
    )


def ordering(boundary: str, *intents: Intent, version: int = 0) -> Change:
    """Make a change that does nothing but order intents."""
    return Change(boundary, WORKSPACE, version, runs=version + len(intents), ordered=intents)

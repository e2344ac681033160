"""Service bugs: what goes wrong in the field around the decisions: fences, links, wakes, requests, reads.

Owns: one context manager per bug; its docstring is the sentence in the table.
Never: two bugs in one.
Reads as: table.py -> this -> planting.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from simulation.planted.planting import replaced
from taskdock.core import inputs
from taskdock.core.change import Draft
from taskdock.core.errors import StoreError
from taskdock.core.intents import CreateSession, Intent, ResumeSession
from taskdock.core.repo import RepoCursor
from taskdock.ports.sandbox import Endpoint, Phase
from taskdock.ports.store import FeedEntry
from taskdock.services.execution import Execution, NotWanted
from taskdock.services.executors import close_session as closing
from taskdock.services.executors import create_session as opening
from taskdock.services.executors import resume_session as resuming
from taskdock.services.feed import Watch
from taskdock.services.links import Followed, Links
from taskdock.services.requests import Request
from taskdock.services.sandboxes import ref_of
from taskdock.services.scheduler import Scheduler
from taskdock.services.stepping import Applied, Stepper
from taskdock.services.tools import Tools
from taskdock.testing.memory_data import MemoryData


@contextmanager
def fence_dropped() -> Iterator[None]:
    """What comes of an execution that is over counts as if it were the one that runs."""

    def matching(draft: Draft, intent_id: str, issue: int) -> Intent | str:
        del issue
        return draft.open.get(intent_id, "the intent is not open")

    with replaced(Draft, "matching", matching):
        yield


@contextmanager
def outcome_accepted_twice() -> Iterator[None]:
    """An intent stays open when its outcome is accepted."""

    def close(draft: Draft, intent: Intent) -> None:
        del draft.open[intent.id]

    with replaced(Draft, "close", close):
        yield


@contextmanager
def called_though_refused() -> Iterator[None]:
    """An execution that nobody wants any more calls all the same."""
    start = Execution.start

    async def start_anyway(execution: Execution) -> None:
        try:
            await start(execution)
        except NotWanted:
            return

    with replaced(Execution, "start", start_anyway):
        yield


@contextmanager
def loss_not_told() -> Iterator[None]:
    """A link that ends does not tell that the session is lost."""

    async def tell_lost(_links: Links, _followed: Followed, _reason: str) -> None:
        return None

    with replaced(Links, "_tell_lost", tell_lost):
        yield


@contextmanager
def loss_left_to_its_sandbox() -> Iterator[None]:
    """A link that ends tells of the sandbox alone where the provider calls that lost, also when the provider is wrong."""
    tell = Links._tell_lost_once

    async def tell_one(links: Links, followed: Followed, reason: str) -> None:
        seen = await links.sites.of(followed.sandbox).provider.observe(ref_of(followed.sandbox))
        if seen.phase not in (Phase.ABSENT, Phase.FAILED):
            await tell(links, followed, reason)
            return
        fact = inputs.SandboxLost(followed.sandbox.name, reason)
        await links.stepper.apply(followed.sandbox.task_id, fact)

    with replaced(Links, "_tell_lost_once", tell_one):
        yield


@contextmanager
def silence_taken_for_the_end() -> Iterator[None]:
    """A server that cannot be reached once is taken for one that holds no session of a closed tab."""
    with replaced(closing, "RUNS_THAT_PROVE", 1):
        yield


@contextmanager
def question_not_told() -> Iterator[None]:
    """What an agent asks reaches nobody."""

    async def tell_asked(_links: Links, _link: object) -> None:
        return None

    with replaced(Links, "_tell_asked", tell_asked):
        yield


@contextmanager
def two_sessions_at_once() -> Iterator[None]:
    """A session is opened beside the earlier ones of its tab."""

    async def way(body: CreateSession | ResumeSession, execution: Execution, tools: Tools) -> Endpoint:
        service = await tools.gateway.service(body.agent, execution.progress)
        return await tools.sites.of(body.sandbox).access.ensure_service(ref_of(body.sandbox), service)

    with replaced(opening, "clear_way", way), replaced(resuming, "clear_way", way):
        yield


@contextmanager
def wake_lost() -> Iterator[None]:
    """The scheduler does not wake when something falls due."""

    async def sleep(scheduler: Scheduler, _claimed_at: datetime) -> None:
        await scheduler._woken.wait()

    with replaced(Scheduler, "_sleep", sleep):
        yield


@contextmanager
def answer_to_the_task_lost() -> Iterator[None]:
    """A repo whose clone is ready tells nobody."""
    with replaced(RepoCursor, "tell_ready", lambda _: None):
        yield


@contextmanager
def key_not_stored() -> Iterator[None]:
    """A request's idempotency key is not stored, so it is carried out again when it is repeated."""
    with replaced(Request, "_keyed", lambda _request, _receipt: None):
        yield


@contextmanager
def answered_before_the_commit() -> Iterator[None]:
    """A request is answered although the store did not take it."""
    submit = Stepper.submit

    async def submit_anyway(stepper: Stepper, commands: Any, keyed: Any) -> Applied:  # noqa: ANN401
        try:
            return await submit(stepper, commands, keyed)
        except StoreError:
            boundary, command = commands[0]
            return Applied(await stepper._decide(boundary, command), 0)

    with replaced(Stepper, "submit", submit_anyway):
        yield


@contextmanager
def provider_asked_by_a_request() -> Iterator[None]:
    """A kill looks at the sandbox before it is answered."""
    submit = Stepper.submit

    async def submit_and_look(stepper: Stepper, commands: Any, keyed: Any) -> Applied:  # noqa: ANN401
        applied = await submit(stepper, commands, keyed)
        links = [
            owner for one in stepper.listeners if isinstance(owner := getattr(one, "__self__", None), Links)
        ]
        if isinstance(commands[0][1], inputs.KillTask) and links:
            task = next(one for one in applied.decision.slice.records if one.id == commands[0][0])
            sandbox = task.sandbox  # type: ignore[attr-defined]
            await links[0].sites.of(sandbox).provider.observe(ref_of(sandbox))
        return applied

    with replaced(Stepper, "submit", submit_and_look):
        yield


@contextmanager
def entry_left_out_of_the_feed() -> Iterator[None]:
    """Who follows the feed is not told of tabs whose task changed in the same commit."""
    tell = MemoryData.tell

    def tell_less(data: MemoryData, kind: str, id_: str, version: int, workspace: str, boundary: str) -> int:
        last = data.feed.get(data.position)
        if kind == "tab" and last is not None and (last.kind, last.boundary) == ("task", boundary):
            return data.position
        return tell(data, kind, id_, version, workspace, boundary)

    with replaced(MemoryData, "tell", tell_less):
        yield


@contextmanager
def feed_read_out_of_order() -> Iterator[None]:
    """Who follows the feed gets the entries that are waiting from the newest to the oldest."""
    following = Watch._next_entry

    async def next_entry(watch: Watch, position: int) -> FeedEntry:
        was_empty = not watch._entries
        await following(watch, position)
        if was_empty:
            watch._entries.reverse()
        return watch._entries[0]

    with replaced(Watch, "_next_entry", next_entry):
        yield

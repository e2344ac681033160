"""Invariants: what holds after every step, and what holds at rest; each is a class that can be left out.

Owns: `Invariant`, `INVARIANTS`; the numbers are those of `docs/architecture.md`.
Never: a rule of the machines written once more; what is outside is counted outside.
Reads as: World tells them of commits and changes -> they look at data, boxes and agents -> Nature.broken.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from taskdock.core import task_record as at
from taskdock.core.change import Record
from taskdock.core.message import DELIVERED, DELIVERY_UNKNOWN, FAILED, QUEUED, SENDING, WITHDRAWN, Message
from taskdock.core.tab import CLOSED, Tab
from taskdock.core.task import Task
from taskdock.ports.sandbox import Phase
from taskdock.ports.store import Commit
from taskdock.testing.memory_data import KINDS

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

_RecordT = TypeVar("_RecordT", bound=Record)
_FINAL = (DELIVERED, FAILED, WITHDRAWN)
_GONE = (at.ARCHIVED, at.KILLED)
_RESTING = (at.RUNNING, at.STOPPED, at.ARCHIVED, at.KILLED)
_RESTING_TABS = ("ready", "error/task", "error/session", "closed")


class Invariant:
    """One invariant in one world."""

    number = 0

    def __init__(self, world: "World") -> None:
        self.world = world
        self.outside = world.outside
        self.data = world.outside.data

    def on_commit(self, commit: Commit) -> None:
        """Something was committed, and is there."""

    def after_step(self, boundaries: frozenset[str]) -> None:
        """These boundaries changed, or what is outside of them did."""

    def at_rest(self) -> None:
        """Nothing is left to happen, and nothing goes wrong any more."""

    def broken(self, sentence: str) -> None:
        """Say that it does not hold."""
        self.outside.nature.broken(f"({self.number}) {sentence}")

    def task(self, task_id: str) -> Task | None:
        """A task as it stands."""
        row = self.data.rows["task"].get(task_id)
        return None if row is None else row.record

    def all(self, kind: type[_RecordT], boundary: str | None = None) -> Iterator[_RecordT]:
        """Every record of a kind (of a boundary)."""
        return (record for record, _ in self.data.of(kind, boundary))


class OneSandbox(Invariant):
    """At most one live sandbox of a task; none of one that is over, none running of one that is stopped."""

    number = 1

    def after_step(self, boundaries: frozenset[str]) -> None:
        """Count at the provider; while two schedulers both work, what the slower one still calls is healed later."""
        if not self.world.overlaps:
            self._count(boundaries)

    def at_rest(self) -> None:
        """Count again, whoever scheduled before."""
        self._count(self.data.rows["task"])

    def _count(self, boundaries: Iterable[str]) -> None:
        for task_id in boundaries:
            task = self.task(task_id)
            boxes = self.outside.boxes.of_task(task_id)
            if task is None or not boxes:
                continue
            names = [box.spec.ref.name for box in boxes]
            if len(boxes) > 1:
                self.broken(f"{task_id} has several sandboxes: {names}")
            if task.at in _GONE:
                self.broken(f"{task_id} is {task.at} and has {names}")
            if task.at == at.STOPPED and boxes[0].phase is Phase.RUNNING:
                self.broken(f"{task_id} is stopped, and {names} runs")
            if boxes[0].spec.generation != task.generation:
                self.broken(f"{task_id} is at generation {task.generation}, and has {names}")


class OneSession(Invariant):
    """At most one session of a tab, one turn at a time; none of a closed tab at rest."""

    number = 2

    def after_step(self, boundaries: frozenset[str]) -> None:
        """Count in the sandboxes; while two schedulers both work, what the slower one still calls is healed later."""
        if not self.world.overlaps:
            self._count(boundaries)

    def _count(self, boundaries: Iterable[str]) -> None:
        for task_id in boundaries:
            for box in self.outside.boxes.of_task(task_id):
                sessions = Counter(agent.conversation.tab_id for agent in box.agents)
                for tab_id, count in sessions.items():
                    if count > 1:
                        self.broken(f"{tab_id} has {count} sessions in {box.spec.ref.name}")

    def at_rest(self) -> None:
        """A closed tab has none, a ready one has its own."""
        self._count(self.data.rows["task"])
        running = {
            agent.conversation.tab_id: agent
            for box in self.outside.boxes.by_ref.values()
            for agent in box.agents
        }
        for tab in self.all(Tab):
            agent = running.get(tab.id)
            if tab.at == CLOSED and agent is not None:
                self.broken(f"{tab.id} is closed and has the session {agent.session_id}")
            if tab.at == "ready" and (agent is None or agent.session_id != tab.session_id):
                self.broken(f"{tab.id} is ready and its session {tab.session_id} is not there")


class OnceDelivered(Invariant):
    """A message reaches its agent at most once, and is what its sender was told."""

    number = 3

    def after_step(self, boundaries: frozenset[str]) -> None:
        """Count in the agents' logs."""
        del boundaries
        for message_id, count in self.outside.nature.received.items():
            if count > 1:
                self.broken(f"{message_id} reached its agent {count} times")

    def at_rest(self) -> None:
        """Compare with what the client was told, and with what the agents got."""
        messages = {message.id: message for message in self.all(Message)}
        received = self.outside.nature.received
        for message in messages.values():
            count = received[message.id]
            if message.at == DELIVERED and not count:
                self.broken(f"{message.id} is delivered, and no agent got it")
            if message.at in (QUEUED, WITHDRAWN) and count:
                self.broken(f"{message.id} is {message.at}, and an agent got it")
            if message.at == FAILED and count and message.reason != DELIVERY_UNKNOWN:
                self.broken(f"{message.id} has failed ({message.reason}), and an agent got it")
        for sent in self.world.client.ledger.messages.values():
            kept = messages.get(sent.id)
            if kept is None or self.data.texts[sent.id] not in (sent.text, *sent.may_be):
                self.broken(f"{sent.id} was accepted, and is not what was sent")
            elif sent.withdrawn and kept.at != WITHDRAWN:
                self.broken(f"{sent.id} was withdrawn, and is {kept.at}")


class FeedReplays(Invariant):
    """Positions and versions grow; the feed leads to what is there."""

    number = 4

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._position = 0
        self._versions: dict[tuple[str, str], int] = {}

    def on_commit(self, commit: Commit) -> None:
        """Follow the feed."""
        del commit
        if self.data.position < self._position:
            self.broken(f"the feed is at {self.data.position} after {self._position}")
        for position in range(self._position + 1, self.data.position + 1):
            entry = self.data.feed.get(position)
            if entry is None or entry.kind in ("history", "transcript"):
                continue
            key = (entry.kind, entry.id)
            if entry.version < self._versions.get(key, 0):
                self.broken(f"{key} goes back to version {entry.version}")
            self._versions[key] = entry.version
        self._position = self.data.position

    def at_rest(self) -> None:
        """Who followed the feed knows what is there."""
        for kind in KINDS:
            for record_id, row in self.data.rows[kind].items():
                if self._versions.get((kind, record_id)) != row.version:
                    self.broken(f"the feed did not tell of {record_id} at version {row.version}")


class FinalStays(Invariant):
    """A kill is never undone; what is final stays what it is."""

    number = 5

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._ending: set[str] = set()
        self._final: dict[str, str] = {}

    def on_commit(self, commit: Commit) -> None:
        """Compare with what was final before."""
        for record in (record for change in commit.changes for record in change.records):
            if isinstance(record, Task):
                if record.id in self._ending and not record.is_ending:
                    self.broken(f"the kill of {record.id} is undone: it is {record.at}")
                if record.is_ending:
                    self._ending.add(record.id)
            if isinstance(record, Task | Tab | Message):
                self._compare(record)

    def _compare(self, record: Task | Tab | Message) -> None:
        before = self._final.get(record.id)
        if before is not None and before != record.at:
            self.broken(f"{record.id} was {before} for good, and is {record.at}")
        if record.at in (at.KILLED, CLOSED) or (isinstance(record, Message) and record.at in _FINAL):
            self._final[record.id] = record.at

    def at_rest(self) -> None:
        """Every kill that was accepted holds."""
        for task_id in self.world.client.ledger.killed:
            task = self.task(task_id)
            if task is None or not task.is_ending:
                self.broken(f"{task_id} was killed, and is {task and task.at}")


class OneHolder(Invariant):
    """A branch is held by the one task that has it; a subject has one execution."""

    number = 6

    def after_step(self, boundaries: frozenset[str]) -> None:
        """Compare names with holds, and count executions."""
        busy = Counter(
            (one.intent.boundary, one.intent.subject)
            for one in self.data.outbox.values()
            if one.status != "open"
        )
        for subject, count in busy.items():
            if count > 1:
                self.broken(f"{subject} is executed {count} times at once")
        for task_id in boundaries:
            task = self.task(task_id)
            if task is None or not task.is_named or task.branch is None or task.at in _GONE:
                continue
            holder = self.data.holds.get((task.repo_id, task.branch))
            if holder != task_id:
                self.broken(f"{task_id} has the branch {task.branch}, which {holder} holds")


class WorkKept(Invariant):
    """What was there when a turn ended is in a live sandbox, in the service clone, or given up on the record."""

    number = 7

    def at_rest(self) -> None:
        """Look for every edit."""
        for task_id, work in self.outside.nature.work.items():
            there = {
                edit
                for box in self.outside.boxes.of_task(task_id)
                if box.tree is not None
                for edit in box.tree.state.edits
            }
            kept = self.outside.clones.kept.get(task_id)
            there |= kept.edits if kept is not None else set()
            lost = [edit for edit in work if edit not in there and not self._may_be_lost(task_id, work[edit])]
            if lost:
                self.broken(f"{task_id} lost {lost}, and its history does not say so")

    def _may_be_lost(self, task_id: str, message_id: str) -> bool:
        """Whether the history tells, after the turn began, that work was given up, or lost while it was owed."""
        events = [
            (number, one)
            for number in sorted(self.data.history)
            if (one := self.data.event(number)) is not None and one.boundary == task_id
        ]
        began = [
            number
            for number, one in events
            if one.event.kind.value == "turn.started" and one.event.data.get("message") == message_id
        ]
        return any(
            one.event.kind.value == "work.given_up"
            or (one.event.kind.value == "sandbox.lost" and bool(one.event.data.get("work_owed")))
            for number, one in events
            if began and number > began[-1]
        )


class Rests(Invariant):
    """Everything rests, or waits for a named thing that can still happen."""

    number = 9

    def at_rest(self) -> None:
        """Look at every record."""
        for task in self.all(Task):
            waits = task.at == at.WAIT_REPO and task.step is not None and task.step.waits_for
            if task.at not in _RESTING and task.failure is None and not waits:
                self.broken(f"{task.id} is {task.at} and does not rest")
            for tab in self.all(Tab, task.id):
                self._tab(task, tab)
        for message in self.all(Message):
            if message.at == SENDING:
                self.broken(f"{message.id} is still being sent")

    def _tab(self, task: Task, tab: Tab) -> None:
        may_wait = tab.at == "pending_provision" and task.at in (at.STOPPED, at.ARCHIVED, at.WAIT_REPO)
        if tab.at not in _RESTING_TABS and not may_wait:
            self.broken(f"{tab.id} is {tab.at} while {task.id} is {task.at}")
        if tab.turn.at != "none":
            self.broken(f"{tab.id} has a turn that is {tab.turn.at}")
        waiting = [one.id for one in self.all(Message, task.id) if one.tab_id == tab.id and one.at == QUEUED]
        if waiting and tab.at == "ready" and not tab.held and task.at == at.RUNNING:
            self.broken(f"{waiting} wait for nothing")


INVARIANTS: tuple[type[Invariant], ...] = (
    OneSandbox,
    OneSession,
    OnceDelivered,
    FeedReplays,
    FinalStays,
    OneHolder,
    WorkKept,
    Rests,
)
"""Those that are classes here; the eighth (no call outside on the request path) is in calls.py, where each call is made."""

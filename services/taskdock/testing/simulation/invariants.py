"""Invariants: what holds after every step, and what holds at rest; each is a class that can be left out.

Owns: `INVARIANTS`, and those about sandboxes, sessions, what is final, holds, work and rest.
Never: a rule of the machines written once more; what is outside is counted outside.
Reads as: World tells them of commits and changes -> they look at data, boxes and agents -> Nature.broken.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskdock.core import task_record as at
from taskdock.core.change import Change
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import TurnEnd
from taskdock.core.intents import CreateSandbox, DestroySandbox
from taskdock.core.message import DELIVERED, FAILED, QUEUED, SENDING, WITHDRAWN, Message
from taskdock.core.permission import ASKED
from taskdock.core.repo import CLONING, Repo
from taskdock.core.tab import CLOSED, Tab
from taskdock.core.task import Task
from taskdock.ports.agent import StopReason
from taskdock.ports.sandbox import Phase
from taskdock.ports.store import Commit
from taskdock.services.sandboxes import mark_of
from taskdock.testing.simulation.boxes import Box
from taskdock.testing.simulation.branches import BornIsRegistered, MovedIsShown
from taskdock.testing.simulation.delivery import OnceDelivered
from taskdock.testing.simulation.feed import FeedReplays
from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.jobs import JobsRest, JobsStayEnded, JobsTellWhatMoved, OneJob
from taskdock.testing.simulation.removals import RemovedIsFree

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

_FINAL = (DELIVERED, FAILED, WITHDRAWN)
LOOKS_THAT_PROVE = 2
"""So often a provider has to say that a sandbox is absent before that is believed."""
_GONE = (at.ARCHIVED, at.KILLED)
_RESTING = (at.RUNNING, at.STOPPED, at.ARCHIVED, at.KILLED)
_RESTING_TABS = ("ready", "error/task", "error/session", "closed")


class OneSandbox(Invariant):
    """At most one live sandbox of a task; none of one that is over, none running of one that is stopped.

    Each ends because its task ordered it, and none that was to end is made again.
    """

    number = 1

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._to_end: set[str] = set()
        """The names of those whose end was ordered."""

    def on_commit(self, commit: Commit) -> None:
        """Once its end was ordered, a sandbox is never started again."""
        for intent in (intent for change in commit.changes for intent in change.ordered):
            if isinstance(intent.body, DestroySandbox):
                self._to_end.add(intent.body.sandbox.name)
            if isinstance(intent.body, CreateSandbox) and intent.body.sandbox.name in self._to_end:
                self.broken(f"{intent.body.sandbox.name} is to be made, and its end was ordered before")

    def on_destroyed(self, box: Box) -> None:
        """Nobody ends what a task still wants."""
        task = self.task(box.spec.task_id)
        if task is not None and task.sandbox.name == box.spec.ref.name and not task.destroy_ordered:
            self.broken(
                f"{box.spec.ref.name} is destroyed, and {task.id}, which is {task.at}, did not order it"
            )

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
            if task.at == at.STOPPED and boxes[0].phase is Phase.RUNNING and not boxes[0].overlapped:
                self.broken(f"{task_id} is stopped, and {names} runs")
            if boxes[0].spec.generation != task.generation:
                self.broken(f"{task_id} is at generation {task.generation}, and has {names}")


class OneSession(Invariant):
    """At most one session of a tab, one turn at a time; none of a closed tab at rest, unless its task's kill has failed."""

    number = 2

    def on_commit(self, commit: Commit) -> None:
        """A turn is told as completed by who was told so."""
        for event in (event for change in commit.changes for event in change.history):
            if event.kind is HistoryKind.TURN_ENDED and event.data["end"] == TurnEnd.COMPLETED.value:
                stop = self.outside.nature.stops.get(str(event.data["message"]))
                if stop != StopReason.COMPLETED.value:
                    self.broken(
                        f"the turn of {event.data['message']} is told as completed, its agent said {stop}"
                    )

    def after_step(self, boundaries: frozenset[str]) -> None:
        """Count in the sandboxes; while two schedulers both work, what the slower one still calls is healed later."""
        if not self.world.overlaps:
            self._count(boundaries)

    def _count(self, boundaries: Iterable[str]) -> None:
        """Of those that were begun while two schedulers both worked, one may be left that the other knows nothing of."""
        for task_id in boundaries:
            for box in self.outside.boxes.of_task(task_id):
                alone = (agent for agent in box.agents if not agent.overlapped)
                sessions = Counter(agent.conversation.tab_id for agent in alone)
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
            if (
                tab.at == CLOSED
                and agent is not None
                and not (agent.overlapped or self._ends_with_its_sandbox(tab))
            ):
                self.broken(f"{tab.id} is closed and has the session {agent.session_id}")
            if tab.at == "ready" and (agent is None or agent.session_id != tab.session_id):
                self.broken(f"{tab.id} is ready and its session {tab.session_id} is not there")

    def _ends_with_its_sandbox(self, tab: Tab) -> bool:
        """A kill closes tabs and leaves their sessions to the end of the sandbox; where that failed, a retry has to come to it."""
        task = self.task(tab.task_id)
        return task is not None and task.is_ending and task.failure is not None


class FinalStays(Invariant):
    """A kill is never undone; what is final stays what it is."""

    number = 5

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._ending: set[str] = set()
        self._final: dict[str, str] = {}
        self._answers: dict[str, str | None] = {}
        """By permission: the option that was chosen."""

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
            if isinstance(record, Tab):
                self._compare_answers(record)

    def _compare(self, record: Task | Tab | Message) -> None:
        before = self._final.get(record.id)
        if before is not None and before != record.at:
            self.broken(f"{record.id} was {before} for good, and is {record.at}")
        if record.at in (at.KILLED, CLOSED) or (isinstance(record, Message) and record.at in _FINAL):
            self._final[record.id] = record.at

    def _compare_answers(self, tab: Tab) -> None:
        for permission in tab.turn.permissions:
            if permission.at == ASKED:
                continue
            first = self._answers.setdefault(permission.id, permission.option_id)
            if first != permission.option_id:
                self.broken(f"{permission.id} was answered {first}, and then {permission.option_id}")

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

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._marks: dict[str, str | None] = {}
        """By task: which sandbox it took for its own last."""

    def on_commit(self, commit: Commit) -> None:
        """A sandbox that is there is told lost only by who was lied to twice."""
        for change in commit.changes:
            for event in change.history:
                if event.kind is HistoryKind.SANDBOX_LOST:
                    self._compare_lost(change, str(event.data["sandbox"]))
            for record in change.records:
                if isinstance(record, Task):
                    self._marks[record.id] = record.mark

    def _compare_lost(self, change: Change, name: str) -> None:
        mark = self._marks.get(change.boundary)
        for box in self.outside.boxes.of_task(change.boundary):
            is_there = box.spec.ref.name == name and mark_of(self.outside.boxes.seen(box.spec.ref)) == mark
            if is_there and self.outside.lies.absences[name] < LOOKS_THAT_PROVE:
                self.broken(f"{name} is told lost, and it is {box.phase.value}")

    def at_rest(self) -> None:
        """Look for every edit; where a task runs, in its checkout."""
        for task in self.all(Task):
            if task.at == at.RUNNING:
                self._look_inside(task.id)
        self._look_everywhere()

    def at_the_end(self) -> None:
        """Look once more: by now all that was lost has been told."""
        self._look_everywhere()

    def _look_inside(self, task_id: str) -> None:
        for box in self.outside.boxes.of_task(task_id):
            if box.phase is not Phase.RUNNING:
                continue
            if box.tree is None:
                self.broken(f"{task_id} runs in {box.spec.ref.name}, which has no checkout")
                continue
            work = self.outside.nature.work.get(task_id, {})
            gone = [edit for edit in work if edit not in box.tree.state.edits]
            lost = [edit for edit in gone if not self._may_be_lost(task_id, work[edit])]
            if lost:
                self.broken(f"the checkout of {task_id} has not {lost}, and its history does not say so")

    def _look_everywhere(self) -> None:
        for task_id, work in self.outside.nature.work.items():
            task = self.task(task_id)
            if task is not None and task.work_owed:
                # Nobody looks at a task that rests; it knows that it owes, and tells when it is next asked for anything.
                continue
            there = {
                edit
                for box in self.outside.boxes.of_task(task_id)
                if box.tree is not None
                for edit in box.tree.state.edits
            }
            kept = self.outside.clones.kept.get(task_id)
            there |= kept.edits if kept is not None else set()
            there |= self.outside.clones.elsewhere.get(task_id, frozenset())
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

    def in_calm(self) -> None:
        """What an agent asks is known to those who can answer."""
        for agent in (agent for box in self.outside.boxes.by_ref.values() for agent in box.agents):
            row = self.data.rows["tab"].get(agent.conversation.tab_id)
            tab = None if row is None else row.record
            if agent.asks is None or tab is None or tab.agent_process != agent.id or tab.turn.at != "running":
                continue
            if agent.asks not in [one.id for one in tab.turn.permissions]:
                self.broken(f"{agent.id} asks {agent.asks}, and nobody was told")

    def at_rest(self) -> None:
        """Look at every record."""
        for task in self.all(Task):
            if task.at not in _RESTING and task.failure is None and not self._waits_for_its_repo(task):
                self.broken(f"{task.id} is {task.at} and does not rest")
            for tab in self.all(Tab, task.id):
                self._tab(task, tab)
        for message in self.all(Message):
            if message.at == SENDING:
                self.broken(f"{message.id} is still being sent")

    def _waits_for_its_repo(self, task: Task) -> bool:
        repo = self.data.rows["repo"].get(task.repo_id)
        is_cloning = repo is not None and isinstance(repo.record, Repo) and repo.record.at == CLONING
        return task.at == at.WAIT_REPO and is_cloning

    def _tab(self, task: Task, tab: Tab) -> None:
        task_waits = task.at in (at.STOPPED, at.ARCHIVED) or self._waits_for_its_repo(task)
        may_wait = tab.at == "pending_provision" and task_waits
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
    OneJob,
    JobsStayEnded,
    JobsTellWhatMoved,
    JobsRest,
    BornIsRegistered,
    MovedIsShown,
    RemovedIsFree,
)
"""Those that are classes here; the eighth (no call outside on the request path) is in calls.py, where each call is made."""

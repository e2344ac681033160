"""Referee: the invariants of the domain, counted from outside in one world.

Owns: `Referee`: `look` while nothing schedules, `judge` when everything rests; what it finds is in `found`.
Never: a rule of the machines re-implemented; a look through the code under test where disk, git, /proc or rows can tell.
Reads as: soak.py -> this -> outside.py, ledger.py; promises.py and kept_work.py for messages and work.

Numbers in the sentences are those of the invariants in `docs/architecture.md`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import field, frozen, mutable

from e2e.kept_work import lost_work
from e2e.ledger import Ledger
from e2e.outside import Box, Outside
from e2e.promises import broken_promises
from taskdock.app import Dock, TaskView
from taskdock.core import task_record as at
from taskdock.core.tab import Tab, TabStatus

FINAL = ("delivered", "failed", "withdrawn")
RESTING = (at.RUNNING, at.STOPPED, at.ARCHIVED, at.KILLED)
RESTING_TABS = ("ready", "error/task", "error/session", "closed")
GONE = (at.ARCHIVED, at.KILLED)


@frozen
class Finding:
    """One violation."""

    task_id: str
    words: str


@mutable
class Referee:
    """Holds a world against the invariants, and what it is now against what it was before."""

    dock: Dock
    outside: Outside
    ledger: Ledger
    found: list[Finding] = field(factory=list, init=False)
    looks: int = field(default=0, init=False)
    seen_in: Counter[str] = field(factory=Counter, init=False)
    """How often a task was found in each state while something was going on."""
    _versions: dict[str, int] = field(factory=dict, init=False)
    _final: dict[str, tuple[str, str]] = field(factory=dict, init=False)
    """What was final when it was last seen, by id: the task, and how it stood."""

    async def look(self) -> None:
        """What holds at every instant; the caller sees to it that nothing schedules meanwhile."""
        self.looks += 1
        views = [await self.dock.task(task_id) for task_id in self.ledger.tasks]
        boxes = self.outside.boxes()
        for view in views:
            self.seen_in[view.task.at] += 1
            self.seen_in.update(f"tab {tab.at}" for tab in view.tabs)
            self.seen_in.update(f"turn {tab.turn.at}" for tab in view.tabs if tab.turn.at != "none")
            mine = [box for box in boxes if box.task_id == view.task.id]
            self._note(view, self._boxes(view, mine))
            self._note(view, self._sessions(mine))
            self._note(view, self._grows(view))
        self._stays_final()

    async def judge(self) -> None:
        """All of it; the caller has waited until nothing is left to happen."""
        await self.look()
        for task_id in self.ledger.tasks:
            view = await self.dock.task(task_id)
            mine = [box for box in self.outside.boxes() if box.task_id == task_id]
            self._note(view, self._ready_sessions(view, mine))
            self._note(view, broken_promises(self.outside, self.ledger, view))
            self._note(view, self._holds(view))
            self._note(view, self._rests(view))
            self._note(view, self._bugs(view))
            self._note(view, lost_work(self.outside, self.ledger, view, mine))
        known = {task_id for (task_id,) in self.outside.rows("SELECT id FROM task")}
        self.found += [
            Finding(one, "(3) a task that nobody was told of") for one in known - set(self.ledger.tasks)
        ]

    async def ended_as(self, *states: str) -> None:
        """What was asked of every task came about."""
        for task_id in self.ledger.tasks:
            view = await self.dock.task(task_id)
            if view.task.at not in states:
                self._note(view, iter([f"(10) it does not end: {view.task.failure}"]))

    def _note(self, view: TaskView, sentences: Iterator[str]) -> None:
        self.found += [Finding(view.task.id, f"{words} [task {view.task.at}]") for words in sentences]

    # 1 and 2: sandboxes and sessions

    def _boxes(self, view: TaskView, boxes: Sequence[Box]) -> Iterator[str]:
        task = view.task
        if len(boxes) > 1:
            yield f"(1) more than one sandbox: {[box.path.name for box in boxes]}"
        for box in boxes:
            if task.at in GONE:
                yield f"(1) a sandbox of a task that is over: {box.path.name} {dict(box.processes)}"
            elif box.generation != task.generation:
                yield f"(1) {box.path.name} while the task is at generation {task.generation}"
            elif task.at == at.STOPPED and box.processes:
                yield f"(1) processes of a stopped task: {dict(box.processes)}"

    def _sessions(self, boxes: Sequence[Box]) -> Iterator[str]:
        for box in boxes:
            for tab_id, count in Counter(box.tabs() if box.processes else []).items():
                if count > 1:
                    yield f"(2) {count} sessions of {tab_id} in {box.path.name}"

    def _ready_sessions(self, view: TaskView, boxes: Sequence[Box]) -> Iterator[str]:
        """At rest each ready tab has exactly one session; only one whose session failed may have the rest of it."""
        ready = {tab.id for tab in view.tabs if tab.at == "ready"}
        failed = {tab.id for tab in view.tabs if tab.status is TabStatus.ERROR}
        for box in boxes:
            listed = set(box.tabs()) if box.processes else set()
            if not ready <= listed <= ready | failed:
                yield f"(2) sessions of {listed}, ready are {ready}, in {box.path.name} {dict(box.processes)}"
            if len(box.agents) != len(listed):
                yield f"(2) {len(box.agents)} agents of {len(listed)} tabs in {box.path.name} {dict(box.processes)}"
        if ready and not boxes:
            yield f"(2) {ready} are ready and there is no sandbox"

    # 4 and 5: nothing goes back

    def _grows(self, view: TaskView) -> Iterator[str]:
        before = self._versions.get(view.task.id, 0)
        self._versions[view.task.id] = view.version
        if view.version < before:
            yield f"(4) version {view.version} after {before}"
        if view.task.id in self.ledger.killed and not view.task.is_ending:
            yield "(5) a kill was undone"

    def _stays_final(self) -> None:
        """Killed tasks, closed tabs and settled messages are what they were."""
        now = dict(self._finals())
        for record_id, stood in self._final.items():
            if now.get(record_id) != stood:
                words = f"(5) {record_id} was {stood[1]}, and is {now.get(record_id)}"
                self.found.append(Finding(stood[0], words))
        self._final = now

    def _finals(self) -> Iterator[tuple[str, tuple[str, str]]]:
        for (task_id,) in self.outside.rows("SELECT id FROM task WHERE at = 'killed'"):
            yield task_id, (task_id, "killed")
        for tab_id, task_id in self.outside.rows("SELECT id, task_id FROM tab WHERE at = 'closed'"):
            yield tab_id, (task_id, "closed")
        marks = ", ".join("?" * len(FINAL))
        query = f"SELECT id, task_id, at, text FROM message WHERE at IN ({marks})"  # noqa: S608 - marks are ours
        for message_id, task_id, status, text in self.outside.rows(query, *FINAL):
            yield message_id, (task_id, f"{status} {text!r}")

    # 6: branches

    def _holds(self, view: TaskView) -> Iterator[str]:
        query = "SELECT branch FROM branch_hold WHERE task_id = ?"
        held = [branch for (branch,) in self.outside.rows(query, view.task.id)]
        wanted = [] if view.task.at in GONE or view.task.branch is None else [view.task.branch]
        if held != wanted:
            yield f"(6) it holds {held}, and should hold {wanted}"

    # 9: rest

    def _rests(self, view: TaskView) -> Iterator[str]:
        task = view.task
        query = "SELECT kind, status, attempt, body FROM intent WHERE boundary = ?"
        if intents := self.outside.rows(query, task.id):
            yield f"(9) open intents: {intents}"
        waits = task.at == at.WAIT_REPO and task.step is not None and task.step.waits_for
        if task.at not in RESTING and task.failure is None and not waits:
            yield "(9) it does not rest"
        query = "SELECT id FROM message WHERE task_id = ? AND at = 'sending'"
        if sending := self.outside.rows(query, task.id):
            yield f"(9) {sending} are still sending"
        for tab in view.tabs:
            yield from self._tab_rests(view, tab)

    def _tab_rests(self, view: TaskView, tab: Tab) -> Iterator[str]:
        may_wait = tab.at == "pending_provision" and view.task.at in (at.STOPPED, at.ARCHIVED, at.WAIT_REPO)
        if tab.at not in RESTING_TABS and not may_wait:
            yield f"(9) {tab.id} is {tab.at}"
        if tab.turn.at != "none":
            yield f"(9) {tab.id} has a turn that is {tab.turn.at}"
        queued = [message.id for message in view.queued if message.tab_id == tab.id]
        if queued and tab.at == "ready" and not tab.held and view.task.at == at.RUNNING:
            yield f"(9) {queued} wait for nothing"

    def _bugs(self, view: TaskView) -> Iterator[str]:
        query = "SELECT kind, data FROM history WHERE boundary = ? AND data LIKE '%bug:%'"
        for kind, data in self.outside.rows(query, view.task.id):
            yield f"(9) an executor broke: {kind} {data}"

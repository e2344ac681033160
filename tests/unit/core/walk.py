"""Walk: a task led at random through commands, outcomes, losses, crashes, repetitions and time.

Owns: `TaskWalk`, which plays a script of numbers; every list of numbers is a valid script, 0 does nothing.
Never: an outcome that the outside could not produce; what is really there is kept in world.py.
Reads as: test_walk.py draws a script -> `TaskWalk.play` -> `Boundary` and `World` -> the invariants after each step.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import evolve, frozen

from taskdock.core import inputs, intents
from taskdock.core.change import Change
from taskdock.core.errors import CommandRejected
from taskdock.core.inputs import (
    BranchReady,
    Delivered,
    Failed,
    FailureClass,
    Input,
    Outcome,
    OutcomeReported,
    RepoReady,
    SandboxPhase,
    Started,
    Succeeded,
)
from taskdock.core.intents import Intent
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from unit.core import invariants, invariants_step
from unit.core.invariants import the_task
from unit.core.story import TaskStory
from unit.core.world import Box, World, lands_within

Script = Sequence[tuple[int, int]]
"""What happens next, and which of the possible ones: each number is taken modulo what there is to choose from."""

BEGINS = (intents.SendPrompt, intents.EnsureName, intents.CreateSandbox)
CALLS = (intents.SendPrompt, intents.CreateSandbox)
"""What may only be called once a Started was accepted."""
NOT_SENT = (FailureClass.TRANSIENT, FailureClass.UNREACHABLE)
THINGS_MAX = 400
"""What may happen until a task that meets no more faults has come to rest."""

_T = TypeVar("_T")


@frozen
class Begun:
    """An execution that has said that it begins: when, whether that was accepted, and whether it has called since."""

    at: datetime
    accepted: bool
    called: bool = False


class TaskWalk:
    """One task and what is outside of it, led by hand: the moves of the script stand in moves.py."""

    def __init__(self, story: TaskStory) -> None:
        self.boundary = story.boundary
        self.now = story.now
        self.log: list[str] = []
        self.world = World()
        self._choice = 0
        self._sessions = 100
        self.said: list[Input] = []
        started = [intent for intent in self.boundary.outbox.values() if intent.started]
        self.begun = {(i.id, i.issue): Begun(self.now, accepted=True, called=True) for i in started}
        self.sent = {i.body.message_id for i in started if isinstance(i.body, intents.SendPrompt)}
        """The messages that really went out."""
        self.sent |= {message.id for message in self.boundary.all(Message) if message.at == "delivered"}
        self._build_what_is_there()

    def _build_what_is_there(self) -> None:
        """The sandbox as the script of the situation left it, with a commit that nobody has collected where work is owed.

        One that was begun and has not been seen yet lands as late as it may.
        """
        task = the_task(self.boundary)
        if task.mark is None:
            lands_at = lands_within(task.create_began or self.now, 1.0)
            if lands_at > self.now and task.create_began is not None:
                self.world.call_create(task.sandbox.name, lands_at)
            return
        phase = SandboxPhase.STOPPED if task.at == "stopped" else SandboxPhase.RUNNING
        up = phase is SandboxPhase.RUNNING
        commits = {1} if task.work_owed else set()
        self.world.made = 1
        self.world.boxes[task.sandbox.name] = Box(phase, commits, task.mark, has_agent=up, has_prompt=up)
        self.world.end_turn(task.sandbox.name, self.now)

    @property
    def task(self) -> Task:
        """The task as it stands."""
        return the_task(self.boundary)

    def tabs(self) -> list[Tab]:
        """All its tabs."""
        return self.boundary.all(Tab)

    def choose(self, which: int) -> None:
        """Set the number that the next choices are made by."""
        self._choice = which

    def pick(self, options: Sequence[_T]) -> _T:
        """One of the options, as the script says; the rest of the number serves the next choice."""
        self._choice, index = divmod(self._choice, len(options))
        return options[index]

    # One step

    def feed(self, input_: Input) -> Change | None:
        """Feed an input, and check everything that must hold from here to there and afterwards; None when rejected."""
        self.let_pass(0.001)
        self.log.append(f"{self.task.at}: {input_!r}")
        before, sandbox = self.boundary.copy(), self.task.sandbox.name
        try:
            change = self.boundary.step(input_, self.now)
        except CommandRejected:
            assert self.boundary == before
            return None
        if any(event.kind.value == "turn.ended" for event in change.history):
            self.world.end_turn(sandbox, self.now)
        invariants_step.check_step(before, change, self.boundary)
        invariants.check(self.boundary)
        self.world.check(self.task.at)
        return change

    def let_pass(self, seconds: float) -> None:
        """Time passes; what was on its way arrives."""
        self.now += timedelta(seconds=seconds)
        self.world.pass_to(self.now)
        self.world.check(self.task.at)

    def say(self, input_: Input) -> None:
        """Feed a fact; one that changed something is remembered to be repeated."""
        change = self.feed(input_)
        if change is not None and change.ignored is None:
            self.said.append(input_)

    def report(self, intent: Intent, outcome: Outcome) -> None:
        """Report an outcome, and end the execution."""
        self.say(OutcomeReported(intent.id, intent.issue, outcome))
        self.boundary.end(intent)

    # Executions

    def running(self, *kinds: type[intents.Body]) -> list[Intent]:
        """What is being executed, as it was claimed."""
        return [i for i in self.boundary.running.values() if not kinds or isinstance(i.body, kinds)]

    def begin(self, intent: Intent, *, calls: bool) -> None:
        """Say that it begins, once; if that is accepted and it calls, then its call goes out, and no message twice."""
        key = (intent.id, intent.issue)
        if not isinstance(intent.body, BEGINS):
            return
        if key not in self.begun:
            change = self.feed(Started(*key))
            self.begun[key] = Begun(self.now, change is not None and change.ignored is None)
        begun = self.begun[key]
        may_call = begun.accepted and not begun.called and self.now - begun.at < timedelta(seconds=10)
        if calls and may_call:
            self.begun[key] = evolve(begun, called=True)
            self._call(intent)

    def _call(self, intent: Intent) -> None:
        if isinstance(intent.body, intents.CreateSandbox):
            self.world.call_create(
                intent.body.sandbox.name, lands_within(self.now, self.pick((0.0, 0.5, 1.0)))
            )
        if isinstance(intent.body, intents.SendPrompt):
            box = self.world.boxes.get(intent.body.sandbox.name)
            # An execution that finds its prompt begun before looks for it instead of sending it.
            may_be_out = intent.started and intent.body.message_id in self.sent
            if box is not None and box.has_agent and not may_be_out:
                assert intent.body.message_id not in self.sent, "sent twice"
                self.sent.add(intent.body.message_id)
                box.has_prompt = True

    def has_called(self, intent: Intent) -> bool:
        """Whether this execution may do what it is for."""
        begun = self.begun.get((intent.id, intent.issue))
        return not isinstance(intent.body, CALLS) or (begun is not None and begun.called)

    def is_under_way(self, intent: Intent) -> bool:
        """Whether its message has gone out."""
        return isinstance(intent.body, intents.SendPrompt) and intent.body.message_id in self.sent

    def carry_out(self, intent: Intent) -> Outcome:
        """Do what an execution is for, and say what came of it."""
        if not self.has_called(intent):
            return Failed(FailureClass.TRANSIENT, "not_called")
        if isinstance(intent.body, intents.SendPrompt) and not self.is_under_way(intent):
            return Failed(FailureClass.UNREACHABLE, "connection refused")
        outcome = self.world.carry_out(intent.body, self.now)
        if self.is_under_way(intent) and isinstance(outcome, Failed):
            return Failed(FailureClass.UNKNOWN, "the connection broke")
        if isinstance(outcome, Succeeded) and isinstance(outcome.value, inputs.SessionReady):
            self._sessions += 1
            session_id = getattr(intent.body, "session_id", f"s{self._sessions}")
            return Succeeded(inputs.SessionReady(session_id, f"p{self._sessions}"))
        return outcome

    def carry_out_next(self) -> bool:
        """Do what the next intent asks for, from wherever it stands; False when none can be carried out now."""
        waiting = [*self.running(), *self.boundary.claimable(self.now)]
        if not waiting:
            return False
        intent = waiting[0]
        if intent.id not in self.boundary.running:
            intent = self.boundary.claim(intent.id, self.now)
        self.begin(intent, calls=True)
        if self.is_under_way(intent):
            self.say(Delivered(intent.id, intent.issue))
        self.report(intent, self.carry_out(intent))
        return True

    # Without faults

    def come_to_rest(self) -> None:
        """Carry everything out, in order, until nothing is open and nobody finds anything amiss; a bounded number of things."""
        for _ in range(THINGS_MAX):
            if not self.boundary.outbox and not self.boundary.running:
                if not self._is_swept():
                    return
            elif not self.carry_out_next():
                self._wait_for_the_next()
        raise AssertionError(f"not at rest after {THINGS_MAX} things: {list(self.boundary.outbox.values())}")

    def _wait_for_the_next(self) -> None:
        """Time passes until the next intent is due, and no longer, so that what may come too early does."""
        due = min(intent.not_before or self.now for intent in self.boundary.outbox.values())
        self.let_pass(max((due - self.now).total_seconds(), 0.001))

    def _is_swept(self) -> bool:
        """Somebody looks over all sandboxes, repos and branches now and then; whether that is news to the task."""
        box = self.world.boxes.get(self.task.sandbox.name)
        if self.task.at == "running" and (box is None or box.phase is not SandboxPhase.RUNNING):
            return self.feed(inputs.SandboxLost(self.task.sandbox.name, "found by the sweep")) is not None
        if self.task.at == "init_enqueue_provision/wait_repo":
            return self.feed(RepoReady(self.task.ask)) is not None
        if self.task.at == "init_attach_branch":
            return self.feed(BranchReady(self.task.ask, "job-1", "c7")) is not None
        return False

    def check_rest(self) -> None:
        """What must hold when nothing is left to happen, here and outside."""
        invariants.rests(self.boundary)
        self.let_pass(600.0)
        self.world.check_work(self._is_told)

    def _is_told(self, sandbox: str, seen_at: datetime) -> bool:
        """Whether the history has a word about what was lost; a task that rests in error has not looked for it yet."""
        may_be_there = self.task.sandbox.name == sandbox and self.task.status.value in ("error", "stopped")
        words = [e.at for e in self.boundary.history if e.kind.value in ("sandbox.lost", "work.given_up")]
        return may_be_there or any(at >= seen_at for at in words)

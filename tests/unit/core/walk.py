"""Walk: a task led at random through commands, outcomes, losses, crashes, repetitions and time.

Owns: `TaskWalk`, which plays a script of numbers; every list of numbers is a valid script, 0 does nothing.
Never: an outcome that the outside could not produce: what was sent is not reported as not sent.
Reads as: test_walk.py draws a script -> `TaskWalk.play` -> `Boundary` -> invariants.py after each step.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from taskdock.core import intents
from taskdock.core.change import Change
from taskdock.core.errors import CommandRejected
from taskdock.core.inputs import (
    CloseTab,
    Delivered,
    Failed,
    FailureClass,
    Input,
    KillTask,
    OpenTab,
    Outcome,
    OutcomeReported,
    Progressed,
    RepoFailed,
    RepoReady,
    RetryTab,
    RetryTask,
    SandboxLost,
    SendMessage,
    SessionLost,
    SessionReady,
    Started,
    Succeeded,
    Value,
)
from taskdock.core.intents import Intent
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from unit.core import invariants
from unit.core.invariants import the_task
from unit.core.product import VALUES
from unit.core.story import TaskStory

Script = Sequence[tuple[int, int]]
"""What happens next, and which of the possible ones: each number is taken modulo what there is to choose from."""

BEGINS = (intents.SendPrompt, intents.EnsureName, intents.CreateSandbox)
NOT_SENT = (FailureClass.TRANSIENT, FailureClass.UNREACHABLE)
TABS_MAX, MESSAGES_MAX = 4, 12
THINGS_MAX = 300
"""What may happen until a task that meets no more faults has come to rest."""

_T = TypeVar("_T")


class TaskWalk:
    """One task, its user, its executors and its provider, all of them led by a script."""

    def __init__(self, story: TaskStory) -> None:
        self.boundary = story.boundary
        self.now = story.now
        self.log: list[str] = []
        self._choice = 0
        self._sessions = 100
        self._said: list[Input] = []
        begun = [intent.body for intent in self.boundary.outbox.values() if intent.started]
        self._sent = {body.message_id for body in begun if isinstance(body, intents.SendPrompt)}
        """The messages that really went out."""
        self._begun = {(i.id, i.issue) for i in self.boundary.outbox.values() if i.started}
        """The executions that have said that they begin, which each does once."""
        self._sent |= {message.id for message in self.boundary.all(Message) if message.at == "delivered"}

    def play(self, script: Script) -> None:
        """Play a script, then let it come to rest without faults, then kill it."""
        for what, which in script:
            move = MOVES[what % len(MOVES)]
            self._choice = which
            if move is not None:
                move(self)
        self._come_to_rest()
        invariants.rests(self.boundary)
        self._feed(KillTask(force=True))
        self._come_to_rest()
        assert the_task(self.boundary).at == "killed"

    # One step

    def _feed(self, input_: Input) -> Change | None:
        """Feed an input, and check everything that must hold from here to there and afterwards; None when rejected."""
        self.now += timedelta(milliseconds=1)
        self.log.append(repr(input_))
        before = self.boundary.copy()
        try:
            change = self.boundary.step(input_, self.now)
        except CommandRejected:
            assert self.boundary == before
            return None
        invariants.check_step(before, change, self.boundary)
        invariants.check(self.boundary)
        return change

    def _say(self, input_: Input) -> None:
        """Feed a fact, and remember it to be repeated."""
        self._said.append(input_)
        self._feed(input_)

    def _report(self, intent: Intent, outcome: Outcome) -> None:
        """Report an outcome, and end the execution."""
        self._say(OutcomeReported(intent.id, intent.issue, outcome))
        self.boundary.end(intent)

    def _pick(self, options: Sequence[_T]) -> _T:
        """One of the options, as the script says; the rest of the number serves the next choice."""
        self._choice, index = divmod(self._choice, len(options))
        return options[index]

    # What the outside does

    def claim(self) -> None:
        """A worker takes an intent."""
        if claimable := self.boundary.claimable(self.now):
            self.boundary.claim(self._pick(claimable).id, self.now)

    def go_on(self) -> None:
        """The next few intents are carried out without a fault."""
        for _ in range(self._pick((1, 2, 3, 5))):
            self._carry_out_next()

    def begin(self) -> None:
        """A worker says that it begins, and perhaps gets to calling."""
        if running := self._running(*BEGINS):
            self._begin(self._pick(running), calls=self._pick((True, True, False)))

    def succeed(self) -> None:
        """A worker reports what it was asked for, in one of its forms; a turn ends only if it was begun."""
        if running := self._running():
            intent = self._pick(running)
            value = self._fresh(intent, self._pick(VALUES[type(intent.body)]))
            if not isinstance(intent.body, intents.SendPrompt) or self._is_under_way(intent):
                self._report(intent, Succeeded(value))

    def fail(self) -> None:
        """A worker reports a failure; that nothing was sent only if nothing was."""
        if running := self._running():
            intent, failure = self._pick(running), self._pick(tuple(FailureClass))
            if not (failure in NOT_SENT and self._is_under_way(intent)):
                self._report(intent, Failed(failure, "it broke", self._pick((None, None, 2.0, 90.0))))

    def deliver(self) -> None:
        """The agent has what was sent to it, and somebody notices, maybe not for the first time."""
        for intent in self._running(intents.SendPrompt):
            if self._is_under_way(intent):
                self._say(Delivered(intent.id, intent.issue))

    def progress(self) -> None:
        """A worker says how far it is."""
        if running := self._running():
            intent = self._pick(running)
            self._feed(Progressed(intent.id, intent.issue, "half way"))

    def answer_for_repo(self) -> None:
        """The repo answers the question that the task asked last, or one that it asked before."""
        ask = the_task(self.boundary).ask - self._pick((0, 0, 1))
        ready, failed = RepoReady(ask), RepoFailed(ask, "no such remote")
        self._say(ready if self._pick((True, True, False)) else failed)

    # Faults

    def lose_session(self) -> None:
        """An agent process ends."""
        if tabs := [tab for tab in self._tabs() if tab.session_id is not None]:
            tab = self._pick(tabs)
            self._say(SessionLost(tab.id, tab.generation, tab.session, "the agent's process ended"))

    def lose_sandbox(self) -> None:
        """The sandbox goes."""
        self._feed(SandboxLost(the_task(self.boundary).sandbox.name, "it was deleted"))

    def crash(self) -> None:
        """The process is killed: nothing runs any more, and what was claimed is claimed again."""
        self.log.append("crash")
        self.boundary.restart()

    def repeat(self) -> None:
        """What was said before is said again: nothing changes."""
        if self._said:
            change = self._feed(self._pick(self._said))
            assert change is not None
            assert change.ignored

    def pass_time(self) -> None:
        """Time passes."""
        seconds = self._pick((0.5, 5.0, 10.0, 60.0, 600.0))
        self.log.append(f"{seconds} s pass")
        self.now += timedelta(seconds=seconds)

    # The user

    def send(self) -> None:
        """The user sends a message to some tab."""
        if (message := self._next_message()) is not None:
            self._feed(SendMessage(self._pick(self._tabs()).id, message, "More, please."))

    def open_tab(self) -> None:
        """The user opens one more tab, with a first message or without."""
        number = len(self._tabs()) + 1
        if number <= TABS_MAX:
            message = self._pick((None, self._next_message()))
            self._feed(OpenTab(f"tab-{number}", message_id=message, prompt="Go." if message else None))

    def close_tab(self) -> None:
        """The user closes some tab."""
        self._feed(CloseTab(self._pick(self._tabs()).id, force=self._pick((False, True))))

    def retry_tab(self) -> None:
        """The user retries some tab."""
        self._feed(RetryTab(self._pick(self._tabs()).id))

    def retry_task(self) -> None:
        """The user retries the task."""
        self._feed(RetryTask())

    def kill(self) -> None:
        """The user kills the task."""
        self._feed(KillTask(force=self._pick((False, True))))

    # Without faults

    def _come_to_rest(self) -> None:
        """Carry everything out, in order, until nothing is open; a bounded number of things."""
        for _ in range(THINGS_MAX):
            if not self.boundary.outbox and not self.boundary.running:
                return
            if not self._carry_out_next():
                self.now += timedelta(seconds=60)
        raise AssertionError(f"not at rest after {THINGS_MAX} things: {list(self.boundary.outbox.values())}")

    def _carry_out_next(self) -> bool:
        """Do what the next intent asks for, from wherever it stands; False when none can be carried out now."""
        waiting = [*self._running(), *self.boundary.claimable(self.now)]
        if not waiting:
            return False
        intent = waiting[0]
        if intent.id not in self.boundary.running:
            intent = self.boundary.claim(intent.id, self.now)
        self._begin(intent, calls=True)
        if isinstance(intent.body, intents.SendPrompt):
            self._say(Delivered(intent.id, intent.issue))
        self._report(intent, Succeeded(self._fresh(intent, VALUES[type(intent.body)][0])))
        return True

    # What the outside knows

    def _begin(self, intent: Intent, *, calls: bool) -> None:
        """Say that it begins; if that is accepted and it calls, its message goes out, and none goes out twice."""
        if not isinstance(intent.body, BEGINS) or (intent.id, intent.issue) in self._begun:
            return
        self._begun.add((intent.id, intent.issue))
        maybe_sent = intent.started
        change = self._feed(Started(intent.id, intent.issue))
        accepted = change is not None and change.ignored is None
        if not (accepted and calls and isinstance(intent.body, intents.SendPrompt)):
            return
        # An execution that finds its prompt begun before looks for it instead of sending it.
        if not (maybe_sent and intent.body.message_id in self._sent):
            assert intent.body.message_id not in self._sent, "sent twice"
            self._sent.add(intent.body.message_id)

    def _is_under_way(self, intent: Intent) -> bool:
        return isinstance(intent.body, intents.SendPrompt) and intent.body.message_id in self._sent

    def _running(self, *kinds: type[intents.Body]) -> list[Intent]:
        """What is being executed, as it was claimed."""
        return [i for i in self.boundary.running.values() if not kinds or isinstance(i.body, kinds)]

    def _tabs(self) -> list[Tab]:
        return self.boundary.all(Tab)

    def _next_message(self) -> str | None:
        number = len(self.boundary.all(Message)) + 1
        return f"message {number}" if number <= MESSAGES_MAX else None

    def _fresh(self, intent: Intent, value: Value) -> Value:
        """No two sessions have one id."""
        if not isinstance(intent.body, intents.CreateSession):
            return value
        self._sessions += 1
        return SessionReady(f"s{self._sessions}", f"p{self._sessions}")


_WEIGHTS: tuple[tuple[int, Callable[[TaskWalk], None] | None], ...] = (
    (4, None),
    (10, TaskWalk.go_on),
    (12, TaskWalk.claim),
    (8, TaskWalk.begin),
    (12, TaskWalk.succeed),
    (10, TaskWalk.fail),
    (4, TaskWalk.deliver),
    (1, TaskWalk.progress),
    (3, TaskWalk.answer_for_repo),
    (3, TaskWalk.lose_session),
    (2, TaskWalk.lose_sandbox),
    (2, TaskWalk.crash),
    (4, TaskWalk.repeat),
    (6, TaskWalk.pass_time),
    (6, TaskWalk.send),
    (3, TaskWalk.open_tab),
    (3, TaskWalk.close_tab),
    (3, TaskWalk.retry_tab),
    (5, TaskWalk.retry_task),
    (3, TaskWalk.kill),
)
MOVES = tuple(move for weight, move in _WEIGHTS for _ in range(weight))

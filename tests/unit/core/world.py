"""World: the outside of one task in memory: a provider with its sandboxes, what agents make in them, the service clone.

Owns: `World`: what calls really do, as lately and as unclearly as the ports allow; what was lost, and what must hold of it all.
Never: a decision, or an answer that the outside could not give.
Reads as: walk.py carries intents out here -> what the world says is reported -> `check` counts what is really there.

The sandboxes are counted here, where they are, and not in the rows of the task.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import field, mutable

from taskdock.core import inputs, intents
from taskdock.core.inputs import Failed, FailureClass, Outcome, SandboxPhase, Succeeded
from unit.core.story import WINDOW_SECONDS

LIVE = (SandboxPhase.RUNNING, SandboxPhase.STOPPED, SandboxPhase.FAILED)


@mutable
class Box:
    """One sandbox at its provider, with the commits that are in it."""

    phase: SandboxPhase
    commits: set[int]
    mark: str = ""
    is_readable: bool = True
    """Whether a failed one still gives its work back."""
    has_agent: bool = False
    has_prompt: bool = False
    """Whether its agent was asked for anything since it was started."""


@mutable
class World:
    """What is there."""

    boxes: dict[str, Box] = field(factory=dict)
    landing: dict[str, datetime] = field(factory=dict)
    """Creates that were called and will be seen at this time at the latest."""
    clone: set[int] = field(factory=set)
    """The commits that the service clone holds."""
    seen: dict[int, datetime] = field(factory=dict)
    """The commits that were there when some turn ended, and when that was."""
    lost: dict[int, str] = field(factory=dict)
    """Commits that went with their sandbox, and its name."""
    made: int = 0
    marks: int = 0

    # What happens by itself

    def pass_to(self, now: datetime) -> None:
        """Creates whose time has come land."""
        for name, at in list(self.landing.items()):
            if at <= now:
                self._land(name)

    def _land(self, name: str) -> None:
        self.landing.pop(name, None)
        if name not in self.boxes:
            self.marks += 1
            self.boxes[name] = Box(SandboxPhase.RUNNING, set(self.clone), f"mark {self.marks}")

    def work(self, name: str) -> None:
        """An agent commits something, if it is there to do so."""
        box = self.boxes.get(name)
        if box is not None and box.has_agent and box.has_prompt:
            self.made += 1
            box.commits.add(self.made)

    def end_turn(self, name: str, now: datetime) -> None:
        """A turn ends: what is there now was seen."""
        if name in self.boxes:
            self.seen = dict.fromkeys(self.boxes[name].commits, now) | self.seen

    def destroy(self, name: str) -> None:
        """A sandbox goes, and what is nowhere else goes with it; a create that has not landed is not there to go."""
        box = self.boxes.pop(name, None)
        if box is not None:
            self.lost |= dict.fromkeys(box.commits - self.clone, name)

    def stop(self, name: str, phase: SandboxPhase = SandboxPhase.STOPPED) -> None:
        """A sandbox stops or fails, and with it all that runs in it."""
        if (box := self.boxes.get(name)) is not None:
            box.phase, box.has_agent, box.has_prompt = phase, False, False

    # What intents do

    def call_create(self, name: str, at: datetime) -> None:
        """The provider is asked for a sandbox; it is there at `at`, or as soon as somebody waits for it."""
        if name not in self.boxes:
            self.landing[name] = min(at, self.landing.get(name, at))

    def carry_out(self, body: intents.Body, now: datetime) -> Outcome:
        """Do what an intent asks for, wholly, and say what came of it."""
        return _CARRIED_OUT[type(body)](self, body, now)

    def create(self, name: str) -> Outcome:
        """Ensure that a sandbox runs: adopt it, start it or make it."""
        was_there = name in self.boxes
        self._land(name)
        box = self.boxes[name]
        if box.phase is SandboxPhase.FAILED:
            return Failed(FailureClass.PERMANENT, "the sandbox has failed")
        box.phase = SandboxPhase.RUNNING
        return Succeeded(inputs.SandboxReady(was_there, box.mark))

    def observe(self, name: str, now: datetime) -> Outcome:
        """What is there; a create that has not landed yet is not."""
        box = self.boxes.get(name)
        return Succeeded(inputs.Observed(box.phase if box else SandboxPhase.ABSENT, now))

    def collect(self, name: str, *, quiesce: bool) -> Outcome:
        """Bring the commits out of a sandbox that answers, or that has failed and can still be read."""
        box = self.boxes.get(name)
        if box is None or box.phase is SandboxPhase.STOPPED:
            return _nobody()
        if box.phase is SandboxPhase.FAILED and not box.is_readable:
            return Failed(FailureClass.PERMANENT, "its files cannot be read")
        box.has_agent = box.has_agent and not quiesce
        box.has_prompt = box.has_prompt and not quiesce
        self.clone |= box.commits
        head = f"c{max(box.commits)}" if box.commits else None
        return Succeeded(inputs.WorkCollected(head, branch_moved=True))

    def answers(self, name: str, value: inputs.Value) -> Outcome:
        """An agent's server that runs gives this."""
        box = self.boxes.get(name)
        return Succeeded(value) if box is not None and box.has_agent else _nobody()

    def ensure_agent(self, name: str) -> Outcome:
        """Start the agent's server in a sandbox that runs."""
        box = self.boxes.get(name)
        if box is None or box.phase is not SandboxPhase.RUNNING:
            return _nobody()
        box.has_agent = True
        return Succeeded(inputs.AgentReady())

    # What must hold

    def check(self, at: str) -> None:
        """At most one sandbox is there; none runs on a stopped task; none is there of an archived or killed one."""
        live = [name for name, box in self.boxes.items() if box.phase in LIVE]
        assert len(live) <= 1, f"two sandboxes: {live}"
        if at == "stopped":
            running = [name for name, box in self.boxes.items() if box.phase is SandboxPhase.RUNNING]
            assert not running, f"a stopped task has {running}"
        if at in ("archived", "killed"):
            assert not live, f"a task that is {at} has {live}"

    def check_work(self, told: Callable[[str, datetime], bool]) -> None:
        """What was seen at a turn's end is in a sandbox, in the clone, or `told` to be given up or lost since then."""
        there = self.clone.union(*(box.commits for box in self.boxes.values()))
        for commit in sorted(self.seen.keys() - there):
            assert told(self.lost[commit], self.seen[commit]), f"commit {commit} went without a word"


def _nobody() -> Outcome:
    return Failed(FailureClass.UNREACHABLE, "nobody answers")


def _create(world: World, body: intents.CreateSandbox, _now: datetime) -> Outcome:
    return world.create(body.sandbox.name)


def _observe(world: World, body: intents.ObserveSandbox, now: datetime) -> Outcome:
    return world.observe(body.sandbox.name, now)


def _agent(world: World, body: intents.EnsureAgent, _now: datetime) -> Outcome:
    return world.ensure_agent(body.sandbox.name)


def _collect(world: World, body: intents.CollectWork, _now: datetime) -> Outcome:
    return world.collect(body.sandbox.name, quiesce=body.quiesce)


def _stop(world: World, body: intents.StopSandbox, now: datetime) -> Outcome:
    name = body.sandbox.name
    if name in world.boxes and world.boxes[name].phase is SandboxPhase.RUNNING:
        world.stop(name)
    return Succeeded(inputs.SandboxStopped(now, WINDOW_SECONDS, is_absent=name not in world.boxes))


def _destroy(world: World, body: intents.DestroySandbox, now: datetime) -> Outcome:
    world.destroy(body.sandbox.name)
    return Succeeded(inputs.SandboxReleased(now, WINDOW_SECONDS))


def _always(value: inputs.Value) -> Callable[[World, intents.Body, datetime], Outcome]:
    return lambda _world, _body, _now: Succeeded(value)


def _by_agent(value: inputs.Value) -> Callable[[World, intents.Body, datetime], Outcome]:
    def carried_out(world: World, body: intents.Body, _now: datetime) -> Outcome:
        sandbox: intents.Sandbox = getattr(body, "sandbox")  # noqa: B009 - every body of these kinds has one
        return world.answers(sandbox.name, value)

    return carried_out


_CARRIED_OUT: dict[type[intents.Body], Callable[..., Outcome]] = {
    intents.EnsureName: _always(inputs.NameEnsured("Do it", "do-it-1", "main")),
    intents.CreateSandbox: _create,
    intents.ObserveSandbox: _observe,
    intents.EnsureAgent: _agent,
    intents.CreateSession: _by_agent(inputs.SessionReady("s1", "p1")),
    intents.ResumeSession: _by_agent(inputs.SessionReady("s1", "p1")),
    intents.SendPrompt: _by_agent(inputs.TurnEnded(inputs.TurnEnd.COMPLETED, "end_turn")),
    intents.CancelTurn: _by_agent(inputs.Asked()),
    intents.AnswerPermission: _by_agent(inputs.Asked()),
    # A server that does not run holds no session.
    intents.CloseSession: _always(inputs.SessionClosed()),
    intents.CollectWork: _collect,
    intents.StopSandbox: _stop,
    intents.DestroySandbox: _destroy,
    intents.Tell: _always(inputs.Told()),
    intents.Wake: _always(inputs.Woken()),
}


def lands_within(now: datetime, share: float) -> datetime:
    """When a create lands that is called now: after this share of the provider's window."""
    return now + timedelta(seconds=WINDOW_SECONDS * share)

"""Moves: what can happen to a task in a walk, each as a function of the walk.

Owns: `MOVES`, each as often as its weight says, and `FOLLOW_UPS`: the commands that must work from wherever a task rests.
Never: an expectation; the walk checks the invariants after each step.
Reads as: test_walk.py -> `play(walk, script)` -> a move -> `TaskWalk`.
"""

from collections.abc import Callable

from taskdock.core import inputs, intents
from taskdock.core.inputs import (
    BranchAwaited,
    BranchFailed,
    BranchMoved,
    BranchReady,
    Delivered,
    Failed,
    FailureClass,
    Input,
    PermissionAsked,
    Progressed,
    RepoFailed,
    RepoReady,
    SandboxPhase,
    SessionLost,
    Succeeded,
    TurnEnd,
)
from taskdock.core.intents import Intent
from taskdock.core.message import Message
from unit.core.story import OPTIONS
from unit.core.walk import BEGINS, CALLS, NOT_SENT, Script, TaskWalk

TABS_MAX, MESSAGES_MAX = 4, 12
LIES = (SandboxPhase.UNKNOWN, SandboxPhase.PENDING, SandboxPhase.ABSENT, SandboxPhase.DESTROYING)
"""What a provider may say of a sandbox although it is there."""


def play(walk: TaskWalk, script: Script, *, to_the_end: bool = True) -> None:
    """Play a script, let it come to rest without faults, then see that whatever fits there works, and that a kill ends it."""
    for what, which in script:
        move = MOVES[what % len(MOVES)]
        walk.choose(which)
        if move is not None:
            move(walk)
    walk.come_to_rest()
    walk.check_rest()
    if not to_the_end:
        return
    for _, which in script[:3]:
        walk.choose(which)
        _follow_up(walk)
    _end(walk, inputs.KillTask(), "killed")


def _follow_up(walk: TaskWalk) -> None:
    """One command that fits where the task rests, and where it leads when nothing goes wrong."""
    ways = FOLLOW_UPS[walk.task.status.value]
    if walk.task.is_ending:
        ways = ((inputs.RetryTask(), "killed"), (inputs.KillTask(), "killed"))
    elif walk.task.is_leaving and walk.task.at != "archived":
        ways = ((inputs.RetryTask(), "archived"), (inputs.ArchiveTask(), "archived"))
    elif walk.task.at.startswith("error/stopping"):
        rest = _RUNS if walk.task.resume_wanted else "stopped"
        ways = ((inputs.RetryTask(), rest), *ways[1:])
    if ways:
        _end(walk, *walk.pick(ways))


_RUNS = "running"
FOLLOW_UPS: dict[str, tuple[tuple[Input, str], ...]] = {
    "running": ((inputs.StopTask(), "stopped"), (inputs.ArchiveTask(), "archived")),
    "stopped": (
        (inputs.ResumeTask(), _RUNS),
        (inputs.ArchiveTask(), "archived"),
        (inputs.OpenTab("tab-8"), _RUNS),
    ),
    "archived": ((inputs.UnarchiveTask(), _RUNS), (inputs.KillTask(), "killed")),
    "error": (
        (inputs.RetryTask(), _RUNS),
        (inputs.StopTask(), "stopped"),
        (inputs.ArchiveTask(), "archived"),
    ),
    "killed": (),
}
"""From each status in which a task rests: what can be asked, and where that leads."""


def _end(walk: TaskWalk, command: Input, status: str) -> None:
    """Give a command and come to rest; what still fails then names itself, and a retry that gives work up mends it."""
    if isinstance(command, inputs.OpenTab):
        command = inputs.OpenTab(f"tab-{len(walk.tabs()) + 1}")
    walk.feed(command)
    walk.come_to_rest()
    for _ in range(3):
        if walk.task.status.value != "error":
            break
        walk.feed(inputs.RetryTask(discard=True))
        walk.come_to_rest()
    walk.check_rest()
    assert walk.task.status.value == status, f"{command} led to {walk.task.at}: {walk.task.failure}"


# What the outside does


def claim(walk: TaskWalk) -> None:
    """A worker takes an intent."""
    if claimable := walk.boundary.claimable(walk.now):
        walk.boundary.claim(walk.pick(claimable).id, walk.now)


def go_on(walk: TaskWalk) -> None:
    """The next few intents are carried out without a fault."""
    for _ in range(walk.pick((1, 2, 3, 5))):
        walk.carry_out_next()


def begin(walk: TaskWalk) -> None:
    """A worker says that it begins, and perhaps gets to calling."""
    if running := walk.running(*BEGINS):
        walk.begin(walk.pick(running), calls=walk.pick((True, True, False)))


def _some_execution(walk: TaskWalk) -> list[Intent]:
    """One of the executions, if any: an intent is claimed for it where none runs."""
    if not walk.running():
        claim(walk)
    return [walk.pick(walk.running())] if walk.running() else []


def succeed(walk: TaskWalk) -> None:
    """A worker does what it was asked for and reports it, in one of its forms."""
    for intent in _some_execution(walk):
        if isinstance(intent.body, CALLS) or walk.pick((True, False)):
            walk.begin(intent, calls=True)
        outcome = walk.carry_out(intent)
        if isinstance(outcome, Succeeded):
            match outcome.value:
                case inputs.TurnEnded():
                    end = walk.pick(tuple(TurnEnd))
                    outcome = Succeeded(inputs.TurnEnded(end, end.value))
                case inputs.WorkCollected(head, branch_moved) if walk.pick((False, True)):
                    outcome = Succeeded(inputs.WorkCollected(head, branch_moved, ("notes.txt",)))
                case inputs.Observed() if walk.pick((False, True)):
                    outcome = Succeeded(inputs.Observed(walk.pick(LIES), walk.now))
        walk.report(intent, outcome)


def fail(walk: TaskWalk) -> None:
    """A worker reports a failure, done or not; that nothing was sent only if nothing was."""
    for intent in _some_execution(walk):
        failure = walk.pick(tuple(FailureClass))
        if walk.has_called(intent) and not isinstance(intent.body, BY_HAND) and walk.pick((False, True)):
            walk.carry_out(intent)
        if not (failure in NOT_SENT and walk.is_under_way(intent)):
            walk.report(intent, Failed(failure, "it broke", walk.pick((None, None, 2.0, 90.0))))


BY_HAND = (intents.SendPrompt, intents.CreateSandbox)
"""What was called goes on without its execution: the turn, and a create that has not landed."""


def deliver(walk: TaskWalk) -> None:
    """The agent has what was sent to it, and somebody notices, maybe not for the first time."""
    for intent in walk.running(intents.SendPrompt):
        if walk.is_under_way(intent):
            walk.say(Delivered(intent.id, intent.issue))


def progress(walk: TaskWalk) -> None:
    """A worker says how far it is."""
    if running := walk.running():
        intent = walk.pick(running)
        walk.feed(Progressed(intent.id, intent.issue, "half way"))


def work(walk: TaskWalk) -> None:
    """An agent commits something."""
    walk.world.work(walk.task.sandbox.name)


def ask_permission(walk: TaskWalk) -> None:
    """An agent asks, maybe not for the first time."""
    tab = walk.pick(walk.tabs())
    message = tab.turn.message_id or "msg-1"
    permission = f"perm-{walk.pick((1, 2))} of {message}"
    walk.say(PermissionAsked(tab.id, message, permission, "Run make?", OPTIONS))


def answer_for_repo(walk: TaskWalk) -> None:
    """The repo answers the question that the task asked last, or one that it asked before; or says what a job did."""
    ask = walk.task.ask - walk.pick((0, 0, 1))
    if walk.task.at == "init_attach_branch":
        of_branch: tuple[Input, ...] = (
            BranchAwaited(ask, "job-1"),
            BranchReady(ask, "job-1", "c7"),
            BranchFailed(ask, "job-1", "no"),
        )
        walk.say(walk.pick(of_branch))
    if walk.task.branch is not None and walk.pick((True, False)):
        job = f"job-{walk.pick((1, 2, 3))}"
        walk.say(BranchMoved(job, walk.task.branch, walk.pick(("c1", None)), walk.pick(("c1", "c2", None))))
    ready, failed = RepoReady(ask), RepoFailed(ask, "no such remote")
    walk.say(ready if walk.pick((True, True, False)) else failed)


# Faults


def lose_session(walk: TaskWalk) -> None:
    """An agent process ends, or is said to have ended before."""
    tab = walk.pick(walk.tabs())
    session = tab.session - walk.pick((0, 0, 0, 1))
    walk.say(SessionLost(tab.id, tab.generation, session, "the agent's process ended"))


def break_sandbox(walk: TaskWalk) -> None:
    """The sandbox is destroyed, stopped or broken behind our back, and perhaps somebody says so."""
    name = walk.task.sandbox.name
    match walk.pick(("destroyed", "stopped", "failed", "unreadable")):
        case "destroyed":
            walk.world.destroy(name)
        case "stopped":
            walk.world.stop(name)
        case how:
            walk.world.stop(name, SandboxPhase.FAILED)
            if name in walk.world.boxes:
                walk.world.boxes[name].is_readable = how == "failed"
    walk.log.append(f"{name} breaks")
    if walk.pick((True, False)):
        report_loss(walk)


def report_loss(walk: TaskWalk) -> None:
    """Somebody says that the sandbox is lost; that may be wrong."""
    walk.feed(inputs.SandboxLost(walk.task.sandbox.name, "it was deleted"))


def crash(walk: TaskWalk) -> None:
    """The process is killed: nothing runs any more, and what was claimed is claimed again."""
    walk.log.append("crash")
    walk.boundary.restart()


def repeat(walk: TaskWalk) -> None:
    """What was said before is said again: nothing changes, but that an agent's question may be a new one."""
    outcomes = [said for said in walk.said if not isinstance(said, PermissionAsked)]
    if outcomes:
        change = walk.feed(walk.pick(outcomes))
        assert change is not None
        assert change.ignored


def pass_time(walk: TaskWalk) -> None:
    """Time passes."""
    seconds = walk.pick((0.5, 5.0, 10.0, 60.0, 600.0, 4000.0))
    walk.log.append(f"{seconds} s pass")
    walk.let_pass(seconds)


# The user


def _next_message(walk: TaskWalk) -> str | None:
    number = len(walk.boundary.all(Message)) + 1
    return f"message {number}" if number <= MESSAGES_MAX else None


def send(walk: TaskWalk) -> None:
    """The user sends a message to some tab."""
    if (message := _next_message(walk)) is not None:
        walk.feed(inputs.SendMessage(walk.pick(walk.tabs()).id, message, "More, please."))


def change_message(walk: TaskWalk) -> None:
    """The user edits or withdraws some message."""
    message = walk.pick(walk.boundary.all(Message))
    ways: tuple[Input, ...] = (
        inputs.EditMessage(message.tab_id, message.id, "Rather this."),
        inputs.WithdrawMessage(message.tab_id, message.id),
    )
    walk.feed(walk.pick(ways))


def steer_tab(walk: TaskWalk) -> None:
    """The user does one of the small things that a tab takes."""
    tab = walk.pick(walk.tabs())
    ways: tuple[Input, ...] = (
        inputs.ResumeQueue(tab.id),
        inputs.CancelTurn(tab.id),
        inputs.SetModel(tab.id, walk.pick(("small", "large"))),
        inputs.RenameTab(tab.id, "Review"),
        inputs.RetryTab(tab.id),
        inputs.MarkRead(tab.id, "me", 1),
    )
    walk.feed(walk.pick(ways))


def answer_permission(walk: TaskWalk) -> None:
    """The user answers what an agent asks, maybe not for the first time."""
    for tab in walk.tabs():
        for permission in tab.turn.permissions:
            option = walk.pick(("yes", "no", None))
            walk.feed(inputs.AnswerPermission(tab.id, permission.id, option))


def open_tab(walk: TaskWalk) -> None:
    """The user opens one more tab, with a first message or without."""
    number = len(walk.tabs()) + 1
    if number <= TABS_MAX:
        message = walk.pick((None, _next_message(walk)))
        walk.feed(inputs.OpenTab(f"tab-{number}", message_id=message, prompt="Go." if message else None))


def close_tab(walk: TaskWalk) -> None:
    """The user closes some tab."""
    walk.feed(inputs.CloseTab(walk.pick(walk.tabs()).id, force=walk.pick((False, True))))


def retry_task(walk: TaskWalk) -> None:
    """The user retries the task."""
    walk.feed(inputs.RetryTask(discard=walk.pick((False, False, True))))


def rename_task(walk: TaskWalk) -> None:
    """The user names the task or its branch."""
    ways: tuple[Input, ...] = (
        inputs.RenameTask("Better"), inputs.SetBranch("better"), inputs.SetBranch("best"),
    )  # fmt: skip
    walk.feed(walk.pick(ways))


def stop(walk: TaskWalk) -> None:
    """The user stops the task."""
    walk.feed(inputs.StopTask())


def resume(walk: TaskWalk) -> None:
    """The user resumes the task, or takes it out of the archive."""
    unarchive = (inputs.UnarchiveTask(), inputs.UnarchiveTask(repo_is_ready=False))
    ways: tuple[Input, ...] = (inputs.ResumeTask(), *unarchive)
    walk.feed(walk.pick(ways))


def archive(walk: TaskWalk) -> None:
    """The user archives the task."""
    walk.feed(inputs.ArchiveTask(force=walk.pick((False, True))))


def kill(walk: TaskWalk) -> None:
    """The user kills the task."""
    walk.feed(inputs.KillTask(force=walk.pick((False, True))))


_WEIGHTS: tuple[tuple[int, Callable[[TaskWalk], None] | None], ...] = (
    (4, None),
    (14, go_on),
    (12, claim),
    (8, begin),
    (14, succeed),
    (10, fail),
    (4, deliver),
    (4, work),
    (1, progress),
    (2, answer_for_repo),
    (3, ask_permission),
    (3, answer_permission),
    (3, lose_session),
    (4, break_sandbox),
    (2, report_loss),
    (2, crash),
    (4, repeat),
    (6, pass_time),
    (6, send),
    (3, change_message),
    (5, steer_tab),
    (3, open_tab),
    (3, close_tab),
    (5, retry_task),
    (2, rename_task),
    (3, stop),
    (4, resume),
    (2, archive),
    (1, kill),
)
MOVES = tuple(move for weight, move in _WEIGHTS for _ in range(weight))

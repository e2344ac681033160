"""Product: every input that can be made in a given situation.

Owns: `answer`, and the list of inputs for a task's and for a repo's story: valid, stale, unknown and repeated ones.
Never: an expectation; test_product.py has them.
Reads as: test_product.py -> `task_inputs(story)` -> each is fed to `step`.
"""

from collections.abc import Iterator
from datetime import timedelta

from taskdock.core import inputs, intents
from taskdock.core.change import Change
from taskdock.core.errors import CommandRejected
from taskdock.core.inputs import (
    AwaitReady,
    CloseTab,
    Delivered,
    Failed,
    FailureClass,
    Input,
    KillTask,
    NameEnsured,
    OpenTab,
    OutcomeReported,
    Progressed,
    RepoFailed,
    RepoReady,
    RetryRepo,
    RetryTab,
    RetryTask,
    SandboxLost,
    SendMessage,
    SessionLost,
    SessionReady,
    Started,
    Succeeded,
    TurnEnd,
    TurnEnded,
    Value,
    WorkCollected,
)
from taskdock.core.intents import Body, Intent
from unit.core.story import TAB, TAB_2, TASK, RepoStory, Story, TaskStory, a_create, an_add

VALUES: dict[type[Body], tuple[Value, ...]] = {
    intents.EnsureName: (
        NameEnsured("Do it", "do-it-1", "main"),
        NameEnsured("It", "it-2", "main", "no namer"),
    ),
    intents.CreateSandbox: (inputs.SandboxReady(adopted=False), inputs.SandboxReady(adopted=True)),
    intents.EnsureAgent: (inputs.AgentReady(),),
    intents.CreateSession: (SessionReady("s9", "p9"),),
    intents.SendPrompt: tuple(TurnEnded(end, end.value) for end in TurnEnd),
    intents.CancelTurn: (inputs.Asked(),),
    intents.CloseSession: (inputs.SessionClosed(),),
    intents.CollectWork: (
        WorkCollected("c8", branch_moved=True),
        WorkCollected("c9", branch_moved=False, uncommitted=("notes.txt", "a b")),
        WorkCollected(None, branch_moved=False),
    ),
    intents.DestroySandbox: (inputs.SandboxReleased(),),
    intents.CloneRepo: (inputs.Cloned("main", "c0"),),
    intents.Tell: (inputs.Told(),),
    intents.Wake: (inputs.Woken(),),
}
"""What each kind of intent can bring."""


def answer(story: Story, input_: Input, seconds: float = 1.0) -> Change | CommandRejected:
    """What `step` makes of an input `seconds` from now; a rejection is an answer, every other exception is not."""
    try:
        return story.boundary.decide(input_, story.now + timedelta(seconds=seconds))
    except CommandRejected as rejected:
        return rejected


def claimed(story: Story) -> list[Intent]:
    """Hand out every open intent of the story."""
    return [story.boundary.claim(intent_id, story.now) for intent_id in list(story.boundary.outbox)]


def about_intents(story: Story) -> Iterator[Input]:
    """Each outcome and fact of each open intent; then the same of an issue that is over, and of an intent long closed."""
    for intent in claimed(story):
        for issue in (intent.issue, intent.issue - 1):
            yield from _about(intent, intent.id, issue)
        yield from _about(intent, f"{story.boundary.id}#9999", intent.issue)


def _about(intent: Intent, intent_id: str, issue: int) -> Iterator[Input]:
    if intent.boundary == TASK:
        yield Started(intent_id, issue)
    yield Progressed(intent_id, issue, "half way")
    if isinstance(intent.body, intents.SendPrompt):
        yield Delivered(intent_id, issue)
    for value in VALUES[type(intent.body)]:
        yield OutcomeReported(intent_id, issue, Succeeded(value))
    for failure in FailureClass:
        yield OutcomeReported(intent_id, issue, Failed(failure, "it broke", log_tail="last words"))
    yield OutcomeReported(intent_id, issue, Failed(FailureClass.TRANSIENT, "wait", retry_after_seconds=9.0))


def task_inputs(story: TaskStory) -> Iterator[Input]:
    """Every input that a task can get, in the situation of this story."""
    yield from (a_create(), a_create(repo_is_ready=False, branch="mine"))
    yield from (RetryTask(), KillTask(), KillTask(force=True))
    yield from (
        OpenTab("tab-9"),
        OpenTab("tab-9", name="More", agent="other", message_id="msg-9", prompt="Go."),
    )
    for tab in (TAB, TAB_2, "tab-404"):
        yield from (RetryTab(tab), CloseTab(tab), CloseTab(tab, force=True), SendMessage(tab, "msg-9", "Go."))
        for generation, session in ((1, 1), (1, 2), (2, 1), (1, 404)):
            yield SessionLost(tab, generation, session, "the agent's process ended")
    for ask in range(4):
        yield from (RepoReady(ask), RepoFailed(ask, "no such remote"))
    for name in ("td-75b98ee5-task-1-g1", "td-75b98ee5-task-1-g2"):
        yield SandboxLost(name, "it was deleted")
    yield from about_intents(story)
    if not story.boundary.outbox:
        yield from _of_nothing()


def repo_inputs(story: RepoStory) -> Iterator[Input]:
    """Every input that a repo can get, in the situation of this story."""
    yield from (an_add(), RetryRepo())
    yield from (AwaitReady("task-1", 1), AwaitReady("task-1", 2), AwaitReady("task-3", 1))
    yield from about_intents(story)
    if not story.boundary.outbox:
        yield from (
            Progressed("repo-1#1", 1, "half way"),
            OutcomeReported("repo-1#1", 1, Succeeded(inputs.Told())),
        )


def _of_nothing() -> Iterator[Input]:
    """Facts and outcomes of what was open once."""
    yield from (Started("task-1#1", 1), Progressed("task-1#1", 1, "half way"), Delivered("task-1#1", 1))
    yield OutcomeReported("task-1#1", 1, Succeeded(inputs.Woken()))

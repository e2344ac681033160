"""Waiting: what the step under way of a task waits for, in words for people.

Owns: `waits_for`, and what each kind of intent does in a few words.
Never: a decision; the words are shown and never read.
Reads as: `Dock.task` -> this -> the step, or the first intent that nobody has claimed.
"""

from taskdock.core.change import Slice
from taskdock.core.intents import (
    AnswerPermission,
    Body,
    CancelTurn,
    CloneRepo,
    CloseSession,
    CollectWork,
    CreateSandbox,
    CreateSession,
    DestroySandbox,
    EnsureAgent,
    EnsureName,
    ObserveSandbox,
    RemoveClone,
    ResumeSession,
    RunRepoJob,
    SendPrompt,
    StopSandbox,
    Tell,
    Wake,
)
from taskdock.core.task_record import Task

DEEDS: dict[type[Body], str] = {
    AnswerPermission: "give the agent an answer",
    CancelTurn: "cancel a turn",
    CloneRepo: "clone the repo",
    RemoveClone: "remove the clone",
    RunRepoJob: "run the job",
    CloseSession: "close a session",
    CollectWork: "bring the work out",
    CreateSandbox: "make the sandbox",
    CreateSession: "open a session",
    DestroySandbox: "end the sandbox",
    EnsureAgent: "start the agent",
    EnsureName: "find a name",
    ObserveSandbox: "look at the sandbox",
    ResumeSession: "go on with a session",
    SendPrompt: "send a message",
    StopSandbox: "stop the sandbox",
    Tell: "ask the repo",
    Wake: "come back to it",
}
"""What the scheduler does with each kind of intent."""


def waits_for(task: Task, slice_: Slice) -> str | None:
    """What the step waits for: as it says itself, or the scheduler, while nobody has claimed its intent.

    The scheduler may have too much under way in that lane, or still be at what came before; or none runs.
    """
    if task.step is None or task.step.waits_for is not None:
        return task.step.waits_for if task.step else None
    unclaimed = [one for one in slice_.intents if one.issue == 0 and one.not_before is None]
    if not unclaimed:
        return None
    return f"the scheduler to {DEEDS[type(unclaimed[0].body)]} (lane {unclaimed[0].lane})"

"""Instant: executors that answer at once, so that what is measured is everything around them.

Owns: `Instant`, one executor per intent of a task's way up and first turn, and how many tasks are let through at a time.
Never: a commit fewer than the real executors make; what they tell the core on the way (Started, Delivered) is told too.
Reads as: steps.py, restart.py -> `Instant(parallel).executors` -> `Scheduler(executors=...)`.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from taskdock.core import inputs, intents
from taskdock.services.execution import Execution

if TYPE_CHECKING:
    from taskdock.services.executors.catalogue import Executor

STEPS = (
    intents.EnsureName,
    intents.CreateSandbox,
    intents.EnsureAgent,
    intents.CreateSession,
    intents.SendPrompt,
    intents.CollectWork,
)
"""What one task takes, from its create to the end of its first turn."""

_STARTS = (intents.EnsureName, intents.CreateSandbox, intents.SendPrompt)
"""Whose executors commit a `Started` before they call the outside."""


def _value(body: Any) -> inputs.Value:  # noqa: ANN401 - any body
    values: dict[type, inputs.Value] = {
        intents.EnsureName: inputs.NameEnsured("Add cursor pagination", "", "main"),
        intents.CreateSandbox: inputs.SandboxReady(adopted=False),
        intents.EnsureAgent: inputs.AgentReady(),
        intents.CreateSession: inputs.SessionReady("session-1", "process-1"),
        intents.SendPrompt: inputs.TurnEnded(inputs.TurnEnd.COMPLETED, "end_turn"),
        intents.CollectWork: inputs.WorkCollected("0" * 40, branch_moved=True),
    }
    if isinstance(body, intents.EnsureName):
        return inputs.NameEnsured("Add cursor pagination", f"cursor-{body.task_id}", "main")
    return values[type(body)]


class Instant:
    """Lets `parallel` tasks through at a time; `steps` counts what was carried out, `on_end` hears of each task's last."""

    def __init__(self, parallel: int, on_end: Callable[[], None]) -> None:
        self.steps = 0
        self._slots = anyio.Semaphore(parallel)
        self._on_end = on_end
        self.executors: Mapping[type, Executor] = {
            **dict.fromkeys(STEPS, self._execute),
            intents.Tell: self._tell,
        }

    async def _tell(self, _body: object, _execution: Execution, _tools: object) -> inputs.Value:
        """The repo hears of the new branch. It is nobody's step, and the last of them may still be on their way."""
        return inputs.Told()

    async def _execute(self, body: Any, execution: Execution, _tools: object) -> inputs.Value:  # noqa: ANN401
        if isinstance(body, intents.EnsureName):
            await self._slots.acquire()
        if isinstance(body, _STARTS):
            await execution.start()
        if isinstance(body, intents.SendPrompt):
            await execution.delivered()
        self.steps += 1
        if isinstance(body, intents.CollectWork):
            self._slots.release()
            self._on_end()
        return _value(body)

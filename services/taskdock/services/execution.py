"""Execution: one intent being carried out, as its executor sees it.

Owns: `Execution` (what an executor may say while it works) and `failure_of`, the one way from errors to outcomes.
Never: a decision; an executor that is not wanted any more is told so and stops.
Reads as: scheduler claims -> executor(body, execution, tools) -> a value, or an error that becomes an outcome.
"""

from collections.abc import Callable

from attrs import field, mutable

from taskdock.core.errors import OutcomeUnknown, Permanent, PortError, TaskdockError, Transient, Unreachable
from taskdock.core.inputs import Delivered, Failed, FailureClass, JobStepped, Progressed, Started
from taskdock.core.intents import Intent
from taskdock.services.stepping import Stepper

PROGRESS_SECONDS_MIN = 0.5
"""Between two progress sentences that are written down; the ones between are lost, which is what progress is for."""


class NotWanted(TaskdockError):
    """The intent is not open any more, or another execution has it: do not call anything, there is nothing to report."""


@mutable
class Execution:
    """What an executor may say about its intent."""

    intent: Intent
    stepper: Stepper
    monotonic: Callable[[], float]
    _progressed_at: float = field(default=float("-inf"), init=False)

    async def start(self) -> None:
        """Commit that the first outside call follows; NotWanted when the core refuses.

        Transient when the commit took so long that the call would come too late: from `call_seconds` on the core counts
        on it that nothing was called.
        """
        asked_at = self.monotonic()
        fact = Started(self.intent.id, self.intent.issue)
        applied = await self.stepper.apply(self.intent.boundary, fact)
        if applied.change.ignored is not None:
            raise NotWanted(applied.change.ignored)
        if self.monotonic() - asked_at >= self.stepper.figures.call_seconds:
            raise Transient("not_called: saying that the call follows took too long; nothing was called.")

    async def progress(self, sentence: str) -> None:
        """Show one sentence to people; at most one in half a second is kept."""
        now = self.monotonic()
        if now - self._progressed_at >= PROGRESS_SECONDS_MIN:
            self._progressed_at = now
            fact = Progressed(self.intent.id, self.intent.issue, sentence)
            await self.stepper.apply(self.intent.boundary, fact)

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Commit that a step of a job follows; NotWanted when the core refuses."""
        fact = JobStepped(self.intent.id, self.intent.issue, step, done, of)
        applied = await self.stepper.apply(self.intent.boundary, fact)
        if applied.change.ignored is not None:
            raise NotWanted(applied.change.ignored)

    async def delivered(self) -> None:
        """Commit that the agent has the message."""
        await self.stepper.apply(self.intent.boundary, Delivered(self.intent.id, self.intent.issue))


def failure_of(error: PortError) -> Failed:
    """The outcome that an adapter's error stands for."""
    retry_after = error.retry_after_seconds if isinstance(error, Transient) else None
    return Failed(_class_of(error), error.reason, retry_after, error.log_tail)


def _class_of(error: PortError) -> FailureClass:
    table = (
        (Unreachable, FailureClass.UNREACHABLE),
        (Transient, FailureClass.TRANSIENT),
        (OutcomeUnknown, FailureClass.UNKNOWN),
        (Permanent, FailureClass.PERMANENT),
    )
    return next((found for kind, found in table if isinstance(error, kind)), FailureClass.PERMANENT)

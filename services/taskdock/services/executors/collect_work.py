"""Collect work: the task's commits come into the service clone.

Owns: the executor of `CollectWork`.
Never: a silent loss; what is in no commit is named, and a sandbox that was made anew is not taken for the one with the work.
Reads as: scheduler -> `collect_work` -> provider (is it the same), carrier -> WorkCollected.
"""

from taskdock.core.errors import Unreachable
from taskdock.core.inputs import WorkCollected
from taskdock.core.intents import CollectWork
from taskdock.services.execution import Execution
from taskdock.services.links import SERVICE
from taskdock.services.sandboxes import mark_of, ref_of
from taskdock.services.tools import Tools


async def collect_work(body: CollectWork, _execution: Execution, tools: Tools) -> WorkCollected:
    """Bring out what the clone does not have; with `quiesce` the agent is stopped first."""
    access = tools.sites.of(body.sandbox).access
    await _refuse_another(body, tools)
    if body.quiesce:
        await access.stop_service(ref_of(body.sandbox), SERVICE)
    return await tools.carrier.carry_out(access, body)


async def _refuse_another(body: CollectWork, tools: Tools) -> None:
    """Unreachable when the sandbox is not the one that has the work: that one cannot be asked any more."""
    mark = mark_of(await tools.sites.of(body.sandbox).provider.observe(ref_of(body.sandbox)))
    if body.mark and mark and mark != body.mark:
        raise Unreachable(
            f"The sandbox {body.sandbox.name} was made anew; the one with the task's work is gone."
        )

"""Run repo job: one action on the branches of a repo's clone, to its end.

Owns: the executor of `RunRepoJob`.
Never: a step that was not committed before; a judgement of what git says (the adapter's).
Reads as: scheduler -> `run_repo_job` -> stack port -> JobEnded.
"""

from taskdock.core.inputs import JobEnded
from taskdock.core.intents import RunRepoJob
from taskdock.ports.stack import JobOrder
from taskdock.services.execution import Execution
from taskdock.services.tools import Tools


async def run_repo_job(body: RunRepoJob, execution: Execution, tools: Tools) -> JobEnded:
    """Do it, or go on where a crash left it; one that was cancelled, or that ran out of time, is only settled."""
    await execution.start()
    order = JobOrder(
        job_id=body.job_id,
        repo_id=body.repo_id,
        kind=body.kind,
        branch=body.branch,
        parent=body.parent,
        push=body.push,
        undo_of=body.undo_of,
        if_stacked=body.if_stacked,
    )
    end = await (tools.stack.settle(order) if body.settles else tools.stack.run(order, execution))
    tasks = await tools.reads.holders(body.repo_id, tuple(end.result.changed)) if end.result.changed else {}
    return JobEnded(end.result, end.failure, end.branches, end.trunk_head, end.read_at, tasks)

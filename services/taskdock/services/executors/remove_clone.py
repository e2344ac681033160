"""Remove clone: the service-owned clone of a removed repo goes, if nothing in it is needed or nowhere else.

Owns: the executor of `RemoveClone`.
Never: the work of a task that may come back; only killed ones cannot.
Reads as: scheduler -> `remove_clone` -> clone port, store -> CloneRemoved.
"""

from taskdock.core.errors import Permanent
from taskdock.core.inputs import CloneRemoved
from taskdock.core.intents import RemoveClone
from taskdock.core.task import Task, TaskStatus
from taskdock.services.execution import Execution
from taskdock.services.tools import Tools


async def remove_clone(body: RemoveClone, execution: Execution, tools: Tools) -> CloneRemoved:
    """Look who may need it, then have it removed; the core is asked once more right before the first file goes."""
    for task_id in await tools.clones.tasks_with_work(body.repo_id):
        stored = await tools.reads.record("task", task_id)
        task = stored.record if stored is not None else None
        if not isinstance(task, Task) or task.status is not TaskStatus.KILLED:
            raise Permanent(
                f"the clone stays at {tools.clones.path(body.repo_id)}: it has the work of {task_id}, which may go on; kill "
                "that task if it never will, then remove the repo again"
            )
    await tools.clones.remove(body.repo_id, execution.start)
    return CloneRemoved()

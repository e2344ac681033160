"""Clone repo: the service-owned clone of a repo.

Owns: the executor of `CloneRepo`.
Never: a second clone; the folder is named after the repo id.
Reads as: scheduler -> `clone_repo` -> clone port -> Cloned.
"""

from taskdock.core.inputs import Cloned
from taskdock.core.intents import CloneRepo
from taskdock.services.execution import Execution
from taskdock.services.tools import Tools


async def clone_repo(body: CloneRepo, execution: Execution, tools: Tools) -> Cloned:
    """Make or finish the clone, with progress."""
    cloned = await tools.clones.clone(body.repo_id, body.remote, execution.progress)
    return Cloned(cloned.trunk, cloned.head)

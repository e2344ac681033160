"""Wake: the time that a boundary asked for has come.

Owns: the executor of `Wake`.
Never: a wait; the queue hands it out when it is due.
Reads as: scheduler -> `wake` -> Woken.
"""

from taskdock.core.inputs import Woken
from taskdock.core.intents import Wake
from taskdock.services.execution import Execution
from taskdock.services.tools import Tools


async def wake(_body: Wake, _execution: Execution, _tools: Tools) -> Woken:
    """Say that it is time."""
    return Woken()

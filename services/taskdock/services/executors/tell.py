"""Tell: an input for another boundary.

Owns: the executor of `Tell`.
Never: a loss; it is repeated until the other boundary has committed it, which it may do twice without harm.
Reads as: scheduler -> `tell` -> Stepper -> Told.
"""

from taskdock.core.inputs import Told
from taskdock.core.intents import Tell
from taskdock.services.execution import Execution
from taskdock.services.tools import Tools


async def tell(body: Tell, _execution: Execution, tools: Tools) -> Told:
    """Feed the input to its target; ignored there is told all the same."""
    await tools.stepper.apply(body.target, body.input)
    return Told()

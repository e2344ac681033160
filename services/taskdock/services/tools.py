"""Tools: every port that executors carry intents out with, chosen once by the composition root.

Owns: `Outside` (the ports that reach out of the process) and `Tools` (all that an executor needs).
Never: an adapter's name.
Reads as: app builds one -> scheduler hands it to executors.
"""

from attrs import Factory, field, frozen

from taskdock.ports.agent import AgentGateway
from taskdock.ports.clock import Clock
from taskdock.ports.clone import CloneStore
from taskdock.ports.naming import Namer
from taskdock.ports.stack import StackJobs
from taskdock.ports.store import Reads, Store
from taskdock.services.carrier import Carrier
from taskdock.services.creates import Creates
from taskdock.services.links import Links
from taskdock.services.sites import Sites
from taskdock.services.stepping import Stepper


@frozen
class Outside:
    """The ports that reach out of the process; a test wraps them as a whole (`taskdock.testing.gates`)."""

    sites: Sites
    gateway: AgentGateway
    clones: CloneStore
    namer: Namer
    fallback_namer: Namer
    stack: StackJobs


@frozen
class Tools(Outside):
    """What executors work with: the same ports, and what is inside."""

    stepper: Stepper
    store: Store
    reads: Reads
    clock: Clock
    links: Links
    carrier: Carrier
    creates: Creates = field(default=Factory(lambda self: Creates(self.clock), takes_self=True), init=False)

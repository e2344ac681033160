"""Task record: what a task is, and the states it can be in.

Owns: `TaskStatus`, the names of the machine's states, the `Task` record.
Never: a rule about moving from one state to another; those are the rows in task.py.
Reads as: task.py (the table) and task_orders.py (what rows and states do) -> this.
"""

from datetime import datetime
from enum import Enum

from attrs import frozen

from taskdock.core.intents import Sandbox
from taskdock.core.machine import NEW
from taskdock.core.step import Failure, Step
from taskdock.core.values import sandbox_name


class TaskStatus(Enum):
    """What clients see. The briefs fixed the words; each says who moves the task on."""

    INIT_ENQUEUE_PROVISION = "init_enqueue_provision"
    """Accepted. The scheduler claims the naming; with `/wait_repo` the repo's clone has to finish first."""
    INIT_ENSURE_NAME = "init_ensure_name"
    """Title and branch are being settled; NameEnsured moves it."""
    INIT_CREATE_SANDBOX = "init_create_sandbox"
    """The sandbox is being made and the branch checked out; SandboxReady moves it."""
    INIT_ENSURE_AGENT = "init_ensure_agent"
    """The agent's server is being started; AgentReady moves it."""
    INIT_CREATE_SESSION = "init_create_session"
    """The tabs get their sessions; the first tab that is ready moves it."""
    RUNNING = "running"
    """Provisioned. Rests here; a kill or a lost sandbox moves it."""
    ERROR = "error"
    """Failed, with step, class and reason. Rests here until retry or kill."""
    KILLING = "killing"
    """Turns are settled, work is brought out, the sandbox is released; SandboxReleased moves it."""
    KILLED = "killed"
    """Gone for good."""


WAIT_REPO = "init_enqueue_provision/wait_repo"
QUEUED = "init_enqueue_provision"
NAMING = "init_ensure_name"
CREATE = "init_create_sandbox/create"
AGENT = "init_ensure_agent"
SESSION = "init_create_session"
RUNNING = "running"
SETTLE = "killing/settle"
COLLECT = "killing/collect"
DESTROY = "killing/destroy"
KILLED = "killed"


def error_of(state: str) -> str:
    """The state in which a task rests after failing in `state`."""
    return f"error/{state}"


UP = (SESSION, RUNNING)
"""Where tabs may have sessions."""

STEPS = (WAIT_REPO, QUEUED, NAMING, CREATE, AGENT, SESSION, SETTLE, COLLECT, DESTROY)
"""The states with work under way; each gets a step record when it is entered."""

PROVISIONED_BY = (WAIT_REPO, QUEUED, NAMING, CREATE, AGENT, SESSION, RUNNING)
FAILED = tuple(error_of(state) for state in PROVISIONED_BY)
KILL_FAILED = (error_of(COLLECT), error_of(DESTROY))


@frozen
class Task:
    """A task as it is stored. `at` is its machine state, written by the table alone."""

    id: str
    workspace: str
    owner: str
    repo_id: str
    provider: str
    agent: str
    first_message_id: str
    title: str
    created_at: datetime
    updated_at: datetime
    title_given: bool = False
    branch: str | None = None
    branch_given: bool = False
    base: str | None = None
    at: str = NEW
    repo_is_ready: bool = False
    ask: int = 0
    generation: int = 1
    box_ordered: bool = False
    work_owed: bool = False
    """A prompt may have been sent since the last collection that nothing could follow."""
    head: str | None = None
    """The last commit of the task that the service clone holds."""
    moved: bool = False
    """The branch was moved elsewhere; the work is under the task's own ref."""
    force: bool = False
    tabs_opened: int = 0
    step: Step | None = None
    failure: Failure | None = None

    @property
    def status(self) -> TaskStatus:
        """The status of the contract: what stands before the slash."""
        return TaskStatus(self.at.partition("/")[0])

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of the current generation; its name holds whether or not it was ordered yet."""
        name = sandbox_name(self.owner, self.id, self.generation)
        return Sandbox(self.provider, name, self.owner, self.id, self.generation)

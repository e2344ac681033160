"""Task record: what a task is, and the states it can be in.

Owns: `TaskStatus`, `Activity`, the names of the machine's states, the `Task` record.
Never: a rule about moving from one state to another; those are the rows in task.py.
Reads as: task.py (the table) and task_orders.py (what rows and states do) -> this.
"""

from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from taskdock.core.intents import Sandbox
from taskdock.core.machine import NEW
from taskdock.core.step import Failure, Step, Tries
from taskdock.core.values import sandbox_name


class TaskStatus(Enum):
    """What clients see. The briefs fixed the words; each says who moves the task on."""

    INIT_ATTACH_BRANCH = "init_attach_branch"
    """It shall work on a branch that its repo has not seen lately: a job registers it, and BranchReady moves the task."""
    INIT_ENQUEUE_PROVISION = "init_enqueue_provision"
    """Accepted. The scheduler claims the naming; with `/wait_repo` the repo's clone has to finish first."""
    INIT_ENSURE_NAME = "init_ensure_name"
    """Title and branch are being settled; NameEnsured moves it."""
    INIT_CREATE_SANDBOX = "init_create_sandbox"
    """The sandbox is being made and the branch checked out; or it is looked at, emptied and replaced."""
    INIT_ENSURE_AGENT = "init_ensure_agent"
    """The agent's server is being started; AgentReady moves it."""
    INIT_CREATE_SESSION = "init_create_session"
    """The tabs get their sessions; the first tab that is ready moves it."""
    RUNNING = "running"
    """Provisioned. Rests here; with `/observe` its sandbox is being looked at."""
    ERROR = "error"
    """Failed, with step, class and reason. Rests here until retry or another command."""
    STOPPING = "stopping"
    """Turns are settled, work is brought out, the sandbox is stopped; SandboxStopped moves it."""
    STOPPED = "stopped"
    """Its files wait in the stopped sandbox. Rests here; resume, a new tab or a message moves it."""
    ARCHIVING = "archiving"
    """Turns are settled, work is brought out, the sandbox is released; SandboxReleased moves it."""
    ARCHIVED = "archived"
    """Its work is in the service clone alone. Rests here; unarchive or kill moves it."""
    KILLING = "killing"
    """As archiving; nothing undoes it."""
    KILLED = "killed"
    """Gone for good."""


class Activity(Enum):
    """One word for lists: what the task is about, or whom it waits for."""

    PROVISIONING = "provisioning"
    WORKING = "working"
    NEEDS_YOU = "needs_you"
    IDLE = "idle"
    STOPPED = "stopped"
    FAILED = "failed"
    ARCHIVED = "archived"


ATTACH = "init_attach_branch"
WAIT_REPO = "init_enqueue_provision/wait_repo"
QUEUED = "init_enqueue_provision"
NAMING = "init_ensure_name"
CREATE = "init_create_sandbox/create"
OBSERVE = "init_create_sandbox/observe"
RESCUE = "init_create_sandbox/collect"
REPLACE = "init_create_sandbox/destroy"
AGENT = "init_ensure_agent"
SESSION = "init_create_session"
RUNNING = "running"
LOOKING = "running/observe"

STOP_SETTLE, STOP_WAKE, STOP_COLLECT, STOP = (
    f"stopping/{step}" for step in ("settle", "wake", "collect", "stop")
)
ARCHIVE_SETTLE, ARCHIVE_WAKE, ARCHIVE_COLLECT, ARCHIVE = (
    f"archiving/{step}" for step in ("settle", "wake", "collect", "destroy")
)
KILL_SETTLE, KILL_WAKE, KILL_COLLECT, KILL = (
    f"killing/{step}" for step in ("settle", "wake", "collect", "destroy")
)
STOPPED, ARCHIVED, KILLED = "stopped", "archived", "killed"


def error_of(state: str) -> str:
    """The state in which a task rests after failing in `state`."""
    return f"error/{state}"


def errors_of(*states: str) -> tuple[str, ...]:
    """The same of several."""
    return tuple(error_of(state) for state in states)


UP = (SESSION, RUNNING, LOOKING)
"""Where tabs may have sessions."""

HEALING = (OBSERVE, RESCUE, REPLACE)
"""Where a sandbox that may be lost is looked at, emptied and replaced."""

SETTLING = (STOP_SETTLE, ARCHIVE_SETTLE, KILL_SETTLE)
"""Where running turns get a bounded time to end."""

UNNAMED = (ATTACH, WAIT_REPO, QUEUED, NAMING)
PROVISIONED_BY = (*UNNAMED, CREATE, *HEALING, AGENT, SESSION, RUNNING, LOOKING)
STOPPED_BY = (STOP_SETTLE, STOP_WAKE, STOP_COLLECT, STOP)
ARCHIVED_BY = (ARCHIVE_SETTLE, ARCHIVE_WAKE, ARCHIVE_COLLECT, ARCHIVE)
KILLED_BY = (KILL_SETTLE, KILL_WAKE, KILL_COLLECT, KILL)

STEPS = tuple(state for state in (*PROVISIONED_BY, *STOPPED_BY, *ARCHIVED_BY, *KILLED_BY) if state != RUNNING)
"""The states with work under way; each gets a step record when it is entered."""

FAILED = errors_of(*(state for state in PROVISIONED_BY if state != RUNNING))
STOP_FAILED, ARCHIVE_FAILED, KILL_FAILED = (
    errors_of(*ending[1:]) for ending in (STOPPED_BY, ARCHIVED_BY, KILLED_BY)
)


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
    is_named: bool = False
    """Title, branch and base were settled once."""
    on_branch: bool = False
    """It works on a branch that was there before it."""
    is_attached: bool = False
    """That branch is known to be there."""
    model: str | None = None
    permission_mode: str | None = None
    at: str = NEW
    activity: Activity = Activity.PROVISIONING
    repo_is_ready: bool = False
    ask: int = 0
    generation: int = 1
    box_ordered: bool = False
    """A sandbox of this generation was ordered and not released."""
    create_began: datetime | None = None
    """When an attempt to make this generation's sandbox last began: until its window has passed one may still land."""
    box_ready: bool = False
    """The branch is checked out in the sandbox of this generation, which has run since it was last asked for."""
    mark: str | None = None
    """What tells the sandbox that ran last from another of its name; None when none of this generation has run."""
    destroy_ordered: bool = False
    """The end of this generation's sandbox was ordered: it is never started again."""
    absent_at: datetime | None = None
    """When this look first found no sandbox."""
    heals: tuple[datetime, ...] = ()
    """When its sandbox was replaced or started again lately; retry and resume forget them."""
    tries: Tries | None = None
    """The runs of the step that a look at the sandbox interrupted."""
    work_owed: bool = False
    """A prompt may have been sent since the last collection that nothing could follow."""
    head: str | None = None
    """The last commit of the task that the service clone holds."""
    kept: int = 0
    """How many files with uncommitted changes the service clone holds beside that commit."""
    moved: bool = False
    """The branch was moved elsewhere; the work is under the task's own ref."""
    moved_from: str | None = None
    """Where a job found the branch that it moved away from the task's work; None when none did."""
    moved_to: str | None = None
    """And where the branch stands since; None also when it is gone."""
    moved_by: str | None = None
    """The last job that moved the branch."""
    force: bool = False
    """What cannot be brought out does not hold up the stop, archive or kill under way."""
    discard: bool = False
    """What a failed sandbox does not give back does not hold up its replacement."""
    woken: bool = False
    """The stop, archive or kill under way has started the sandbox once, to bring its work out."""
    resume_wanted: bool = False
    """Somebody wants it to go on as soon as it is stopped."""
    tabs_opened: int = 0
    step: Step | None = None
    failure: Failure | None = None

    @property
    def status(self) -> TaskStatus:
        """The status of the contract: what stands before the slash."""
        return TaskStatus(self.at.partition("/")[0])

    @property
    def is_ending(self) -> bool:
        """Whether it was killed, also where the kill has failed so far."""
        return self.at in (*KILLED_BY, *KILL_FAILED, KILLED)

    @property
    def is_leaving(self) -> bool:
        """Whether it was killed or archived, also where that has failed so far: it takes no tabs and no messages."""
        return self.is_ending or self.at in (*ARCHIVED_BY, *ARCHIVE_FAILED, ARCHIVED)

    @property
    def is_outside(self) -> bool:
        """Whether a sandbox of it was ever begun, so that something outside knows its branch."""
        begun = self.create_began is not None or self.mark is not None
        return begun or self.destroy_ordered or self.generation > 1

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of the current generation; its name holds whether or not it was ordered yet."""
        name = sandbox_name(self.owner, self.id, self.generation)
        return Sandbox(self.provider, name, self.owner, self.id, self.generation)

    def settled_at(self, create_window_seconds: float, call_seconds: float) -> datetime | None:
        """From when on no create that has begun can land any more; None when none ever began."""
        if self.create_began is None:
            return None
        return self.create_began + timedelta(seconds=create_window_seconds + call_seconds)

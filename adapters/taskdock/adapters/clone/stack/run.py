"""Run: one job at work, as its steps see it.

Owns: `JobRun`, what its steps found and did, and `JobLimits`.
Never: an order of steps; jobs.py has it.
Reads as: jobs.py makes one -> recovery, snapshot, sync, acting, undo, pushing, projection.
"""

from attrs import define, field, frozen

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.process import GitResult
from taskdock.adapters.clone.refs import BRANCHES, REMOTE
from taskdock.adapters.clone.stack.failures import JobStopped, classify
from taskdock.adapters.clone.stack.listing import Stacks, parse
from taskdock.adapters.clone.stack.tool import GitSpice, ToolProgress
from taskdock.ports.stack import JobOrder, JobReport

BLOCKED_BY = "stacked on {}, which {}"


@frozen
class JobLimits:
    """How long each part of a job may take, and how long its snapshot is kept."""

    lock_seconds: float = 60.0
    """Waiting for another writer of the clone."""
    network_seconds: float = 120.0
    """One fetch, or one push."""
    tool_seconds: float = 60.0
    """One call of git-spice, and for each tracked branch `tool_branch_seconds` more."""
    tool_branch_seconds: float = 2.0
    snapshot_days: float = 7.0
    """So long a job can be undone."""


@define(eq=False)
class JobRun:
    """A job under way in a clone that is locked for it."""

    clone: Clone
    order: JobOrder
    report: JobReport
    limits: JobLimits
    trunk: str
    tool: GitSpice | None = None
    skipped: dict[str, str] = field(factory=dict)
    blocked: dict[str, str] = field(factory=dict)
    conflicts: dict[str, tuple[str, ...]] = field(factory=dict)
    pushed: dict[str, str] = field(factory=dict)
    tracked: int = 0
    """How many branches the tool knows, for its timeouts."""

    @property
    def note(self) -> str:
        """What stands in the reflog beside a move of ours."""
        return f"taskdock job {self.order.job_id}"

    async def heads(self) -> dict[str, str]:
        """Every branch of the clone itself."""
        return await self.clone.refs(BRANCHES)

    async def remote_heads(self) -> dict[str, str]:
        """Every branch of the remote, as it was fetched last."""
        return await self.clone.refs(REMOTE)

    async def call(self, tool: GitSpice, *arguments: str) -> GitResult:
        """Run one command of git-spice, and tell each branch that it is done with."""
        seconds = self.limits.tool_seconds + self.limits.tool_branch_seconds * self.tracked
        watch = ToolProgress(self.report.progress)
        return await tool.run(self.clone, *arguments, timeout_seconds=seconds, watch=watch)

    async def stacks(self, tool: GitSpice) -> Stacks:
        """Read what is stacked on what; heals what git-spice remembers of branches that others moved."""
        return parse(await self.listing(tool), self.trunk)

    async def listing(self, tool: GitSpice) -> str:
        """Read the same as git-spice writes it."""
        result = await self.call(tool, "log", "short", "--all", "--json", "--no-cr-status")
        if result.exit_code != 0:
            raise JobStopped(classify(result, "reading the stacks"))
        return result.text

    def block(self, stacks: Stacks, name: str, why: str) -> None:
        """Leave alone all that is stacked on a branch, but not the branch itself."""
        for above in stacks.upstack(name)[1:]:
            self.blocked.setdefault(above, BLOCKED_BY.format(name, why))

    def is_left_alone(self, name: str) -> bool:
        """Whether the job goes past this branch."""
        return name in self.blocked or name in self.skipped or name in self.conflicts

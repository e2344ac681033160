"""Demo stack: three branches on top of each other, a trunk that moves under them, a restack, and its undo.

Owns: `show_stack`, the second part of the demo.
Never: a stand-in; the branches are the demo repo's, git and git-spice the real ones.
Reads as: demo.py -> `show_stack` -> dock -> job_following.py.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from attrs import field, mutable

from taskdock.adapters.entry.cli import job_text
from taskdock.adapters.entry.cli.demo_repo import add_stack, move_trunk
from taskdock.adapters.entry.cli.following import View
from taskdock.adapters.entry.cli.job_following import follow_job
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.adapters.entry.cli.views import Quiet
from taskdock.core.job_record import JobKind
from taskdock.services.dock import Dock
from taskdock.services.receipts import JobReceipt

NO_TOOL = (
    "There is no git-spice here, so no stack is shown: `make git-spice` builds it, `git_spice` names yours."
)


@mutable(eq=False)
class StackDemo:
    """One run of it, on a repo that is ready."""

    dock: Dock
    repo_id: str
    workspace: str
    view: Callable[[], View]
    say: Callable[[str], Awaitable[None]]
    jobs: list[str] = field(factory=list, init=False)
    """The restack and its undo, once they were asked for."""

    async def show(self, remote: Path) -> Rest:
        """All of it; the first job that fails ends it."""
        if not self.dock.offer.stack_tool:
            await self.say(NO_TOOL)
            return Rest(ok=True)
        stack = await add_stack(remote)
        for branch, parent in stack.items():
            receipt = await self._ask(JobKind.REGISTER_EXISTING_BRANCH, branch=branch, parent=parent)
            rest = await self._follow(receipt, Quiet())
            if not rest.ok:
                return rest
        await self.say(f"stack: {' <- '.join(['main', *stack])}; now main moves")
        await move_trunk(remote)
        receipt = await self._ask(JobKind.RESTACK_REPO)
        self.jobs.append(receipt.job_id)
        await self.say(f"job {receipt.job_id}: restack")
        rest = await self._follow(receipt, self.view())
        if rest.ok:
            await self._tell_branches()
            rest = await self._undo(receipt.job_id)
        return rest

    async def _undo(self, job_id: str) -> Rest:
        receipt = await self.dock.undo_job(job_id, workspace=self.workspace)
        self.jobs.append(receipt.job_id)
        await self.say(f"job {receipt.job_id}: undo of the restack")
        return await self._follow(receipt, self.view())

    async def _tell_branches(self) -> None:
        seen = await self.dock.branches(self.repo_id, workspace=self.workspace)
        for line in job_text.branch_lines(seen, datetime.now(UTC)):
            await self.say(line)

    async def _ask(
        self, kind: JobKind, *, branch: str | None = None, parent: str | None = None
    ) -> JobReceipt:
        return await self.dock.request_job(
            self.repo_id, kind, branch=branch, parent=parent, workspace=self.workspace
        )

    async def _follow(self, receipt: JobReceipt, view: View) -> Rest:
        return await follow_job(self.dock, receipt.job_id, self.repo_id, self.workspace, view)

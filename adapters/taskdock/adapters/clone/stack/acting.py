"""Acting: the rebases of a job, stack by stack, so that a conflict in one does not stop the others.

Owns: which commands of git-spice carry out which kind, and what becomes of the branches above a conflict.
Never: a success believed from an exit code, or a conflict from a message: 0 may have skipped branches, 1 may have moved
    all of them, and git-spice calls every failed rebase a conflict.
Reads as: jobs.py -> this -> tool.py; recovery.py says what a call left behind.
"""

from collections.abc import Iterable

from attrs import define

from taskdock.adapters.clone.process import GitResult
from taskdock.adapters.clone.stack.failures import STALE, JobStopped, classify, stopped
from taskdock.adapters.clone.stack.listing import Stacks
from taskdock.adapters.clone.stack.recovery import Rebase, recover, standing_rebase
from taskdock.adapters.clone.stack.run import JobRun
from taskdock.adapters.clone.stack.tool import GitSpice
from taskdock.core.job_record import JobErrorKind, JobKind

_TRIES = 3
_BULK_MIN = 4
"""From so many stale stacks on, one call for all of them is tried first: a call costs more than a rebase."""

_IN_CONFLICT = "is in conflict"


async def act(run: JobRun, tool: GitSpice) -> None:
    """Carry out a kind that rebases; what could not be rebased is told in the run, and nothing of it is left behind."""
    acting = _Acting(run=run, tool=tool, stacks=await run.stacks(tool))
    if run.order.kind is JobKind.RESTACK_REPO:
        await acting.restack_repo()
    else:
        await acting.about_one_branch()


@define(eq=False)
class _Acting:
    run: JobRun
    tool: GitSpice
    stacks: Stacks
    complaint: GitResult | None = None
    """The last call that did not end well; what the clone looks like at the end tells whether that mattered."""

    async def restack_repo(self) -> None:
        """Restack every stack in which anything is stale."""
        roots = self.stacks.stale_roots()
        if len(roots) >= _BULK_MIN and not self.run.blocked:
            await self.run.report.checkpoint("act", 0, len(roots))
            await self._call("upstack", "restack", "--branch", self.stacks.trunk)
            self.stacks = await self.run.stacks(self.tool)
            roots = self.stacks.stale_roots()
        for number, root in enumerate(roots):
            await self.run.report.checkpoint("act", number, len(roots))
            await self._restack_from(root)
        await self._judge(self.stacks.branches)

    async def about_one_branch(self) -> None:
        """Restack or move one branch, and for most kinds what is stacked on it."""
        order = self.run.order
        branch = self._tracked(order.branch)
        if branch in self.run.blocked or branch in self.run.skipped:
            why = self.run.blocked.get(branch) or self.run.skipped[branch]
            raise stopped(JobErrorKind.DIVERGED, f"{branch} was left alone: {why}", "sync the repo, and look")
        await self.run.report.checkpoint("act", 0, 1)
        if order.kind is JobKind.REBASE_BRANCH:
            await self._call("branch", "restack", "--branch", branch)
            await self._judge([branch])
        elif order.kind is JobKind.RESTACK_SUBTREE:
            await self._restack_from(branch)
            await self._judge(self.stacks.upstack(branch))
        else:
            await self._reparent(branch, self._parent(branch))

    async def _reparent(self, branch: str, parent: str) -> None:
        """Move a branch with what is above it; a conflict of its own leaves all of it where it was."""
        await self._call("upstack", "onto", "--branch", branch, parent)
        if branch not in self.run.conflicts:
            await self._one_by_one(branch)
        await self._judge(self.stacks.upstack(branch))
        now = await self.run.stacks(self.tool)
        if branch not in self.run.conflicts and now.branches[branch].parent != parent:
            raise self._unexplained(f"moving {branch} onto {parent}")

    async def _restack_from(self, root: str) -> None:
        """Restack a branch and all above it: in one call, and one by one when that is not to be."""
        if not any(self.run.is_left_alone(name) for name in self.stacks.upstack(root)):
            await self._call("upstack", "restack", "--branch", root)
        await self._one_by_one(root)

    async def _one_by_one(self, root: str) -> None:
        """Restack those that a conflict or a divergence in the same stack has kept from it."""
        names = self.stacks.upstack(root)
        if not any(self.run.is_left_alone(name) for name in names):
            return
        for name in names:
            if not self.run.is_left_alone(name):
                await self._call("branch", "restack", "--branch", name)

    async def _call(self, *arguments: str) -> None:
        """Run git-spice; a conflict is noted and undone, a lock that somebody left is taken away and tried again."""
        for tries_left in reversed(range(_TRIES)):
            result = await self.run.call(self.tool, *arguments)
            rebase = await standing_rebase(self.run.clone)
            if rebase is None and result.exit_code == 0:
                return
            await recover(self.run)
            if rebase is not None and rebase.is_conflict:
                await self._note(rebase)
                return
            self.complaint = result
            if tries_left and STALE.search(result.stderr):
                continue
            if rebase is not None:
                raise JobStopped(classify(result, " ".join(("git-spice", *arguments[:2]))))
            return

    async def _note(self, rebase: Rebase) -> None:
        branch = rebase.branch or self.run.order.branch or self.stacks.trunk
        self.run.conflicts[branch] = rebase.files
        await self.run.report.progress(f"{branch}: in conflict, left where it was")
        self.run.block(self.stacks, branch, _IN_CONFLICT)

    async def _judge(self, scope: Iterable[str]) -> None:
        """Look at every branch that the job was about: each one stands on its parent, or it is told why not."""
        now = await self.run.stacks(self.tool)
        for name in now.stale(scope):
            elsewhere = now.branches[name].worktree
            if elsewhere is not None:
                self.run.skipped[name] = f"checked out at {elsewhere}"
        left = [name for name in now.stale(scope) if not self.run.is_left_alone(name)]
        if left:
            raise self._unexplained(f"restacking {', '.join(left[:5])}")

    def _unexplained(self, doing: str) -> JobStopped:
        if self.complaint is not None:
            return JobStopped(classify(self.complaint, doing))
        return stopped(JobErrorKind.BUG, f"{doing}: git-spice said it was done, and it was not")

    def _tracked(self, branch: str | None) -> str:
        """Refuse what git-spice would refuse, in words that help."""
        if branch is None:
            raise stopped(JobErrorKind.USER_ERROR, "this kind of job needs a branch", "name one")
        if branch == self.stacks.trunk:
            raise stopped(
                JobErrorKind.USER_ERROR, f"{branch} is trunk, and stands on nothing", "name another branch"
            )
        if branch not in self.stacks:
            raise stopped(
                JobErrorKind.USER_ERROR,
                f"{branch} is in no stack",
                f"register {branch} first, then try again",
            )
        return branch

    def _parent(self, branch: str) -> str:
        parent = self.run.order.parent
        if parent is None:
            raise stopped(
                JobErrorKind.USER_ERROR, "moving a branch needs a parent", "name a branch, or trunk"
            )
        if parent != self.stacks.trunk and parent not in self.stacks:
            raise stopped(JobErrorKind.USER_ERROR, f"{parent} is in no stack", f"register {parent} first")
        if parent in self.stacks.upstack(branch):
            hint = f"choose a parent that is not {branch} itself nor stacked on it"
            raise stopped(
                JobErrorKind.USER_ERROR, f"{branch} cannot be stacked on {parent}: that makes a cycle", hint
            )
        return parent

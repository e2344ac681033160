"""Broken stacks: the fake stack tool with one planted fault, to see that the checks find it.

Owns: `STACK_FAULTS`; each moves branches with plain git, as the fake does that has none.
Never: a fault that no adapter of repo jobs could have.
Reads as: test_stack.py -> a fault -> plain_stack.py.
"""

# ruff: noqa: ARG002 - a fault has the arguments of what it breaks, and forgetting one is often the fault

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import ClassVar

from attrs import evolve, frozen

from plain_stack import HEADS, TRUNK, PlainRun, PlainStackJobs, Stopped
from taskdock.core.errors import Permanent, Transient
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobResult, Moved
from taskdock.ports.stack import JobEnd, JobOrder, JobReport, StackTool
from taskdock.testing.conformance.clone_repos import GitRefused, refs_of


class HonestStacks(PlainStackJobs):
    """No fault; what each of the others is one of."""

    found_by: ClassVar[str] = ""
    says: ClassVar[str] = ""


class SilentAboutTheTool(HonestStacks):
    """Without a tool it does not say what to do."""

    found_by = "check_probe_tells_of_the_tool"
    says = "probe tells the tool's name"

    async def probe(self) -> StackTool:
        return StackTool("plain-git", None)


@frozen
class Later:
    """A report that keeps what it is told."""

    kept: list[tuple[str, int, int]]

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Keep it."""
        self.kept.append((step, done, of))

    async def progress(self, sentence: str) -> None:
        """Drop it."""


class TellsAfterwards(HonestStacks):
    """The steps are told when all is done."""

    found_by = "check_each_step_is_told_before_it_begins"
    says = "A step begins when its checkpoint has returned"

    async def work(self, run: PlainRun) -> None:
        report, kept = run.report, list[tuple[str, int, int]]()
        run.report = Later(kept)
        await super().work(run)
        for step, done, of in kept:
            await report.checkpoint(step, done, of)


@frozen
class Deaf:
    """A report whose errors are not heard."""

    report: JobReport

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Tell, and go on whatever comes of it."""
        with suppress(Exception):
            await self.report.checkpoint(step, done, of)

    async def progress(self, sentence: str) -> None:
        """Drop it."""


class GoesOnUnwanted(HonestStacks):
    """Whoever runs it cannot stop it."""

    found_by = "check_an_error_of_the_report_ends_the_job"
    says = "An error that a checkpoint raises ends the job there"

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        return await super().run(order, Deaf(report))


class SaysDone(HonestStacks):
    """The lowest branches are restacked, and what is above them counts as done."""

    found_by = "check_a_restack_moves_each_branch"
    says = "A restacked branch stands on the head of its parent"

    async def restack(self, run: PlainRun, name: str) -> None:
        if (await run.parents())[name][0] == TRUNK:
            await super().restack(run, name)


class InTheOrderOfNames(HonestStacks):
    """Branches come as git lists them."""

    found_by = "check_branches_are_told_as_they_stand"
    says = "The branches of an end begin with trunk"

    async def branches(self, run: PlainRun) -> tuple[BranchSeen, ...]:
        return tuple(sorted(await super().branches(run), key=lambda one: one.name))


class DeletesWhatIsMerged(HonestStacks):
    """A branch that trunk has counts as merged, and goes."""

    found_by = "check_a_new_branch_survives_a_sync"
    says = "A sync deletes no branch"

    async def forward_trunk(self, run: PlainRun) -> None:
        await super().forward_trunk(run)
        for name in await run.parents():
            ahead = await run.git("rev-list", "--count", f"{HEADS}{TRUNK}..{HEADS}{name}")
            if ahead == "0":
                await run.git("update-ref", "-d", HEADS + name)


class RaisesWhatIsAnEnd(HonestStacks):
    """What the user asked for wrongly is an error of the port."""

    found_by = "check_what_cannot_be_done_is_an_end"
    says = "A job that cannot be done as it was asked for ends with a user error"

    async def work(self, run: PlainRun) -> None:
        try:
            await super().work(run)
        except Stopped as reason:
            raise Permanent(reason.failure.reason) from reason


class EndsWithoutAClone(HonestStacks):
    """A job without a clone is an end like any other."""

    found_by = "check_no_clone_is_permanent"
    says = "A job without a clone is Permanent"

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        try:
            return await super().run(order, report)
        except Permanent as error:
            failure = JobFailure(JobErrorKind.CONFIG_ERROR, error.reason)
            return JobEnd(JobResult(), failure, None, None, datetime.now(UTC))


class NoLock(HonestStacks):
    """Two jobs work in a clone at once."""

    found_by = "check_one_job_at_a_time"
    says = "One job works in a clone at a time"

    @asynccontextmanager
    async def opened(self, order: JobOrder, report: JobReport | None) -> AsyncIterator[PlainRun]:
        yield PlainRun(self.clones.path(order.repo_id), order, report or Later([]))


class StopsAtTheFirstConflict(HonestStacks):
    """One conflict ends the job for every stack."""

    found_by = "check_a_conflict_stops_only_its_own_stack"
    says = "A conflict in one stack leaves it where it was, and does not stop the others"

    async def restack(self, run: PlainRun, name: str) -> None:
        await super().restack(run, name)
        if run.conflicts:
            raise Stopped(JobErrorKind.CONFLICT, "a conflict")


class ConflictCountsAsDone(HonestStacks):
    """A job that nothing came of, for conflicts, succeeds."""

    found_by = "check_only_conflicts_is_a_failure"
    says = "A job that conflicts kept from moving any branch ends as a conflict"

    async def end(self, run: PlainRun, failure: JobFailure | None) -> JobEnd:
        end = await super().end(run, failure)
        return evolve(end, failure=failure)


class ChangedLostByAFailure(HonestStacks):
    """A job that failed tells nothing of what it moved."""

    found_by = "check_a_failed_job_tells_what_it_changed"
    says = "Every end of a job tells what it changed"

    async def end(self, run: PlainRun, failure: JobFailure | None) -> JobEnd:
        end = await super().end(run, failure)
        return end if failure is None else evolve(end, result=JobResult())


class SnapshotOfEachAttempt(HonestStacks):
    """Each attempt takes a snapshot of its own."""

    found_by = "check_the_same_job_goes_on"
    says = "Every end of a job tells what it changed"

    async def snapshot(self, run: PlainRun) -> None:
        await run.note("before")


class SettlingTakesBack(HonestStacks):
    """Who cancels a job gets its branches back without asking."""

    found_by = "check_settling_tells_and_does_nothing"
    says = "Settling does nothing of the job itself"

    async def settle(self, order: JobOrder) -> JobEnd:
        async with self.opened(order, None) as run:
            for name, one in (await self.changed(run)).items():
                await run.move(name, str(one.old), str(one.new))
        return await super().settle(order)


class ChangedAgainstTheRemote(HonestStacks):
    """Without a snapshot, what changed is what the remote has not."""

    found_by = "check_what_never_began_changed_nothing"
    says = "A job that never took its snapshot changed nothing"

    async def changed(self, run: PlainRun) -> dict[str, Moved]:
        if await run.noted(run.order.job_id, "before") is not None:
            return await super().changed(run)
        remote, heads = await refs_of(run.folder, "refs/remotes/origin/"), await run.heads()
        there = {name.removeprefix("refs/remotes/origin/"): head for name, head in remote.items()}
        return {
            name: Moved(there[name], head) for name, head in heads.items() if there.get(name, head) != head
        }


class CollectedWorkIsItsOwn(HonestStacks):
    """Whatever stands elsewhere was moved by the job."""

    found_by = "check_collected_work_is_no_jobs_doing"
    says = "Work that was collected meanwhile is not told as moved by the job"

    async def take_over(self, run: PlainRun) -> None:
        return None


class CancelledKeepsTheClone(HonestStacks):
    """A job that is cancelled does not let go of the clone."""

    found_by = "check_a_cancelled_job_lets_go"
    says = "A job that is cancelled lets go of the clone"
    held: ClassVar[set[str]] = set()

    @asynccontextmanager
    async def opened(self, order: JobOrder, report: JobReport | None) -> AsyncIterator[PlainRun]:
        if order.repo_id in self.held:
            raise Transient("another job has the clone")
        self.held.add(order.repo_id)
        async with super().opened(order, report) as run:
            yield run
        self.held.discard(order.repo_id)


class PushesByForce(HonestStacks):
    """What is pushed replaces whatever is there."""

    found_by = "check_a_push_overwrites_nobody"
    says = "A push never overwrites what somebody else pushed"

    async def push(self, run: PlainRun) -> None:
        for name in sorted((await self.changed(run)).keys() - {TRUNK}):
            await run.git("push", "--quiet", "--force", "origin", f"{HEADS}{name}:{HEADS}{name}")
            run.pushed[name] = await run.git("rev-parse", HEADS + name)


class UndoForgetsTheStack(HonestStacks):
    """An undo puts the branches back, and not what is stacked on what."""

    found_by = "check_undo_puts_everything_back"
    says = "An undo puts back what is stacked on what"

    async def undo(self, run: PlainRun) -> None:
        parents = await run.parents()
        await super().undo(run)
        for name, (parent, base) in parents.items():
            await run.set_parent(name, parent, base)


class UndoByForce(HonestStacks):
    """An undo puts branches back wherever they are."""

    found_by = "check_undo_over_a_moved_branch_is_refused"
    says = "An undo over a branch that moved since is refused"

    def require_unmoved(self, moves: dict[str, Moved], heads: dict[str, str]) -> None:
        return None


class UndoOnlyFromItsEnd(HonestStacks):
    """An undo that was cut off finds its own doing, and takes it for somebody else's."""

    found_by = "check_undo_again_changes_nothing"
    says = "An undo that goes on after a crash finds what is back already"

    def require_unmoved(self, moves: dict[str, Moved], heads: dict[str, str]) -> None:
        if any(heads.get(name) != one.new for name, one in moves.items()):
            raise Stopped(JobErrorKind.DIVERGED, "a branch moved since")


class UndoOfNothingIsDone(HonestStacks):
    """An undo of what nobody knows succeeds."""

    found_by = "check_undo_of_an_unknown_job_is_refused"
    says = "An undo of what nobody knows any more is a user error"

    async def undo(self, run: PlainRun) -> None:
        with suppress(Stopped, GitRefused):
            await super().undo(run)


STACK_FAULTS: tuple[type[HonestStacks], ...] = (
    SilentAboutTheTool,
    TellsAfterwards,
    GoesOnUnwanted,
    SaysDone,
    InTheOrderOfNames,
    DeletesWhatIsMerged,
    RaisesWhatIsAnEnd,
    EndsWithoutAClone,
    NoLock,
    StopsAtTheFirstConflict,
    ConflictCountsAsDone,
    ChangedLostByAFailure,
    SnapshotOfEachAttempt,
    SettlingTakesBack,
    ChangedAgainstTheRemote,
    CollectedWorkIsItsOwn,
    CancelledKeepsTheClone,
    PushesByForce,
    UndoForgetsTheStack,
    UndoByForce,
    UndoOnlyFromItsEnd,
    UndoOfNothingIsDone,
)

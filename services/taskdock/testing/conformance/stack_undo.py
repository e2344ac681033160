"""Stack undo: what a job moved is put back exactly, or nothing is touched.

Owns: `UNDO_CHECKS`.
Never: a promise that is not in `taskdock.ports.stack`.
Reads as: stack.py lists them -> stack_under_test.py -> your adapter.
"""

from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.testing.conformance.promises import require, told
from taskdock.testing.conformance.stack_under_test import PARENTS, StackCheck, StackUnderTest, Steps


async def check_undo_puts_everything_back(sut: StackUnderTest) -> None:
    """An undo puts each branch that a job moved back where it was, also what is stacked on what, and tells it."""
    bench = await sut.bench()
    await bench.advance()
    start = await bench.heads()
    order = bench.order(JobKind.REPARENT_BRANCH, "upper", "side")
    moved = await sut.jobs.run(order, Steps())
    require(
        moved.failure is None,
        "A branch is moved onto another parent",
        f"it ended with {moved.failure}",
        "do it",
    )
    before = await bench.heads()
    end = await sut.jobs.run(bench.undo(order), Steps())
    left = await bench.moved_since(start)
    require(
        end.failure is None and not left,
        "An undo puts every branch back where it was before the job",
        f"{sorted(left)} stand elsewhere, and it ended with {end.failure}",
        "put all of them back in one transaction",
    )
    await bench.require_changed(end, before)
    parents = {one.name: one.parent for one in end.branches or () if one.is_tracked}
    require(
        parents == PARENTS,
        "An undo puts back what is stacked on what, too",
        f"the parents are {parents}",
        "keep the stack's own data in the snapshot",
    )


async def check_undo_over_a_moved_branch_is_refused(sut: StackUnderTest) -> None:
    """An undo of a job whose branches moved since ends as diverged, and touches nothing, also none of the others."""
    bench = await sut.bench()
    await bench.advance()
    order = bench.order(JobKind.RESTACK_REPO)
    await sut.jobs.run(order, Steps())
    await bench.collect("side")
    before = await bench.heads()
    end = await sut.jobs.run(bench.undo(order), Steps())
    moved = await bench.moved_since(before)
    require(
        not moved and end.failure is not None and end.failure.kind is JobErrorKind.DIVERGED,
        "An undo over a branch that moved since is refused as diverged, and touches nothing",
        f"{sorted(moved)} moved, and it ended with {end.failure}",
        "move all of them by compare-and-set from where the job left them",
    )
    await bench.require_changed(end, before)


async def check_undo_again_changes_nothing(sut: StackUnderTest) -> None:
    """The same undo again is done already: it succeeds, moves nothing, and tells what it moved."""
    bench = await sut.bench()
    await bench.advance()
    order = bench.order(JobKind.RESTACK_REPO)
    await sut.jobs.run(order, Steps())
    before, undo = await bench.heads(), bench.undo(order)
    await sut.jobs.run(undo, Steps())
    done = await bench.heads()
    end = await sut.second().run(undo, Steps())
    require(
        end.failure is None and await bench.heads() == done,
        "An undo that goes on after a crash finds what is back already",
        f"{sorted(await bench.moved_since(done))} moved, and it ended with {end.failure}",
        "take a branch that is where it was before the job for put back",
    )
    await bench.require_changed(end, before)


async def check_undo_of_an_unknown_job_is_refused(sut: StackUnderTest) -> None:
    """An undo of a job whose snapshot nobody has ends as a user error, and moves nothing."""
    bench = await sut.bench()
    before = await bench.heads()
    end = await sut.jobs.run(bench.undo(bench.order(JobKind.RESTACK_REPO)), Steps())
    require(
        end.failure is not None and end.failure.kind is JobErrorKind.USER_ERROR,
        "An undo of what nobody knows any more is a user error",
        f"it ended with {end.failure}",
        "say that the snapshot is gone, and for how long one is kept",
    )
    await bench.require_changed(end, before)


UNDO_CHECKS: tuple[StackCheck, ...] = told(
    check_undo_puts_everything_back,
    check_undo_over_a_moved_branch_is_refused,
    check_undo_again_changes_nothing,
    check_undo_of_an_unknown_job_is_refused,
)

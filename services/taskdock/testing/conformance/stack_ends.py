"""Stack ends: whatever ends a job, it tells what it changed, and the next attempt goes on.

Owns: `END_CHECKS`.
Never: a promise that is not in `taskdock.ports.stack`.
Reads as: stack.py lists them -> stack_under_test.py -> your adapter.
"""

import anyio

from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobOrder
from taskdock.testing.conformance.promises import require, told
from taskdock.testing.conformance.stack_under_test import (
    AtStep,
    Cut,
    StackBench,
    StackCheck,
    StackUnderTest,
    Steps,
    cut_at,
)

_REFUSING_HOOK = "#!/bin/sh\nexit 1\n"


async def check_a_conflict_stops_only_its_own_stack(sut: StackUnderTest) -> None:
    """A branch in conflict stays where it is, is told with its files, and keeps what is above it; other stacks go on."""
    bench = await sut.bench()
    await bench.clash("lower")
    before = await bench.heads()
    end = await bench.run(JobKind.RESTACK_REPO)
    moved = await bench.moved_since(before)
    require(
        not {"lower", "upper"} & set(moved) and "side" in moved,
        "A conflict in one stack leaves it where it was, and does not stop the others",
        f"{sorted(moved)} moved",
        "go on with the next stack, and take back what the conflict left",
    )
    require(
        end.failure is None and dict(end.result.conflicts) == {"lower": ("lower.txt",)},
        "A branch in conflict is told with its files, and what could be done counts as done",
        f"it told {dict(end.result.conflicts)}, and ended with {end.failure}",
        "read the files that git left unmerged",
    )
    require(
        "upper" in end.result.blocked,
        "What is stacked on a branch in conflict is told as blocked",
        f"blocked are {dict(end.result.blocked)}",
        "name each branch above it, with the one below that is in the way",
    )
    await bench.require_changed(end, before)
    await bench.require_order()


async def check_only_conflicts_is_a_failure(sut: StackUnderTest) -> None:
    """A job that could move nothing because of conflicts ends with that failure."""
    bench = await sut.bench()
    await bench.clash("side")
    end = await bench.run(JobKind.REBASE_BRANCH, branch="side")
    require(
        end.failure is not None and end.failure.kind is JobErrorKind.CONFLICT,
        "A job that conflicts kept from moving any branch ends as a conflict",
        f"it ended with {end.failure}",
        "give that failure when nothing but trunk moved",
    )
    await bench.require_order()


async def check_a_failed_job_tells_what_it_changed(sut: StackUnderTest) -> None:
    """A job that failed after it had moved branches tells them, as one that succeeded does."""
    bench = await sut.bench()
    await bench.advance()
    hook = anyio.Path(bench.remote.folder / "hooks" / "pre-receive")
    await hook.write_text(_REFUSING_HOOK)
    await hook.chmod(0o755)
    before = await bench.heads()
    end = await bench.run(JobKind.RESTACK_REPO, push=True)
    require(
        end.failure is not None,
        "A push that the remote refuses is a failure of the job",
        "it ended without one",
        "read what the remote answers for each branch",
    )
    await bench.require_stacked()
    await bench.require_changed(end, before)


async def check_the_same_job_goes_on(sut: StackUnderTest) -> None:
    """The same job again goes on where it was cut off: what is done is not done twice, and all of it is told."""
    bench = await sut.bench()
    await bench.advance()
    order, before = bench.order(JobKind.RESTACK_REPO), await bench.heads()
    await _cut(bench, order_at := cut_at("post_sync"), order)
    done = await bench.heads()
    require(
        "act" in order_at.told and done != before,
        "The step act is over when post_sync is told",
        "no branch had moved by then",
        "tell a step when it begins",
    )
    end = await sut.second().run(order, Steps())
    require(
        end.failure is None and await bench.heads() == done,
        "What a job has done is not done twice",
        f"the branches moved again, or it ended with {end.failure}",
        "look where each branch stands before you move it",
    )
    await bench.require_changed(end, before)


async def check_settling_tells_and_does_nothing(sut: StackUnderTest) -> None:
    """Settling tells what a job that was cut off had changed, leaves the clone in order, and does nothing more."""
    bench = await sut.bench()
    await bench.advance()
    order, before = bench.order(JobKind.RESTACK_REPO), await bench.heads()
    await _cut(bench, cut_at("post_sync"), order)
    done = await bench.heads()
    for jobs in (sut.jobs, sut.second()):
        end = await jobs.settle(order)
        require(
            await bench.heads() == done,
            "Settling does nothing of the job itself",
            f"{sorted(await bench.moved_since(done))} moved",
            "only put the clone in order, and read",
        )
        await bench.require_changed(end, before)
        await bench.require_order()


async def check_what_never_began_changed_nothing(sut: StackUnderTest) -> None:
    """A job that never took its snapshot changed nothing, whatever stands elsewhere by now."""
    bench = await sut.bench()
    await bench.advance()
    order = bench.order(JobKind.RESTACK_REPO)
    await _cut(bench, cut_at("snapshot"), order)
    await bench.run(JobKind.RESTACK_REPO)
    end = await sut.jobs.settle(order)
    require(
        not end.result.changed,
        "A job that never took its snapshot changed nothing",
        f"it tells of {dict(end.result.changed)}",
        "tell moves only against a snapshot that this job took",
    )


async def check_collected_work_is_no_jobs_doing(sut: StackUnderTest) -> None:
    """What collected work moved while a cut-off job did not hold the clone is not told as the job's, nor settled away."""
    bench = await sut.bench()
    await bench.advance()
    for is_settled in (False, True):
        order = bench.order(JobKind.SYNC_REPO)
        await _cut(bench, cut_at("pre_sync"), order)
        commit = await bench.collect("side" if is_settled else "upper")
        end = await (sut.jobs.settle(order) if is_settled else sut.jobs.run(order, Steps()))
        told_as_its_own = [one for one in end.result.changed.values() if one.new == commit]
        require(
            not told_as_its_own,
            "Work that was collected meanwhile is not told as moved by the job",
            f"it tells of {dict(end.result.changed)} after {'settling' if is_settled else 'going on'}",
            "take what the clone store moved over into the snapshot, also before you settle",
        )
        require(commit in (await bench.heads()).values(), "No job drops work that was collected")


async def check_a_cancelled_job_lets_go(sut: StackUnderTest) -> None:
    """A job that is cancelled lets go of the clone; settling then tells what it had changed, and the next job runs."""
    bench = await sut.bench()
    await bench.advance()
    order, before = bench.order(JobKind.RESTACK_REPO), await bench.heads()
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            scope.cancel()

        await sut.jobs.run(order, AtStep(step="act", act=cancel))
    end = await sut.second().settle(order)
    await bench.require_changed(end, before)
    await bench.require_order()
    after = await bench.run(JobKind.RESTACK_REPO)
    require(
        after.failure is None,
        "The next job runs after one that was cancelled",
        f"it ended with {after.failure}",
        "let go of the lock",
    )
    await bench.require_stacked()


async def check_a_push_overwrites_nobody(sut: StackUnderTest) -> None:
    """A push leaves alone what somebody pushed meanwhile, and tells it; what it pushed is told with the head."""
    bench = await sut.bench()
    await bench.advance()
    newer: list[str] = []

    async def push() -> None:
        newer.append(await bench.remote.push("side", "newer.txt", "newer\n"))

    end = await sut.jobs.run(bench.order(JobKind.RESTACK_REPO, push=True), AtStep(step="post_sync", act=push))
    require(
        await bench.remote.head("side") == newer[0],
        "A push never overwrites what somebody else pushed",
        f"the remote's branch is at {await bench.remote.head('side')}, and {newer[0]} was pushed",
        "push with a lease that names the head that the job saw",
    )
    pushed = {name: await bench.remote.head(name) for name in ("lower", "upper")}
    require(
        dict(end.result.pushed) == pushed == {name: await bench.head(name) for name in pushed},
        "What a job pushed is told with the head that the remote has now",
        f"the remote has {pushed}, and it tells of {dict(end.result.pushed)}",
        "read the remote's answer for each branch",
    )


async def _cut(bench: StackBench, report: AtStep, order: JobOrder) -> None:
    """Run a job until its report ends it."""
    try:
        await bench.sut.jobs.run(order, report)
    except Cut:
        return
    require(
        holds=False,
        promise="An error that a checkpoint raises ends the job there, and is raised by run",
        seen=f"nothing was raised at {report.step}",
        mend="let it through",
    )


END_CHECKS: tuple[StackCheck, ...] = told(
    check_a_conflict_stops_only_its_own_stack,
    check_only_conflicts_is_a_failure,
    check_a_failed_job_tells_what_it_changed,
    check_the_same_job_goes_on,
    check_settling_tells_and_does_nothing,
    check_what_never_began_changed_nothing,
    check_collected_work_is_no_jobs_doing,
    check_a_cancelled_job_lets_go,
    check_a_push_overwrites_nobody,
)

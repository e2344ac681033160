"""Stack conformance: what every adapter of repo jobs must keep, as checks without a test runner.

Owns: `STACK_CHECKS`; each check takes a `StackUnderTest` and raises AssertionError with the broken promise.
Never: a promise that is not in `taskdock.ports.stack`.
Reads as: your test -> a check (ends in stack_ends.py, undo in stack_undo.py) -> your adapter, on real git repositories.

How to use it, with pytest and anyio's plugin:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", STACK_CHECKS, ids=lambda check: check.__name__)
    async def test_my_jobs(check, tmp_path):
        clones = MyClones(tmp_path / "clones")
        await check(StackUnderTest(MyJobs(clones), lambda: MyJobs(clones), clones, tmp_path))

The checks make their remotes with the git of this host. What only a killed process shows is not here.
"""

import anyio

from taskdock.core.errors import Permanent
from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobOrder
from taskdock.testing.conformance.clone_repos import git
from taskdock.testing.conformance.promises import refused, require, told
from taskdock.testing.conformance.stack_ends import END_CHECKS
from taskdock.testing.conformance.stack_under_test import (
    AtStep,
    Cut,
    StackCheck,
    StackUnderTest,
    Steps,
    cut_at,
)
from taskdock.testing.conformance.stack_undo import UNDO_CHECKS

__all__ = ["STACK_CHECKS", "StackCheck", "StackUnderTest"]

STEPS = ("lock", "preflight", "snapshot", "pre_sync", "act", "post_sync")
_WAIT_SECONDS = 1.0
"""So long a job that must wait is watched doing so."""
_BEGIN_SECONDS_MAX = 60.0


async def check_probe_tells_of_the_tool(sut: StackUnderTest) -> None:
    """Probing tells the name of the tool, and its version, or why there is none and what to do."""
    tool = await sut.jobs.probe()
    require(
        bool(tool.name) and bool(tool.version or tool.hint),
        "probe tells the tool's name, and its version or a hint",
        f"it told {tool}",
        "say in the hint why there is none, and how to get one",
    )


async def check_each_step_is_told_before_it_begins(sut: StackUnderTest) -> None:
    """A job tells each step before it begins, in the order of the port; no branch moves before the snapshot is taken."""
    bench = await sut.bench()
    await bench.advance()
    before = await bench.heads()

    async def look() -> None:
        moved = await bench.moved_since(before)
        require(
            not moved,
            "A step begins when its checkpoint has returned, not before",
            f"{sorted(moved)} had moved when the step pre_sync was told",
            "await the checkpoint, then begin",
        )

    report = AtStep(step="pre_sync", act=look)
    end = await sut.jobs.run(bench.order(JobKind.RESTACK_REPO), report)
    order = list(dict.fromkeys(report.told))
    require(
        end.failure is None and order == list(STEPS),
        "A job tells each of its steps, in the order of the port",
        f"it told {order}, and ended with {end.failure}",
        f"tell {', '.join(STEPS)}",
    )
    counts = [count for step, count in zip(report.told, report.counts, strict=True) if step == "act"]
    require(
        all(0 <= done < of for done, of in counts),
        "The step act is told with how much of it is done",
        f"it told {counts}",
        "give done and of, counted from 0",
    )


async def check_an_error_of_the_report_ends_the_job(sut: StackUnderTest) -> None:
    """What a checkpoint raises ends the job there, and is what run raises; nothing of the step was done."""
    bench = await sut.bench()
    await bench.advance()
    before = await bench.heads()
    for step in STEPS[:4]:
        raised = False
        try:
            await sut.jobs.run(bench.order(JobKind.RESTACK_REPO), cut_at(step))
        except Cut:
            raised = True
        moved = await bench.moved_since(before)
        require(
            raised and not moved,
            "An error that a checkpoint raises ends the job there, and is raised by run",
            f"at {step} it was {'raised' if raised else 'swallowed'}, and {sorted(moved)} moved",
            "let it through: who runs the job is not wanted any more",
        )


async def check_a_restack_moves_each_branch(sut: StackUnderTest) -> None:
    """A restack has each stacked branch stand on its parent, tells what moved, and leaves the rest alone."""
    bench = await sut.bench()
    head = await bench.advance()
    before = await bench.heads()
    end = await bench.run(JobKind.RESTACK_REPO)
    require(
        end.failure is None, "A restack without a conflict succeeds", f"it ended with {end.failure}", "do it"
    )
    await bench.require_stacked()
    await bench.require_changed(end, before)
    await bench.require_order()
    require(
        end.trunk_head == head == await bench.head("main"),
        "Before it acts a job follows the remote's trunk",
        f"trunk is at {await bench.head('main')}, and told at {end.trunk_head}; the remote has {head}",
        "fetch, and move trunk forward",
    )


async def check_branches_are_told_as_they_stand(sut: StackUnderTest) -> None:
    """An end tells every branch with head, parent and depth: trunk first, then each stack from the bottom up."""
    bench = await sut.bench()
    end = await bench.run(JobKind.SYNC_REPO)
    seen = {one.name: one for one in end.branches or ()}
    names, heads = list(seen), await bench.heads()
    require(
        {name: one.head for name, one in seen.items()}.items() >= heads.items(),
        "The branches of an end stand where the clone has them",
        f"of {heads} it told {seen}",
        "read them after everything else",
    )
    parents = {name: one.parent for name, one in seen.items() if one.is_tracked}
    wanted = {"lower": "main", "upper": "lower", "side": "main"}
    depths = [seen[name].depth for name in ("main", "lower", "upper", "side") if name in seen]
    require(
        parents == wanted and depths == [0, 1, 2, 1],
        "The branches of an end have their parents and depths",
        f"parents {parents}, depths {depths}",
        "read them from the stack",
    )
    require(
        names[:1] == ["main"] and names.index("lower") < names.index("upper"),
        "The branches of an end begin with trunk, and each stack with its lowest",
        f"they come as {names}",
        "give them in the order of the stacks",
    )


async def check_a_new_branch_survives_a_sync(sut: StackUnderTest) -> None:
    """A branch without a commit of its own survives a sync: it may be a task's of just now."""
    bench = await sut.bench()
    await git(bench.folder, "update-ref", "refs/heads/brand-new", "refs/heads/main")
    end = await bench.run(JobKind.REGISTER_EXISTING_BRANCH, branch="brand-new", parent="main")
    require(
        end.failure is None,
        "A branch of the clone is registered",
        f"it ended with {end.failure}",
        "take it in",
    )
    await bench.advance()
    await bench.run(JobKind.SYNC_REPO)
    require(
        await bench.head("brand-new") is not None,
        "A sync deletes no branch",
        "one without a commit of its own is gone",
        "move trunk with plain git, and take nothing for merged",
    )


async def check_what_cannot_be_done_is_an_end(sut: StackUnderTest) -> None:
    """A job that cannot be done as it was asked for ends with a user error, and moves nothing."""
    bench = await sut.bench()
    before = await bench.heads()
    end = await bench.run(JobKind.REBASE_BRANCH, branch="nobody-has-it")
    failure = end.failure
    require(
        failure is not None and failure.kind is JobErrorKind.USER_ERROR and bool(failure.reason),
        "A branch that no stack has is a user error, told as the end of the job",
        f"it ended with {failure}",
        "give an end whose failure says what to do",
    )
    await bench.require_changed(end, before)


async def check_no_clone_is_permanent(sut: StackUnderTest) -> None:
    """A job of a repo that has no clone is refused as Permanent."""
    order = JobOrder("job-nowhere", "repo-0000000000000000", JobKind.SYNC_REPO)
    with refused(Permanent, "A job without a clone is Permanent", "say that the repo has to be cloned first"):
        await sut.jobs.run(order, Steps())


async def check_one_job_at_a_time(sut: StackUnderTest) -> None:
    """A second job waits for the lock of the clone while another one works in it, also in another process."""
    bench, second = await sut.bench(), Steps()
    await bench.advance()

    async def while_it_works() -> None:
        group.start_soon(sut.second().run, bench.order(JobKind.SYNC_REPO), second)
        with anyio.move_on_after(_BEGIN_SECONDS_MAX):
            while not second.told:  # noqa: ASYNC110 - the report is told, and tells nobody
                await anyio.sleep(0.01)
        await anyio.sleep(_WAIT_SECONDS)
        require(
            second.told == ["lock"],
            "One job works in a clone at a time",
            f"the second one told {second.told} while the first was at work",
            "hold a lock that every process and every git of a job shares",
        )

    report = AtStep(step="post_sync", act=while_it_works)
    async with anyio.create_task_group() as group:
        end = await sut.jobs.run(bench.order(JobKind.RESTACK_REPO), report)
        require(
            end.failure is None,
            "A job is not disturbed by one that waits",
            f"it ended with {end.failure}",
            "do it",
        )
    require(
        "post_sync" in second.told,
        "The job that waited is done afterwards",
        f"it told {second.told}",
        "let go of the lock at the end",
    )


STACK_CHECKS: tuple[StackCheck, ...] = (
    *told(
        check_probe_tells_of_the_tool,
        check_each_step_is_told_before_it_begins,
        check_an_error_of_the_report_ends_the_job,
        check_a_restack_moves_each_branch,
        check_branches_are_told_as_they_stand,
        check_a_new_branch_survives_a_sync,
        check_what_cannot_be_done_is_an_end,
        check_no_clone_is_permanent,
        check_one_job_at_a_time,
    ),
    *END_CHECKS,
    *UNDO_CHECKS,
)

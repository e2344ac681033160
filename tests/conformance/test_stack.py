"""Every adapter of repo jobs of ours keeps every promise of the stack port, and the checks find those that do not."""

from pathlib import Path

import pytest

from conformance.broken_stacks import STACK_FAULTS, HonestStacks
from plain_stack import PlainStackJobs
from stack_fixture import GIT_SPICE, require_git_spice
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.stack.jobs import GitStackJobs
from taskdock.testing.conformance.promises import PromiseBroken
from taskdock.testing.conformance.stack import STACK_CHECKS, StackCheck, StackUnderTest

pytestmark = pytest.mark.anyio

CHECKS = {check.__name__: check for check in STACK_CHECKS}


@pytest.mark.parametrize("check", STACK_CHECKS, ids=lambda check: check.__name__)
async def test_git_spice(check: StackCheck, tmp_path: Path) -> None:
    """The jobs that the real git-spice carries out keep the promise."""
    require_git_spice()

    def jobs() -> GitStackJobs:
        return GitStackJobs(GitClones(tmp_path / "clones"), tool_path=GIT_SPICE)

    await check(StackUnderTest(jobs(), jobs, GitClones(tmp_path / "clones"), tmp_path))


@pytest.mark.parametrize("check", STACK_CHECKS, ids=lambda check: check.__name__)
async def test_plain_git(check: StackCheck, tmp_path: Path) -> None:
    """The fake, which moves branches with plain git, keeps the promise."""

    def jobs() -> PlainStackJobs:
        return PlainStackJobs(GitClones(tmp_path / "clones"))

    await check(StackUnderTest(jobs(), jobs, GitClones(tmp_path / "clones"), tmp_path))


@pytest.mark.parametrize("fault", STACK_FAULTS, ids=lambda fault: fault.__name__)
async def test_fault_is_found(fault: type[HonestStacks], tmp_path: Path) -> None:
    """The check that is for it finds the fault, and says the promise, what was seen and how to mend it."""

    def jobs() -> HonestStacks:
        return fault(GitClones(tmp_path / "clones"))

    with pytest.raises(PromiseBroken) as found:
        await CHECKS[fault.found_by](StackUnderTest(jobs(), jobs, GitClones(tmp_path / "clones"), tmp_path))
    assert fault.says in found.value.promise
    assert found.value.seen
    assert found.value.mend


def test_no_check_is_idle() -> None:
    """Each check is the one that finds some fault; a check that finds none proves nothing."""
    assert CHECKS.keys() == {fault.found_by for fault in STACK_FAULTS}

"""The checks find what they are for: each fault planted in a real provider, by a sentence that says how to mend it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from conformance.broken_access import ACCESS_FAULTS
from conformance.broken_provider import PROVIDER_FAULTS, BusyWhileDestroyed, BusyWhileItComesUp
from conformance.broken_stacks import STACK_FAULTS
from conformance.honest_provider import Honest, clear, under_test
from taskdock.testing.conformance.promises import PromiseBroken
from taskdock.testing.conformance.sandbox import ACCESS_CHECKS, PROVIDER_CHECKS, SANDBOX_CHECKS

if TYPE_CHECKING:
    from taskdock.ports.sandbox import SandboxSpec

pytestmark = pytest.mark.anyio

FAULTS = (*PROVIDER_FAULTS, *ACCESS_FAULTS)
CHECKS = {check.__name__: check for check in SANDBOX_CHECKS}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_fault_is_found(fault: type[Honest], tmp_path: Path) -> None:
    """The check that is for it finds the fault, and says the promise, what was seen and how to mend it."""
    made: list[SandboxSpec] = []
    try:
        with pytest.raises(PromiseBroken) as found:
            await CHECKS[fault.found_by](under_test(fault, tmp_path, made))
    finally:
        with anyio.CancelScope(shield=True):
            await clear(tmp_path, made)
    sentence = str(found.value)
    assert fault.says in found.value.promise
    assert found.value.seen
    assert found.value.mend
    assert "\n" not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("name", sorted({fault.found_by for fault in FAULTS}))
async def test_without_a_fault_nothing_is_found(name: str, tmp_path: Path) -> None:
    """The provider that the faults are planted in keeps every promise that they break."""
    made: list[SandboxSpec] = []
    try:
        await CHECKS[name](under_test(Honest, tmp_path, made))
    finally:
        with anyio.CancelScope(shield=True):
            await clear(tmp_path, made)


@pytest.mark.parametrize("fault", [BusyWhileDestroyed, BusyWhileItComesUp])
async def test_failed_check_takes_its_sandboxes_away(fault: type[Honest], tmp_path: Path) -> None:
    """A check that failed asks for the end of what it made until there is none, also of a provider that refuses at first."""
    made: list[SandboxSpec] = []
    with pytest.raises(PromiseBroken):
        await CHECKS[fault.found_by](under_test(fault, tmp_path, made))
    left = [one.ref.name for one in made if (tmp_path / one.ref.name).exists()]
    await clear(tmp_path, made)
    assert made
    assert left == []


def test_both_halves_are_broken_often_enough() -> None:
    """At least fourteen faults for either half, each with a docstring and a check of the kit."""
    assert len(PROVIDER_FAULTS) >= 14
    assert len(ACCESS_FAULTS) >= 14
    assert {fault.found_by for fault in FAULTS} <= CHECKS.keys()
    assert all(fault.__doc__ for fault in FAULTS)
    assert len({fault.__name__ for fault in FAULTS}) == len(FAULTS)


def test_no_check_is_idle() -> None:
    """Each check of either half is the one that finds some fault; a check that finds none proves nothing."""
    idle = CHECKS.keys() - {fault.found_by for fault in FAULTS}
    assert len(PROVIDER_CHECKS) + len(ACCESS_CHECKS) == len(SANDBOX_CHECKS) == len(CHECKS)
    assert idle == set()


def test_page_shows_the_faults() -> None:
    """The page of the kit has a row for each fault, of providers and of repo jobs: what is wrong, and the check that finds it."""
    page = (Path(__file__).parents[2] / "docs/conformance.md").read_text()
    faults: tuple[Any, ...] = (*FAULTS, *STACK_FAULTS)
    rows = [
        f"| `{fault.__name__}` | {(fault.__doc__ or '').rstrip('.')} | `{fault.found_by}` |"
        for fault in faults
    ]
    shown = [
        line
        for line in page.splitlines()
        if line.startswith("| `") and line.endswith("` |") and "check_" in line
    ]
    assert shown == rows, "\n".join(rows)

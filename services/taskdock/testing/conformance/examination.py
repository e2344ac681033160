"""Examination: runs the checks of a port on an adapter without a test runner, and tells what it found.

Owns: `examine`, `Report`, `Finding` and `Verdict`.
Never: a check of its own; a check that is left out because an earlier one failed.
Reads as: your program, or `python -m taskdock.testing.conformance` -> this -> the checks -> your adapter.

    report = await examine(SANDBOX_CHECKS, my_under_test)
    print(report)
    report.require_kept()
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import TypeVar

from attrs import frozen

from taskdock.testing.conformance.promises import Check, NotExamined, promise_of

_UnderTest = TypeVar("_UnderTest")


class Verdict(Enum):
    """What became of one check."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_EXAMINED = "not examined"


@frozen
class Finding:
    """One check and what became of it."""

    check: str
    """The name of the check, e.g. `check_ensure_again_adopts`."""
    promise: str
    """What it is about."""
    verdict: Verdict
    sentence: str = ""
    """Which promise was broken and how to mend it, or what it would take to examine it."""
    notes: tuple[str, ...] = ()
    """What came on top, e.g. that something could not be cleared away."""

    def __str__(self) -> str:
        """One line, and more where there is more to say."""
        lines = [f"{self.verdict.value:12}  {self.check}"]
        return "\n".join([*lines, *(f"    {text}" for text in (self.sentence, *self.notes) if text)])


@frozen
class Report:
    """The findings on one adapter, in the order of the checks."""

    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Those whose promise was broken."""
        return tuple(finding for finding in self.findings if finding.verdict is Verdict.BROKEN)

    def require_kept(self) -> None:
        """Raise AssertionError with the sentence of every promise that was broken, if any was."""
        if self.broken:
            raise AssertionError("\n".join(f"{one.check}: {one.sentence}" for one in self.broken))

    def __str__(self) -> str:
        """Every finding, and the sum of them."""
        counts = {verdict: sum(one.verdict is verdict for one in self.findings) for verdict in Verdict}
        total = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
        return "\n".join([*map(str, self.findings), total or "nothing to examine"])


async def examine(
    checks: Sequence[Check[_UnderTest]],
    opened: Callable[[], AbstractAsyncContextManager[_UnderTest]],
    tell: Callable[[Finding], None] | None = None,
) -> Report:
    """Run every check, each on an adapter of its own that `opened` gives and takes back; `tell` hears each finding at once.

    What `opened` itself raises is no finding: it comes out as it is.
    """
    findings: list[Finding] = []
    for check in checks:
        async with opened() as under_test:
            finding = await _examined(check, under_test)
        findings.append(finding)
        if tell is not None:
            tell(finding)
    return Report(tuple(findings))


async def _examined(check: Check[_UnderTest], under_test: _UnderTest) -> Finding:
    name, promise = check.__name__, promise_of(check)
    try:
        await check(under_test)
    except NotExamined as missing:
        return Finding(name, promise, Verdict.NOT_EXAMINED, str(missing))
    except AssertionError as broken:
        return Finding(name, promise, Verdict.BROKEN, str(broken), tuple(getattr(broken, "__notes__", ())))
    return Finding(name, promise, Verdict.KEPT)

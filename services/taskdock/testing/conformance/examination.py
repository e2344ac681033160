"""Examination: runs the checks of a port on an adapter without a test runner, and tells what it found.

Owns: `examine`, `command`, `Report`, `Finding` and `Verdict`.
Never: a check of its own; a check that is left out because an earlier one failed.
Reads as: your program -> this -> the checks -> your adapter.

    report = await examine(SANDBOX_CHECKS, opened)         # in a program
    raise SystemExit(command(SANDBOX_CHECKS, opened))      # as a command of its own
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import TypeVar

import anyio
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

    @property
    def total(self) -> str:
        """How many were kept, broken and not examined, in a line."""
        counts = {verdict: sum(one.verdict is verdict for one in self.findings) for verdict in Verdict}
        return (
            ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count) or "no check"
        )

    def __str__(self) -> str:
        """Every finding, and the sum of them."""
        return "\n".join([*map(str, self.findings), self.total])


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


def command(
    checks: Sequence[Check[_UnderTest]],
    opened: Callable[[], AbstractAsyncContextManager[_UnderTest]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Examine as a command does: print each finding as it comes and their sum, and give the exit code.

    That is 0 when every promise was kept, 1 when one was broken; `--only CHECK` (which may be repeated) runs that one
    alone, `--trio` runs on trio. A wrong argument ends the process with 2, as with every command.
    """
    names = [check.__name__ for check in checks]
    parser = argparse.ArgumentParser(description="Examine an adapter against the promises of its port.")
    parser.add_argument("--only", metavar="CHECK", choices=names, action="append", help=", ".join(names))
    parser.add_argument("--trio", action="store_true", help="run on trio instead of asyncio")
    given = parser.parse_args(arguments)
    chosen = [check for check in checks if not given.only or check.__name__ in given.only]

    async def work() -> Report:
        return await examine(chosen, opened, _tell)

    report = anyio.run(work, backend="trio" if given.trio else "asyncio")
    sys.stdout.write(f"{report.total}\n")
    return 1 if report.broken else 0


def _tell(finding: Finding) -> None:
    sys.stdout.write(f"{finding}\n")
    sys.stdout.flush()


async def _examined(check: Check[_UnderTest], under_test: _UnderTest) -> Finding:
    name, promise = check.__name__, promise_of(check)
    try:
        await check(under_test)
    except NotExamined as missing:
        return Finding(name, promise, Verdict.NOT_EXAMINED, str(missing))
    except AssertionError as broken:
        return Finding(name, promise, Verdict.BROKEN, str(broken), tuple(getattr(broken, "__notes__", ())))
    return Finding(name, promise, Verdict.KEPT)

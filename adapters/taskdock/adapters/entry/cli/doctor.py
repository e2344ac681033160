"""Doctor: what is installed, what is degraded, and how to mend it.

Owns: `taskdock doctor`.
Never: a repair; it says what to do.
Reads as: app.py -> `command` -> the app's checks.
"""

from collections.abc import Sequence

import anyio
import attrs
import click

from taskdock.adapters.entry.cli import output
from taskdock.adapters.entry.cli.checks import Check
from taskdock.adapters.entry.cli.exit_codes import ExitCode
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.core.errors import Unsupported


@click.command("doctor", cls=Command)
@click.pass_context
def command(context: click.Context) -> None:
    """Check what this installation needs, and say how to mend it; 1 when something essential is missing."""
    invocation = Invocation.of(context)
    ask = invocation.installation.checks
    if ask is None:
        raise Unsupported("This installation brings no checks.")
    checks = anyio.run(ask, invocation.home)
    ok = all(check.ok or not check.essential for check in checks)
    if invocation.json:
        output.document({"ok": ok, "checks": [attrs.asdict(check) for check in checks]})
    else:
        output.lines(_lines(checks))
    context.exit(ExitCode.OK if ok else ExitCode.FAILED)


def _lines(checks: Sequence[Check]) -> list[str]:
    rows = [(_verdict(check), check.name, check.detail) for check in checks]
    lines = output.table(("", "CHECK", "FOUND"), rows)
    mends = [f"{check.name}: {check.mend}" for check in checks if not check.ok and check.mend]
    return [*lines, *(["", "To mend:"] if mends else []), *(f"  {mend}" for mend in mends)]


def _verdict(check: Check) -> str:
    if check.ok:
        return "ok"
    return "FAILED" if check.essential else "degraded"

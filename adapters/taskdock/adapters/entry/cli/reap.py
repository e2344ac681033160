"""Reap: sandboxes that are ours at a provider and that no task needs, shown and ended.

Owns: `taskdock reap`.
Never: a decision; the reaper judges, and each task has the last word about its own sandbox.
Reads as: app.py -> `command` -> the app's reaper -> services/reaper.py.
"""

from pathlib import Path

import anyio
import attrs
import click

from taskdock.adapters.entry.cli import output
from taskdock.adapters.entry.cli.exit_codes import ExitCode
from taskdock.adapters.entry.cli.invocation import Command, Invocation, Reapers
from taskdock.core.errors import Unsupported
from taskdock.services.reaper import Fate, Found, Round


@click.command("reap", cls=Command)
@click.option("--dry-run", is_flag=True, help="Only say what would be ended, and why.")
@click.option(
    "--age", type=click.FloatRange(0), metavar="SECONDS", help="How old at least; else as configured."
)
@click.pass_context
def command(context: click.Context, *, dry_run: bool, age: float | None) -> None:
    """End sandboxes that no task needs: of no task, of a killed one, of an earlier generation.

    Prints what was (or with --dry-run: would be) ended; 1 when a provider could not be asked or could not end one.
    """
    invocation = Invocation.of(context)
    reapers = invocation.installation.reapers
    if reapers is None:
        raise Unsupported("This installation brings no reaper.")
    ended = anyio.run(_round, reapers, invocation.home, dry_run, age)
    _show(invocation, ended)
    for name, reason in ended.failures.items():
        output.echo(f"taskdock: the sandboxes of {name} cannot be listed: {reason}", err=True)
    bad = bool(ended.failures) or bool(ended.of(Fate.FAILED))
    context.exit(ExitCode.FAILED if bad else ExitCode.OK)


async def _round(reapers: Reapers, home: Path, dry_run: bool, age: float | None) -> Round:  # noqa: FBT001 - anyio.run passes by place
    async with reapers(home) as reaper:
        if age is not None:
            reaper.age_seconds_min = age
        return await (reaper.plan() if dry_run else reaper.reap())


def _show(invocation: Invocation, ended: Round) -> None:
    if invocation.json:
        output.document(
            {"sandboxes": [_document(one) for one in ended.found], "failures": dict(ended.failures)}
        )
    elif invocation.tells_people:
        rows = [(one.fate.value, one.ref.provider, one.ref.name, one.reason) for one in ended.found]
        columns = output.terminal_columns()
        output.lines(output.table(("", "PROVIDER", "SANDBOX", "WHY"), rows, columns) if rows else [])
    else:
        output.lines(one.ref.name for one in ended.found if one.fate in (Fate.REAPED, Fate.TO_REAP))


def _document(found: Found) -> dict[str, object]:
    at = found.created_at
    return {
        "provider": found.ref.provider,
        "sandbox": found.ref.name,
        "fate": found.fate.value,
        **attrs.asdict(found, filter=attrs.filters.include("reason", "task_id", "generation")),
        "created_at": at.isoformat() if at else None,
        "takes": dict(found.takes),
        "cost_hourly": found.cost_hourly,
    }

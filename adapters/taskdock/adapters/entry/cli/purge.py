"""Purge: what retention removes from the store: history, feed and keys that are old enough.

Owns: `taskdock purge`.
Never: a rule; the configuration says how long what is kept.
Reads as: app.py -> `command` -> the app's `Purge` -> services/retention.py.
"""

import anyio
import attrs
import click

from taskdock.adapters.entry.cli import output
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.core.errors import Unsupported


@click.command("purge", cls=Command)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.pass_context
def command(context: click.Context, *, dry_run: bool) -> None:
    """Remove what is older than the configuration keeps it; the process that schedules does so by itself, too."""
    invocation = Invocation.of(context)
    purge = invocation.installation.purge
    if purge is None:
        raise Unsupported("This installation brings no retention.")
    removed = anyio.run(purge, invocation.home, dry_run)
    if invocation.json:
        output.document({"dry_run": dry_run, "removed": [attrs.asdict(one) for one in removed]})
    else:
        rows = [(one.kind, one.rows, one.rule) for one in removed]
        output.lines(output.table(("KIND", "ROWS", "RULE"), rows, output.terminal_columns()))

"""Store: the commands that look after the file in which everything is kept.

Owns: `taskdock store check|migrate|backup`.
Never: SQL; the app brings what the store's own adapter can do.
Reads as: app.py -> `command` -> the app's `StoreUpkeep` -> adapters/store/sqlite/upkeep.py.
"""

from pathlib import Path

import click

from taskdock.adapters.entry.cli import output
from taskdock.adapters.entry.cli.exit_codes import ExitCode
from taskdock.adapters.entry.cli.invocation import Group, Invocation
from taskdock.adapters.entry.cli.upkeep import StoreUpkeep
from taskdock.core.errors import Unsupported

command = Group("store", help="The store: one file in the home that holds everything.")


@command.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Read the whole store and say what is wrong with it; 1 when something is."""
    invocation = Invocation.of(context)
    problems = list(_upkeep(invocation).check(invocation.home))
    if invocation.json:
        output.document({"ok": not problems, "problems": problems})
    elif invocation.tells_people:
        output.lines(problems or ["The store is whole."])
    else:
        output.lines(problems)
    context.exit(ExitCode.FAILED if problems else ExitCode.OK)


@command.command()
@click.pass_context
def migrate(context: click.Context) -> None:
    """Bring the store to the version that this Taskdock writes, at once; every process does so when it opens it."""
    invocation = Invocation.of(context)
    before, after = _upkeep(invocation).migrate(invocation.home)
    if invocation.json:
        output.document({"before": before, "after": after})
    elif invocation.tells_people:
        output.echo(f"version {before} -> {after}" if before != after else f"version {after}, nothing to do")
    else:
        output.echo(str(after))


@command.command()
@click.argument("into", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def backup(context: click.Context, *, into: Path) -> None:
    """Write a copy of the store to PATH, whole and of one moment, while others go on using it. PATH must not exist."""
    invocation = Invocation.of(context)
    size = _upkeep(invocation).backup(invocation.home, into.absolute())
    if invocation.json:
        output.document({"path": str(into.absolute()), "bytes": size})
    elif invocation.tells_people:
        output.echo(f"{size:,} bytes in {into}")
    else:
        output.echo(str(into.absolute()))


def _upkeep(invocation: Invocation) -> StoreUpkeep:
    upkeep = invocation.installation.store
    if upkeep is None:
        raise Unsupported("The store of this installation is not kept up from here.")
    return upkeep

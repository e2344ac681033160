"""Command: `python -m taskdock.testing.kill_matrix --config taskdock.toml [--only provider.ensure]`.

Owns: the command's options, its table and its exit code: 0 all promises held, 1 some did not, 2 it could not be asked.
Never: a judgement of its own.
Reads as: a shell -> this -> `KillMatrix.run` -> the table on stdout.
"""

import sys
import time
from pathlib import Path

import anyio
import click

from taskdock.core.errors import CommandRejected
from taskdock.testing.kill_matrix.cells import CELLS, Cell, chosen
from taskdock.testing.kill_matrix.matrix import KillMatrix
from taskdock.testing.kill_matrix.process import Patience
from taskdock.testing.kill_matrix.verdicts import Verdict, summary

_HELD, _BROKEN = 0, 1


@click.command(
    help="Kill a serving process at each gate of each port, start it again, and judge what is there."
)
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A taskdock.toml."
)
@click.option("--provider", help="Which provider; without, the config's first.")
@click.option(
    "--only", multiple=True, help="A port, a method, a gate, a journey, or a pattern; may be repeated."
)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="How many trials at once.")
@click.option(
    "--seconds-max", type=float, default=Patience().seconds_max, show_default=True, help="For one wait."
)
@click.option("--list-seconds", type=float, default=0.0, show_default=True, help="How long a list may lag.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where homes and logs go.")
@click.option("--list", "lists", is_flag=True, help="Name the kills, and do nothing.")
def main(  # noqa: PLR0913 - one for each option
    *,
    config: Path | None,
    provider: str | None,
    only: tuple[str, ...],
    jobs: int,
    seconds_max: float,
    list_seconds: float,
    folder: Path | None,
    lists: bool,
) -> None:
    """Read the options, run the matrix, and exit."""
    cells = chosen(only)
    if not cells:
        raise click.UsageError(
            f"--only fits no kill; there are, for example, {CELLS[0].name} and {CELLS[-1].name}."
        )
    if lists:
        click.echo("\n".join(cell.name for cell in cells))
        return
    if config is None and provider is None:
        raise click.UsageError("Name the provider: --config taskdock.toml, or --provider local-process.")
    matrix = KillMatrix(config, provider, jobs, folder, Patience(seconds_max, list_seconds))
    try:
        sys.exit(anyio.run(_run, matrix, cells))
    except CommandRejected as error:
        raise click.UsageError(error.message) from error


async def _run(matrix: KillMatrix, cells: tuple[Cell, ...]) -> int:
    began = time.monotonic()
    verdicts = await matrix.run(cells, _say)
    for verdict in verdicts:
        if verdict.findings:
            click.echo(f"\n{verdict.story()}")
    click.echo(f"\n{summary(verdicts, time.monotonic() - began)}")
    return _HELD if all(verdict.is_fine for verdict in verdicts) else _BROKEN


def _say(verdict: Verdict) -> None:
    click.echo(verdict.line())


if __name__ == "__main__":
    main()

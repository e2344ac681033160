"""Completion: the script that lets a shell complete our commands, as click makes it.

Owns: `taskdock completion`.
Never: a file written; the person puts the script where the shell reads it.
Reads as: app.py -> `command` -> click's shell completion.
"""

import click
from click.shell_completion import get_completion_class

from taskdock.adapters.entry.cli import output
from taskdock.adapters.entry.cli.invocation import Command, Invocation

SHELLS = ("bash", "zsh", "fish")
_NAME = "taskdock"
_VARIABLE = "_TASKDOCK_COMPLETE"


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell; for bash: `eval "$(taskdock completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, _NAME, _VARIABLE).source()
    if Invocation.of(context).json:
        output.document({"shell": shell, "script": script})
    else:
        output.echo(script.rstrip("\n"))

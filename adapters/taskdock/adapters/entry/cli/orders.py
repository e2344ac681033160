"""Orders: a command that is accepted at once, and then watched to its end or left to the background.

Owns: `carry_out` and `settle`, the two ways from a command to what is printed of it.
Never: a second command sent because the first one is slow.
Reads as: task.py, tab.py -> `carry_out(context, give)` -> receipt printed -> following.py.
"""

import json
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import anyio
import attrs
import click
from attrs import frozen

from taskdock.adapters.entry.cli import output
from taskdock.adapters.entry.cli.exit_codes import ExitCode
from taskdock.adapters.entry.cli.following import View, Wanted, follow
from taskdock.adapters.entry.cli.invocation import Invocation
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.adapters.entry.cli.runner import run
from taskdock.adapters.entry.cli.views import Quiet, view_for
from taskdock.core.errors import TaskdockError
from taskdock.services.dock import Dock
from taskdock.services.receipts import JobReceipt, RepoReceipt, TabReceipt, TaskReceipt

Receipt = TaskReceipt | TabReceipt | RepoReceipt | JobReceipt

_NAME = "taskdock"

detach = click.option("--detach", is_flag=True, help="Return once it is accepted; do not watch it.")
key = click.option("--key", metavar="KEY", help="An idempotency key: sent twice, it counts once.")
force = click.option("--force", is_flag=True, help="Give up what stands in the way.")
model = click.option("--model", metavar="NAME", help="Which model, in the agent's words; else its own.")


@frozen
class Given:
    """A command that was accepted: the id of what it made or changed, one sentence, and what to watch."""

    receipt: Receipt
    id: str
    sentence: str
    again: tuple[str, ...]
    """The words of the command that goes on watching."""
    watch: Callable[[Dock, View], Awaitable[Rest]]


Give = Callable[[Dock, Invocation], Awaitable[Given]]


@frozen
class Done:
    """A command that is over once it is accepted: the id of what it changed, and one sentence."""

    receipt: Receipt
    id: str
    sentence: str


def settle(context: click.Context, give: Callable[[Dock, Invocation], Awaitable[Done]]) -> NoReturn:
    """Give a command that starts no work of its own, and say what it changed."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        await _tell(invocation, await give(dock, invocation), {})
        return ExitCode.OK

    run(context, work)


def carry_out(context: click.Context, give: Give, *, detach: bool) -> NoReturn:
    """Give the command; then watch it, doing the work in this process unless another one schedules."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        given = await give(dock, invocation)
        if detach:
            await _tell_detached(invocation, given)
            return ExitCode.OK
        await _tell(invocation, given, {})
        return await watch(dock, invocation, given)

    run(context, work, schedule=not detach)


def watched_task(wanted: Wanted) -> Callable[[Dock, View], Awaitable[Rest]]:
    """Watch a task."""

    async def watch_it(dock: Dock, view: View) -> Rest:
        return await follow(dock, wanted, view)

    return watch_it


async def watch(dock: Dock, invocation: Invocation, given: Given) -> int:
    """Watch it to its end; TaskdockError with the reason when that was not good."""
    try:
        rest = await given.watch(dock, view_of(invocation))
    except anyio.get_cancelled_exc_class():
        if not invocation.json:
            line = command_line(invocation, *given.again)
            await output.say_at_the_end(f"{given.id} is kept and goes on when a process schedules: {line}")
        raise
    return code_of(rest)


def code_of(rest: Rest) -> int:
    """OK for what ended well. What did not is raised, and told once the dock is closed: 1, and the reason on stderr."""
    if not rest.ok:
        raise TaskdockError(rest.reason or "It did not end well.")
    return ExitCode.OK


def command_line(invocation: Invocation, *words: str) -> str:
    """What to type for another command on the same home."""
    place = ["--home", str(invocation.home)]
    if invocation.workspace != "default":
        place += ["--workspace", invocation.workspace]
    return shlex.join([_program(), *place, *words])


def _program() -> str:
    """How this program is called from any folder: by its name, unless it belongs to a checkout around us."""
    called = Path(sys.argv[0]).absolute()
    if called.name == _NAME and called.is_relative_to(Path.cwd()):
        return str(called)
    return _NAME


def view_of(invocation: Invocation) -> View:
    """Where what is watched is shown: to people on the terminal, else beside the output."""
    if invocation.json:
        return Quiet()
    return view_for(sys.stdout if invocation.tells_people else sys.stderr)


async def _tell(invocation: Invocation, given: Given | Done, more: dict[str, Any]) -> None:
    """The receipt, at once: who is interrupted later knows what was made."""
    if invocation.json:
        await output.say(json.dumps({**attrs.asdict(given.receipt), **more}))
    else:
        await output.say(given.sentence if invocation.tells_people else given.id)


async def _tell_detached(invocation: Invocation, given: Given) -> None:
    asked = invocation.installation.scheduler_runs
    scheduled = None if asked is None else await asked(invocation.home)
    await _tell(invocation, given, {"scheduled": scheduled})
    if invocation.json:
        return
    if scheduled is False:
        line = command_line(invocation, *given.again)
        await output.say(
            f"No process schedules this home, so it waits until one does. This does it: {line}", err=True
        )
    elif invocation.tells_people:
        await output.say("It goes on in the process that schedules this home.")

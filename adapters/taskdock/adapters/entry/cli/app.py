"""App: the `taskdock` command with its nouns, each loaded when it is used.

Owns: `build_cli`, the list of nouns, and how an error leaves the process.
Never: a noun imported for `--help`; the list says what each is for.
Reads as: `taskdock.app.cli.main` -> `build_cli(open_dock).main()` -> task.py, tab.py, repo.py, ...
"""

import io
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click
from attrs import frozen

from taskdock.adapters.entry.cli import problems
from taskdock.adapters.entry.cli.exit_codes import ExitCode, exit_code_of
from taskdock.adapters.entry.cli.invocation import Group, Installation, Opener
from taskdock.core.errors import StoreError, TaskdockError

NOUNS = {
    "demo": "Make a repo, drive one task to its commit, and show every step.",
    "repo": "Repos: add, list, show, retry, remove, branches, sync, restack, restack-subtree, rebase, reparent, register.",
    "task": "Tasks: create, list, show, watch, send, stop, resume, archive, unarchive, retry, kill, rename, set-branch, allow, reject.",
    "tab": "Tabs of a task: open, list, close, retry, rename, model, read, draft, resume-queue, cancel-turn.",
    "message": "Messages: list, edit, withdraw.",
    "job": "Jobs of a repo: list, show, watch, cancel, undo.",
    "transcript": "Print what was said in a tab.",
    "history": "Print what happened.",
    "doctor": "Check what this installation needs, and say how to mend it.",
    "reap": "End sandboxes that no task needs.",
    "store": "The store: check, migrate, backup.",
    "purge": "Remove what is older than the configuration keeps it.",
    "completion": "Print the completion script of a shell.",
}
"""Each is a module of this package with a `command`; the sentence is its help, so that help imports none of them."""


def build_cli(open_dock: Opener, **brought: Any) -> click.Group:
    """The whole command line; `brought` are the other fields of `Installation`, each for what is said there.

    `open_dock` is called as `open_dock(home, schedule=..., read_only=...)` and gives the Dock of that home.
    """
    root = _Root(
        name="taskdock",
        help="Tasks for coding agents: each with a branch, a sandbox and tabs.",
        epilog="The options above may stand before or after any command.",
        context_settings={"obj": Installation(open_dock, **brought), "help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
    )
    return click.version_option(package_name="taskdock", message="taskdock %(version)s")(root)


def _load(noun: str) -> click.Command:
    """Import one noun; written out, so that the import contracts see each."""
    match noun:
        case "task" | "tab" | "message" | "job" | "repo":
            return _load_record(noun)
        case "demo":
            from taskdock.adapters.entry.cli.demo import command as demo

            return demo
        case "transcript":
            from taskdock.adapters.entry.cli.transcript import command as transcript

            return transcript
        case "history":
            from taskdock.adapters.entry.cli.history import command as history

            return history
        case _:
            return _load_upkeep(noun)


def _load_record(noun: str) -> click.Command:
    """What is about records."""
    match noun:
        case "task":
            from taskdock.adapters.entry.cli.task import command as task

            return task
        case "tab":
            from taskdock.adapters.entry.cli.tab import command as tab

            return tab
        case "message":
            from taskdock.adapters.entry.cli.message import command as message

            return message
        case "job":
            from taskdock.adapters.entry.cli.job import command as job

            return job
        case _:
            from taskdock.adapters.entry.cli.repo import command as repo

            return repo


def _load_upkeep(noun: str) -> click.Command:
    """What is about the installation."""
    match noun:
        case "doctor":
            from taskdock.adapters.entry.cli.doctor import command as doctor

            return doctor
        case "reap":
            from taskdock.adapters.entry.cli.reap import command as reap

            return reap
        case "store":
            from taskdock.adapters.entry.cli.store import command as store

            return store
        case "purge":
            from taskdock.adapters.entry.cli.purge import command as purge

            return purge
        case _:
            from taskdock.adapters.entry.cli.completion import command as completion

            return completion


class _Root(Group):
    """The outermost command: finds nouns by name, and turns errors into sentences and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The nouns, in the order of their list."""
        del ctx
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one noun; None for a word that is none."""
        del ctx
        if cmd_name not in NOUNS:
            return None
        return _load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the nouns without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run one command line and leave the process with its exit code; click's own way is overloaded by a literal."""
        words = list(sys.argv[1:] if args is None else args)
        _replace_what_cannot_be_encoded()
        extra["standalone_mode"] = False
        sys.exit(_guarded(lambda: super(_Root, self).main(words, prog_name or "taskdock", **extra), words))


@frozen
class _Words:
    """What the command line asked for before it was parsed, for errors in parsing it."""

    words: Sequence[str]

    @property
    def json(self) -> bool:
        ours = self.words[: self.words.index("--")] if "--" in self.words else self.words
        return "--json" in ours


def _guarded(command: Callable[[], object], words: Sequence[str]) -> int:
    """Run it; what it ended with, or the code of the error, told on stderr in one sentence."""
    json = _Words(words).json
    try:
        code = command()
    except click.Abort:
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        problems.tell_usage(error, json=json)
        return ExitCode.USAGE
    except TaskdockError as error:
        code = exit_code_of(error)
        problems.tell(error, code, json=json)
    except OSError as error:
        if error.filename is None:
            raise
        told = StoreError(f"{error.filename}: {error.strerror}")
        problems.tell(told, ExitCode.STORE_FAILED, json=json)
        return ExitCode.STORE_FAILED
    return code if isinstance(code, int) else ExitCode.OK


def _replace_what_cannot_be_encoded() -> None:
    """A terminal that knows no UTF-8 gets question marks, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")

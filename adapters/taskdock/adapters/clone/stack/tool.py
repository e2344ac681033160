"""Tool: the git-spice of this host, found by what it says of itself, and run so that nothing surprises.

Owns: which program is a git-spice, which versions are refused, and the environment that it gets.
Never: the name alone (`gs` may be Ghostscript); a user's config or hook; a question to anybody; `-C`, which makes
    git-spice read its config elsewhere.
Reads as: jobs.py, acting.py -> this -> process.py.
"""

import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import frozen

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.process import GitCall, GitProcesses, GitResult, Program, Watch
from taskdock.core.errors import PortError
from taskdock.ports.stack import StackTool

NAME = "git-spice"
VERSION_MIN = (0, 26)
"""Before it, a restack could drop commits."""
INSTALL_HINT = (
    "install git-spice 0.26 or newer (its package for this system, or `make git-spice` in a checkout of Taskdock), "
    "or name yours in the config"
)
LAST_GIT_SECONDS = 20.0

STACK_TOOLS = (NAME, "gs")
"""What it may be called; `gs` may be another program."""
_PROBE_SECONDS = 10.0
_SAYS = re.compile(r"git-spice (?P<version>\S+)")
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)")

_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "commit.gpgSign": "false",
    "rebase.updateRefs": "false",
    "rebase.autoStash": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "protocol.ext.allow": "never",
    "advice.detachedHead": "false",
}
_VARIABLES = {
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "NO_COLOR": "1",
    "GIT_SPICE_SECRET_BACKEND": "file",
    # git-spice wants a folder for its secrets; it has none here, so the name leads nowhere.
    "XDG_CONFIG_HOME": "/nonexistent",
    "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    **{f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(_CONFIG)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(_CONFIG.values())},
}


@frozen
class GitSpice:
    """A git-spice that may be used."""

    path: str
    version: str

    async def run(
        self, clone: Clone, *arguments: str, timeout_seconds: float, watch: Watch | None = None
    ) -> GitResult:
        """Run one command in the clone, under its lock; any exit code is a result, and none is believed alone."""
        program = Program(
            argv=(self.path,),
            folder=str(clone.folder),
            variables=_VARIABLES,
            last_git_seconds=LAST_GIT_SECONDS,
        )
        call = GitCall(
            arguments=(*arguments, "--no-prompt"),
            timeout_seconds=timeout_seconds,
            doing=f"git-spice {' '.join(arguments[:2])}",
            program=program,
        )
        return await clone.processes.run(call, clone.lock, watch)


async def find(processes: GitProcesses, path: Path | None, search: str) -> tuple[StackTool, GitSpice | None]:
    """Look for git-spice: at `path` alone when it is given, else on the search path; tells why there is none."""
    hint = f"{NAME} is not installed: {INSTALL_HINT}"
    for candidate in (str(path),) if path is not None else _on(search):
        said = await _version(processes, candidate)
        if said is None:
            hint = f"{candidate} is no git-spice: {INSTALL_HINT}"
        elif _is_too_old(said):
            hint = f"{candidate} is git-spice {said}, which may lose commits in a restack: {INSTALL_HINT}"
        else:
            return StackTool(name=NAME, version=said), GitSpice(path=candidate, version=said)
    return StackTool(name=NAME, version=None, hint=hint), None


def _on(search: str) -> tuple[str, ...]:
    found = (shutil.which(name, path=search) for name in STACK_TOOLS)
    return tuple(path for path in found if path is not None)


async def _version(processes: GitProcesses, path: str) -> str | None:
    """Give what follows `git-spice` in the first line of its version, or None for any other program."""
    program = Program(argv=(path,), variables=_VARIABLES)
    try:
        result = await processes.run(
            GitCall(arguments=("version",), timeout_seconds=_PROBE_SECONDS, program=program)
        )
    except PortError:
        return None
    found = _SAYS.match(result.text)
    return found["version"] if found and result.exit_code == 0 else None


def _is_too_old(version: str) -> bool:
    """Judge a version that can be read; one that somebody built for himself (`dev`) is his to answer for."""
    found = _NUMBERS.match(version)
    return found is not None and (int(found[1]), int(found[2])) < VERSION_MIN


_RESTACKED = re.compile(r"INF (?P<sentence>\S+: (?:restacked on|moved upstack onto|tracking with base) \S+)")
_PIECE_CHARACTERS_MAX = 10_000


class ToolProgress:
    """Takes git-spice's standard error piece by piece and tells each branch that it is done with."""

    def __init__(self, progress: Callable[[str], Awaitable[None]]) -> None:
        self._progress = progress
        self._rest = ""

    async def __call__(self, text: str) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest[-_PIECE_CHARACTERS_MAX:] + text).split("\n")
        for line in lines:
            if found := _RESTACKED.match(line):
                await self._progress(found["sentence"])

"""Process: one git at a time, started clean, watched, and gone when we stop wanting it.

Owns: how git, or a tool that runs gits of its own, is spawned, and how its output is held in bounds.
Never: a shell, a terminal, or a git that outlives a cancelled call; what outlives our own death is found by orphans.py.
Reads as: git.py, clone.py, stack/tool.py -> this -> git; ending.py ends it.
"""

import os
import re
import tempfile
from codecs import getincrementaldecoder
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import IO

import anyio
from anyio.abc import Process
from attrs import field, frozen

from taskdock.adapters.clone.disk import disk_failure, on_disk
from taskdock.adapters.clone.ending import Family, end, shielded
from taskdock.adapters.clone.environment import (
    FIXED_OPTIONS,
    OWNER_VARIABLE,
    local_environment,
    network_environment,
    owner_marker,
)
from taskdock.adapters.clone.failures import log_tail
from taskdock.adapters.clone.lock import RepoLock
from taskdock.adapters.clone.remote import redact
from taskdock.core.errors import InvariantViolated, Permanent, Transient

STDERR_CHARACTERS_MAX = 64 * 1024
STDOUT_BYTES_MAX = 64 * 1024 * 1024
# A program that git left in the background (an ssh master) may keep the pipe open long after git itself is done.
_LAST_WORDS_SECONDS = 1.0

_LINE_END = re.compile(r"[\r\n]")

Watch = Callable[[str], Awaitable[None]]


class Overdue(Transient):
    """A git took longer than its deadline, and was ended."""


@frozen
class Program:
    """What is run: git, or a tool that runs gits of its own."""

    argv: tuple[str, ...]
    folder: str = "/"
    variables: Mapping[str, str] = field(factory=dict)
    """Over those that every local git gets."""
    last_git_seconds: float = 0.0
    """How long the gits that a tool has started may take to end, once the tool itself was asked to."""


GIT = Program(argv=("git", *FIXED_OPTIONS))


@frozen
class GitCall:
    """One command: `arguments` come after git's fixed options; `network` decides which environment it gets."""

    arguments: tuple[str, ...]
    timeout_seconds: float
    doing: str = "working on the clone"
    """Begins the reason of every error, e.g. 'cloning https://host/repo'."""
    stdin: bytes = b""
    network: bool = False
    redact: Callable[[str], str] = redact
    program: Program = GIT


@frozen
class GitResult:
    """What became of it: exit code (negative: the signal that ended it), whole stdout, the end of stderr."""

    exit_code: int
    stdout: bytes
    stderr: str = field(repr=False)
    """Unredacted: whoever shows it redacts it."""

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 survive the way back into an argument."""
        return self.stdout.decode(errors="surrogateescape")


class GitProcesses:
    """Runs gits with names taken from `variables` (the service's environment)."""

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self._variables = variables

    async def run(self, call: GitCall, lock: RepoLock | None = None, watch: Watch | None = None) -> GitResult:
        """Run git to its end; any exit code is a result.

        `Transient` when it takes longer than its deadline (it is ended first), `Permanent` when there is no git.
        `watch` is given stderr as it comes. Cancelling ends git and its children before it takes effect.
        """
        stderr = _Tail()
        stdin, stdout = await on_disk(_files, call.stdin)
        exit_code: int | None = None
        with stdin, stdout:
            with anyio.move_on_after(call.timeout_seconds):
                process, family = await self._start(call, lock, stdin, stdout)
                exit_code = await _attend(process, family, stderr, watch)
            if exit_code is None:
                reason = f"{call.doing}: git took longer than {call.timeout_seconds:g} s and was stopped"
                raise Overdue(call.redact(reason), log_tail=log_tail(call.redact(stderr.text)))
            output = await on_disk(_read, stdout)
        return GitResult(exit_code=exit_code, stdout=output, stderr=stderr.text)

    async def _start(
        self, call: GitCall, lock: RepoLock | None, stdin: IO[bytes], stdout: IO[bytes]
    ) -> tuple[Process, Family]:
        make = network_environment if call.network else local_environment
        environment = make(self._variables)
        if lock is not None and (marker := owner_marker(lock.path)):
            environment[OWNER_VARIABLE] = marker
        family = Family(call.program.last_git_seconds)
        inherited = () if lock is None else (lock.descriptor,)
        spawn = partial(
            anyio.open_process,
            [*call.program.argv, *call.arguments],
            stdin=stdin,
            stdout=stdout,
            cwd=call.program.folder,
            env=environment | dict(call.program.variables),
            start_new_session=True,
            pass_fds=(*inherited, *family.inherited),
        )
        # Shielded: a spawn that was cancelled half-way would leave a git that nobody waits for.
        with family.born(), shielded():
            return await _spawned(spawn, call.program), family


class _Tail:
    """The last lines of a text that comes in pieces."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, piece: str) -> None:
        self.text += piece
        if len(self.text) > STDERR_CHARACTERS_MAX:
            # At the end of a line, so that no address is cut and then not known for one.
            self.text = _LINE_END.split(self.text[-STDERR_CHARACTERS_MAX:], maxsplit=1)[-1]


def _files(given: bytes) -> tuple[IO[bytes], IO[bytes]]:
    """Files instead of pipes for stdin and stdout: nothing can fill up and stand still on them."""
    stdin, stdout = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
    stdin.write(given)
    stdin.seek(0)
    return stdin, stdout


def _read(stdout: IO[bytes]) -> bytes:
    stdout.seek(0)
    output = stdout.read(STDOUT_BYTES_MAX + 1)
    if len(output) > STDOUT_BYTES_MAX:
        raise Permanent(f"git answered more than {STDOUT_BYTES_MAX:,} bytes; the clone has too many refs")
    return output


async def _spawned(spawn: Callable[[], Awaitable[Process]], program: Program) -> Process:
    try:
        return await spawn()
    except FileNotFoundError:
        if program is not GIT:
            raise Permanent(f"{program.argv[0]} is not there any more, or the clone is not") from None
        raise Permanent("git is not installed on this host; install git 2.38 or newer") from None
    except OSError as error:
        raise disk_failure(error) from error


async def _attend(process: Process, family: Family, stderr: _Tail, watch: Watch | None) -> int:
    """Stay with the process to its end, whatever happens to us; gives its exit code."""
    try:
        async with anyio.create_task_group() as tasks:
            heard_out = anyio.Event()
            tasks.start_soon(_listen, process, stderr, watch, heard_out)
            await process.wait()
            with anyio.move_on_after(_LAST_WORDS_SECONDS):
                await heard_out.wait()
            tasks.cancel_scope.cancel()
        return await process.wait()
    except ExceptionGroup as group:
        # Only the watcher can raise in there, and its error is the caller's own.
        raise group.exceptions[0] from None
    finally:
        with shielded():
            await end(process, family)


async def _listen(process: Process, stderr: _Tail, watch: Watch | None, heard_out: anyio.Event) -> None:
    if process.stderr is None:
        raise InvariantViolated("git is always started with a pipe for its stderr")
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    async for chunk in process.stderr:
        piece = decoder.decode(chunk)
        stderr.add(piece)
        if watch is not None:
            await watch(piece)
    heard_out.set()

"""Processes: the real `taskdock` in processes of its own, in a pipe and at a terminal.

Owns: `Shell` (one home), `Terminal` (a pty, and what a person would see on it).
Never: the entry point in the test's own process; signals, pipes and terminals are what is tested.
Reads as: tests/integration/test_cli_*.py -> this -> taskdock.app.cli.
"""

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import IO, Any

from attrs import field, frozen, mutable

PROGRAM = [sys.executable, "-c", "from taskdock.app.cli import main; main()"]
# The pty becomes the terminal of the new session, so that Ctrl-C on it is a signal.
AT_A_TERMINAL = [*PROGRAM[:2], f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {PROGRAM[2]}"]
SECONDS_MAX = 60.0
ROWS, COLUMNS = 40, 120


@frozen
class Done:
    """A run that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@frozen
class Shell:
    """A home, and commands on it."""

    home: Path
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        """What commands are started with."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKDOCK")}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONWARNINGS": "error",
            "TASKDOCK_HOME": str(self.home),
            "TASKDOCK_CACHE": str(self.cache),
            "TASKDOCK_GATES": str(self.home.parent / "gates"),
            "TERM": "xterm-256color",
        }

    def run(self, *words: str) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [*PROGRAM, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(self, *words: str) -> Iterator["Running"]:
        """Start a command; what is left of it at the end is killed."""
        process = subprocess.Popen(
            [*PROGRAM, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield Running(process)
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def terminal(self, *words: str, **more: str) -> Iterator["Terminal"]:
        """Start a command at a terminal of its own; what is left of it at the end is killed."""
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            [*AT_A_TERMINAL, *words],
            env={**self.environment, **more},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.wait()
            os.close(ours)


@mutable(eq=False)
class Running:
    """A command that runs, with its pipes."""

    process: subprocess.Popen[bytes]
    _out: bytes = field(default=b"", init=False)
    _err: bytes = field(default=b"", init=False)

    def until_out(self, text: str) -> str:
        """Wait until stdout has this text; all of stdout so far."""
        while text.encode() not in self._out:
            self._out += _piece(self.process.stdout, text, self._out)
        return self._out.decode()

    def until_err(self, text: str) -> str:
        """Wait until stderr has this text; all of stderr so far."""
        while text.encode() not in self._err:
            self._err += _piece(self.process.stderr, text, self._err)
        return self._err.decode()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> Done:
        """Wait for its end; all that it wrote."""
        out, err = self.process.communicate(timeout=SECONDS_MAX)
        return Done(self.process.returncode, (self._out + out).decode(), (self._err + err).decode())


def _piece(pipe: IO[bytes] | None, text: str, read: bytes) -> bytes:
    """What the pipe has next."""
    assert pipe is not None
    ready, _, _ = select.select([pipe], [], [], SECONDS_MAX)
    piece = os.read(pipe.fileno(), 65536) if ready else b""
    assert piece, f"never {text!r}; only {read.decode()!r}"
    return piece


@mutable(eq=False)
class Terminal:
    """A command at a terminal: everything it wrote, and the screen that this makes."""

    process: subprocess.Popen[bytes]
    ours: int
    raw: bytes = b""

    @property
    def screen(self) -> list[str]:
        """What a person sees, line by line, also what has scrolled away."""
        return screen_of(self.raw.decode(errors="replace"))

    @property
    def shows_cursor(self) -> bool:
        """Whether the cursor was left visible."""
        return self.raw.rfind(b"\x1b[?25h") >= self.raw.rfind(b"\x1b[?25l")

    def until(self, seen: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the screen is as wanted."""
        deadline = time.monotonic() + SECONDS_MAX
        while not seen(self.screen):
            assert self._take(deadline), f"never seen; the screen is {self.screen}"
        return self.screen

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self.ours, keys)

    def end(self) -> int:
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + SECONDS_MAX
        while self._take(deadline):
            continue
        return self.process.wait(SECONDS_MAX)

    def _take(self, deadline: float) -> bool:
        """Read what there is; False at its end."""
        ready, _, _ = select.select([self.ours], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"it goes on and on; the screen is {self.screen}"
        try:
            piece = os.read(self.ours, 65536)
        except OSError:
            # Linux says EIO when the last process at the terminal has gone.
            return False
        self.raw += piece
        return bool(piece)


_ESCAPE = re.compile(r"\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])")


def screen_of(text: str) -> list[str]:
    """Play what was written on a screen that is as long as it needs to be: the few orders that rich gives."""
    lines, row, column, place = [""], 0, 0, 0
    while place < len(text):
        order = _ESCAPE.match(text, place)
        if order is not None:
            place = order.end()
            if order[2] == "A":
                row = max(row - int(order[1] or 1), 0)
            elif order[2] == "K":
                lines[row] = ""
            continue
        character, place = text[place], place + 1
        if character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif character == "\r":
            column = 0
        else:
            lines[row] = f"{lines[row][:column]:<{column}}{character}{lines[row][column + 1 :]}"
            column += 1
    return [line.rstrip() for line in lines]

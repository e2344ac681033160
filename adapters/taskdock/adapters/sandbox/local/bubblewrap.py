"""Bubblewrap: starts programs in namespaces of their own.

Owns: `BubblewrapLauncher`: one namespace for every start, and how it is handed over from us to the program.
Never: a program that runs before its namespace was written down; a wait on the inside without a deadline.
Reads as: services.py, commands.py -> `BubblewrapLauncher.start` -> namespace.py -> bwrap -> inside.py -> the program.

What is handed over, in this order: bwrap says who the first process of the namespace is, and inside.py that it is there;
limits are set for both, and who they are is written down; then, and not before, inside.py is told what to run. If we die on the way the order never comes whole, and
inside.py ends without having started anything. A namespace ends as a whole with its first process, which nothing
inside can end or leave, so whoever finds that one in the record can end all of it.
"""

import errno
import json
import os
import select
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from taskdock.adapters.sandbox.local import children
from taskdock.adapters.sandbox.local.ending import kill_at_once
from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.adapters.sandbox.local.launching import Born, Order
from taskdock.adapters.sandbox.local.limits import Limits
from taskdock.adapters.sandbox.local.namespace import INSIDE, OURS, bwrap_argv, interpreter
from taskdock.adapters.sandbox.local.patience import Patience
from taskdock.adapters.sandbox.local.process_table import ProcessKey, ProcessTable
from taskdock.core.errors import Permanent, Transient

START_SECONDS = 20.0
"""Longest time from the call of bwrap to the call of the program; a loaded machine takes a tenth of a second."""
_PIECE_BYTES = 65536
_LOOK_MILLISECONDS = 100


class BubblewrapLauncher:
    """Levels `bubblewrap` (with the machine's network) and `bubblewrap-netns` (without any)."""

    is_written_first = True

    def __init__(self, table: ProcessTable, limits: Limits, *, network: bool) -> None:
        self._table = table
        self._limits = limits
        self._network = network
        self.has_bridge = not network

    def start(self, order: Order, write_down: Callable[[Born], None]) -> children.Child:
        """Start the program in a fresh namespace; see `Launcher.start`."""
        line = _line(order, self._limits.processes_max)
        patience = Patience(START_SECONDS)
        with _Pipe() as who, _Pipe() as order_pipe, _Pipe() as said:
            passed = [who.into.fileno(), order_pipe.out.fileno(), said.into.fileno()]
            child = children.start(
                self._argv(order.folder, *passed),
                cwd=order.folder.path,
                environment=order.environment,
                output=order.output,
                passed=passed if order.bridge is None else [*passed, order.bridge.listener],
            )
            born = Born(None)
            try:
                # Our copies, lest we wait for ourselves when the other side has ended.
                for end in (who.into, order_pipe.out, said.into):
                    end.close()
                born = self._born(child, _first_pid(_heard(who, patience, until=b"}")))
                _judge(_heard(said, patience, until=b"h"), order.argv, child)
                self._limits.apply(order.folder, self._inhabitants(born.leaders[-1]))
                write_down(born)
                _give(order_pipe, line, patience)
                _judge(_heard(said, patience), order.argv, child)
            except BaseException:
                kill_at_once(self._table, child, born.leaders)
                raise
        return child

    def _argv(self, folder: SandboxFolder, say_who: int, hear_order: int, say: int) -> list[str]:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise FileNotFoundError(errno.ENOENT, "bubblewrap is not installed any more", "bwrap")
        return [
            *bwrap_argv(bwrap, folder.home, folder.lock, folder.programs(), network=self._network),
            *("--info-fd", str(say_who), "--"),
            *(str(interpreter()), "-S", "-E", f"{OURS}/{INSIDE.name}", str(hear_order), str(say)),
        ]

    def _born(self, child: children.Child, first_pid: int | None) -> Born:
        first = None if first_pid is None else self._table.key(first_pid)
        born = Born(self._table.key(child.pid), first)
        if first is None or born.child is None:
            raise Transient("The sandbox's namespace could not be made.", log_tail=_tail(child))
        return born

    def _inhabitants(self, first: ProcessKey) -> list[int]:
        """Who is in the namespace while inside.py waits: the first process and its child."""
        told = Path(f"/proc/{first.pid}/task/{first.pid}/children")
        if told.exists():
            return [first.pid, *(int(pid) for pid in told.read_text().split())]
        # Not every kernel has that file.
        return list(self._table.family(frozenset(), (first,)))


def _line(order: Order, processes_max: int) -> bytes:
    if not order.argv:
        raise Permanent("There is no program to run.")
    if any("\0" in part for part in order.argv):
        raise Permanent(f"{order.argv[0]!r} cannot be called like that: embedded null byte.")
    bridge = ("", "", "")
    if order.bridge is not None:
        bridge = (str(order.bridge.listener), order.bridge.health_path, order.bridge.token)
    fields = [str(order.folder.home / order.cwd), str(processes_max), *bridge, *order.argv]
    try:
        line = "\0".join(fields).encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise Permanent(f"{order.argv[0]!r} cannot be called like that: {error}.") from error
    return b"%d:%s" % (len(line), line)


class _Pipe:
    """A pipe; each end may be closed more than once."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.out = open(reading, "rb", buffering=0)  # noqa: PTH123, SIM115 - closed by __exit__
        self.into = open(writing, "wb", buffering=0)  # noqa: PTH123, SIM115

    def __enter__(self) -> "_Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        self.out.close()
        self.into.close()


def _heard(pipe: _Pipe, patience: Patience, until: bytes = b"") -> bytes:
    """Read to the end of the pipe, or until this was read. Raises: `Transient` when that takes too long."""
    data = b""
    poll = select.poll()
    poll.register(pipe.out, select.POLLIN)
    while not (until and until in data):
        patience.check()
        if patience.spent:
            raise Transient(f"The sandbox's namespace was not ready within {START_SECONDS:.0f} s.")
        if poll.poll(_LOOK_MILLISECONDS):
            chunk = pipe.out.read(_PIECE_BYTES)
            if not chunk:
                break
            data += chunk
    return data


def _give(pipe: _Pipe, data: bytes, patience: Patience) -> None:
    """Write all of it, as fast as the inside reads. Raises: `Transient` when it does not."""
    os.set_blocking(pipe.into.fileno(), False)
    poll = select.poll()
    poll.register(pipe.into, select.POLLOUT)
    left = memoryview(data)
    with suppress(BrokenPipeError):
        while left:
            patience.check()
            if patience.spent:
                raise Transient(f"The sandbox's namespace took no order within {START_SECONDS:.0f} s.")
            if poll.poll(_LOOK_MILLISECONDS):
                left = left[pipe.into.write(left[:_PIECE_BYTES]) or 0 :]


def _first_pid(told: bytes) -> int | None:
    try:
        return int(json.loads(told)["child-pid"])
    except (ValueError, KeyError):
        return None


def _judge(said: bytes, argv: Sequence[str], child: children.Child) -> None:
    """Raise what inside.py said, or that it said nothing."""
    _, wrong, number = said.partition(b"e")
    if wrong:
        raise OSError(int(number), os.strerror(int(number)), argv[0])
    if not said:
        raise Transient("The sandbox's namespace ended before its program began.", log_tail=_tail(child))


def _tail(child: children.Child) -> str | None:
    """What bwrap complained of, where its complaints come to us."""
    if child.stderr is None:
        return None
    os.set_blocking(child.stderr.fileno(), False)
    with suppress(BlockingIOError):
        return os.read(child.stderr.fileno(), _PIECE_BYTES).decode(errors="replace").strip() or None
    return None

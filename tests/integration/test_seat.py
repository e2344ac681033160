"""Unix seat: one holder, who is woken by anybody, and followers who hear of positions and of the holder's death."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

from seat_child import listens
from taskdock.adapters.seat import address, lock
from taskdock.adapters.seat.holder import CONNECTIONS_MAX
from taskdock.adapters.seat.unix import UnixSeat
from taskdock.core.errors import InvariantViolated, Permanent, Unreachable

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).parent.with_name("seat_child.py")
PATIENCE_SECONDS = 20


class Heard:
    """Positions as they came, and a bounded wait for one."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self._came = anyio.Event()

    def __call__(self, position: int) -> None:
        self.positions.append(position)
        self._came.set()
        self._came = anyio.Event()

    async def until(self, position: int) -> None:
        """Wait until that position, or a newer one, has come."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while not self.positions or max(self.positions) < position:
                await self._came.wait()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something outside holds; the test fails when it never does."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - it happens elsewhere, and can only be looked for
            await anyio.sleep(0.005)


@asynccontextmanager
async def held(home: Path) -> AsyncIterator[tuple[UnixSeat, Heard]]:
    """Hold the seat of a home and serve."""
    seat, heard = UnixSeat(home), Heard()
    assert await seat.take()
    async with anyio.create_task_group() as group:
        group.start_soon(seat.serve, heard)
        await until(lambda: listens(home))
        yield seat, heard
        await seat.leave()


@asynccontextmanager
async def following(seat: UnixSeat) -> AsyncIterator[Heard]:
    """Follow as another process would, until the holder is gone or the block is over."""
    heard = Heard()
    async with anyio.create_task_group() as group:
        group.start_soon(seat.follow, heard)
        yield heard
        group.cancel_scope.cancel()


class Holder:
    """A process that holds the seat; killed when a test takes too long."""

    def __init__(self, home: Path, backend: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), str(home), backend],
            env={"PYTHONPATH": ":".join(sys.path), **tmp_of(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watch = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        self._watch.start()
        self.program = int(self.line())

    def line(self) -> str:
        """Read what it says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """End it with SIGKILL; the program that it started lives on."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End everything."""
        self.kill()
        os.kill(self.program, signal.SIGKILL)
        self._watch.cancel()
        self._watch.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def tmp_of(home: Path) -> dict[str, str]:
    """Where a process looks for a short path to a long home."""
    return {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", str(home))}


@contextmanager
def holder(home: Path, backend: str) -> Iterator[Holder]:
    """Run a process that holds the seat."""
    process = Holder(home, backend)
    try:
        assert process.line() == "held"
        yield process
    finally:
        process.close()


async def test_one_holds_until_it_leaves(tmp_path: Path) -> None:
    """Of two seats on one home one is taken; the other can be once the first was left."""
    first, second = UnixSeat(tmp_path), UnixSeat(tmp_path)
    assert [await first.take(), await first.take(), await second.take()] == [True, True, False]
    await second.leave()
    assert not await second.take()
    await first.leave()
    await first.leave()
    assert [await second.take(), await first.take()] == [True, False]
    await second.leave()


async def test_seats_of_different_homes_are_free(tmp_path: Path) -> None:
    """A seat is one per home."""
    seats = [UnixSeat(tmp_path / name) for name in ("a", "b")]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert [await seat.take() for seat in seats] == [True, True]
    for seat in seats:
        await seat.leave()


async def test_home_without_a_place_for_the_lock_says_so(tmp_path: Path) -> None:
    """A home that does not exist gives an error with the path, not a seat."""
    with pytest.raises(Permanent, match=r"missing/scheduler\.lock"):
        await UnixSeat(tmp_path / "missing").take()


async def test_replaced_lock_file_gives_no_seat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file that was taken away between opening and locking gives no seat: the next one would get it too."""
    seat, really_lock = UnixSeat(tmp_path), lock._lock

    def lock_too_late(descriptor: int) -> bool:
        (tmp_path / "scheduler.lock").unlink()
        return really_lock(descriptor)

    monkeypatch.setattr(lock, "_lock", lock_too_late)
    assert not await seat.take()
    monkeypatch.undo()
    assert await seat.take()
    await seat.leave()


async def test_started_programs_do_not_keep_the_seat(tmp_path: Path, anyio_backend: str) -> None:
    """A program that the holder started and that outlives its kill holds nothing."""
    other = UnixSeat(tmp_path)
    with holder(tmp_path, anyio_backend) as process:
        process.kill()
        os.kill(process.program, 0)
        assert await other.take()
    await other.leave()


async def test_only_the_holder_serves(tmp_path: Path) -> None:
    """Serving without the seat, or twice, is a bug that is said."""
    with pytest.raises(InvariantViolated):
        await UnixSeat(tmp_path).serve(Heard())
    async with held(tmp_path) as (seat, _):
        with pytest.raises(InvariantViolated):
            await seat.serve(Heard())


async def test_pokes_reach_the_holder(tmp_path: Path) -> None:
    """A poke reaches the holder from its own process and from others, on one connection each."""
    async with held(tmp_path) as (seat, heard):
        others = [UnixSeat(tmp_path), UnixSeat(tmp_path)]
        seat.poke(1)
        assert heard.positions == [1]
        for position in range(2, 50):
            others[position % 2].poke(position)
        await heard.until(49)
        for other in others:
            await other.leave()


async def test_poke_without_holder_is_fine(tmp_path: Path) -> None:
    """A poke that nobody takes is dropped, whether there never was a holder or it has gone."""
    other = UnixSeat(tmp_path)
    other.poke(1)
    async with held(tmp_path) as (_, heard):
        other.poke(2)
        await heard.until(2)
    for position in range(3, 10):
        other.poke(position)
    async with held(tmp_path) as (_, heard):
        other.poke(10)
        await heard.until(10)
    await other.leave()


async def test_stopped_holder_blocks_nobody(tmp_path: Path, anyio_backend: str) -> None:
    """Thousands of pokes to a holder that is stopped return at once; going on, it hears of a late one."""
    with holder(tmp_path, anyio_backend) as process:
        other = UnixSeat(tmp_path)
        other.poke(2)
        assert process.line() == "2"
        wire = other._wire
        process.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        for position in range(3, 60_000):
            other.poke(position)
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        assert other._wire is wire, "a full connection is kept, not replaced by one more"
        process.process.send_signal(signal.SIGCONT)
        assert int(process.line()) > 2
        await other.leave()


async def test_followers_hear_positions(tmp_path: Path) -> None:
    """Every follower hears where the feed is when it comes, and each newer position; older ones are no news."""
    async with held(tmp_path) as (seat, _):
        seat.publish(5)
        seat.publish(3)
        async with following(UnixSeat(tmp_path)) as first, following(UnixSeat(tmp_path)) as second:
            await first.until(3)
            await second.until(3)
            seat.publish(4)
            seat.publish(8)
            await first.until(8)
            await second.until(8)
        assert first.positions == second.positions == [5, 8]


async def test_position_before_serving_is_told(tmp_path: Path) -> None:
    """What was published before anybody could connect is the first that a follower hears."""
    seat = UnixSeat(tmp_path)
    assert await seat.take()
    seat.publish(7)
    async with anyio.create_task_group() as group:
        group.start_soon(seat.serve, Heard())
        await until(lambda: listens(tmp_path))
        async with following(UnixSeat(tmp_path)) as heard:
            await heard.until(7)
        await seat.leave()


async def test_slow_follower_gets_the_newest(tmp_path: Path) -> None:
    """A follower that does not read holds nobody up, and what waits for it is replaced by what is newer."""
    async with held(tmp_path) as (seat, _):
        with socket.socket(socket.AF_UNIX) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            slow.connect(str(address.find(tmp_path)))
            slow.send(b"follow\n")
            async with following(UnixSeat(tmp_path)) as quick:
                for position in range(1, 40_001):
                    seat.publish(position)
                    if position % 10 == 0:
                        await anyio.lowlevel.checkpoint()
                await quick.until(40_000)
            slow.setblocking(False)
            read = b""
            with anyio.fail_after(PATIENCE_SECONDS):
                while not read.endswith(b"\n40000\n"):
                    await anyio.wait_readable(slow)
                    read += slow.recv(65536)
    told = [int(line) for line in read.split()]
    assert told == sorted(set(told))
    assert len(told) < 40_000


async def test_nobody_to_follow(tmp_path: Path) -> None:
    """Following where no holder is raises Unreachable, also where a dead one left its socket's file."""
    with pytest.raises(Unreachable):
        await UnixSeat(tmp_path).follow(Heard())
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "scheduler.sock"))
    with pytest.raises(Unreachable, match=r"scheduler\.sock"):
        await UnixSeat(tmp_path).follow(Heard())


async def test_followers_see_the_holder_leave(tmp_path: Path) -> None:
    """When the holder leaves, `serve` and every `follow` return, and the socket's file is gone."""
    heard = Heard()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as group, held(tmp_path) as (seat, _):
            seat.publish(1)
            group.start_soon(UnixSeat(tmp_path).follow, heard)
            await heard.until(1)
    assert not (tmp_path / "scheduler.sock").exists()


async def test_killed_holder_is_replaced(tmp_path: Path, anyio_backend: str) -> None:
    """A holder that was killed is seen to be gone by its followers, and the next one takes over seat and socket."""
    heard = Heard()
    other = UnixSeat(tmp_path)
    with holder(tmp_path, anyio_backend) as process:
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(other.follow, heard)
                await heard.until(1)
                assert not await other.take()
                other.poke(4)
                await heard.until(4)
                process.kill()
    assert (tmp_path / "scheduler.sock").exists()
    async with held(tmp_path) as (_, next_heard):
        other.poke(9)
        await next_heard.until(9)
    await other.leave()


async def test_socket_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's file is private, and a peer of another user is sent away before it is heard."""
    async with held(tmp_path) as (_, heard):
        path = address.find(tmp_path)
        assert path is not None
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - not blocking for long, not worth a thread
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(path))
            stranger.setblocking(False)
            await anyio.wait_readable(stranger)
            assert stranger.recv(1) == b""
        with pytest.raises(Unreachable, match="another user"):
            await UnixSeat(tmp_path).follow(Heard())
        monkeypatch.undo()
        other = UnixSeat(tmp_path)
        other.poke(3)
        await heard.until(3)
        await other.leave()
    assert heard.positions == [3]


@pytest.mark.parametrize("spoken", [b"GET / HTTP/1.1\n", b"1" * 100, b"-5\n", b"\n", b"\xff\xfe\n"])
async def test_other_languages_are_hung_up_on(tmp_path: Path, spoken: bytes) -> None:
    """Who says anything but a position or `follow` is hung up on; the holder goes on."""
    async with held(tmp_path) as (_, heard):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(address.find(tmp_path)))
            stranger.send(spoken)
            stranger.setblocking(False)
            with anyio.fail_after(PATIENCE_SECONDS):
                await anyio.wait_readable(stranger)
            assert hung_up(stranger)
        other = UnixSeat(tmp_path)
        other.poke(3)
        await heard.until(3)
        await other.leave()
    assert heard.positions == [3]


def hung_up(wire: socket.socket) -> bool:
    """Whether the other side has closed the connection."""
    try:
        return wire.recv(1) == b""
    except OSError as error:
        return error.errno == errno.ECONNRESET


async def test_connections_are_bounded(tmp_path: Path) -> None:
    """Beyond its bound the holder takes no more connections, and new ones again when others have gone."""
    async with held(tmp_path) as (_, heard):
        path = str(address.find(tmp_path))
        wires = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS_MAX + 1)]
        try:
            for number, wire in enumerate(wires, 1):
                wire.connect(path)
                if number <= CONNECTIONS_MAX:
                    wire.send(b"%d\n" % number)
                    await heard.until(number)
            wires[-1].setblocking(False)
            with anyio.fail_after(PATIENCE_SECONDS):
                await anyio.wait_readable(wires[-1])
            assert hung_up(wires[-1])
        finally:
            for wire in wires:
                wire.close()
        other = UnixSeat(tmp_path)
        with anyio.fail_after(PATIENCE_SECONDS):
            while CONNECTIONS_MAX + 7 not in heard.positions:
                other.poke(CONNECTIONS_MAX + 7)
                await anyio.sleep(0.005)
        await other.leave()


@pytest.fixture
def deep_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a home whose path is too long for a socket, and a runtime folder that is short wherever tests keep their files."""
    home = tmp_path / ("x" * 100) / "home"
    home.mkdir(parents=True)
    with TemporaryDirectory(prefix="td-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield home


async def test_long_path_gets_a_short_socket(deep_home: Path, anyio_backend: str) -> None:
    """Where the home's path is too long for a socket, all processes agree on a short one in a private folder."""
    assert not listens(deep_home)
    UnixSeat(deep_home).poke(1)
    with pytest.raises(Unreachable):
        await UnixSeat(deep_home).follow(Heard())
    with holder(deep_home, anyio_backend):
        async with following(UnixSeat(deep_home)) as heard:
            await heard.until(1)
            other = UnixSeat(deep_home)
            other.poke(6)
            await heard.until(6)
            await other.leave()
        path = address.find(deep_home)
        assert path is not None
        assert len(bytes(path)) <= address.PATH_BYTES_MAX
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_others_find_the_recorded_place(
    deep_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process with another runtime folder still finds the socket, since its place is recorded in the home."""
    settled = address.settle(deep_home)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    assert address.find(deep_home) == settled


def test_links_to_a_home_lead_to_one_socket(deep_home: Path, tmp_path: Path) -> None:
    """However a process came to the home, it means the same socket."""
    link = tmp_path / "short"
    link.symlink_to(deep_home)
    assert address.settle(link) == address.settle(deep_home) == address.find(link)


def test_folder_of_others_is_refused(deep_home: Path, tmp_path: Path) -> None:
    """A runtime folder that others may write to, or a link in its place, is refused: they could answer for us."""
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / f"taskdock-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Permanent, match="this user alone"):
        address.settle(deep_home)
    folder.rmdir()
    (tmp_path / "private").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "private")
    with pytest.raises(Permanent, match="this user alone"):
        address.settle(deep_home)


def test_runtime_folder_that_cannot_be_made_is_said(deep_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime folder that does not exist gives an error with its path."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep_home / "missing"))
    with pytest.raises(Permanent, match=r"missing/taskdock-\d+ cannot be made"):
        address.settle(deep_home)


def test_no_short_place_at_all_is_said(deep_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even the runtime folder is too deep, the error says what to set."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep_home))
    with pytest.raises(Permanent, match="XDG_RUNTIME_DIR or TMPDIR"):
        address.settle(deep_home)

"""The relay, run as the process that it is, between a pretended server and odd agents."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipped import ship
from taskdock.adapters.agent import relay
from taskdock.adapters.agent.catalogue import RELAY_FILES

ODD = str(Path(__file__).resolve().parents[2] / "odd_agent.py")
SECONDS_MAX = 20.0

Message = dict[str, Any]


class Relayed:
    """A relay with an agent behind it, and the server's end of both pipes."""

    def __init__(self, folder: Path, *agent: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(folder / "relay.py"), *agent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # Nothing here may wait for ever: a relay that hangs is killed, and the test sees its end.
        self.deadline = threading.Timer(SECONDS_MAX, self.process.kill)
        self.deadline.start()

    def send(self, *messages: Message) -> None:
        """Write messages as the server would."""
        self.write(*(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n" for message in messages))

    def write(self, *pieces: bytes) -> None:
        """Write bytes."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(pieces))
        self.process.stdin.flush()

    def read(self) -> Message:
        """Read one message."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the relay ended: {self.process.stderr.read() if self.process.stderr else b''!r}"
        message: Message = json.loads(line)
        assert message.pop("jsonrpc") == "2.0"
        return message

    def until(self, **wanted: object) -> list[Message]:
        """Read until a message with these fields; returns all up to and with it."""
        found: list[Message] = []
        while True:
            found.append(self.read())
            if wanted.items() <= found[-1].items():
                return found

    def end_input(self) -> None:
        """Close the server's end."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self) -> int:
        """Wait for the relay's own end; returns its exit code."""
        return self.process.wait(SECONDS_MAX)

    def close(self) -> None:
        """Leave nothing behind."""
        self.deadline.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue


Start = Callable[..., Relayed]
"""Takes the way of an odd agent, or after it a command line in its place."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the relay lies, as it does in a sandbox."""
    return ship(tmp_path, RELAY_FILES)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start relays with an odd agent, or with the command line given, and close them."""
    started: list[Relayed] = []

    def one(way: str = "", *argv: str) -> Relayed:
        started.append(Relayed(folder, *(argv or ("{python}", "-S", "-E", ODD, way))))
        return started[-1]

    yield one
    for relayed in started:
        relayed.close()


def request(request_id: object, method: str = "session/prompt", **params: object) -> Message:
    """Make a request; a prompt by default."""
    return {"id": request_id, "method": method, "params": {"sessionId": "s", **params}}


def received(request_id: object) -> Message:
    """Name the receipt of a request."""
    return {"method": "_taskdock/received", "params": {"id": request_id}}


END = {"stopReason": "end_turn"}


def test_receipt_comes_before_everything_else(start: Start) -> None:
    """A request is receipted before the agent's first word about it, and its reply passes unchanged."""
    one = start()
    one.send(request("m1"))
    assert [one.read(), one.read()] == [received("m1"), {"id": "m1", "result": END}]


def test_notification_passes_without_a_receipt(start: Start) -> None:
    """Only requests are receipted."""
    one = start()
    one.send({"method": "session/cancel", "params": {}}, request("m1"))
    assert one.read() == received("m1")


def test_fence_is_answered_by_the_relay(start: Start) -> None:
    """A fence is receipted and answered even when the agent reads nothing at all."""
    one = start("deaf")
    one.send(request("f1", "_taskdock/fence"))
    assert [one.read(), one.read()] == [received("f1"), {"id": "f1", "result": {}}]


def test_half_a_line_takes_the_next_one_with_it(start: Start) -> None:
    """Half a line and what is glued to it are dropped and reported; the line after that arrives."""
    one = start()
    one.write(b'{"jsonrpc":"2.0","id":"m1","method":"session/pro')
    one.send(request("m2"), request("m3"))
    assert one.read() == {"method": "_taskdock/broken_line", "params": {"from": "server"}}
    assert [one.read(), one.read()] == [received("m3"), {"id": "m3", "result": END}]


@pytest.mark.parametrize("line", [b"[1, 2]\n", b"null\n", b"\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n"])
def test_line_that_is_no_object_is_dropped(start: Start, line: bytes) -> None:
    """What is JSON but no object, no UTF-8, or nested beyond sense, is dropped and reported."""
    one = start()
    one.write(line)
    assert one.read()["method"] == "_taskdock/broken_line"
    one.send(request("m1"))
    assert one.read() == received("m1")


def test_endless_line_is_dropped(start: Start) -> None:
    """A line above the limit is dropped without being kept, and the next one arrives."""
    one = start()
    one.send(request("m1", filler="x" * relay.LINE_BYTES_MAX), request("m2"))
    assert one.read()["method"] == "_taskdock/broken_line"
    assert one.read() == received("m2")


def test_request_id_counts_once(start: Start) -> None:
    """A prompt whose id was received before is reported and not passed on; another id is another prompt."""
    one = start()
    one.send(request("m1"), request("m1"), request("m2"))
    messages = one.until(id="m2")
    assert [message for message in messages if message.get("id") == "m1"] == [{"id": "m1", "result": END}]
    assert {"method": "_taskdock/repeated", "params": {"id": "m1"}} in messages


@pytest.mark.parametrize("odd_id", [0, None, "", [1]])
def test_odd_request_id_is_an_id(start: Start, odd_id: object) -> None:
    """An id that is falsy, or not even allowed, is still the id of a request."""
    one = start()
    one.send(request(odd_id))
    assert [one.read(), one.read()] == [received(odd_id), {"id": odd_id, "result": END}]


def test_one_session_for_all_who_ask(start: Start) -> None:
    """However many ask for a session, together or later, the agent makes one and all get it."""
    one = start()
    one.send(*(request(f"n{number}", "session/new") for number in range(5)))
    messages = one.until(id="n4")
    one.send(request("late", "session/new"))
    messages += one.until(id="late")
    answers = {message["id"]: message["result"] for message in messages if "result" in message}
    assert answers == {key: {"sessionId": "odd-1"} for key in ("n0", "n1", "n2", "n3", "n4", "late")}


def test_refused_session_can_be_asked_for_again(start: Start) -> None:
    """An error is given as it is, and the next one to ask reaches the agent again."""
    one = start("late-login")
    one.send(request("n1", "session/new"))
    assert one.until(id="n1")[-1]["error"]["code"] == -32000
    one.send(request("n2", "session/new"))
    assert one.until(id="n2")[-1]["result"] == {"sessionId": "odd-2"}


def test_initialize_and_session_are_kept_apart(start: Start) -> None:
    """The answer to one is never the answer to the other."""
    one = start()
    one.send(request("i1", "initialize"), request("n1", "session/new"), request("i2", "initialize"))
    answers = {m["id"]: m["result"] for m in one.until(id="i2") if "result" in m}
    assert answers["i1"] == answers["i2"] == {"protocolVersion": 1, "agentCapabilities": {}}
    assert answers.get("n1", {"sessionId": "odd-1"}) == {"sessionId": "odd-1"}


def test_agent_that_reads_nothing_cannot_block_us(start: Start) -> None:
    """When the agent leaves its input unread, senders are told so, nothing piles up, and fences are answered."""
    one = start("deaf")
    count = relay.LINES_WAITING_MAX + 10
    one.send(*(request(f"m{number}", filler="x" * 100_000) for number in range(count)))
    one.send(request("f1", "_taskdock/fence"))
    messages = one.until(id="f1")
    refused = [m["id"] for m in messages if "does not read" in m.get("error", {}).get("message", "")]
    assert len(refused) >= count - relay.LINES_WAITING_MAX - 2
    assert [m["params"]["id"] for m in messages if m.get("method") == "_taskdock/received"][-1] == "f1"


def test_exit_is_passed_on_with_last_words(start: Start) -> None:
    """The relay tells the code and the tail of stderr, passes stderr on, and exits with the same code."""
    one = start("dies")
    words = "cannot find my configuration\n"
    assert one.read() == {"method": "_taskdock/exited", "params": {"code": 5, "stderr": words}}
    assert one.wait() == 5
    assert one.process.stderr is not None
    assert one.process.stderr.read() == words.encode()


def test_killed_agent_gives_a_shell_code(start: Start) -> None:
    """An agent killed by signal 9 is told as 137."""
    one = start("", "/bin/sh", "-c", "kill -9 $$")
    assert one.read()["params"]["code"] == 128 + signal.SIGKILL
    assert one.wait() == 128 + signal.SIGKILL


def test_child_of_the_agent_does_not_hold_us(start: Start) -> None:
    """A child that keeps the agent's pipes open does not keep the relay."""
    one = start("leaves-a-child")
    assert one.until(method="_taskdock/exited")[-1]["params"]["code"] == 7
    assert one.wait() == 7


def test_missing_program_is_told(start: Start) -> None:
    """A program that is not there is told as 127, by name."""
    one = start("", "/no/such/agent")
    params = one.read()["params"]
    assert params["code"] == 127
    assert "/no/such/agent" in params["stderr"]
    assert one.wait() == 127


@pytest.mark.parametrize("way", ["", "stays", "deaf"])
@pytest.mark.parametrize("how", ["end of input", "close", "SIGTERM"])
def test_end_is_sure(start: Start, way: str, how: str) -> None:
    """The end of the input, a close, and SIGTERM each end every agent: one that obeys, one that will not, one that is deaf."""
    one = start(way)
    one.send(request("f1", "_taskdock/fence"))
    one.until(id="f1")
    if way == "stays":
        one.send(request("m1"))
        one.until(id="m1")  # it ignores SIGTERM from here on
    if how == "close":
        one.send(request("c1", "_taskdock/close"))
        assert one.until(id="c1")[-1]["result"] == {}
    elif how == "SIGTERM":
        one.process.send_signal(signal.SIGTERM)
    else:
        one.end_input()
    one.wait()
    assert one.until(method="_taskdock/exited")


def test_placeholders_name_the_interpreter_and_the_folder(start: Start, folder: Path) -> None:
    """`{python}` and `{bin}` in an agent's command line become the relay's interpreter and folder."""
    one = start("", "{python}", "-c", "import sys; sys.exit(sys.argv[1])", "{python} {bin}")
    expected = f"{sys.executable} {folder}\n"
    assert one.read()["params"] == {"code": 1, "stderr": expected}

"""Relay: the process between sandbox-agent and one agent; it makes delivery provable and the agent's end sure.

Owns: the methods `_taskdock/*`, whose notifications pass through the server's ring of events.
Never: more than the standard library (it is copied into the sandbox and run by the Python found there, 3.9 or later,
    with `-S -E`); an unbounded buffer; a thread that reads the server and can be blocked by the agent.
Reads as: sandbox-agent -> launcher -> this -> the agent, one line of JSON-RPC at a time.

What happens to a line of the server, in this order:
1. What is not one JSON object is dropped and reported (`_taskdock/broken_line`): a client that was cut off while the
   server wrote for it leaves half a line, and the next message is glued to that half.
2. A request is reported (`_taskdock/received {"id"}`) before it goes anywhere.
3. `_taskdock/fence` is answered here; `_taskdock/close` too, and it ends the agent and with it this process.
4. One `initialize`, one `session/new` and one `session/load` reach the agent, however many clients ask, together or
   later: all get the one result. An error goes to all who wait, and the next to ask reaches the agent again.
   `_taskdock/session` tells the results so far.
5. `_taskdock/answer {"number", "option"}` answers what the agent asked, once (permissions.py).
6. A request id that was received before is dropped (`_taskdock/repeated`): what is sent twice is seen once.

What the agent repeats of a loaded session, before its first prompt here, is dropped: it is the past.
A permission that the agent asks for in a turn waits for its answer; `_taskdock/asked` and `_taskdock/answered` tell of it.
Every other request of the agent is refused here: files and terminals of the client were declared absent.
`_taskdock/refused` tells of it. The agent's last words (its exit code and the tail of its stderr) go out as
`_taskdock/exited`.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import queue
import signal
import subprocess
import sys
import termios
import threading
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from taskdock.adapters.agent.inside.permissions import CANCELLED, Permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskdock.adapters.agent.inside.permissions import Settled

LINE_BYTES_MAX = 8 << 20
LINES_WAITING_MAX = 16
REQUEST_IDS_MAX = 4096
STDERR_TAIL_BYTES = 4096
GRACE_SECONDS = 1.0

Message = dict[str, Any]


class Once:
    """A request that the agent sees once: the id it went out under, who waits for the answer, and its result."""

    def __init__(self) -> None:
        self.sent_as: object = None
        self.waiting: list[object] = []
        self.result: object = None
        self.is_done = False


class Relay:
    """Both directions between the server and one agent; `argv` is the agent's command line."""

    def __init__(self, argv: list[str]) -> None:
        pipe = subprocess.PIPE
        self.agent = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)  # noqa: S603 (ours, see catalogue.py)
        self.agent_input = cast("BinaryIO", self.agent.stdin).fileno()
        self.for_agent: queue.Queue[bytes] = queue.Queue(LINES_WAITING_MAX)
        self.once = {"initialize": Once(), "session/new": Once(), "session/load": Once()}
        self.is_replaying = False
        self.permissions = Permissions()
        self.seen: OrderedDict[str, None] = OrderedDict()
        self.stderr_tail = b""
        self.answering = threading.Lock()
        self.writing = threading.Lock()
        self.ending = threading.Lock()

    def run(self) -> int:
        """Relay until the agent is gone; returns its exit code, 128 + n when signal n killed it."""
        from_agent = [
            threading.Thread(target=target, daemon=True)
            for target in (self.read_agent, self.read_agent_stderr)
        ]
        for thread in (
            *from_agent,
            *(threading.Thread(target=t, daemon=True) for t in (self.feed, self.read_server)),
        ):
            thread.start()
        code = self.agent.wait()
        for thread in from_agent:
            # A child of the agent may hold a pipe open for ever; what the agent itself wrote is read long before.
            thread.join(GRACE_SECONDS)
        code = code if code >= 0 else 128 - code
        self.tell("exited", {"code": code, "stderr": self.stderr_tail.decode("utf-8", "replace")})
        wait_until_read(sys.stdout.fileno())
        return code

    def read_server(self) -> None:
        """Take every line of the server; the end of its stream ends the agent."""
        for line in lines(sys.stdin.buffer):
            message = parse(line)
            if message is None:
                self.tell("broken_line", {"from": "server"})
            elif "method" in message and "id" in message:
                self.tell("received", {"id": message["id"]})
                self.take_request(message, line)
            else:
                self.forward(line)
                if message.get("method") == "session/cancel":
                    self.settle(partial(self.permissions.cancel, session_of(message)))
        self.end()

    def take_request(self, message: Message, line: bytes) -> None:
        """One request of the server, by rules 3 to 6."""
        method, request = message["method"], message["id"]
        key = json.dumps(request)
        if method == "_taskdock/fence":
            self.reply(request, {})
        elif method == "_taskdock/close":
            self.reply(request, {})
            threading.Thread(target=self.end, daemon=True).start()
        elif method == "_taskdock/session":
            self.reply(request, {name: once.result for name, once in self.once.items()})
        elif method == "_taskdock/answer":
            self.take_answer(message)
        elif method in self.once:
            self.take_once(method, request, line)
        elif key in self.seen:
            self.tell("repeated", {"id": request})
        else:
            self.seen[key] = None
            if len(self.seen) > REQUEST_IDS_MAX:
                self.seen.popitem(last=False)
            if method == "session/prompt":
                self.is_replaying = False
                self.permissions.begin(session_of(message), request)
            self.forward(line)

    def take_answer(self, message: Message) -> None:
        """Give the agent what was chosen; what is settled already stays as it is."""
        params = mapping(message.get("params"))
        try:
            self.settle(partial(self.permissions.answer, params.get("number"), params.get("option")))
        except LookupError as error:
            self.reply_error(message["id"], -32602, str(error.args[0]))
        else:
            self.reply(message["id"], {})

    def settle(self, change: Callable[[], list[Settled]]) -> None:
        """Tell what became of what was asked, then give the agent its answers."""
        with self.permissions.changing:
            for one in change():
                self.tell("answered", {"number": one.number, "prompt": one.prompt, "option": one.option})
                self.forward(encode({"jsonrpc": "2.0", "id": one.id, "result": one.result}))

    def take_once(self, method: str, request: object, line: bytes) -> None:
        """Forward the first of its kind; later ones wait for the same answer, or have it already."""
        once = self.once[method]
        with self.answering:
            is_done, is_first = once.is_done, not once.waiting
            if not is_done:
                once.sent_as = request if is_first else once.sent_as
                once.waiting = [*once.waiting, request][-REQUEST_IDS_MAX:]
        if is_done:
            self.reply(request, once.result)
        elif is_first:
            self.is_replaying = method == "session/load" or self.is_replaying
            self.forward(line)

    def read_agent(self) -> None:
        """Take every line of the agent: answer its requests, share the answers that several wait for, pass on the rest."""
        for line in lines(cast("BinaryIO", self.agent.stdout)):
            message = parse(line)
            if message is None:
                self.tell("broken_line", {"from": "agent"})
            elif "method" not in message:
                self.settle(partial(self.permissions.end, message.get("id")))
                for request in self.who_asked(message):
                    self.write(encode({**message, "id": request}))
            elif "id" in message:
                self.take_ask(message)
            elif not (self.is_replaying and message["method"] == "session/update"):
                self.write(line)

    def who_asked(self, answer: Message) -> list[object]:
        """Find the request ids that this answer of the agent goes to."""
        for once in self.once.values():
            with self.answering:
                if once.waiting and answer.get("id") == once.sent_as:
                    waiting, once.waiting = once.waiting, []
                    once.result, once.is_done = answer.get("result"), "result" in answer
                    return waiting
        return [answer.get("id")]

    def take_ask(self, message: Message) -> None:
        """Tell of a permission that the agent asks for in a turn; refuse everything else. The agent's id may be 0."""
        method, params = message["method"], mapping(message.get("params"))
        call = mapping(params.get("toolCall"))
        body: Message = {"error": {"code": -32601, "message": f"Method not found: {method}"}}
        if method == "session/request_permission":
            with self.permissions.changing:
                asked = self.permissions.ask(session_of(message), message["id"], params)
                if asked is not None:
                    what = {"toolCall": call, "options": asked.options}
                    self.tell("asked", {"number": asked.number, "prompt": asked.prompt, **what})
                    return
            # Nobody can be asked outside of a turn, and what nobody allowed is not allowed.
            body = {"result": CANCELLED}
        self.tell("refused", {"method": method, "title": call.get("title")})
        self.forward(encode({"jsonrpc": "2.0", "id": message["id"], **body}))

    def read_agent_stderr(self) -> None:
        """Pass the agent's stderr on and keep its tail."""
        source = cast("BinaryIO", self.agent.stderr).fileno()
        while chunk := os.read(source, STDERR_TAIL_BYTES):
            self.stderr_tail = (self.stderr_tail + chunk)[-STDERR_TAIL_BYTES:]
            with contextlib.suppress(OSError):
                write_all(sys.stderr.fileno(), chunk)

    def forward(self, line: bytes) -> None:
        """Queue one line for the agent; an agent that leaves its input unread gets no more, and the asker is told."""
        try:
            self.for_agent.put_nowait(line)
        except queue.Full:
            message = parse(line) or {}
            if "method" in message and "id" in message:
                self.reply_error(message["id"], -32000, "The agent does not read its input")

    def feed(self) -> None:
        """Write the queued lines to the agent, as fast as it reads; one that is gone is noticed by its exit."""
        while True:
            line = self.for_agent.get()
            with contextlib.suppress(OSError):
                write_all(self.agent_input, line)

    def end(self) -> None:
        """End the agent: by the end of its input, then SIGTERM, then SIGKILL. Only the first caller acts."""
        if not self.ending.acquire(blocking=False):
            return
        # Not a close: another thread may be writing, and the descriptor's number must not be given to something else.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.agent_input)
        for stop in (None, self.agent.terminate, self.agent.kill):
            if stop is not None:
                stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.agent.wait(GRACE_SECONDS)
                return

    def reply(self, request: object, result: object) -> None:
        """Answer a request of the server."""
        self.write(encode({"jsonrpc": "2.0", "id": request, "result": result}))

    def reply_error(self, request: object, code: int, words: str) -> None:
        """Answer a request of the server by an error."""
        self.write(encode({"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": words}}))

    def tell(self, name: str, params: Message) -> None:
        """Notify the server of `_taskdock/<name>`."""
        self.write(encode({"jsonrpc": "2.0", "method": f"_taskdock/{name}", "params": params}))

    def write(self, line: bytes) -> None:
        """Write one whole line to the server; one that is gone is noticed by the end of its stream."""
        with self.writing, contextlib.suppress(OSError):
            write_all(sys.stdout.fileno(), line)


def lines(source: BinaryIO) -> Iterator[bytes]:
    """Read lines with their newline; one that is too long, or not ended, comes as an empty one."""
    while line := source.readline(LINE_BYTES_MAX):
        if line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = source.readline(LINE_BYTES_MAX)
        yield b""


def parse(line: bytes) -> Message | None:
    """Read the JSON object of a line; None when it is not one."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def mapping(value: object) -> Message:
    """Read an object; what is none counts as an empty one."""
    return value if isinstance(value, dict) else {}


def session_of(message: Message) -> str:
    """Read which session a message is about."""
    return str(mapping(message.get("params")).get("sessionId"))


def encode(message: Message) -> bytes:
    """One message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however many calls it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def wait_until_read(pipe: int) -> None:
    """Wait until the other side has read all, at most a grace: the server tells of an exit before what is still unread."""
    unread, deadline = array.array("i", [1]), time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(OSError):
        while unread[0] and time.monotonic() < deadline:
            time.sleep(0.002)
            fcntl.ioctl(pipe, termios.FIONREAD, unread)


def main(argv: list[str]) -> int:
    """Run the agent `argv` behind a relay; `{python}` is this interpreter and `{bin}` the folder of this file."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib costs a third of the start)
    try:
        relay = Relay([word.replace("{python}", sys.executable).replace("{bin}", here) for word in argv])
    except OSError as error:
        note = {"code": 127, "stderr": f"The agent's program could not be started: {error}"}
        os.write(1, encode({"jsonrpc": "2.0", "method": "_taskdock/exited", "params": note}))
        wait_until_read(1)
        return 127

    def on_terminate(*_: object) -> None:
        relay.agent.terminate()
        threading.Thread(target=relay.end, daemon=True).start()

    signal.signal(signal.SIGTERM, on_terminate)
    return relay.run()


if __name__ == "__main__":
    # Not sys.exit: threads may hold a stream's lock, and the interpreter would wait for them or complain.
    os._exit(main(sys.argv[1:]))

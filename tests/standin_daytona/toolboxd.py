"""Toolbox daemon: the first program in a sandbox of the stand-in; runs there with the standard library alone.

Owns: commands, sessions, files and ways to ports, asked for over a unix socket: a line of JSON, bytes, a line of JSON.
Never: a word of HTTP; toolbox.py speaks that outside.
Reads as: jail.py starts it -> it says `ready` -> toolbox.py and preview.py ask.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from typing import IO, Any, ClassVar

HOME = os.environ["HOME"]
RUN = os.environ["STANDIN_RUN"]
OUTPUT_PIECE = 65536


class Ask(socketserver.StreamRequestHandler):
    """One request."""

    sessions: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {}

    def handle(self) -> None:
        """Do what the first line says."""
        asked = json.loads(self.rfile.readline() or b"{}")
        try:
            answer = getattr(self, "do_" + asked.pop("do"))(**asked)
        except OSError as error:
            answer = {"error": error.strerror or str(error), "kind": type(error).__name__}
        if answer is not None:
            self.say(answer)

    def say(self, answer: dict[str, Any]) -> None:
        """Answer with a line."""
        with contextlib.suppress(OSError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def do_execute(
        self, command: str, cwd: str | None, envs: dict[str, str] | None, timeout: float
    ) -> dict[str, Any]:
        """Run a shell command; ended with all of its group when the time is up."""
        process = start(command, cwd, envs, subprocess.PIPE)
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return {"error": "command execution timeout", "kind": "Timeout"}
        return {"exitCode": process.returncode, "result": said.decode(errors="replace")}

    def do_write(self, path: str, size: int) -> dict[str, Any]:
        """Write a file, folders as needed."""
        target = path if path.startswith("/") else os.path.join(HOME, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            while size and (piece := self.rfile.read(min(size, OUTPUT_PIECE))):
                size -= file.write(piece)
        return {"left": size}

    def do_read(self, path: str) -> None:
        """A file: its size, then all of it."""
        with open(path if path.startswith("/") else os.path.join(HOME, path), "rb") as file:
            self.say({"size": os.fstat(file.fileno()).st_size})
            shutil.copyfileobj(file, self.wfile)

    def do_list(self, path: str) -> dict[str, Any]:
        """What is in a folder."""
        found = []
        for entry in os.scandir(path if path.startswith("/") else os.path.join(HOME, path)):
            about = entry.stat(follow_symlinks=False)
            found.append(
                {"name": entry.name, "isDir": entry.is_dir(), "size": about.st_size, "mode": about.st_mode}
            )
        return {"files": found}

    def do_session(self, session: str) -> dict[str, Any]:
        """Make a session, in which commands run one beside the other."""
        self.sessions[session] = {}
        return {}

    def do_session_run(self, session: str, command: str, *, waits: bool) -> dict[str, Any]:
        """Run a command in a session; with `waits` to its end."""
        command_id = secrets.token_hex(8)
        log = os.path.join(RUN, f"log-{command_id}")
        with open(log, "wb") as out:
            process = start(command, None, None, out)
        self.sessions[session][command_id] = {"command": command, "process": process, "log": log}
        if waits:
            process.wait()
        return {"cmdId": command_id, "exitCode": process.poll(), "output": read(log)}

    def do_session_show(self, session: str) -> dict[str, Any]:
        """The commands of a session."""
        if session not in self.sessions:
            return {"error": "session not found", "kind": "FileNotFoundError"}
        commands = [
            {"id": key, "command": one["command"], "exitCode": one["process"].poll()}
            for key, one in self.sessions[session].items()
        ]
        return {"commands": commands}

    def do_session_log(self, session: str, command: str) -> dict[str, Any]:
        """What a command has said."""
        return {"output": read(self.sessions[session][command]["log"])}

    def do_session_end(self, session: str) -> dict[str, Any]:
        """End a session with its commands."""
        for one in self.sessions.pop(session, {}).values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one["process"].pid, signal.SIGKILL)
        return {}

    def do_expose(self, port: int) -> dict[str, Any]:
        """Carry connections of a unix socket to a port."""
        path = os.path.join(RUN, f"port-{port}.sock")
        if not os.path.exists(path):
            serve(path, type("Way", (Way,), {"port": port}))
        return {}


class Way(socketserver.BaseRequestHandler):
    """One connection to a port."""

    port = 0

    def handle(self) -> None:
        """Carry bytes to and fro until both sides have ended."""
        try:
            other = socket.create_connection(("127.0.0.1", self.port))
        except OSError:
            return
        with other:
            there = threading.Thread(target=carry, args=(self.request, other), daemon=True)
            there.start()
            carry(other, self.request)
            there.join()


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """One thread for each connection."""

    daemon_threads = True
    request_queue_size = 128


def carry(source: socket.socket, sink: socket.socket) -> None:
    """Carry one way; an end is carried too."""
    with contextlib.suppress(OSError):
        while piece := source.recv(OUTPUT_PIECE):
            sink.sendall(piece)
    # What one side has closed is over for the other one too: a proxy's client that hangs up is to be noticed.
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR if end is source else socket.SHUT_WR)


def start(
    command: str, cwd: str | None, envs: dict[str, str] | None, out: "IO[bytes] | int"
) -> "subprocess.Popen[bytes]":
    """Start a shell command in a session of its own."""
    shell = next(found for name in ("bash", "sh") if (found := shutil.which(name)))
    return subprocess.Popen(
        [shell, "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        cwd=cwd or HOME,
        env={**os.environ, **(envs or {})},
        start_new_session=True,
    )


def read(path: str) -> str:
    """A log so far."""
    with open(path, "rb") as file:
        return file.read().decode(errors="replace")


def serve(path: str, handler: type[socketserver.BaseRequestHandler]) -> None:
    """Serve a socket from a thread of its own."""
    server = Server(path, handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    serve(os.path.join(RUN, "toolbox.sock"), Ask)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.pause()

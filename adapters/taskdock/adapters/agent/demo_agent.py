"""Demo agent: an ACP agent without a model, so that everything around an agent can be seen working without a key.

Owns: the directives below, and two records in `$HOME/.taskdock`: `demo-agent.jsonl` (every prompt seen, one synced line
    each: session, request, first 200 characters) and `demo-sessions/` (what `session/load` replays).
Never: more than the standard library (it is copied into the sandbox and run by the Python found there, 3.9 or later,
    with `-S -E`); network.
Reads as: sandbox-agent -> relay.py -> this, ACP on stdin and stdout, one line of JSON-RPC each.

A prompt is answered with a thought, a plan that progresses, streamed text, tool calls, a file `notes/<slug>.md` and a
commit of it; the last text names the commit. A line of the prompt that begins with `demo:` asks for something else:

    demo: echo TEXT       stream TEXT and end the turn
    demo: dirty           the usual work without the commit
    demo: crawl SECONDS   ten words a second, for so long
    demo: flood COUNT     so many chunks as fast as they go
    demo: ask             ask for a permission and say what the answer was
    demo: error TEXT      end the turn with a JSON-RPC error
    demo: refuse          end the turn with the stop reason `refusal`
    demo: hang            stay silent until cancelled
    demo: crash           exit with code 3 in the middle of the turn
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PACE_SECONDS = 0.03
CRAWL_PACE_SECONDS = 0.1
GIT_SECONDS_MAX = 30.0
END_SECONDS_MAX = 0.5
PROMPT_LOG_CHARACTERS = 200
SLUG_CHARACTERS_MAX = 40
INTERNAL_ERROR = -32603
RECORDS = Path(os.environ.get("HOME", ".")) / ".taskdock"

_DIRECTIVE = re.compile(r"^\s*demo:\s*(\w+)[ \t]*(.*)$", re.MULTILINE)
_SESSION_ID = re.compile(r"demo-[0-9a-f]{32}")

Message = dict[str, Any]


class Refused(Exception):
    """The request ends with this JSON-RPC error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.body = {"code": code, "message": text}


class Cancelled(Exception):
    """The turn was cancelled from outside."""


class Client:
    """The other side: writes whole lines, and waits for the answers to what the agent asks."""

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.answers: dict[int, queue.Queue[Message]] = {}

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        with self.writing:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            sys.stdout.flush()

    def ask(self, method: str, params: Message, turn: Turn) -> Message:
        """Send a request and wait for its answer, as long as the turn is not cancelled; the first id is 0."""
        number = len(self.answers)
        answer = self.answers[number] = queue.Queue(1)
        self.send({"id": number, "method": method, "params": params})
        while True:
            try:
                return answer.get(timeout=PACE_SECONDS)
            except queue.Empty:
                turn.pause(0)

    def take_answer(self, message: Message) -> None:
        """Hand over an answer; one that nobody asked for, or a second one, is dropped."""
        waiting = self.answers.get(message.get("id", -1))
        if waiting is not None and waiting.empty():
            waiting.put_nowait(message)


class Session:
    """One conversation: where it works, its record on disk, and the turn that runs."""

    def __init__(self, session_id: str, cwd: str) -> None:
        self.id = session_id
        self.cwd = Path(cwd)
        self.turn: Turn | None = None
        self.record = RECORDS / "demo-sessions" / f"{session_id}.jsonl"
        self.record.parent.mkdir(parents=True, exist_ok=True)

    def keep(self, update: Message) -> None:
        """Append an update to the record."""
        with self.record.open("a") as file:
            file.write(json.dumps(update) + "\n")


class Turn:
    """One prompt being worked on; every word goes through here so that a cancel takes effect between two words."""

    def __init__(self, client: Client, session: Session, prompt: str, request: object) -> None:
        self.client = client
        self.session = session
        self.prompt = prompt
        self.cancelled = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(request,), daemon=True)

    def update(self, update: Message) -> None:
        """Send one `session/update` and keep it."""
        self.session.keep(update)
        self.client.send(
            {"method": "session/update", "params": {"sessionId": self.session.id, "update": update}}
        )

    def pause(self, seconds: float = PACE_SECONDS) -> None:
        """Wait; `Cancelled` at once when the turn is cancelled."""
        if self.cancelled.wait(seconds):
            raise Cancelled

    def chunk(self, text: str, kind: str = "agent_message_chunk") -> None:
        """Send one piece of text."""
        self.update({"sessionUpdate": kind, "content": {"type": "text", "text": text}})

    def say(self, text: str, kind: str = "agent_message_chunk") -> None:
        """Stream a text word by word."""
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", text):
            self.chunk(word, kind)
            self.pause()

    def plan(self, steps: Sequence[str], done: int) -> None:
        """Show the plan with its first `done` steps completed."""
        entries = [
            {"content": step, "status": progress_of(number - done), "priority": "medium"}
            for number, step in enumerate(steps)
        ]
        self.update({"sessionUpdate": "plan", "entries": entries})
        self.pause()

    def call(self, title: str, kind: str, work: Callable[[], list[Message]]) -> None:
        """Show a tool call around `work`, which returns its content; one that raises is shown as failed."""
        call_id = f"call-{uuid.uuid4().hex[:12]}"
        call = {"sessionUpdate": "tool_call", "toolCallId": call_id, "title": title, "kind": kind}
        self.update({**call, "status": "in_progress"})
        self.pause()
        end: Message = {"sessionUpdate": "tool_call_update", "toolCallId": call_id}
        try:
            content = work()
        except (OSError, subprocess.SubprocessError) as error:
            self.update({**end, "status": "failed", "content": [text_content(str(error))]})
            raise Refused(INTERNAL_ERROR, f"{title}: {error}") from error
        self.update({**end, "status": "completed", "content": content})
        self.pause()

    def run(self, request: object) -> None:
        """Work on the prompt and answer its request."""
        found = _DIRECTIVE.search(self.prompt)
        name, argument = (found[1], found[2].strip()) if found else ("work", "")
        try:
            stop_reason = DIRECTIVES.get(name, unknown)(self, argument)
        except Cancelled:
            stop_reason = "cancelled"
        except Refused as refusal:
            self.finish({"id": request, "error": refusal.body})
            return
        self.finish({"id": request, "result": {"stopReason": stop_reason}})

    def finish(self, answer: Message) -> None:
        """Free the session before its client can send the next prompt."""
        self.session.turn = None
        self.client.send(answer)


def work(turn: Turn, _: str, *, commits: bool = True) -> str:
    """Do the usual work: a thought, a plan, a file, a commit."""
    steps = ["Look at the checkout", "Write a note about the request", "Commit the note"][
        : 3 if commits else 2
    ]
    title, path = title_of(turn.prompt), Path("notes", f"{slug_of(turn.prompt)}.md")
    turn.say(
        f"The request is: {title}. A note in {path} shows where an edit would go.", "agent_thought_chunk"
    )
    turn.plan(steps, 0)
    turn.say("I look at the checkout first.")
    turn.call("List files", "read", lambda: list_files(turn.session.cwd))
    turn.plan(steps, 1)
    turn.call(f"Write {path}", "edit", lambda: write_note(turn.session.cwd, path, turn.prompt))
    turn.plan(steps, 2)
    if not commits:
        turn.say(f"\n\nI wrote {path} and left it uncommitted.")
        return "end_turn"
    commit: list[str] = []
    turn.call("git commit", "execute", lambda: commit_note(turn.session.cwd, path, f"Note: {title}", commit))
    turn.plan(steps, 3)
    turn.say(f"\n\nI wrote {path} and committed it as {commit[0]}.")
    return "end_turn"


def echo(turn: Turn, argument: str) -> str:
    """Stream the argument."""
    turn.say(argument)
    return "end_turn"


def dirty(turn: Turn, argument: str) -> str:
    """Work without a commit."""
    return work(turn, argument, commits=False)


def crawl(turn: Turn, argument: str) -> str:
    """Stream slowly."""
    for count in range(round(number_of(argument) / CRAWL_PACE_SECONDS)):
        turn.chunk(f"word {count} ")
        turn.pause(CRAWL_PACE_SECONDS)
    return "end_turn"


def flood(turn: Turn, argument: str) -> str:
    """Stream as fast as it goes."""
    for count in range(round(number_of(argument))):
        turn.chunk(f"{count} ")
        turn.pause(0)
    return "end_turn"


def ask(turn: Turn, _: str) -> str:
    """Ask for a permission."""
    options = [
        {"optionId": "once", "name": "Allow once", "kind": "allow_once"},
        {"optionId": "never", "name": "Reject", "kind": "reject_once"},
    ]
    call = {"toolCallId": f"{turn.session.id}-ask", "title": "Remove everything", "kind": "execute"}
    params = {"sessionId": turn.session.id, "toolCall": call, "options": options}
    answer = turn.client.ask("session/request_permission", params, turn)
    turn.say(f"The answer was: {json.dumps(answer.get('result') or answer.get('error'), sort_keys=True)}")
    return "end_turn"


def error(turn: Turn, argument: str) -> str:
    """Fail the turn."""
    turn.say("This turn is going to fail.")
    raise Refused(INTERNAL_ERROR, argument or "The demo agent was asked to fail")


def refuse(turn: Turn, _: str) -> str:
    """Refuse the prompt."""
    turn.say("I would rather not.")
    return "refusal"


def hang(turn: Turn, _: str) -> str:
    """Wait for the cancel."""
    turn.cancelled.wait()
    raise Cancelled


def crash(turn: Turn, _: str) -> str:
    """Die in the middle of a turn."""
    turn.say("This is the last you hear of me.")
    sys.stderr.write("demo agent: exiting with code 3, as asked\n")
    sys.stderr.flush()
    os._exit(3)


def unknown(turn: Turn, _: str) -> str:
    """Say what there is."""
    turn.say(f"I know these directives: {', '.join(sorted(DIRECTIVES))}.")
    return "end_turn"


DIRECTIVES = {
    name.__name__: name for name in (work, echo, dirty, crawl, flood, ask, error, refuse, hang, crash)
}


def list_files(cwd: Path) -> list[Message]:
    """Name the first files of a folder."""
    return [text_content("\n".join(sorted(entry.name for entry in cwd.iterdir())[:20]))]


def write_note(cwd: Path, path: Path, prompt: str) -> list[Message]:
    """Append the prompt to the note, so that every turn changes it; returns the difference."""
    target = cwd / path
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.read_text() if target.exists() else None
    new = f"{old}\n" if old is not None else f"# {title_of(prompt)}\n\n"
    new += prompt.strip() + "\n"
    target.write_text(new)
    return [{"type": "diff", "path": str(target), "oldText": old, "newText": new}]


def commit_note(cwd: Path, path: Path, subject: str, commit: list[str]) -> list[Message]:
    """Commit one file under the identity that git finds, else our own; its short id is appended to `commit`."""
    identity: tuple[str, ...] = ()
    if git(cwd, "config", "user.email", is_checked=False) == "":
        identity = ("-c", "user.name=Taskdock demo agent", "-c", "user.email=demo@taskdock.invalid")
    git(cwd, "add", "--", str(path))
    output = git(cwd, *identity, "-c", "commit.gpgsign=false", "commit", "-m", subject, "--", str(path))
    commit.append(git(cwd, "rev-parse", "--short", "HEAD"))
    return [text_content(output)]


def git(cwd: Path, *arguments: str, is_checked: bool = True) -> str:
    """Run git; returns what it printed. A failure is an OSError with git's words, when checked."""
    done = subprocess.run(  # noqa: S603 (arguments are our own, a path stands after --)
        ["git", *arguments],  # noqa: S607 (the sandbox's PATH decides)
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS_MAX,
        check=False,
    )
    if is_checked and done.returncode != 0:
        raise OSError((done.stderr or done.stdout).strip() or f"git ended with code {done.returncode}")
    return done.stdout.strip()


def text_content(text: str) -> Message:
    """Wrap a text as ACP content."""
    return {"type": "content", "content": {"type": "text", "text": text}}


def progress_of(distance: int) -> str:
    """Say how far a step of the plan is, by its distance from the one being worked on."""
    return "in_progress" if distance == 0 else "completed" if distance < 0 else "pending"


def title_of(prompt: str) -> str:
    """Take the first line that is no directive."""
    found = [line.strip() for line in prompt.splitlines() if line.strip() and not _DIRECTIVE.match(line)]
    return found[0] if found else "Notes"


def slug_of(prompt: str) -> str:
    """Make a file name of the title."""
    words = "-".join(re.findall(r"[a-z0-9]+", title_of(prompt).lower()))
    return words[:SLUG_CHARACTERS_MAX].strip("-") or "notes"


def number_of(argument: str) -> float:
    """Read a number; a JSON-RPC error when there is none."""
    try:
        return float(argument)
    except ValueError:
        raise Refused(-32602, f"A number is needed, not {argument!r}") from None


class Agent:
    """The ACP side: one session record per id, one turn per session at a time."""

    def __init__(self) -> None:
        self.client = Client()
        self.sessions: dict[str, Session] = {}
        self.requests: dict[str, Callable[[Message, object], Message | None]] = {
            "initialize": self.initialize,
            "session/new": self.new_session,
            "session/load": self.load_session,
            "session/prompt": self.prompt,
        }

    def serve(self) -> None:
        """Answer until the end of the input, then let running turns end."""
        for line in sys.stdin:
            message = json.loads(line)
            if "method" not in message:
                self.client.take_answer(message)
            elif "id" in message:
                self.answer(message)
            elif message["method"] == "session/cancel":
                self.cancel(message["params"]["sessionId"])
        for session in self.sessions.values():
            turn = session.turn
            if turn is not None:
                turn.cancelled.set()
                turn.thread.join(END_SECONDS_MAX)

    def answer(self, message: Message) -> None:
        """Answer one request; a prompt is answered by its turn."""
        try:
            method = self.requests.get(message["method"], self.unknown)
            result = method(message.get("params") or {}, message["id"])
        except Refused as refusal:
            self.client.send({"id": message["id"], "error": refusal.body})
            return
        if result is not None:
            self.client.send({"id": message["id"], "result": result})

    def unknown(self, _: Message, __: object) -> None:
        """Refuse a method that we do not have."""
        raise Refused(-32601, "Method not found")

    def initialize(self, _: Message, __: object) -> Message:
        """Say who we are."""
        return {
            "protocolVersion": 1,
            "agentCapabilities": {"loadSession": True},
            "agentInfo": {"name": "taskdock-demo", "version": "1"},
            "authMethods": [],
        }

    def new_session(self, params: Message, _: object) -> Message:
        """Begin a session."""
        session = Session(f"demo-{uuid.uuid4().hex}", params["cwd"])
        session.record.touch()
        self.sessions[session.id] = session
        return {"sessionId": session.id}

    def load_session(self, params: Message, _: object) -> Message:
        """Replay a session of this or of an earlier process."""
        session_id = params["sessionId"]
        if not _SESSION_ID.fullmatch(session_id):
            raise Refused(-32002, f"There is no session {session_id}")
        session = self.sessions.get(session_id) or Session(session_id, params["cwd"])
        if not session.record.exists():
            raise Refused(-32002, f"There is no session {session_id}")
        self.sessions[session_id] = session
        for line in session.record.read_text().splitlines():
            body = {"sessionId": session_id, "update": json.loads(line)}
            self.client.send({"method": "session/update", "params": body})
        return {}

    def prompt(self, params: Message, request: object) -> None:
        """Begin a turn; the prompt is on disk before anything else happens."""
        session = self.sessions.get(params["sessionId"])
        if session is None:
            raise Refused(-32002, f"There is no session {params['sessionId']}")
        text = "\n".join(block.get("text", "") for block in params["prompt"])
        log_prompt({"session": session.id, "request": request, "text": text[:PROMPT_LOG_CHARACTERS]})
        if session.turn is not None:
            raise Refused(-32600, "A turn is running in this session")
        session.keep({"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": text}})
        session.turn = Turn(self.client, session, text, request)
        session.turn.thread.start()

    def cancel(self, session_id: str) -> None:
        """Cancel the session's turn, if one runs."""
        session = self.sessions.get(session_id)
        turn = session.turn if session is not None else None
        if turn is not None:
            turn.cancelled.set()


def log_prompt(entry: Message) -> None:
    """Append one line to the log of prompts, durably."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(RECORDS / "demo-agent.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, json.dumps(entry).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def die_loudly(failure: threading.ExceptHookArgs) -> None:
    """End the process when a turn breaks in a way that nobody thought of: a turn must not stay open for ever."""
    sys.__excepthook__(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    sys.stderr.flush()
    os._exit(70)


if __name__ == "__main__":
    threading.excepthook = die_loudly
    Agent().serve()
    # Not the ordinary end: a turn that did not stop in time may hold stdout, and the interpreter would wait for it.
    os._exit(0)

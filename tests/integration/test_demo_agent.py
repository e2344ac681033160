"""The demo agent, run as the process that it is, with `-S -E` and without sandbox-agent."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipped import ship
from taskdock.adapters.agent import demo_agent
from taskdock.adapters.agent.catalogue import DEMO
from taskdock.adapters.agent.inside.demo_directives import DIRECTIVES

SECONDS_MAX = 30.0

Message = dict[str, Any]


class Talk:
    """A demo agent in a repository, and the client's end of its pipes."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.home = root / "home"
        self.checkout = root / "checkout"
        self.home.mkdir(exist_ok=True)
        self.checkout.mkdir(exist_ok=True)
        self.numbers = iter(range(1000))
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(ship(self.home, DEMO.files) / "demo_agent.py")],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # Nothing here may wait for ever: an agent that hangs is killed, and the test sees its end.
        self.deadline = threading.Timer(SECONDS_MAX, self.process.kill)
        self.deadline.start()

    def send(self, method: str, params: Message, *, is_request: bool = True) -> str:
        """Send one message; returns the id of a request."""
        request_id = f"r{next(self.numbers)}"
        message = {
            "jsonrpc": "2.0",
            "method": method,
            "params": params,
            **({"id": request_id} if is_request else {}),
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return request_id

    def read(self) -> Message:
        """Read one message."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the agent ended"
        message: Message = json.loads(line)
        return message

    def until_answered(self, request_id: str) -> tuple[list[Message], Message]:
        """Read until the answer; returns the updates before it too."""
        updates: list[Message] = []
        while (message := self.read()).get("id") != request_id:
            updates.append(message["params"]["update"])
        return updates, message

    def ask(self, method: str, params: Message) -> tuple[list[Message], Message]:
        """Send a request and read until its answer."""
        return self.until_answered(self.send(method, params))

    def new_session(self) -> str:
        """Open a session in the checkout."""
        session_id: str = self.ask("session/new", {"cwd": str(self.checkout), "mcpServers": []})[1]["result"][
            "sessionId"
        ]
        return session_id

    def prompt(self, session_id: str, text: str) -> str:
        """Send a prompt without waiting."""
        return self.send(
            "session/prompt", {"sessionId": session_id, "prompt": [{"type": "text", "text": text}]}
        )

    def turn(self, session_id: str, text: str) -> tuple[list[Message], Message]:
        """Send a prompt and read to the end of its turn."""
        return self.until_answered(self.prompt(session_id, text))

    def git(self, *arguments: str) -> str:
        """Run git in the checkout."""
        identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.checkout, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def make_repository(self) -> None:
        """Turn the checkout into a repository."""
        self.git("init", "-q", "-b", "main")

    def close(self) -> None:
        """Leave nothing behind."""
        self.deadline.cancel()
        self.process.kill()
        self.process.communicate()


Start = Callable[..., Talk]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start agents in one home and checkout, with variables added to their environment, and close them."""
    started: list[Talk] = []

    def one(**environment: str) -> Talk:
        started.append(Talk(tmp_path, **environment))
        return started[-1]

    yield one
    for talk in started:
        talk.close()


def words(updates: list[Message], kind: str = "agent_message_chunk") -> str:
    """Put the pieces of text together."""
    return "".join(update["content"]["text"] for update in updates if update["sessionUpdate"] == kind)


def test_it_introduces_itself(start: Start) -> None:
    """The agent speaks version 1 and can load sessions; what it does not know it refuses."""
    talk = start()
    result = talk.ask("initialize", {"protocolVersion": 1})[1]["result"]
    assert (result["protocolVersion"], result["agentCapabilities"]["loadSession"]) == (1, True)
    assert talk.ask("session/dance", {})[1]["error"]["code"] == -32601


def test_usual_turn_commits_a_note(start: Start) -> None:
    """A plain prompt is thought about, planned, written down and committed; the last words name the commit."""
    talk = start()
    talk.make_repository()
    updates, answer = talk.turn(talk.new_session(), "Fix the parser!\nIt loses commas.")
    assert answer["result"] == {"stopReason": "end_turn"}
    assert (
        talk.git("log", "--format=%s|%an|%ae")
        == "Note: Fix the parser!|Taskdock demo agent|demo@taskdock.invalid"
    )
    assert (
        talk.git("show", "HEAD:notes/fix-the-parser.md")
        == "# Fix the parser!\n\nFix the parser!\nIt loses commas."
    )
    assert words(updates).endswith(f"committed it as {talk.git('rev-parse', '--short', 'HEAD')}.")
    assert words(updates, "agent_thought_chunk")
    plans = [[e["status"] for e in u["entries"]] for u in updates if u["sessionUpdate"] == "plan"]
    assert plans[0] == ["in_progress", "pending", "pending"]
    assert plans[-1] == ["completed"] * 3
    calls = [u["toolCallId"] for u in updates if u["sessionUpdate"] == "tool_call"]
    ends = {u["toolCallId"]: u["status"] for u in updates if u["sessionUpdate"] == "tool_call_update"}
    assert ends == dict.fromkeys(calls, "completed")
    assert len(set(calls)) == 3


def test_same_prompt_again_is_another_commit(start: Start) -> None:
    """Asking twice changes the note twice: no turn ends with nothing to commit."""
    talk = start()
    talk.make_repository()
    session_id = talk.new_session()
    for _ in range(2):
        assert talk.turn(session_id, "Same")[1]["result"] == {"stopReason": "end_turn"}
    assert talk.git("rev-list", "--count", "HEAD") == "2"


def test_identity_of_the_sandbox_is_kept(start: Start) -> None:
    """Who commits is what the environment says, or git's config; the agent's own name only fills a gap."""
    talk = start(
        GIT_AUTHOR_NAME="Ada",
        GIT_AUTHOR_EMAIL="ada@example.org",
        GIT_COMMITTER_NAME="C",
        GIT_COMMITTER_EMAIL="c@example.org",
    )
    talk.make_repository()
    talk.turn(talk.new_session(), "First")
    assert talk.git("log", "-1", "--format=%an %ae %cn") == "Ada ada@example.org C"
    talk.git("config", "user.name", "Bob")
    talk.git("config", "user.email", "bob@example.org")
    other = start()
    other.turn(other.new_session(), "Second")
    assert talk.git("log", "-1", "--format=%an %ae %cn") == "Bob bob@example.org Bob"


def test_commit_takes_only_the_note(start: Start) -> None:
    """What somebody else has staged or changed in the checkout stays as it is."""
    talk = start()
    talk.make_repository()
    (talk.checkout / "theirs").write_text("x")
    talk.git("add", "theirs")
    talk.turn(talk.new_session(), "Mine")
    assert talk.git("show", "--format=", "--name-only") == "notes/mine.md"
    assert talk.git("status", "--porcelain") == "A  theirs"


def test_dirty_leaves_the_work_uncommitted(start: Start) -> None:
    """`dirty` writes the note and commits nothing."""
    talk = start()
    talk.make_repository()
    _, answer = talk.turn(talk.new_session(), "Try something\ndemo: dirty")
    assert answer["result"] == {"stopReason": "end_turn"}
    assert talk.git("status", "--porcelain", "-uall") == "?? notes/try-something.md"


def test_folder_without_git_fails_the_turn(start: Start) -> None:
    """Where git cannot commit, the tool call fails in git's words and so does the turn."""
    talk = start()
    updates, answer = talk.turn(talk.new_session(), "Commit this")
    assert "not a git repository" in answer["error"]["message"]
    assert updates[-1]["status"] == "failed"


def test_echo_says_just_that(start: Start) -> None:
    """`echo` streams its text, word by word, and touches nothing."""
    talk = start()
    updates, answer = talk.turn(talk.new_session(), "demo: echo  one two  three ")
    assert words(updates) == "one two  three"
    assert len(updates) == 3
    assert answer["result"] == {"stopReason": "end_turn"}
    assert list(talk.checkout.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("demo: error out of tokens", "out of tokens"),
        ("demo: error", "The demo agent was asked to fail"),
        ("demo: crawl soon", "A number is needed, not 'soon'"),
    ],
)
def test_error_ends_the_turn(start: Start, text: str, message: str) -> None:
    """`error`, or a directive that makes no sense, ends the turn with a JSON-RPC error, and the session goes on."""
    talk = start()
    session_id = talk.new_session()
    assert talk.turn(session_id, text)[1]["error"]["message"] == message
    assert "result" in talk.turn(session_id, "demo: echo fine")[1]


def test_refuse_ends_the_turn(start: Start) -> None:
    """`refuse` ends with the stop reason `refusal`."""
    talk = start()
    assert talk.turn(talk.new_session(), "demo: refuse")[1]["result"] == {"stopReason": "refusal"}


def test_unknown_directive_lists_the_known(start: Start) -> None:
    """A directive that does not exist is answered with those that do."""
    talk = start()
    updates, _ = talk.turn(talk.new_session(), "please\ndemo: sing")
    for name in DIRECTIVES.keys() - {"work"}:
        assert name in words(updates)
        assert f"demo: {name}" in (demo_agent.__doc__ or "")


def test_flood_sends_as_many_chunks(start: Start) -> None:
    """`flood` sends exactly as many chunks as asked for."""
    talk = start()
    assert len(talk.turn(talk.new_session(), "demo: flood 500")[0]) == 500


@pytest.mark.parametrize("text", ["demo: hang", "demo: crawl 60", "demo: flood 1000000", "The usual work"])
def test_cancel_ends_every_turn_soon(start: Start, text: str) -> None:
    """A cancel ends silence, slowness, a flood and plain work alike, as cancelled; a later one is nothing."""
    talk = start()
    talk.make_repository()
    session_id = talk.new_session()
    request_id = talk.prompt(session_id, text)
    if "hang" not in text:
        talk.read()
    talk.send("session/cancel", {"sessionId": session_id}, is_request=False)
    assert talk.until_answered(request_id)[1]["result"] == {"stopReason": "cancelled"}
    talk.send("session/cancel", {"sessionId": session_id}, is_request=False)
    talk.send("session/cancel", {"sessionId": "never"}, is_request=False)
    assert talk.turn(session_id, "demo: echo fine")[1]["result"] == {"stopReason": "end_turn"}


def test_crash_is_a_crash(start: Start) -> None:
    """`crash` exits with code 3 in the middle of the turn, after the prompt was written down."""
    talk = start()
    talk.prompt(talk.new_session(), "demo: crash")
    assert talk.process.wait(SECONDS_MAX) == 3
    assert talk.process.stderr is not None
    assert "as asked" in talk.process.stderr.read()
    assert len((talk.home / ".taskdock/demo-agent.jsonl").read_text().splitlines()) == 1


def test_every_prompt_is_written_down(start: Start) -> None:
    """The log has one line for each prompt that arrived, also for one that was refused, cut to 200 characters."""
    talk = start()
    session_id = talk.new_session()
    first = talk.prompt(session_id, "demo: hang" + "x" * 300)
    second = talk.prompt(session_id, "too early")
    assert talk.until_answered(second)[1]["error"]["message"] == "A turn is running in this session"
    lines = (talk.home / ".taskdock/demo-agent.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"session": session_id, "request": first, "text": "demo: hang" + "x" * 190},
        {"session": session_id, "request": second, "text": "too early"},
    ]


def asked(talk: Talk, text: str) -> tuple[str, Message]:
    """Send a prompt that asks for a permission; returns its request id and the question."""
    request_id = talk.prompt(talk.new_session(), text)
    return request_id, talk.read()


def give(talk: Talk, outcome: Message) -> None:
    """Answer the question with the id 0."""
    assert talk.process.stdin is not None
    talk.process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 0, "result": {"outcome": outcome}}) + "\n")
    talk.process.stdin.flush()


def test_permission_is_asked_under_id_zero(start: Start) -> None:
    """`ask` asks under the id 0, says what it wants to do with a diff, and offers several options."""
    talk = start()
    _, question = asked(talk, "Tidy up\ndemo: ask Remove everything")
    assert (question["id"], question["method"]) == (0, "session/request_permission")
    call = question["params"]["toolCall"]
    assert (call["title"], call["kind"]) == ("Remove everything", "edit")
    assert call["content"][0]["newText"].startswith("# Tidy up")
    assert [one["optionId"] for one in question["params"]["options"]] == ["once", "always", "never"]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"outcome": "selected", "optionId": "once"}, "Allowed (once): I wrote notes/tidy.md"),
        ({"outcome": "selected", "optionId": "always"}, "Allowed (always): I wrote notes/tidy.md"),
        ({"outcome": "selected", "optionId": "never"}, "Rejected (never): I changed nothing."),
        ({"outcome": "cancelled"}, "Cancelled: I changed nothing."),
    ],
)
def test_answer_is_obeyed(start: Start, outcome: Message, said: str) -> None:
    """What is allowed is done, what is not is left, and the reply says which; a second answer changes nothing."""
    talk = start()
    request_id, _ = asked(talk, "Tidy\ndemo: ask")
    give(talk, outcome)
    give(talk, {"outcome": "selected", "optionId": "once"})
    updates, answer = talk.until_answered(request_id)
    assert words(updates).startswith(said)
    assert answer["result"] == {"stopReason": "end_turn"}
    assert (talk.checkout / "notes/tidy.md").exists() == ("I wrote" in said)


def test_always_is_remembered(start: Start) -> None:
    """After `always`, and in the mode `auto`, an edit is made without asking, in a later process too."""
    talk = start()
    session_id = talk.new_session()
    request_id = talk.prompt(session_id, "demo: ask")
    talk.read()
    give(talk, {"outcome": "selected", "optionId": "always"})
    talk.until_answered(request_id)
    talk.close()
    later = start()
    later.ask("session/load", {"sessionId": session_id, "cwd": str(later.checkout), "mcpServers": []})
    assert "Not asked (mode auto)" in words(later.turn(session_id, "demo: ask")[0])


def test_settings_are_chosen_and_kept(start: Start) -> None:
    """A session says which models and modes there are, takes one of them, refuses others, and keeps it on disk."""
    talk = start()
    begun = talk.ask("session/new", {"cwd": str(talk.checkout), "mcpServers": []})[1]["result"]
    session_id = begun["sessionId"]
    assert [one["modelId"] for one in begun["models"]["availableModels"]] == ["demo-quick", "demo-thorough"]
    assert [one["id"] for one in begun["modes"]["availableModes"]] == ["ask", "auto"]
    model = {"sessionId": session_id, "modelId": "demo-thorough"}
    assert talk.ask("session/set_model", model)[1]["result"] == {}
    assert talk.ask("session/set_model", {**model, "modelId": "x"})[1]["error"]["code"] == -32602
    assert talk.ask("session/set_mode", {"sessionId": session_id, "modeId": "auto"})[1]["result"] == {}
    talk.close()
    later = start()
    loaded = later.ask("session/load", {"sessionId": session_id, "cwd": "/", "mcpServers": []})[1]["result"]
    assert loaded["models"]["currentModelId"] == "demo-thorough"
    assert words(later.turn(session_id, "demo: settings")[0]) == "model demo-thorough, mode auto"


def test_login_can_be_wanted(start: Start) -> None:
    """`login` fails one turn; after `logout` every request is refused until the marker is removed."""
    talk = start()
    session_id = talk.new_session()
    error = talk.turn(session_id, "demo: login ask your admin")[1]["error"]
    assert (error["code"], error["data"]["details"]) == (-32000, "ask your admin")
    assert "result" in talk.turn(session_id, "demo: logout")[1]
    assert talk.turn(session_id, "demo: echo x")[1]["error"]["code"] == -32000
    assert talk.ask("session/new", {"cwd": "/"})[1]["error"]["code"] == -32000
    assert talk.ask("session/load", {"sessionId": session_id, "cwd": "/"})[1]["error"]["code"] == -32000
    (talk.home / ".taskdock/demo-logged-out").unlink()
    assert "result" in talk.turn(session_id, "demo: echo x")[1]


def test_asking_can_be_cancelled(start: Start) -> None:
    """A turn that waits for a permission is cancelled like any other."""
    talk = start()
    session_id = talk.new_session()
    request_id = talk.prompt(session_id, "demo: ask")
    talk.read()
    talk.send("session/cancel", {"sessionId": session_id}, is_request=False)
    assert talk.until_answered(request_id)[1]["result"] == {"stopReason": "cancelled"}


def test_loading_replays_the_session(start: Start) -> None:
    """Another process loads a session and replays it, the user's words included; then it goes on."""
    first = start()
    session_id = first.new_session()
    told, _ = first.turn(session_id, "demo: echo one two")
    first.close()
    second = start()
    params = {"sessionId": session_id, "cwd": str(second.checkout), "mcpServers": []}
    replayed, answer = second.ask("session/load", params)
    assert set(answer["result"]) == {"models", "modes"}
    assert replayed[0]["sessionUpdate"] == "user_message_chunk"
    assert replayed[1:] == told
    assert words(second.turn(session_id, "demo: echo three")[0]) == "three"


@pytest.mark.parametrize("session_id", ["demo-" + "0" * 32, "../../etc/passwd", ""])
def test_unknown_session_is_refused(start: Start, session_id: str) -> None:
    """A session that does not exist, or is no id at all, can neither be loaded nor prompted."""
    talk = start()
    assert talk.ask("session/load", {"sessionId": session_id, "cwd": "/"})[1]["error"]["code"] == -32002
    assert talk.turn(session_id, "hello")[1]["error"]["code"] == -32002


def test_end_of_input_ends_it(start: Start) -> None:
    """The agent exits when its input ends, also in the middle of a turn."""
    talk = start()
    talk.prompt(talk.new_session(), "demo: crawl 60")
    talk.read()
    assert talk.process.stdin is not None
    talk.process.stdin.close()
    assert talk.process.wait(SECONDS_MAX) == 0
    talk.process.stdin = None

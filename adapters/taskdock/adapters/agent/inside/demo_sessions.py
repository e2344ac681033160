"""Demo sessions: the demo agent's sessions as they lie on disk, and its log of prompts.

Owns: `$HOME/.taskdock`: `demo-agent.jsonl` (every prompt seen), `demo-sessions/` (one record for each session) and
    `demo-logged-out` (while it is there the agent wants a login).
Never: more than the standard library (see demo_agent.py); a session that only one process knows.
Reads as: demo_agent.py, demo_turn.py -> this -> files.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskdock.adapters.agent.inside.demo_wire import LOGIN_REQUIRED, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskdock.adapters.agent.inside.demo_turn import Turn
    from taskdock.adapters.agent.inside.demo_wire import Message

RECORDS = Path(os.environ.get("HOME", ".")) / ".taskdock"
LOGGED_OUT = RECORDS / "demo-logged-out"
NO_SESSION = -32002
PROMPT_LOG_CHARACTERS = 200

MODELS = {"demo-quick": "Quick", "demo-thorough": "Thorough"}
MODES = {"ask": "Ask before each edit", "auto": "Edit without asking"}

_SESSION_ID = re.compile(r"demo-[0-9a-f]{32}")


class Session:
    """One conversation: where it works, what it is set to, its record on disk, and the turn that runs."""

    def __init__(self, session_id: str, cwd: str) -> None:
        self.id = session_id
        self.cwd = Path(cwd)
        self.turn: Turn | None = None
        self.settings = {"model": "demo-quick", "mode": "ask"}
        self.record = RECORDS / "demo-sessions" / f"{session_id}.jsonl"
        self.record.parent.mkdir(parents=True, exist_ok=True)

    @classmethod
    def load(cls, session_id: str, cwd: str) -> Session:
        """Take up a session of an earlier process, with what it was set to."""
        if not _SESSION_ID.fullmatch(session_id):
            raise Refused(NO_SESSION, f"There is no session {session_id}")
        session = cls(session_id, cwd)
        if not session.record.exists():
            raise Refused(NO_SESSION, f"There is no session {session_id}")
        for line in session.lines():
            session.settings.update(line.get("settings", {}))
        return session

    def lines(self) -> Iterator[dict[str, Any]]:
        """Read the record: an update (`sessionUpdate`) or a change of `settings` in each line."""
        return (json.loads(line) for line in self.record.read_text().splitlines())

    def keep(self, line: Message) -> None:
        """Append a line to the record."""
        with self.record.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def choose(self, name: str, value: object, offered: dict[str, str]) -> None:
        """Set the model or the mode, for later processes too."""
        if value not in offered:
            raise Refused(-32602, f"There is no {name} {value!r}")
        self.settings[name] = str(value)
        self.keep({"settings": {name: value}})

    @property
    def offer(self) -> Message:
        """What can be chosen, as `session/new` and `session/load` tell it."""
        models = [{"modelId": model, "name": name} for model, name in MODELS.items()]
        modes = [{"id": mode, "name": name} for mode, name in MODES.items()]
        return {
            "models": {"currentModelId": self.settings["model"], "availableModels": models},
            "modes": {"currentModeId": self.settings["mode"], "availableModes": modes},
        }


def require_login() -> None:
    """Refuse, as agents do whose login ran out."""
    if LOGGED_OUT.exists():
        raise Refused(LOGIN_REQUIRED, "Authentication required", f"remove {LOGGED_OUT} to log in")


def log_prompt(entry: Message) -> None:
    """Append one line to the log of prompts, durably."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(RECORDS / "demo-agent.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, json.dumps(entry).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

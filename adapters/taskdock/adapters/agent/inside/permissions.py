"""Permissions: what an agent has asked in its running turns, and that each gets one answer.

Owns: the numbers that asks are known by outside, and what settles one: an answer, a cancel, or its turn's end.
Never: more than the standard library (see relay.py); an allowance that nobody gave; an ask outside of a turn.
Reads as: relay.py -> this.

An agent's own request ids say nothing outside: they may be 0, text, or used again. So asks are counted here, from 1.
"""

from __future__ import annotations

import threading
from typing import Any

ASKS_WAITING_MAX = 100
"""What waits at once in one agent; more is answered by a cancel."""

Message = dict[str, Any]

CANCELLED: Message = {"outcome": {"outcome": "cancelled"}}


class Turn:
    """A prompt that the agent works on, of one session."""

    def __init__(self, session: str, prompt: object) -> None:
        self.session = session
        self.prompt = prompt
        self.is_cancelled = False


class Asked:
    """One ask that waits: its number, the agent's own id of it, and the turn that it belongs to."""

    def __init__(self, number: int, request: object, turn: Turn, options: list[Message]) -> None:
        self.number = number
        self.id = request
        self.turn = turn
        self.prompt = turn.prompt
        self.options = options


class Settled:
    """The end of an ask; `option` is what was chosen, None when it was cancelled."""

    def __init__(self, asked: Asked, option: str | None = None) -> None:
        self.number = asked.number
        self.id = asked.id
        self.prompt = asked.prompt
        self.option = option

    @property
    def result(self) -> Message:
        """The answer as the agent gets it."""
        if self.option is None:
            return CANCELLED
        return {"outcome": {"outcome": "selected", "optionId": self.option}}


class Permissions:
    """Every ask of one agent process. Hold `changing` over a call and the telling of it, so that these keep their order."""

    def __init__(self) -> None:
        self.changing = threading.RLock()
        self.turns: list[Turn] = []
        self.waiting: dict[int, Asked] = {}
        self.asked = 0

    def begin(self, session: str, prompt: object) -> None:
        """A prompt goes to the agent."""
        with self.changing:
            self.turns.append(Turn(session, prompt))

    def ask(self, session: str, request: object, params: Message) -> Asked | None:
        """Keep an ask of the newest turn; None outside of a turn, in one that is being cancelled, or for one too many."""
        with self.changing:
            turn = next((one for one in reversed(self.turns) if one.session == session), None)
            if turn is None or turn.is_cancelled or len(self.waiting) >= ASKS_WAITING_MAX:
                return None
            self.asked += 1
            options = params.get("options")
            offered = [one for one in options if isinstance(one, dict)] if isinstance(options, list) else []
            asked = Asked(self.asked, request, turn, offered)
            self.waiting[asked.number] = asked
            return asked

    def answer(self, number: object, option: str | None) -> list[Settled]:
        """Settle an ask; nothing when it is settled already. LookupError for what was never asked or offered."""
        with self.changing:
            if not isinstance(number, int) or not 1 <= number <= self.asked:
                raise LookupError("This was never asked here")
            asked = self.waiting.get(number)
            if asked is None:
                return []
            offered = [one.get("optionId") for one in asked.options]
            if option is not None and option not in offered:
                raise LookupError(f"There is no option {option!r}; there are: {offered}")
            return [Settled(self.waiting.pop(number), option)]

    def cancel(self, session: str) -> list[Settled]:
        """A turn is asked to end: what it asks is cancelled, and what it will ask."""
        with self.changing:
            settled: list[Settled] = []
            for turn in self.turns:
                if turn.session == session:
                    turn.is_cancelled = True
                    settled += self._settle(turn)
            return settled

    def end(self, prompt: object) -> list[Settled]:
        """The agent answered a request; when that was a prompt, nothing waits for that turn any more."""
        with self.changing:
            ended = next((turn for turn in self.turns if turn.prompt == prompt), None)
            if ended is None:
                return []
            self.turns.remove(ended)
            return self._settle(ended)

    def _settle(self, turn: Turn) -> list[Settled]:
        numbers = [asked.number for asked in self.waiting.values() if asked.turn is turn]
        return [Settled(self.waiting.pop(number)) for number in numbers]

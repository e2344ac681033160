"""Agents: processes that work in sandboxes, whoever watches; what they do follows from the message they were sent.

Owns: `AgentProcess`, its turns and the ring of its events.
Never: a turn that depends on who follows it; an agent goes on when every process of ours is dead.
Reads as: gateway.py -> this -> nature (time), the checkout (edits).
"""

from collections.abc import Callable
from random import Random

import anyio
from attrs import field, mutable

from taskdock.core.inputs import PermissionOption
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    Conversation,
    Gap,
    ItemKind,
    PermissionAnswered,
    PermissionAsked,
    Received,
    Replied,
    StopReason,
    Update,
)
from taskdock.testing.simulation.code import Tree
from taskdock.testing.simulation.nature import Nature

RING_MAX = 30
"""How many events an agent's server keeps."""
OPTIONS = (
    PermissionOption("once", "Allow once", "allow_once"),
    PermissionOption("never", "Reject", "reject_once"),
)
_PAUSES_SECONDS = (0.0, 0.05, 0.5, 3.0, 20.0)
_LISTENS = 0.85
"""How many agents end a turn when they are asked to."""
_STEPS = ("text", "text", "tool", "edit", "edit", "commit", "ask", "ask")


@mutable(eq=False)
class AgentProcess:
    """One process of one conversation."""

    nature: Nature
    id: str
    conversation: Conversation
    task_id: str
    session_id: str
    tree: Callable[[], Tree | None]
    events: list[AgentEvent] = field(factory=list)
    count: int = 0
    is_alive: bool = True
    has_exited: bool = False
    """It ended by itself, and its server can tell; else its server is gone, too."""
    request: str | None = None
    """The message that it works on."""
    asks: str | None = None
    plan: list[str] = field(factory=list)
    seen: dict[str, None] = field(factory=dict)
    changed: anyio.Event = field(factory=anyio.Event)
    breaks: int = 0
    """How often its connections were cut."""
    overlapped: bool = field(init=False)
    """Whether it was begun while two schedulers both worked: the other one may have ended its tab before."""

    def __attrs_post_init__(self) -> None:
        self.overlapped = self.nature.overlaps

    def prompt(self, request_id: str) -> None:
        """Take a message; a repeated one is dropped, as the relay does."""
        if request_id in self.seen:
            return
        self.seen[request_id] = None
        self.nature.received[request_id] += 1
        self.nature.on_received(self.conversation.tab_id, request_id)
        self.nature.tell(f"{self.id} got {request_id}")
        self._emit(lambda number: Received(number, request_id))
        if self.request is not None and not self.nature.overlaps:
            self.nature.broken(2, f"{self.id} got {request_id} while it works on {self.request}")
        # A question of the message that this one overtakes is not asked any more.
        self.request, self.asks = request_id, None
        dice = self.nature.dice("turn", request_id)
        self.plan = [dice.choice(_STEPS) for _ in range(dice.randrange(6))]
        self.plan.append(dice.choices(("complete", "fail", "hang", "crash"), (85, 7, 4, 4))[0])
        self._next(dice)

    def _next(self, dice: Random) -> None:
        request_id = self.request
        self.nature.later(dice.choice(_PAUSES_SECONDS), lambda: self._step(request_id, dice))

    def _step(self, request_id: str | None, dice: Random) -> None:
        """Do the next thing of the turn, if that is still the turn."""
        if not self.is_alive or request_id is None or self.request != request_id or self.asks is not None:
            return
        step = self.plan.pop(0)
        tree = self.tree()
        if step in ("complete", "fail"):
            self.end(StopReason.COMPLETED if step == "complete" else StopReason.FAILED)
            return
        if step == "crash":
            self.crash()
            return
        if step == "hang":
            return
        if step == "ask":
            self.asks = f"{self.id}/{len(self.events)}/{request_id}"
            asked = self.asks
            self._emit(lambda number: PermissionAsked(number, asked, request_id, "May I?", OPTIONS))
            return
        if step == "edit" and tree is not None:
            tree.edit(f"{request_id}/{len(self.plan)}")
        if step == "commit" and tree is not None:
            tree.commit(self.nature.new_id("commit"))
        kind = ItemKind.TOOL_CALL if step == "tool" else ItemKind.TEXT
        self._emit(
            lambda number: Update(number, kind, {"text": step} if kind is ItemKind.TEXT else _call(number))
        )
        self._next(dice)

    def answer(self, permission_id: str, option_id: str | None) -> None:
        """Take the answer to what it asked; others change nothing."""
        if not self.is_alive or self.asks != permission_id or self.request is None:
            return
        request_id, self.asks = self.request, None
        self._emit(lambda number: PermissionAnswered(number, permission_id, request_id, option_id))
        self._next(self.nature.dice("answer", permission_id))

    def cancel(self) -> None:
        """Be asked to end the turn; some agents do not listen."""
        if self.request is None:
            return
        if self.asks is not None:
            self.answer(self.asks, None)
        if self.nature.dice("deaf", self.request).random() < _LISTENS:
            self.end(StopReason.CANCELLED)

    def end(self, stop: StopReason) -> None:
        """End the turn, and remember what there was to lose."""
        if stop is not StopReason.COMPLETED:
            self._cut_short()
        request_id, self.request, self.asks = self.request, None, None
        assert request_id is not None
        tree = self.tree()
        if tree is not None:
            work = self.nature.work.setdefault(self.task_id, {})
            work |= {edit: request_id for edit in sorted(tree.state.edits) if edit not in work}
        self.nature.stops[request_id] = stop.value
        self._emit(lambda number: Replied(number, request_id, stop, stop.value))

    def crash(self) -> None:
        """End by itself; its server goes on and tells."""
        if self.is_alive:
            self.nature.tell(f"{self.id} crashed")
            self._cut_short()
            self.is_alive, self.has_exited, self.request, self.asks = False, True, None, None
            self._emit(lambda number: AgentExited(number, "exit code 1"))

    def die(self) -> None:
        """End with its server."""
        self._cut_short()
        self.is_alive, self.request, self.asks = False, None, None
        self._wake()

    def cut(self) -> None:
        """Break the connections of those who follow."""
        self.breaks += 1
        self._wake()

    def _cut_short(self) -> None:
        """Its turn, if there is one, ends and did not complete: the tab's queue waits for its user from now on."""
        if self.request is not None:
            self.nature.cut_short[self.conversation.tab_id] = (self.request, self.nature.moment())

    def replay(self) -> list[AgentEvent]:
        """What its server still has, with a gap for what it has not."""
        kept = self.events[-RING_MAX:]
        if len(self.events) <= RING_MAX:
            return kept
        return [Gap(kept[0].event_id - 1, 0), *kept]

    def _emit(self, event: Callable[[int], AgentEvent]) -> None:
        self.count += 1
        self.events.append(event(self.count))
        self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, anyio.Event()
        changed.set()


def _call(number: int) -> dict[str, object]:
    return {
        "id": f"call-{number}",
        "title": "Read a file",
        "kind": "read",
        "status": "completed",
        "content": [],
    }

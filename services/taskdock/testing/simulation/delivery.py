"""Delivery: what a sender can rely on: each message once, in order, never behind a hold, and told as it was.

Owns: `OnceDelivered`, the third invariant.
Never: a word of the store taken for what an agent got; agents say that themselves.
Reads as: World -> this -> agents' logs, the client's ledger, the stored messages.
"""

from collections import Counter
from typing import TYPE_CHECKING

from taskdock.core.change import Change
from taskdock.core.history import HistoryKind
from taskdock.core.intents import SendPrompt
from taskdock.core.message import DELIVERED, DELIVERY_UNKNOWN, FAILED, QUEUED, WITHDRAWN, Message
from taskdock.core.tab import CLOSING, Tab
from taskdock.ports.store import Commit
from taskdock.testing.simulation.invariant import Invariant

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World


class OnceDelivered(Invariant):
    """A message reaches its agent at most once, in its turn, and is what its sender was told."""

    number = 3

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._started: set[str] = set()
        """Messages whose prompt may have been sent, in a turn that goes on."""
        self._ended: dict[str, int] = {}
        """Messages whose turn is told to be over, and since which moment."""
        self._closed_with: set[str] = set()
        """Messages whose turn ran when their tab was closed: who closes a tab ends its turn."""
        self._overlapped: set[str] = set()
        """Messages that an agent got while two schedulers both worked: the other one may have told of them before."""

    def on_commit(self, commit: Commit) -> None:
        """What nobody began to send cannot have been delivered in doubt."""
        for change in commit.changes:
            self._note_closed(change)
            for intent_id in change.marked_started:
                lying = self.data.outbox.get(intent_id)
                if lying is not None and isinstance(lying.intent.body, SendPrompt):
                    self._started.add(lying.intent.body.message_id)
            for message in (one for one in change.records if isinstance(one, Message)):
                if message.reason == DELIVERY_UNKNOWN and message.id not in self._started:
                    self.broken(f"{message.id} is {DELIVERY_UNKNOWN}, and nobody began to send it")
            for event in change.history:
                if event.kind is HistoryKind.TURN_ENDED:
                    self._end(str(event.data["message"]))

    def _note_closed(self, change: Change) -> None:
        for tab in (one for one in change.records if isinstance(one, Tab) and one.at == CLOSING):
            if tab.turn.message_id in self._started:
                self._closed_with.add(tab.turn.message_id)

    def _end(self, message_id: str) -> None:
        """Its turn is over: if it is not final now, it was not sent."""
        self._started.discard(message_id)
        self._ended[message_id] = self.outside.nature.moment()

    def on_received(self, tab_id: str, message_id: str) -> None:
        """Count in the agents' logs; nothing overtakes, and nothing is sent while the queue waits for its user."""
        nature, ledger = self.outside.nature, self.world.client.ledger
        # It may have been sent by one of two, and have been told as not sent by the other: then it is sent again.
        was_overlapped = message_id in self._overlapped
        if nature.overlaps:
            self._overlapped.add(message_id)
        if nature.received[message_id] > 1 and not was_overlapped:
            self.broken(f"{message_id} reached its agent {nature.received[message_id]} times")
        messages = {one.id: one for one in self.all(Message) if one.tab_id == tab_id}
        sent = messages[message_id]
        overtaken = [one.id for one in messages.values() if one.number < sent.number and one.at == QUEUED]
        if overtaken:
            self.broken(f"{message_id} is sent before {overtaken}")
        before, moment = nature.cut_short.pop(tab_id, ("", 0))
        if (before != message_id or not was_overlapped) and min(
            moment, self._ended.get(before, moment)
        ) > ledger.lifted.get(tab_id, 0):
            self.broken(
                f"{message_id} is sent, and nobody asked for it after the turn of {before} did not complete"
            )

    def at_rest(self) -> None:
        """Compare with what the client was told, and with what the agents got."""
        messages = {message.id: message for message in self.all(Message)}
        for message in messages.values():
            self._compare(message)
        self._compare_sent(messages)

    def _compare(self, message: Message) -> None:
        count = self.outside.nature.received[message.id]
        if message.at == DELIVERED and not count:
            self.broken(f"{message.id} is delivered, and no agent got it")
        is_told = message.id not in self._overlapped
        if is_told and message.at in (QUEUED, WITHDRAWN) and count:
            self.broken(f"{message.id} is {message.at}, and an agent got it")
        if is_told and message.at == FAILED and count and message.reason != DELIVERY_UNKNOWN:
            self.broken(f"{message.id} has failed ({message.reason}), and an agent got it")
        if message.at == WITHDRAWN and not self._may_be_withdrawn(message):
            self.broken(f"{message.id} is withdrawn, and nobody asked for it")

    def _may_be_withdrawn(self, message: Message) -> bool:
        task, ledger = self.task(message.task_id), self.world.client.ledger
        is_ending = task is not None and task.is_ending
        is_closed_with = message.id in self._closed_with and message.tab_id in ledger.closed
        return is_ending or is_closed_with or not ledger.given_up.isdisjoint((message.id, message.tab_id))

    def _compare_sent(self, messages: dict[str, Message]) -> None:
        for sent in self.world.client.ledger.messages.values():
            kept = messages.get(sent.id)
            if kept is None or self.data.texts[sent.id] not in (sent.text, *sent.may_be):
                self.broken(f"{sent.id} was accepted, and is not what was sent")
            elif sent.withdrawn and kept.at != WITHDRAWN:
                self.broken(f"{sent.id} was withdrawn, and is {kept.at}")
        for text, count in Counter(self.data.texts.values()).items():
            if count > 1:
                self.broken(f"{text!r} was sent once, and is there {count} times")

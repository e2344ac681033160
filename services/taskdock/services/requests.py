"""Requests: one command with its idempotency key, replayed or submitted exactly once.

Owns: `Request`.
Never: the key's row in another transaction than the change.
Reads as: workbench makes one per call -> `replay` -> `submit` -> receipt.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import attrs
from attrs import evolve

from taskdock.core import inputs
from taskdock.core.errors import CommandRejected, IdempotencyKeyReused, InvalidCommand
from taskdock.ports.store import KeyUsed, Reads
from taskdock.services.receipts import JobReceipt, RepoReceipt, TabReceipt, TaskReceipt
from taskdock.services.stepping import Decision, Keyed, KeyWasUsed, Stepper

_KEY_CHARACTERS_MAX = 200

_ReceiptT = TypeVar("_ReceiptT", TaskReceipt, TabReceipt, RepoReceipt, JobReceipt)


class Request(Generic[_ReceiptT]):
    """One request with its idempotency key, if the client gave one: replayed, or submitted once."""

    def __init__(
        self, name: str, kind: type[_ReceiptT], workspace: str, key: str | None, body: Mapping[str, object]
    ) -> None:
        if key is not None and not (0 < len(key) <= _KEY_CHARACTERS_MAX and key.isprintable()):
            raise InvalidCommand(
                f"An idempotency key is 1 to {_KEY_CHARACTERS_MAX} printable characters.", field="key"
            )
        self._kind: type[_ReceiptT] = kind
        self._workspace = workspace
        self._key = key
        text = json.dumps([name, body], sort_keys=True, default=str)
        self._digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()

    async def replay(self, reads: Reads) -> _ReceiptT | None:
        """The first answer to this key; None when it is new."""
        if self._key is None:
            return None
        used = await reads.key(self._workspace, self._key)
        return None if used is None else self._replayed(used)

    async def submit(
        self,
        stepper: Stepper,
        reads: Reads,
        commands: Sequence[tuple[str, inputs.Input]],
        receipt: Callable[[Decision], _ReceiptT],
    ) -> _ReceiptT:
        """Commit the commands; the receipt is that of the first one's boundary."""
        try:
            applied = await stepper.submit(commands, self._keyed(receipt))
        except KeyWasUsed as error:
            return self._replayed(error.used)
        except CommandRejected:
            # The same request may have won meanwhile, and what it changed is why this one does not fit any more.
            replayed = await self.replay(reads)
            if replayed is None:
                raise
            return replayed
        position = await reads.position() if applied.position is None else applied.position
        return evolve(receipt(applied.decision), position=position)

    def _keyed(self, receipt: Callable[[Decision], _ReceiptT]) -> Keyed | None:
        if self._key is None:
            return None
        return Keyed(
            self._workspace,
            self._key,
            self._digest,
            lambda decision: json.dumps(attrs.asdict(receipt(decision))),
        )

    def _replayed(self, used: KeyUsed) -> _ReceiptT:
        if used.body_digest != self._digest:
            raise IdempotencyKeyReused(
                "This idempotency key was used before for another request: use a new key, or send the same request.",
                field="key",
            )
        receipt: _ReceiptT = self._kind(
            **{**json.loads(used.answer), "position": used.position, "replayed": True}
        )
        return receipt

"""Clock: the time of this machine, and ids that sort by it.

Owns: `SystemClock`, the only place where a time that is written down or an id is made.
Never: a deadline; those run on anyio's own clock, which does not jump.
Reads as: services -> the clock port -> this.

An id is 100 bits in twenty characters: 48 bits of milliseconds, then 52 random ones. Text order is time order.
"""

import secrets
import threading
from base64 import b32encode
from datetime import UTC, datetime, timedelta

_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz")
"""Base 32 without i, l, o, u, so nobody misreads one; in the order of its values, so text sorts as numbers do."""

_CHARACTERS = 20
_BYTES = 15
_PADDING_BITS = 20
"""What makes 100 bits a multiple of the 40 that base 32 takes at a time; its four characters are cut off."""
_RANDOM_BITS = 52
_STEP_BITS = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class SystemClock:
    """Implements `Clock` with the system's time; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> datetime:
        """Read the time: aware, UTC, microseconds. It may step back when the machine's clock is set."""
        return datetime.now(UTC)

    def new_id(self, kind: str) -> str:
        """Make `<kind>-<20 characters>`; later ones of this clock sort after earlier ones, even if time steps back."""
        milliseconds = (self.now() - _EPOCH) // _MILLISECOND
        fresh = (milliseconds << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
        with self._lock:
            # Within a millisecond, or after a step back, it goes on from the last one by a stride nobody can guess.
            self._last = max(fresh, self._last + 1 + secrets.randbits(_STEP_BITS))
            value = self._last
        return f"{kind}-{_encoded(value)}"


def _encoded(value: int) -> str:
    encoded = b32encode((value << _PADDING_BITS).to_bytes(_BYTES, "big"))
    return encoded[:_CHARACTERS].translate(_CROCKFORD).decode()

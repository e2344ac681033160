"""Nature: what is outside of every process and outlives it: time, sandboxes, agents, clones, and a record of what happened.

Owns: `Nature`, `Profile`.
Never: a rule of Taskdock's; it does what it is asked as a provider, an agent or git does.
Reads as: the simulated ports -> this -> boxes.py, agents.py, code.py.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from traceback import format_exception
from typing import TYPE_CHECKING

from attrs import field, frozen, mutable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = frozenset(range(11))
"""Of the invariants in `docs/architecture.md`; 0 is a process that ended by itself, or a request that came out as no answer."""


@frozen
class Profile:
    """A kind of provider: how long a create takes at most, how late one may land, what a stop keeps."""

    id: str
    create_seconds_max: float
    create_window_seconds: float
    stop_keeps_files: bool


PROFILES = (
    Profile("near", 0.0, 0.0, stop_keeps_files=True),
    Profile("far", 20.0, 60.0, stop_keeps_files=True),
    Profile("bare", 2.0, 10.0, stop_keeps_files=False),
)
"""A provider on this machine, a cloud, and one whose sandboxes lose their files with a stop."""


@mutable(eq=False)
class Nature:
    """One world's outside."""

    seed: int
    loop: "AbstractEventLoop"
    jumped: timedelta = timedelta()
    """How far the wall clock was set."""
    ids: int = 0
    timeline: list[tuple[float, str]] = field(factory=list)
    """What happened, in order: virtual seconds, and a sentence."""
    received: Counter[str] = field(factory=Counter)
    """How often an agent got each message."""
    work: dict[str, dict[str, str]] = field(factory=dict)
    """By task: the edits that were there when a turn ended, and which message each belongs to."""
    stops: dict[str, str] = field(factory=dict)
    """By message: how its agent says that its turn ended."""
    cut_short: dict[str, tuple[str, int]] = field(factory=dict)
    """By tab: the message whose turn ended last in another way than being completed, and the moment of that."""
    moments: int = 0
    overlaps: bool = False
    """Whether two schedulers worked at once since the world last rested; what the slower one still calls, the other cannot know."""
    violations: list[str] = field(factory=list)
    """What was found broken; the number of the invariant in brackets begins the sentence."""
    numbers: frozenset[int] = NUMBERS
    """Which invariants count; what breaks another one is passed over."""
    on_change: Callable[[], None] = field(default=lambda: None)
    """Called after a sandbox came or went by itself."""
    on_received: Callable[[str, str], None] = field(default=lambda *_: None)
    """Called with the tab and the message that its agent gets."""

    @property
    def seconds(self) -> float:
        """Virtual seconds since the beginning."""
        return self.loop.time()

    def now(self) -> datetime:
        """The wall clock, as every process reads it."""
        return EPOCH + timedelta(seconds=self.loop.time()) + self.jumped

    def new_id(self, kind: str) -> str:
        """A fresh id, in the order of making."""
        self.ids += 1
        return f"{kind}-{self.ids:020d}"

    def moment(self) -> int:
        """A number for now: what happens later has a higher one, also at the same instant."""
        self.moments += 1
        return self.moments

    def dice(self, *names: object) -> Random:
        """Dice for one purpose: what they show depends on nothing but the seed and the purpose."""
        return Random(f"{self.seed}/{'/'.join(map(str, names))}")  # noqa: S311 - a simulation needs no secrets

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen in a while."""
        self.loop.call_later(seconds, what)

    def broken(self, number: int, sentence: str) -> None:
        """Write down that an invariant does not hold; those of whoever uses the kit, with numbers of their own, always count."""
        if number in self.numbers or number not in NUMBERS:
            self.tell(f"VIOLATION ({number}) {sentence}")
            self.violations.append(f"({number}) {sentence}")

    def crashed(self, process: int, error: BaseException, *, is_alive: bool) -> None:
        """A process ended by itself, which none ever does."""
        words = "ended by itself" if is_alive else "did something else than dying"
        lines = "".join(format_exception(error))
        self.broken(0, f"process {process} {words}: {lines}")

    def tell(self, sentence: str) -> None:
        """Write down what happened."""
        self.timeline.append((self.loop.time(), sentence))

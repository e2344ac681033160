"""Script: what is done to a simulated world, act by act: commands, faults, and the passing of time.

Owns: `Act`, `Script`, and how both are written as text.
Never: a name that only one run knows; acts choose among what there is by number, so they fit any world.
Reads as: seeds, rules and replays make one -> World applies it.
"""

from collections.abc import Iterable
from random import Random

from attrs import evolve, frozen

PAUSES_SECONDS = (0.0, 0.01, 0.2, 2.0, 15.0, 120.0, 1800.0)
"""How long a world goes on by itself after an act."""
_PAUSE_WEIGHTS = ((6, 8, 8, 8, 6, 4, 1), (20, 20, 20, 8, 2, 1, 0), (1, 2, 4, 8, 20, 8, 1))
"""Some worlds are mixed, some are hasty, some are slow."""
_MOODS = (0, 1, 1, 1, 3, 8)
"""How much more often than elsewhere something is done in a world; what is never done leaves room for the rest."""
OPENING = "create_task"
"""What a world begins with: without a task there is nothing to do."""
NUMBERS = 64
"""Acts choose by numbers below this."""


@frozen
class Act:
    """One act: what it is, and numbers that choose whom it meets, how, and the pause after it."""

    name: str
    task: int = 0
    tab: int = 0
    how: int = 0
    pause: int = 2

    @property
    def pause_seconds(self) -> float:
        """How long the world goes on by itself after it."""
        return PAUSES_SECONDS[self.pause % len(PAUSES_SECONDS)]

    def __str__(self) -> str:
        return f"{self.name}:{self.task}:{self.tab}:{self.how}:{self.pause}"


@frozen
class Script:
    """A seed, which decides what nature does by itself, and the acts."""

    seed: int
    acts: tuple[Act, ...]

    def __str__(self) -> str:
        """One word for a command line."""
        return ",".join((str(self.seed), *map(str, self.acts)))

    @classmethod
    def parse(cls, text: str) -> "Script":
        """What `str` wrote; ValueError for anything else."""
        seed, *acts = text.strip().split(",")
        return cls(int(seed), tuple(_parsed(act) for act in acts))

    @classmethod
    def from_seed(cls, seed: int, length: int, weights: dict[str, int], *, likes: bool = False) -> "Script":
        """The acts that a seed stands for, as often as their weights say, or as this seed likes them."""
        dice = Random(f"script/{seed}")  # noqa: S311 - a simulation needs no secrets
        return cls(seed, tuple(_liked(dice, length, weights) if likes else _rolled(dice, length, weights)))


def _parsed(text: str) -> Act:
    name, *numbers = text.split(":")
    task, tab, how, pause = map(int, numbers)
    return Act(name, task, tab, how, pause)


def _liked(dice: Random, length: int, weights: dict[str, int]) -> Iterable[Act]:
    """Roll acts; each world has likings of its own, since what is rare everywhere never meets what is rare, too."""
    liked = {name: weight * dice.choice(_MOODS) for name, weight in weights.items()}
    liked = liked if any(liked.values()) else weights
    acts = tuple(_rolled(dice, length, liked, dice.choice(_PAUSE_WEIGHTS)))
    return (*(evolve(act, name=OPENING) for act in acts[:1]), *acts[1:])


def _rolled(
    dice: Random, length: int, weights: dict[str, int], pause_weights: tuple[int, ...] = _PAUSE_WEIGHTS[0]
) -> Iterable[Act]:
    names = dice.choices(list(weights), list(weights.values()), k=length)
    pauses = dice.choices(range(len(PAUSES_SECONDS)), pause_weights, k=length)
    for name, pause in zip(names, pauses, strict=True):
        yield Act(name, dice.randrange(NUMBERS), dice.randrange(NUMBERS), dice.randrange(NUMBERS), pause)

"""What a task's step waits for is said in words, whatever the kind of its intent."""

from typing import get_args

from taskdock.core.intents import Body
from taskdock.services.waiting import DEEDS


def test_every_kind_of_intent_has_its_words() -> None:
    """A task that waits for the scheduler can say what for: each kind of intent has a few plain words of its own."""
    assert set(DEEDS) == set(get_args(Body))
    assert len(set(DEEDS.values())) == len(DEEDS)

"""Figures: every kind of intent has limits, and a pause that grows, is capped, and is the same each time."""

from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskdock.core.intents import Body, Figure, Figures, Wake

IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def test_every_kind_of_intent_has_its_figures() -> None:
    """No kind is without limits, and no limit is for a kind that is not there."""
    assert set(Figures().intents) == {kind.__name__ for kind in get_args(Body)}


def test_default_figures() -> None:
    """The limits that people are told: seconds over all runs, and attempts in all."""
    assert {
        name: (figure.deadline_seconds, figure.attempts_max) for name, figure in Figures().intents.items()
    } == {
        "EnsureName": (30, 3),
        "CreateSandbox": (600, 5),
        "ObserveSandbox": (600, 1_000),
        "EnsureAgent": (300, 5),
        "CreateSession": (120, 5),
        "ResumeSession": (120, 5),
        "SendPrompt": (21600, 1),
        "CancelTurn": (10, 1),
        "AnswerPermission": (30, 3),
        "CloseSession": (600, 10),
        "CollectWork": (300, 3),
        "StopSandbox": (300, 5),
        "DestroySandbox": (600, 10),
        "CloneRepo": (3600, 5),
        "RemoveClone": (600, 5),
        "RunRepoJob": (3600, 3),
        "Tell": (31536000, 1_000_000),
        "Wake": (31536000, 1_000_000),
    }
    figures = Figures()
    assert (figures.settle_seconds, figures.closing_seconds, figures.cancel_seconds) == (10.0, 5.0, 10.0)
    assert (figures.permission_seconds, figures.call_seconds, figures.absent_seconds) == (3600.0, 10.0, 5.0)
    assert (figures.heals_max, figures.heals_seconds) == (3, 1800.0)
    assert (figures.waiting_max, figures.losses_max) == (1_000, 5)
    assert (figures.backoff_seconds, figures.backoff_seconds_max) == (1.0, 60.0)


def test_figures_of_a_body_are_those_of_its_kind() -> None:
    """A dock may set its own limits, kind by kind."""
    figures = Figures(intents={"Wake": Figure(1.5, 2)})
    assert figures.of(Wake("settle")) == Figure(1.5, 2)


@given(intent_id=IDS, attempt=st.integers(1, 10_000))
def test_backoff_is_bounded(intent_id: str, attempt: int) -> None:
    """The pause is a doubling second, at most a minute, with at most a quarter taken off."""
    pause = Figures().backoff(intent_id, attempt).total_seconds()
    full = min(2.0 ** (attempt - 1), 60.0) if attempt < 10 else 60.0
    assert full * 0.75 <= pause <= full


@given(intent_id=IDS, attempt=st.integers(1, 50))
def test_backoff_is_the_same_each_time(intent_id: str, attempt: int) -> None:
    """The jitter is no chance: a step that is decided twice gives the same bytes."""
    assert Figures().backoff(intent_id, attempt) == Figures().backoff(intent_id, attempt)


@given(intent_id=IDS, attempt=st.integers(1, 5))
def test_backoff_grows_until_its_cap(intent_id: str, attempt: int) -> None:
    """Below the cap each pause is longer than the one before, whatever the jitter."""
    assert Figures().backoff(intent_id, attempt) < Figures().backoff(intent_id, attempt + 1)


def test_backoff_differs_between_intents() -> None:
    """Intents that failed together do not come back together."""
    pauses = {Figures().backoff(f"task-{number}#1", 8) for number in range(100)}
    assert len(pauses) > 90
    assert max(pauses) - min(pauses) > timedelta(seconds=12)


@pytest.mark.parametrize(("attempt", "full"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (500, 3.0)])
def test_backoff_follows_its_figures(attempt: int, full: float) -> None:
    """First pause and cap are a dock's own; a number of attempts beyond reason is no overflow."""
    pause = Figures(backoff_seconds=0.5, backoff_seconds_max=3.0).backoff("task-1#1", attempt).total_seconds()
    assert full * 0.75 <= pause <= full


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0.9327), (3, 3.696391), (9, 55.309682)])
def test_backoff_never_changes(attempt: int, seconds: float) -> None:
    """The pause of an attempt is the same in every process and after every upgrade: a step is decided again from its bytes."""
    assert Figures().backoff("task-1#1", attempt) == timedelta(seconds=seconds)

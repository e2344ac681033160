"""Edges: the very moment at which a time is over, and the very number at which enough is enough."""

from datetime import timedelta

import pytest
from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core.inputs import SandboxPhase
from taskdock.core.intents import Figure, Figures
from unit.core import givens as g
from unit.core.story import (
    PERMANENT,
    SETTLED_SECONDS,
    STEP_SECONDS,
    TRANSIENT,
    UNREACHABLE,
    WINDOW_SECONDS,
    TaskStory,
    kinds_of,
)

RUNNING, STOPPED, FAILED, ABSENT, PENDING = (
    SandboxPhase.RUNNING, SandboxPhase.STOPPED, SandboxPhase.FAILED, SandboxPhase.ABSENT, SandboxPhase.PENDING,
)  # fmt: skip


def limit(story: TaskStory, kind: type[intents.Body], *, attempts: int) -> None:
    """Allow this many runs of a kind."""
    figures = story.boundary.figures
    figure = Figure(figures.intents[kind.__name__].deadline_seconds, attempts)
    story.boundary.figures = evolve(figures, intents={**figures.intents, kind.__name__: figure})


def absent_at(story: TaskStory, seconds: float) -> None:
    """The provider says that there is none, at this time after the first look that found none."""
    first = story.task.absent_at
    assert first is not None
    read_at = first + timedelta(seconds=seconds)
    story.succeed(intents.ObserveSandbox, inputs.Observed(ABSENT, read_at))


# The window of a create


@pytest.mark.parametrize(
    ("early", "at"), [(0.001, "init_create_sandbox/destroy"), (0.0, "init_create_sandbox/create")]
)
def test_window_is_over_at_its_end(early: float, at: str) -> None:
    """An absence read at the last moment at which a create can land proves nothing; read a moment later it does."""
    story = g.replacing()
    assert story.task.create_began is not None
    read_at = story.task.create_began + timedelta(seconds=SETTLED_SECONDS - early)
    story.succeed(intents.DestroySandbox, inputs.SandboxReleased(read_at, WINDOW_SECONDS))
    assert story.at == at


def test_release_asks_again_when_the_window_is_over() -> None:
    """After an absence that came too early the next run begins when no create can land any more."""
    story = g.replacing()
    story.release(early=True)
    assert story.task.create_began is not None
    assert story.open(intents.DestroySandbox)[0].not_before == (
        story.task.create_began + timedelta(seconds=SETTLED_SECONDS)
    )


@pytest.mark.parametrize("late", [-STEP_SECONDS, 0.0, 3600.0])
def test_release_waits_as_long_as_it_was_too_early(late: float) -> None:
    """When the clock says that the window is over, and the look knows better, the next run waits for what was missing."""
    story = g.replacing()
    began = story.task.create_began
    assert began is not None
    story.pass_time((began - story.now).total_seconds() + SETTLED_SECONDS + late)
    read_at = began + timedelta(seconds=SETTLED_SECONDS - 3.0)
    story.succeed(intents.DestroySandbox, inputs.SandboxReleased(read_at, WINDOW_SECONDS))
    assert story.open(intents.DestroySandbox)[0].not_before == story.now + timedelta(seconds=3.0)


@pytest.mark.parametrize(("seconds", "is_kept"), [(0.0, False), (-0.001, True)])
def test_wait_for_the_window_is_no_time_of_the_release(seconds: float, *, is_kept: bool) -> None:
    """A release that may begin again only at its deadline gets a new one; one that may begin before keeps its own."""
    story = g.replacing()
    intent = story.claim(intents.DestroySandbox)
    began = story.task.create_began
    assert intent.deadline_at is not None and began is not None
    window = (intent.deadline_at - began).total_seconds() - Figures().call_seconds + seconds
    story.succeed(intents.DestroySandbox, inputs.SandboxReleased(story.now, window))
    again = story.open(intents.DestroySandbox)[0]
    assert again.not_before == intent.deadline_at + timedelta(seconds=seconds)
    assert (again.attempt, again.deadline_at) == (2, intent.deadline_at if is_kept else None)


# Two absences


@pytest.mark.parametrize(
    ("seconds", "at"), [(4.999, "running/observe"), (5.0, "init_create_sandbox/destroy")]
)
def test_second_absence_counts_from_five_seconds_on(seconds: float, at: str) -> None:
    """Five seconds between two absences are enough, less is not."""
    story = g.looking()
    story.observe(ABSENT)
    absent_at(story, seconds)
    assert story.at == at


def test_only_an_absence_ends_a_wait_for_one() -> None:
    """A sandbox that was absent once and is being made five seconds later is not gone."""
    story = g.looking()
    story.observe(ABSENT)
    story.pass_time(5.0)
    story.observe(PENDING)
    assert (story.at, story.task.absent_at) == ("running/observe", None)


def test_absence_in_between_moves_no_look() -> None:
    """The look that decides comes five seconds after the first absence, however many there are between."""
    story = g.looking()
    story.observe(ABSENT)
    first = story.task.absent_at
    assert first is not None
    absent_at(story, 2.0)
    assert story.task.absent_at == first
    assert story.open(intents.ObserveSandbox)[0].not_before == first + timedelta(seconds=5.0)


def test_look_that_is_late_follows_at_once() -> None:
    """A time for the next look that has passed already is now."""
    story = g.looking()
    story.observe(ABSENT)
    story.pass_time(60.0)
    absent_at(story, 4.0)
    assert story.open(intents.ObserveSandbox)[0].not_before == story.now


def test_absence_of_an_earlier_look_counts_for_nothing() -> None:
    """A sandbox that was found after all begins its next look anew, whatever led to that."""
    story = g.looking()
    story.observe(ABSENT)
    story.observe(RUNNING)
    story.pass_time(60.0)
    story.lose_sandbox()
    assert story.task.absent_at is None
    story = g.observing_agent()
    story.observe(ABSENT)
    story.observe(RUNNING)
    story.fail(intents.EnsureAgent, UNREACHABLE)
    assert (story.at, story.task.absent_at) == ("init_create_sandbox/observe", None)
    story = g.looking()
    story.observe(ABSENT)
    story.observe(STOPPED)
    assert (story.at, story.task.absent_at) == ("init_create_sandbox/create", None)


# The number of looks


def test_looks_end_with_their_attempts() -> None:
    """As many looks as the figures allow, and not one more."""
    story = g.looking()
    limit(story, intents.ObserveSandbox, attempts=2)
    story.observe(PENDING)
    assert story.at == "running/observe"
    story.observe(PENDING)
    assert story.at == "error/running/observe"


@pytest.mark.parametrize(("early", "is_tried"), [(0.001, True), (0.0, False)])
def test_run_at_the_deadline_is_too_late(early: float, is_tried: bool) -> None:
    """The next run must begin before the deadline of all runs: one that would begin at it is not ordered."""
    story = g.creating()
    intent = story.claim(intents.CreateSandbox)
    assert intent.deadline_at is not None
    wait = (intent.deadline_at - story.now).total_seconds() - STEP_SECONDS - early
    story.do(
        inputs.OutcomeReported(
            intent.id, intent.issue, inputs.Failed(TRANSIENT, "busy", retry_after_seconds=wait)
        )
    )
    assert bool(story.open(intents.CreateSandbox)) is is_tried
    assert story.task.status.value == ("init_create_sandbox" if is_tried else "error")


def test_look_at_the_deadline_is_too_late() -> None:
    """The next look must begin before the deadline: one that would begin at it is not ordered."""
    for seconds, at in ((0.0, "error/running/observe"), (0.001, "running/observe")):
        story = g.looking()
        intent = story.claim(intents.ObserveSandbox)
        assert intent.deadline_at is not None
        story.now = intent.deadline_at - timedelta(seconds=5.0 + seconds)
        story.succeed(intents.ObserveSandbox, inputs.Observed(ABSENT, story.now))
        assert story.at == at


def test_looks_share_one_deadline() -> None:
    """All looks of one loss end together, however many there are, and their pauses grow."""
    story = g.looking()
    deadline_at = story.claim(intents.ObserveSandbox).deadline_at
    assert deadline_at is not None
    for number in (1, 2):
        before = story.claim(intents.ObserveSandbox)
        story.observe(PENDING)
        look = story.open(intents.ObserveSandbox)[0]
        assert (look.attempt, look.deadline_at) == (number + 1, deadline_at)
        assert look.not_before == story.now + Figures().backoff(before.id, number)


# Too many heals


@pytest.mark.parametrize("phase", [STOPPED, FAILED, SandboxPhase.DESTROYING])
def test_every_heal_counts(phase: SandboxPhase) -> None:
    """A sandbox that stops, fails or goes once too often makes its task unstable."""
    story = g.looking_unstable()
    story.observe(phase)
    assert story.at == "error/running/observe"
    assert story.task.failure is not None
    assert story.task.failure.failure_class is PERMANENT


def test_absence_is_a_heal_too() -> None:
    """A sandbox that is gone once too often is not replaced any more."""
    story = g.looking_unstable()
    story.find_gone()
    assert story.at == "error/running/observe"


@pytest.mark.parametrize("phase", [PENDING, ABSENT])
def test_no_answer_is_no_heal(phase: SandboxPhase) -> None:
    """Three heals lately do not end a look that has not found out anything yet."""
    story = g.looking_unstable()
    story.observe(phase)
    assert story.at == "running/observe"


@pytest.mark.parametrize(
    ("late", "at"), [(0.0, "init_create_sandbox/create"), (-0.001, "error/running/observe")]
)
def test_heal_is_old_after_half_an_hour(late: float, at: str) -> None:
    """A heal counts for exactly as long as the figures say."""
    story = g.looking_unstable()
    first = story.task.heals[0]
    story.claim(intents.ObserveSandbox)
    story.now = first + timedelta(seconds=Figures().heals_seconds + late - 0.001)
    story.observe(STOPPED)
    assert story.at == at


# An adopted sandbox


def test_first_sandbox_may_be_adopted() -> None:
    """A sandbox that was there before anybody heard of it is adopted, and none is lost."""
    story = g.creating()
    story.start(intents.CreateSandbox)
    change = story.succeed(intents.CreateSandbox, inputs.SandboxReady(adopted=True, mark="mark 1"))
    assert kinds_of(change)[1] == "sandbox.adopted task.step_started"
    assert story.task.mark == "mark 1"


# Attempts of a failure that nothing was tried for


def test_failure_without_a_try_counts_as_one() -> None:
    """A repo that cannot be cloned fails its task with one attempt."""
    story = g.failed_waiting()
    assert story.task.failure is not None
    assert (story.task.failure.attempts, story.task.failure.failure_class) == (1, PERMANENT)


# Settling


def test_turns_are_settled_once() -> None:
    """An ending that is asked for with more force keeps the clock that is set."""
    story = g.KILL.settling()
    before = story.open(intents.Wake)
    story.kill(force=True)
    assert story.open(intents.Wake) == before
    assert story.reasons().count("settle") == 1


def test_stopped_task_has_nothing_open() -> None:
    """The end of a session that was ordered while the task stopped is not wanted any more when nothing runs."""
    story = g.STOP.collecting()
    story.close()
    assert story.kinds() == ["CollectWork", "CloseSession"]
    story.collect("c2")
    story.stop_sandbox()
    assert (story.at, story.kinds()) == ("stopped", [])


# Waking


@pytest.mark.parametrize("failure", [UNREACHABLE, TRANSIENT])
def test_only_silence_wakes_a_sandbox(failure: inputs.FailureClass) -> None:
    """A collection that nobody answers starts the sandbox once; one that fails otherwise is tried again."""
    story = g.STOP.collecting()
    story.fail(intents.CollectWork, failure)
    assert story.at == ("stopping/wake" if failure is UNREACHABLE else "stopping/collect")

"""Stories of healing: a sandbox that may be lost is looked at before it is touched, and each answer has its way on."""

from datetime import timedelta

import pytest
from attrs import evolve

from taskdock.core import intents
from taskdock.core.inputs import FailureClass, Observed, SandboxPhase, SetBranch, TurnEnd
from unit.core import givens as g
from unit.core.story import (
    DEADLINE,
    MESSAGE,
    MESSAGE_2,
    PERMANENT,
    TAB,
    TRANSIENT,
    UNKNOWN,
    UNREACHABLE,
    TaskStory,
    kinds_of,
)

RUNNING, STOPPED, FAILED, ABSENT, PENDING = (
    SandboxPhase.RUNNING, SandboxPhase.STOPPED, SandboxPhase.FAILED, SandboxPhase.ABSENT, SandboxPhase.PENDING,
)  # fmt: skip


def look_of(story: TaskStory) -> intents.Intent:
    """The look that is open."""
    return story.open(intents.ObserveSandbox)[0]


# What makes a task look


@pytest.mark.parametrize("failure", [UNREACHABLE, UNKNOWN])
def test_unclear_step_is_looked_at(failure: FailureClass) -> None:
    """A create or an agent that nobody answers about may be there, so the task looks instead of asking again."""
    for given, kind in ((g.creating_begun, intents.CreateSandbox), (g.starting_agent, intents.EnsureAgent)):
        story = given()
        story.fail(kind, failure)
        assert (story.at, story.kinds()) == ("init_create_sandbox/observe", ["ObserveSandbox"])


def test_loss_while_it_runs_stops_the_sending_alone() -> None:
    """While the task looks, no prompt is sent; tabs and turns stay as they are, and a false alarm costs nothing."""
    story = g.delivered()
    story.send(MESSAGE_2)
    story.lose_sandbox()
    assert (story.at, story.tab().at, story.tab().turn.at) == ("running/observe", "ready", "running")
    story.end_turn()
    assert story.message(MESSAGE_2).at == "queued"
    assert kinds_of(story.observe(RUNNING)) == ("SendPrompt", "task.running")
    assert (story.at, story.message(MESSAGE_2).at, story.task.heals) == ("running", "sending", ())


def test_unsent_prompt_waits_for_the_look() -> None:
    """A prompt that has not begun is taken back, uncounted, and sent when the sandbox was found running."""
    story = g.looking_unused()
    assert (story.message().at, story.message().tries) == ("queued", 0)
    story.observe(RUNNING)
    assert (story.message().at, story.message().tries) == ("sending", 1)


def test_session_that_is_wanted_meanwhile_waits_for_the_look() -> None:
    """A session that is opened or lost while the task looks is ordered when it is back."""
    story = g.looking()
    story.lose_session()
    assert (story.tab().at, story.open(intents.ResumeSession)) == ("pending_session_create", [])
    assert kinds_of(story.observe(RUNNING))[0] == "ResumeSession"


def test_unreachable_session_counts_its_attempts_over_looks() -> None:
    """However often the sandbox is found running, a session that cannot be reached fails after five attempts."""
    story = g.session_lost()
    story.fail(intents.ResumeSession, PERMANENT)
    for attempt in range(1, 5):
        assert story.open(intents.CreateSession)[0].attempt == attempt
        story.fail(intents.CreateSession, UNREACHABLE)
        assert story.at == "running/observe"
        story.observe(RUNNING)
    story.fail(intents.CreateSession, UNREACHABLE)
    assert (story.at, story.tab().at) == ("running", "error/session")


@pytest.mark.parametrize(
    ("given", "kind"), [(g.creating, intents.CreateSandbox), (g.starting_agent, intents.EnsureAgent)]
)
def test_unclear_step_counts_its_attempts_over_looks(
    given: g.Given[TaskStory], kind: type[intents.Body]
) -> None:
    """However often the sandbox is found running, a step that nobody answers about fails after five attempts."""
    story = given()
    at = story.at
    for attempt in range(1, 5):
        assert story.open(kind)[0].attempt == attempt
        story.fail(kind, UNREACHABLE)
        story.observe(RUNNING)
        assert story.at == at
    story.fail(kind, UNREACHABLE)
    assert story.at == f"error/{at}"


# The five answers


def test_running_leads_back() -> None:
    """A sandbox that runs is gone on with: by the agent where it was ready, by the checkout where it was not."""
    story = g.observing_agent()
    story.observe(RUNNING)
    assert story.at == "init_ensure_agent"
    story = g.observing()
    story.observe(RUNNING)
    assert story.at == "init_create_sandbox/create"


def test_running_is_no_proof_while_it_is_asked_for_again() -> None:
    """A sandbox that was to be started again is not trusted to be the one that ran before."""
    story = g.looking()
    story.observe(STOPPED)
    story.start(intents.CreateSandbox)
    story.fail(intents.CreateSandbox, UNKNOWN)
    story.observe(RUNNING)
    assert story.at == "init_create_sandbox/create"


def test_stopped_is_started_again() -> None:
    """The same generation is started, and each tab takes its own session up again."""
    story = g.looking_mid_turn()
    story.observe(STOPPED)
    assert (story.at, story.task.generation, story.tab().at) == (
        "init_create_sandbox/create", 1, "pending_provision",
    )  # fmt: skip
    assert (story.tab().last_end, story.tab().held) == (TurnEnd.INTERRUPTED, True)
    story.provision_again("s1")
    assert (story.at, story.tab().session, story.tab().session_id) == ("running", 2, "s1")


def test_failed_is_emptied_and_replaced() -> None:
    """The work is brought out of a failed sandbox, then it is released, and the next generation is made."""
    story = g.looking()
    assert kinds_of(story.observe(FAILED))[0] == "CollectWork"
    story.collect("c2")
    assert (story.at, story.task.head, story.task.work_owed) == ("init_create_sandbox/destroy", "c2", False)
    story.release()
    assert (story.at, story.task.generation) == ("init_create_sandbox/create", 2)
    story.get_sandbox()
    story.get_agent()
    assert story.open(intents.CreateSession)[0].body == intents.CreateSession(
        story.task.sandbox, "demo", TAB, 1
    )
    story.get_session("s2")
    assert (story.at, story.tab().generation) == ("running", 2)


def test_work_of_a_failed_sandbox_is_not_given_up_unasked() -> None:
    """Where it cannot be brought out, the task rests and says so; a retry with discard replaces, and says that too."""
    story = g.failed_rescuing()
    assert story.task.failure is not None
    assert "retry --discard" in story.task.failure.retry
    story.retry()
    story.observe(FAILED)
    assert story.at == "init_create_sandbox/collect"
    story.fail(intents.CollectWork, PERMANENT)
    story.retry(discard=True)
    assert kinds_of(story.observe(FAILED)) == ("DestroySandbox", "work.given_up task.step_started")


def test_discard_lasts_no_longer_than_what_it_was_said_of() -> None:
    """A sandbox that is found running after all keeps its work, also when it fails later."""
    story = g.failed_rescuing()
    story.retry(discard=True)
    story.observe(RUNNING)
    assert (story.at, story.task.discard) == ("init_ensure_agent", False)
    story.lose_sandbox()
    story.observe(FAILED)
    assert story.at == "init_create_sandbox/collect"


def test_one_absence_proves_nothing() -> None:
    """A sandbox is gone when it is absent twice, five seconds apart; anything between begins anew."""
    story = g.looking()
    story.observe(ABSENT)
    assert story.at == "running/observe"
    look = look_of(story)
    assert story.task.absent_at is not None
    assert look.not_before == story.task.absent_at + timedelta(seconds=5.0)
    story.observe(ABSENT)
    assert story.at == "running/observe"
    story.observe(PENDING)
    story.pass_time(5.0)
    story.observe(ABSENT)
    assert story.at == "running/observe"
    story.pass_time(5.0)
    change = story.observe(ABSENT)
    assert kinds_of(change)[1] == "sandbox.lost task.step_started"
    assert story.at == "init_create_sandbox/destroy"


def test_lost_sandbox_is_released_before_the_next_is_made() -> None:
    """The next generation is ordered with the release alone, and the release waits for the window of the create."""
    story = g.replacing()
    story.release(early=True)
    assert (story.at, story.task.generation) == ("init_create_sandbox/destroy", 1)
    story.release()
    body = story.open(intents.CreateSandbox)[0].body
    assert isinstance(body, intents.CreateSandbox)
    assert (body.sandbox.generation, body.sandbox.name) == (2, "td-75b98ee5-task-1-g2")


@pytest.mark.parametrize("phase", [PENDING, SandboxPhase.UNKNOWN, SandboxPhase.STOPPING])
def test_no_answer_is_looked_at_again_until_the_deadline(phase: SandboxPhase) -> None:
    """What may still become anything is looked at with a growing pause; then the task rests, and a retry looks again."""
    story = g.observing()
    story.observe(phase)
    assert (story.at, look_of(story).attempt) == ("init_create_sandbox/observe", 2)
    story = g.observing_last_look()
    story.observe(phase)
    assert (story.at, story.task.box_ordered) == ("error/init_create_sandbox/observe", True)
    assert story.task.failure is not None
    assert (story.task.failure.failure_class, phase.value in story.task.failure.reason) == (DEADLINE, True)
    story.retry()
    assert story.kinds() == ["ObserveSandbox"]


@pytest.mark.parametrize(("reason", "told"), [(None, ""), ("no host answers", ": no host answers")])
def test_look_without_end_tells_what_the_provider_said_last(reason: str | None, told: str) -> None:
    """The failure names the phase, and the provider's own reason where it gave one."""
    story = g.observing_last_look()
    story.succeed(intents.ObserveSandbox, Observed(PENDING, story.now, reason))
    assert story.task.failure is not None
    assert story.task.failure.reason == f"the sandbox is still pending, says its provider{told}"


def test_failed_look_is_tried_again() -> None:
    """A provider that does not answer is asked again."""
    story = g.looking()
    story.fail(intents.ObserveSandbox, TRANSIENT)
    assert (story.at, look_of(story).attempt) == ("running/observe", 2)


@pytest.mark.parametrize("phase", [STOPPED, FAILED])
def test_heal_takes_back_the_copy_of_the_work(phase: SandboxPhase) -> None:
    """A copy that was to be made in a sandbox that does not run is not made: what it was of is collected another way, or lost."""
    story = g.copying()
    story.lose_sandbox()
    assert story.kinds() == ["CollectWork", "ObserveSandbox"]
    copy = story.open(intents.CollectWork)[0]
    change = story.observe(phase)
    assert copy.id in change.cancelled
    assert all(getattr(intent.body, "quiesce", True) for intent in story.boundary.outbox.values())


def test_release_ends_the_sessions_that_were_still_to_be_ended() -> None:
    """With its sandbox every session is gone: nobody asks the next one to end a session that was in the last."""
    story = g.closing_idle()
    story.wake("closing")
    assert story.kinds() == ["CloseSession"]
    story.lose_sandbox()
    story.find_gone()
    story.release()
    assert story.kinds() == ["CreateSandbox"]


# Too often


@pytest.mark.parametrize("given", [g.looking, g.looking_unused, g.observing, g.observing_owed])
@pytest.mark.parametrize("phase", [STOPPED, FAILED, SandboxPhase.DESTROYING, ABSENT])
def test_each_heal_is_counted(given: g.Given[TaskStory], phase: SandboxPhase) -> None:
    """Started again, emptied or replaced, with work in it or without: the task remembers when."""
    story = given()
    before = story.task.heals
    if phase is ABSENT:
        story.find_gone()
    else:
        story.observe(phase)
    assert story.task.heals == (*before, story.now)


def test_fourth_loss_within_half_an_hour_is_unstable() -> None:
    """Three heals are done without asking; the fourth one rests in an error that says why."""
    story = g.unstable()
    assert story.at == "error/running/observe"
    assert story.task.failure is not None
    assert story.task.failure.reason == (
        "unstable: the sandbox is stopped, and it was replaced or started again 3 times within 30 minutes"
    )
    assert story.tab().at == "error/task"


def test_unstable_tells_the_time_that_heals_count_for() -> None:
    """Where heals count for another time than half an hour, the sentence says so."""
    story = g.looking_unstable()
    story.boundary.figures = evolve(story.boundary.figures, heals_seconds=5400.0)
    story.observe(STOPPED)
    assert story.task.failure is not None
    assert story.task.failure.reason.endswith("3 times within 90 minutes")


def test_false_alarms_are_no_heals() -> None:
    """A look that finds the sandbox running counts for nothing, however often."""
    story = g.idle()
    for _ in range(10):
        story.lose_sandbox()
        story.observe(RUNNING)
    assert (story.at, story.task.heals) == ("running", ())


def test_unarchive_clears_the_count() -> None:
    """What was healed before the archive says nothing about the sandbox after it."""
    story = g.looking_unused()
    story.observe(STOPPED)
    story.archive()
    story.release()
    assert (story.at, len(story.task.heals)) == ("archived", 1)
    story.unarchive()
    assert story.task.heals == ()


def test_retry_clears_the_count() -> None:
    """Somebody looked after it: it heals three times more before it asks again."""
    story = g.unstable()
    story.retry()
    assert story.task.heals == ()
    story.observe(STOPPED)
    assert (story.at, len(story.task.heals)) == ("init_create_sandbox/create", 1)


def test_old_heals_do_not_count() -> None:
    """Three heals long ago and one now are no sign of anything."""
    story = g.looking_unstable()
    story.pass_time(1801.0)
    story.observe(STOPPED)
    assert (story.at, len(story.task.heals)) == ("init_create_sandbox/create", 1)


# What survives


def test_queue_survives_every_heal_in_order() -> None:
    """Messages wait through losses and replacements, and go on in their order once the user says so."""
    story = g.delivered()
    for number in (2, 3):
        story.send(f"msg-{number}")
    story.lose_sandbox()
    story.find_gone()
    story.release()
    story.get_sandbox()
    story.get_agent()
    story.get_session("s2")
    assert (story.message(MESSAGE).at, story.tab().held) == ("delivered", True)
    story.send("msg-4")
    sent = []
    for _ in range(3):
        sent.append(story.tab().turn.message_id or next(m for m in ("msg-2", "msg-3", "msg-4")
                                                        if story.message(m).at == "sending"))  # fmt: skip
        story.whole_turn()
    assert sent == ["msg-2", "msg-3", "msg-4"]


def test_kill_and_stop_overtake_a_heal() -> None:
    """Whatever a heal is at, it can be stopped and killed, and the look is taken back."""
    for given in (g.observing, g.looking, g.rescuing, g.replacing):
        for end in (TaskStory.stop, TaskStory.kill):
            story = given()
            end(story)
            assert story.at.startswith(("stopping/", "killing/"))
            assert story.open(intents.ObserveSandbox) == []


def test_branch_may_change_while_nothing_was_begun() -> None:
    """Where no create had begun, another branch leads back to the naming, also out of a look and after its failure."""
    story = g.observing_unbegun()
    story.do(SetBranch("better"))
    assert (story.at, story.task.branch, story.task.box_ordered) == (
        "init_enqueue_provision",
        "better",
        False,
    )
    story = g.failed_observing_renamed()
    story.retry()
    body = story.open(intents.EnsureName)[0].body
    assert isinstance(body, intents.EnsureName)
    assert (body.branch, body.is_kept) == ("better", False)

"""Heal givens: every status of a task whose sandbox may be lost, or that has failed, each reached by a script."""

from taskdock.core import inputs, intents
from taskdock.core.inputs import SandboxPhase
from unit.core.givens_life import (
    closing_idle,
    creating,
    creating_begun,
    delivered,
    held,
    idle,
    naming,
    opening_session,
    queued,
    sending,
    session_lost,
    starting_agent,
    waiting_for_repo,
)
from unit.core.shelf import task_given
from unit.core.story import PERMANENT, SETTLED_SECONDS, UNKNOWN, UNREACHABLE, TaskStory

RUNNING, STOPPED, FAILED, ABSENT = (
    SandboxPhase.RUNNING, SandboxPhase.STOPPED, SandboxPhase.FAILED, SandboxPhase.ABSENT,
)  # fmt: skip

# Its sandbox may be lost


@task_given
def observing() -> TaskStory:
    """Nobody answered whether its sandbox was made: it is looked at."""
    story = creating_begun()
    story.fail(intents.CreateSandbox, UNKNOWN)
    return story


@task_given
def observing_unbegun() -> TaskStory:
    """The provider could not be reached before any attempt at its sandbox had begun."""
    story = creating()
    story.fail(intents.CreateSandbox, UNREACHABLE)
    return story


@task_given
def observing_agent() -> TaskStory:
    """The agent's server could not be reached: the sandbox is looked at."""
    story = starting_agent()
    story.fail(intents.EnsureAgent, UNREACHABLE)
    return story


@task_given
def observing_session() -> TaskStory:
    """The first session could not be reached: the sandbox is looked at."""
    story = opening_session()
    story.fail(intents.CreateSession, UNREACHABLE)
    return story


@task_given
def observing_absent() -> TaskStory:
    """A sandbox that was being made was found absent once."""
    story = observing()
    story.observe(ABSENT)
    story.pass_time(5.0)
    return story


@task_given
def observing_last_look() -> TaskStory:
    """A sandbox is looked at for the last time before the deadline."""
    story = observing()
    story.claim(intents.ObserveSandbox)
    story.pass_time(599.9)
    return story


@task_given
def observing_unstable() -> TaskStory:
    """A sandbox is looked at that was started again three times within half an hour, then lost while the agent started."""
    story = idle()
    for number in range(3):
        story.lose_sandbox()
        story.observe(STOPPED)
        story.get_sandbox(adopted=True)
        if number < 2:
            story.get_agent()
            story.get_session(f"s{number + 2}")
    story.lose_sandbox()
    return story


@task_given
def observing_owed() -> TaskStory:
    """After a first turn the sandbox was found stopped, and lost again while the agent was started in it."""
    story = idle()
    story.lose_sandbox()
    story.observe(STOPPED)
    story.get_sandbox(adopted=True)
    story.lose_sandbox()
    return story


@task_given
def looking() -> TaskStory:
    """The sandbox of an idle task may be lost: it is looked at."""
    story = idle()
    story.lose_sandbox()
    return story


@task_given
def looking_unused() -> TaskStory:
    """The same before the first prompt began."""
    story = sending()
    story.lose_sandbox()
    return story


@task_given
def looking_mid_turn() -> TaskStory:
    """The sandbox may be lost during a turn that was delivered."""
    story = delivered()
    story.lose_sandbox()
    return story


@task_given
def looking_absent() -> TaskStory:
    """The sandbox of an idle task was found absent once."""
    story = looking()
    story.observe(ABSENT)
    story.pass_time(5.0)
    return story


@task_given
def looking_last_look() -> TaskStory:
    """The sandbox of an idle task is looked at for the last time before the deadline."""
    story = looking()
    story.claim(intents.ObserveSandbox)
    story.pass_time(599.9)
    return story


@task_given
def looking_unstable() -> TaskStory:
    """The sandbox of a running task is looked at after it was started again three times within half an hour."""
    story = idle()
    for number in range(3):
        story.lose_sandbox()
        story.observe(STOPPED)
        story.provision_again(f"s{number + 2}")
    story.lose_sandbox()
    return story


@task_given
def looking_session_pending() -> TaskStory:
    """A session was lost and the next one cannot be reached: the sandbox is looked at."""
    story = session_lost()
    story.fail(intents.ResumeSession, UNREACHABLE)
    return story


@task_given
def closing_looking() -> TaskStory:
    """Its only tab was being closed when its sandbox may have been lost."""
    story = closing_idle()
    story.lose_sandbox()
    return story


@task_given
def rescuing() -> TaskStory:
    """Its sandbox has failed: the work is brought out of it."""
    story = looking()
    story.observe(FAILED)
    return story


@task_given
def replacing() -> TaskStory:
    """Its sandbox is gone: its release is made sure."""
    story = looking()
    story.find_gone()
    return story


@task_given
def replacing_late() -> TaskStory:
    """The same, some time after the last create of it began."""
    story = replacing()
    story.pass_time(SETTLED_SECONDS)
    return story


@task_given
def creating_second() -> TaskStory:
    """Its lost sandbox is released, the next one is being made."""
    story = replacing()
    story.release()
    return story


# Failed


@task_given
def failed_waiting() -> TaskStory:
    """Its repo could not be cloned."""
    story = waiting_for_repo()
    story.do(inputs.RepoFailed(story.task.ask, "no such remote"))
    return story


@task_given
def failed_queued() -> TaskStory:
    """Its naming failed before it said that it began."""
    story = queued()
    story.fail(intents.EnsureName, PERMANENT)
    return story


@task_given
def failed_naming() -> TaskStory:
    """Its naming failed."""
    story = naming()
    story.fail(intents.EnsureName, PERMANENT)
    return story


@task_given
def failed_creating() -> TaskStory:
    """Its sandbox could not be made, though an attempt had begun."""
    story = creating()
    story.start(intents.CreateSandbox)
    story.fail(intents.CreateSandbox, PERMANENT)
    return story


@task_given
def failed_creating_unbegun() -> TaskStory:
    """Its sandbox could not be made, and no attempt had begun."""
    story = creating()
    story.fail(intents.CreateSandbox, PERMANENT)
    return story


@task_given
def failed_creating_renamed() -> TaskStory:
    """The same, and it was given another branch since."""
    story = failed_creating_unbegun()
    story.do(inputs.SetBranch("better"))
    return story


@task_given
def failed_observing_renamed() -> TaskStory:
    """Nobody could say whether a sandbox is there that was never begun; it was given another branch since."""
    story = observing_unbegun()
    story.fail(intents.ObserveSandbox, PERMANENT)
    story.do(inputs.SetBranch("better"))
    return story


@task_given
def failed_agent() -> TaskStory:
    """Its agent's server could not be started."""
    story = starting_agent()
    story.fail(intents.EnsureAgent, PERMANENT)
    return story


@task_given
def failed_session() -> TaskStory:
    """The session of its only tab could not be made."""
    story = opening_session()
    story.fail(intents.CreateSession, PERMANENT)
    return story


@task_given
def failed_looking() -> TaskStory:
    """Nobody could say what became of the sandbox of an idle task."""
    story = looking()
    story.fail(intents.ObserveSandbox, PERMANENT)
    return story


@task_given
def failed_with_queue() -> TaskStory:
    """The same while its queue was held."""
    story = held()
    story.lose_sandbox()
    story.fail(intents.ObserveSandbox, PERMANENT)
    return story


@task_given
def failed_observing() -> TaskStory:
    """Nobody could say what became of a sandbox that was being made."""
    story = observing()
    story.fail(intents.ObserveSandbox, PERMANENT)
    return story


@task_given
def failed_observing_unbegun() -> TaskStory:
    """The same, where no attempt to make it had begun."""
    story = observing_unbegun()
    story.fail(intents.ObserveSandbox, PERMANENT)
    return story


@task_given
def failed_rescuing() -> TaskStory:
    """The work in a failed sandbox could not be brought out."""
    story = rescuing()
    story.fail(intents.CollectWork, PERMANENT)
    return story


@task_given
def failed_replacing() -> TaskStory:
    """A lost sandbox could not be released."""
    story = replacing()
    story.fail(intents.DestroySandbox, PERMANENT)
    return story


@task_given
def unstable() -> TaskStory:
    """Its sandbox was lost four times within half an hour."""
    story = idle()
    for number in range(3):
        story.lose_sandbox()
        story.observe(STOPPED)
        story.provision_again(f"s{number + 2}")
    story.lose_sandbox()
    story.observe(STOPPED)
    return story


@task_given
def retried_after_session() -> TaskStory:
    """Retried after its only session failed: the sandbox is looked at."""
    story = failed_session()
    story.retry()
    return story


@task_given
def agent_again_after_session() -> TaskStory:
    """Retried after its only session failed: the agent is ensured again."""
    story = retried_after_session()
    story.observe(RUNNING)
    return story

"""Life givens: every status of a task that is provisioned, runs, heals or has failed at that, each reached by a script."""

from taskdock.core import inputs, intents
from taskdock.core.inputs import (
    AnswerPermission,
    CancelTurn,
    CloseTab,
    OpenTab,
    SandboxPhase,
    TurnEnd,
    WithdrawMessage,
)
from unit.core.shelf import task_given
from unit.core.story import (
    MESSAGE_2,
    PERMANENT,
    PERMISSION,
    TAB,
    TAB_2,
    TRANSIENT,
    UNKNOWN,
    TaskStory,
    a_task,
)

RUNNING, STOPPED, FAILED, ABSENT = (
    SandboxPhase.RUNNING, SandboxPhase.STOPPED, SandboxPhase.FAILED, SandboxPhase.ABSENT,
)  # fmt: skip

# Provisioning


@task_given
def no_task() -> TaskStory:
    """Nothing yet."""
    return a_task()


@task_given
def waiting_for_repo() -> TaskStory:
    """Created while its repo is still being cloned."""
    story = a_task()
    story.create(repo_is_ready=False)
    return story


@task_given
def queued() -> TaskStory:
    """Created; nobody has claimed the naming yet."""
    story = a_task()
    story.create()
    return story


@task_given
def naming() -> TaskStory:
    """Its naming has begun."""
    story = queued()
    story.start(intents.EnsureName)
    return story


@task_given
def creating() -> TaskStory:
    """Named; its sandbox is being made."""
    story = naming()
    story.name()
    return story


@task_given
def starting_agent() -> TaskStory:
    """Its sandbox is there, the agent's server is not yet."""
    story = creating()
    story.get_sandbox()
    return story


@task_given
def opening_session() -> TaskStory:
    """Its agent is there, the first session is being made."""
    story = starting_agent()
    story.get_agent()
    return story


@task_given
def creating_begun() -> TaskStory:
    """An attempt to make its sandbox has begun."""
    story = creating()
    story.start(intents.CreateSandbox)
    return story


@task_given
def creating_last_try() -> TaskStory:
    """Four attempts at its sandbox have failed; the fifth is the last."""
    story = creating()
    story.fail_often(intents.CreateSandbox, TRANSIENT, 4)
    return story


@task_given
def two_tabs_creating() -> TaskStory:
    """A second tab, with a message of its own, was opened while the sandbox is being made."""
    story = creating()
    story.do(OpenTab(TAB_2, message_id=MESSAGE_2, prompt="And this."))
    return story


# Running; its first message is about to be sent, under way or done


@task_given
def sending() -> TaskStory:
    """Running; the first prompt is ordered and not begun."""
    story = opening_session()
    story.get_session()
    return story


@task_given
def working() -> TaskStory:
    """The first prompt may be on its way: Started was accepted."""
    story = sending()
    story.begin_turn()
    return story


@task_given
def delivered() -> TaskStory:
    """The agent has the first message and works on it."""
    story = working()
    story.deliver()
    return story


@task_given
def sending_last_try() -> TaskStory:
    """Four attempts to send the first message have failed; the fifth is the last."""
    story = sending()
    story.fail_often(intents.SendPrompt, TRANSIENT, 4)
    return story


@task_given
def back_in_queue() -> TaskStory:
    """The session was lost before the first prompt began."""
    story = sending()
    story.lose_session()
    return story


@task_given
def copying() -> TaskStory:
    """The first turn has completed; a copy of its work is being collected."""
    story = delivered()
    story.end_turn()
    return story


@task_given
def idle() -> TaskStory:
    """The first turn has completed and its work is copied; nothing is open."""
    story = copying()
    story.collect()
    return story


@task_given
def held() -> TaskStory:
    """The first turn has failed while a second message waited, so the queue is held."""
    story = delivered()
    story.send(MESSAGE_2)
    story.end_turn(TurnEnd.FAILED)
    story.collect()
    return story


@task_given
def two_tabs() -> TaskStory:
    """Idle, with a second tab that is ready."""
    story = idle()
    story.do(OpenTab(TAB_2))
    story.get_session("s2", TAB_2)
    return story


@task_given
def second_tab_pending() -> TaskStory:
    """Idle, with a second tab whose session is being made and whose first message waits."""
    story = idle()
    story.do(OpenTab(TAB_2, message_id=MESSAGE_2, prompt="And this."))
    return story


@task_given
def second_tab_failed() -> TaskStory:
    """Idle, with a second tab whose session failed."""
    story = idle()
    story.do(OpenTab(TAB_2))
    story.fail(intents.CreateSession, PERMANENT, tab=TAB_2)
    return story


@task_given
def session_lost() -> TaskStory:
    """Idle, then its only session was lost; the next one is being made."""
    story = idle()
    story.lose_session()
    return story


@task_given
def session_lost_often() -> TaskStory:
    """Idle; its agent process was lost five times within a few minutes, and came up again each time."""
    story = idle()
    for _ in range(5):
        story.lose_session()
        story.get_session()
    return story


@task_given
def closing_idle() -> TaskStory:
    """Its only tab is being closed; no turn ran."""
    story = idle()
    story.do(CloseTab(TAB))
    return story


@task_given
def closing_mid_turn() -> TaskStory:
    """Its only tab is being closed during a turn whose delivery is not proven."""
    story = working()
    story.do(CloseTab(TAB))
    return story


@task_given
def closed() -> TaskStory:
    """Its only tab is closed and its session is known to be ended."""
    story = closing_idle()
    story.succeed(intents.CloseSession, inputs.SessionClosed())
    return story


@task_given
def closed_session_lingers() -> TaskStory:
    """Its only tab is closed; the first attempt to end its session has failed."""
    story = closing_idle()
    story.fail(intents.CloseSession, TRANSIENT)
    return story


@task_given
def started_but_unknown() -> TaskStory:
    """Nobody can tell whether the first message arrived; the queue is held, a new session is being made."""
    story = working()
    story.fail(intents.SendPrompt, UNKNOWN)
    return story


# Its agent asks


@task_given
def asked() -> TaskStory:
    """The agent asks before it goes on."""
    story = delivered()
    story.ask()
    return story


@task_given
def answered() -> TaskStory:
    """The agent has asked, and the user has answered."""
    story = asked()
    story.do(AnswerPermission(TAB, PERMISSION, "yes"))
    return story


@task_given
def refused() -> TaskStory:
    """The agent has asked, and the user has cancelled that."""
    story = asked()
    story.do(AnswerPermission(TAB, PERMISSION, None))
    return story


@task_given
def cancelling() -> TaskStory:
    """The user has asked the running turn to end."""
    story = delivered()
    story.do(CancelTurn(TAB))
    return story


@task_given
def withdrawn() -> TaskStory:
    """The second message was withdrawn while the first turn ran."""
    story = delivered()
    story.send(MESSAGE_2)
    story.do(WithdrawMessage(TAB, MESSAGE_2))
    return story

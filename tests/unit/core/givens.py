"""Givens: every status that a task, tab, message, turn or repo can be in, each reached by a script.

Owns: `TASKS` and `REPOS`, the named starting points of the cases and of the product.
Never: a record made by hand; what no script reaches, no user meets.
Reads as: cases and product -> `running()` -> a story of one's own, led to where its name says.
"""

from collections.abc import Callable
from typing import TypeVar

from taskdock.core import inputs, intents
from taskdock.core.inputs import CloseTab, KillTask, OpenTab, RetryTask, SandboxLost, SessionLost, TurnEnd
from unit.core.story import (
    MESSAGE_2,
    PERMANENT,
    TAB,
    TAB_2,
    TRANSIENT,
    UNKNOWN,
    RepoStory,
    TaskStory,
    a_repo,
    a_task,
)

_StoryT = TypeVar("_StoryT", TaskStory, RepoStory)
Given = Callable[[], _StoryT]

TASKS: dict[str, Given[TaskStory]] = {}
REPOS: dict[str, Given[RepoStory]] = {}


def _told_once(script: Given[_StoryT], shelf: dict[str, Given[_StoryT]]) -> Given[_StoryT]:
    """Tell the script once, and hand out copies of where it ended."""
    told: list[_StoryT] = []

    def given() -> _StoryT:
        if not told:
            told.append(script())
        return told[0].copy()

    given.__name__ = script.__name__
    shelf[script.__name__] = given
    return given


def task_given(script: Given[TaskStory]) -> Given[TaskStory]:
    """Shelve a script of a task."""
    return _told_once(script, TASKS)


def repo_given(script: Given[RepoStory]) -> Given[RepoStory]:
    """Shelve a script of a repo."""
    return _told_once(script, REPOS)


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
    story.do(SessionLost(TAB, 1, 1, "the agent's process ended"))
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
    story.do(SessionLost(TAB, 1, 1, "the agent's process ended"))
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
    """Its sandbox could not be made."""
    story = creating()
    story.fail(intents.CreateSandbox, PERMANENT)
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
def failed_running() -> TaskStory:
    """Its sandbox was lost while it was idle."""
    story = idle()
    story.do(SandboxLost(story.task.sandbox.name, "it was deleted"))
    return story


@task_given
def failed_with_queue() -> TaskStory:
    """Its sandbox was lost while its queue was held."""
    story = held()
    story.do(SandboxLost(story.task.sandbox.name, "it was deleted"))
    return story


@task_given
def retried_after_session() -> TaskStory:
    """Retried after its only session failed: the sandbox is ensured again."""
    story = failed_session()
    story.do(RetryTask())
    return story


@task_given
def agent_again_after_session() -> TaskStory:
    """Retried after its only session failed: the agent is ensured again."""
    story = retried_after_session()
    story.get_sandbox()
    return story


# Killed, step by step


@task_given
def settling() -> TaskStory:
    """Killed during a turn that was delivered."""
    story = delivered()
    story.do(KillTask())
    return story


@task_given
def settling_undelivered() -> TaskStory:
    """Killed during a turn whose delivery is not proven."""
    story = working()
    story.do(KillTask())
    return story


@task_given
def collecting() -> TaskStory:
    """Killed while idle: its work is being brought out."""
    story = idle()
    story.do(KillTask())
    return story


@task_given
def collecting_forced() -> TaskStory:
    """Killed with force while idle: its work is being brought out all the same."""
    story = idle()
    story.do(KillTask(force=True))
    return story


@task_given
def failed_collecting() -> TaskStory:
    """Killed, and files without a commit were found in its sandbox."""
    story = collecting()
    story.collect("c2", "notes.txt")
    return story


@task_given
def destroying() -> TaskStory:
    """Killed, its work is out, its sandbox is being released."""
    story = collecting()
    story.collect("c2")
    return story


@task_given
def destroying_unused() -> TaskStory:
    """Killed before any prompt could be sent: its sandbox is being released at once."""
    story = creating()
    story.do(KillTask())
    return story


@task_given
def failed_destroying() -> TaskStory:
    """Killed, and its sandbox could not be released."""
    story = destroying()
    story.fail(intents.DestroySandbox, PERMANENT)
    return story


@task_given
def killed() -> TaskStory:
    """Killed after a life with a turn."""
    story = destroying()
    story.release()
    return story


@task_given
def killed_early() -> TaskStory:
    """Killed before it had a sandbox."""
    story = naming()
    story.do(KillTask())
    return story


@task_given
def started_but_unknown() -> TaskStory:
    """Nobody can tell whether the first message arrived; the queue is held, a new session is being made."""
    story = working()
    story.fail(intents.SendPrompt, UNKNOWN)
    return story


# Repos


@repo_given
def no_repo() -> RepoStory:
    """Nothing yet."""
    return a_repo()


@repo_given
def cloning() -> RepoStory:
    """Registered; its clone is being made."""
    story = a_repo()
    story.add()
    return story


@repo_given
def cloning_awaited() -> RepoStory:
    """Its clone is being made, and two tasks wait for it."""
    story = cloning()
    story.ask("task-1", 1)
    story.ask("task-2", 4)
    return story


@repo_given
def cloned() -> RepoStory:
    """Its clone is ready."""
    story = cloning()
    story.clone()
    return story


@repo_given
def clone_failed() -> RepoStory:
    """Its clone failed."""
    story = cloning()
    story.fail(intents.CloneRepo, PERMANENT)
    return story

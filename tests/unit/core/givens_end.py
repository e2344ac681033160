"""End givens: the ways of a stop, an archive and a kill, step by step, each reached by a script.

Owns: `Ending` and the three of them, `STOP`, `ARCHIVE` and `KILL`; what is peculiar to one of them.
Never: a difference between them that the design does not make.
Reads as: cases and stories -> `g.KILL.collecting()` -> a story of one's own.
"""

from collections.abc import Callable

from attrs import frozen

from taskdock.core import intents
from taskdock.core.intents import Body
from unit.core.givens_heal import replacing
from unit.core.givens_life import (
    creating_begun,
    delivered,
    idle,
    naming,
    second_tab_failed,
    waiting_for_repo,
    working,
)
from unit.core.shelf import Given, task_given
from unit.core.story import PERMANENT, UNREACHABLE, TaskStory

Verb = Callable[[TaskStory], object]


@frozen
class Ending:
    """One of the three: its word, the status while it is under way, where it rests, and its situations."""

    verb: str
    command: Verb
    under_way: str
    last_step: str
    last: type[Body]
    rest: str
    finish: Verb
    settling: Given[TaskStory]
    """Asked for during a turn that was delivered."""
    settling_undelivered: Given[TaskStory]
    """Asked for during a turn whose delivery is not proven."""
    collecting: Given[TaskStory]
    """Asked for while idle: the work is being brought out."""
    waking: Given[TaskStory]
    """Nothing answers in the sandbox: it is started once more to bring the work out."""
    ending: Given[TaskStory]
    """The work is out, the sandbox is being stopped or released."""
    ending_unused: Given[TaskStory]
    """Asked for before any prompt could be sent: the sandbox is being stopped or released at once."""
    failed_collecting: Given[TaskStory]
    """Files without a commit were found in the sandbox."""
    failed_waking: Given[TaskStory]
    """The sandbox could not be started to bring the work out."""
    failed_ending: Given[TaskStory]
    """The sandbox could not be stopped or released."""
    forced: Given[TaskStory]
    """What cannot be brought out is given up, and it is being brought out all the same."""
    forced_waking: Given[TaskStory]
    """The same; the sandbox is started for it."""
    done: Given[TaskStory]
    """Done after a life with a turn."""
    done_early: Given[TaskStory]
    """Done before there was a sandbox."""

    def at(self, step: str) -> str:
        """The state of a step; `end` is the last one."""
        return f"{self.under_way}/{self.last_step if step == 'end' else step}"


def _way_of(
    verb: str, command: Verb, forced: Verb, words: tuple[str, str, str], last: type[Body], finish: Verb
) -> Ending:
    """Shelve the situations of one of the three, each reached from the one before."""

    def then(name: str, given: Given[TaskStory], *verbs: Verb) -> Given[TaskStory]:
        def script() -> TaskStory:
            story = given()
            for told in verbs:
                told(story)
            return story

        return task_given(script, f"{verb}_{name}")

    collecting = then("collecting", idle, command)
    waking = then("waking", collecting, _nobody_answers)
    ending = then("ending", collecting, _collect)
    gives_up = then("forced", collecting, forced)
    return Ending(
        verb=verb, command=command, under_way=words[0], last_step=words[1], last=last, rest=words[2], finish=finish,
        settling=then("settling", delivered, command),
        settling_undelivered=then("settling_undelivered", working, command),
        collecting=collecting,
        waking=waking,
        ending=ending,
        ending_unused=then("ending_unused", creating_begun, command),
        failed_collecting=then("failed_collecting", collecting, _leave_a_file),
        failed_waking=then("failed_waking", waking, lambda story: story.fail(intents.CreateSandbox, PERMANENT)),
        failed_ending=then("failed_ending", ending, lambda story: story.fail(last, PERMANENT)),
        forced=gives_up,
        forced_waking=then("forced_waking", gives_up, _nobody_answers),
        done=then("done", ending, finish),
        done_early=then("done_early", naming, command),
    )  # fmt: skip


def _nobody_answers(story: TaskStory) -> object:
    return story.fail(intents.CollectWork, UNREACHABLE)


def _collect(story: TaskStory) -> object:
    return story.collect("c2")


def _leave_a_file(story: TaskStory) -> object:
    return story.collect("c2", "notes.txt")


def _discard(story: TaskStory) -> object:
    _leave_a_file(story)
    return story.retry(discard=True)


STOP = _way_of(
    "stop",
    TaskStory.stop,
    _discard,
    ("stopping", "stop", "stopped"),
    intents.StopSandbox,
    TaskStory.stop_sandbox,
)
ARCHIVE = _way_of(
    "archive", TaskStory.archive, lambda story: story.archive(force=True),
    ("archiving", "destroy", "archived"), intents.DestroySandbox, TaskStory.release,
)  # fmt: skip
KILL = _way_of(
    "kill", TaskStory.kill, lambda story: story.kill(force=True),
    ("killing", "destroy", "killed"), intents.DestroySandbox, TaskStory.release,
)  # fmt: skip
ENDINGS = (STOP, ARCHIVE, KILL)


def _resumed(step: str, given: Given[TaskStory]) -> Given[TaskStory]:
    def script() -> TaskStory:
        story = given()
        story.resume()
        return story

    return task_given(script, f"stop_{step}_resumed")


RESUMED = {
    STOP.at(step): _resumed(step, given)
    for step, given in (
        ("settle", STOP.settling), ("collect", STOP.collecting), ("wake", STOP.waking), ("end", STOP.ending),
    )
}  # fmt: skip
"""Each step of a stop while somebody wants the task to go on as soon as it is stopped."""


@task_given
def stopped_waiting() -> TaskStory:
    """Stopped while its repo was being cloned."""
    story = waiting_for_repo()
    story.stop()
    return story


@task_given
def archived_waiting() -> TaskStory:
    """Archived while its repo was being cloned."""
    story = waiting_for_repo()
    story.archive()
    return story


@task_given
def stopped_replacing() -> TaskStory:
    """Stopped while a lost sandbox was being released."""
    story = replacing()
    story.stop()
    story.stop_sandbox(is_absent=True)
    return story


@task_given
def unarchived() -> TaskStory:
    """Taken out of the archive: its name is confirmed."""
    story = ARCHIVE.done()
    story.unarchive()
    return story


@task_given
def resumed() -> TaskStory:
    """Resumed after a stop: its sandbox is started again."""
    story = STOP.done()
    story.resume()
    return story


@task_given
def resuming_session() -> TaskStory:
    """Resumed after a stop: the agent's own session is taken up again."""
    story = resumed()
    story.get_sandbox(adopted=True)
    story.get_agent()
    return story


@task_given
def stopped_session_failed() -> TaskStory:
    """Stopped with a second tab whose session had failed."""
    story = second_tab_failed()
    story.stop()
    story.collect("c2")
    story.stop_sandbox()
    return story

"""Repo givens: every status that a repo can be in, each reached by a script."""

from taskdock.core import inputs, intents
from unit.core.shelf import repo_given
from unit.core.story import PERMANENT, RepoStory, a_repo


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


@repo_given
def removing() -> RepoStory:
    """Removed; its clone is still there."""
    story = cloned()
    story.do(inputs.RemoveRepo())
    return story


@repo_given
def removed() -> RepoStory:
    """Removed, and its clone with it."""
    story = removing()
    story.succeed(intents.RemoveClone, inputs.CloneRemoved())
    return story


@repo_given
def removed_but_for_its_clone() -> RepoStory:
    """Removed; its clone had to stay."""
    story = removing()
    story.fail(intents.RemoveClone, PERMANENT, "the clone stays")
    return story

"""Shelf: scripts that lead to named situations, each told once and handed out as often as it is asked for.

Owns: `TASKS` and `REPOS`, the named starting points of the cases and of the product, and what puts scripts there.
Never: a record made by hand; what no script reaches, no user meets.
Reads as: givens_life.py, givens_end.py and givens_repo.py shelve scripts -> cases, product and walks take them.
"""

from collections.abc import Callable
from typing import TypeVar

from unit.core.story import RepoStory, TaskStory

_StoryT = TypeVar("_StoryT", TaskStory, RepoStory)
Given = Callable[[], _StoryT]

TASKS: dict[str, Given[TaskStory]] = {}
REPOS: dict[str, Given[RepoStory]] = {}
_FORGET: list[Callable[[], None]] = []
"""How to forget what was told so far."""


def _told_once(script: Given[_StoryT], name: str, shelf: dict[str, Given[_StoryT]]) -> Given[_StoryT]:
    """Tell the script once, and hand out copies of where it ended."""
    told: list[_StoryT] = []
    _FORGET.append(told.clear)

    def given() -> _StoryT:
        if not told:
            told.append(script())
        return told[0].copy()

    assert name not in shelf
    given.__name__ = name
    shelf[name] = given
    return given


def forget() -> None:
    """Have each story told anew when it is asked for next: the core is another one (`make mutants`)."""
    for forget_one in _FORGET:
        forget_one()


def task_given(script: Given[TaskStory], name: str = "") -> Given[TaskStory]:
    """Shelve a script of a task, under its own name or another."""
    return _told_once(script, name or script.__name__, TASKS)


def repo_given(script: Given[RepoStory]) -> Given[RepoStory]:
    """Shelve a script of a repo."""
    return _told_once(script, script.__name__, REPOS)

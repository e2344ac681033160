"""Givens: every status that a task, tab, message, turn or repo can be in, under one name for all of them.

Owns: nothing; the scripts stand in the modules that are named here.
Never: a record made by hand.
Reads as: cases and product -> `g.idle()` -> a story of one's own, led to where its name says.
"""

from unit.core.givens_attach import *  # noqa: F403 - one name for all
from unit.core.givens_end import *  # noqa: F403
from unit.core.givens_heal import *  # noqa: F403
from unit.core.givens_job import *  # noqa: F403
from unit.core.givens_life import *  # noqa: F403
from unit.core.givens_repo import *  # noqa: F403
from unit.core.shelf import REPOS, TASKS, Given

__all__ = ["REPOS", "TASKS", "Given"]

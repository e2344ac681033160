"""Stack jobs: repo jobs on a service clone, with plain git and git-spice.

Owns: everything that touches git-spice, and every move of a branch that is not a task's own work.
Never: `git-spice repo sync` (on a plain remote it deletes new branches), or a tool found by its name alone.
Reads as: jobs.py -> recovery, snapshot, sync, acting or undo, pushing, projection -> clone.py, tool.py.
"""

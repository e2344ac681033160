"""Actions: what may be asked of a task or a tab, as the commands that ask for it.

Owns: which command stands for which action.
Never: a rule about what fits; the core says which actions there are.
Reads as: problems.py, task_text.py -> `what_fits(conflict)` -> lines for people.
"""

from collections.abc import Mapping

from taskdock.core.errors import Conflict

OF_TASK: Mapping[str, str] = {
    "retry": "task retry {id}",
    "stop": "task stop {id}",
    "resume": "task resume {id}",
    "archive": "task archive {id}",
    "unarchive": "task unarchive {id}",
    "kill": "task kill {id}",
    "open_tab": "tab open {id}",
    "set_branch": "task set-branch {id} BRANCH",
    "rename": "task rename {id} TITLE",
}
OF_TAB: Mapping[str, str] = {
    "retry": "tab retry {id}",
    "close": "tab close {id}",
    "send": "task send {id} TEXT",
    "set_model": "tab model {id} MODEL",
    "edit": "message edit MESSAGE TEXT",
    "withdraw": "message withdraw MESSAGE",
    "resume_queue": "tab resume-queue {id}",
    "cancel_turn": "tab cancel-turn {id}",
    "answer_permission": "task allow {id}",
    "rename": "tab rename {id} NAME",
}
OF_REPO: Mapping[str, str] = {"retry": "repo retry {id}"}
_BY_KIND = {"task": OF_TASK, "tab": OF_TAB, "repo": OF_REPO}


def what_fits(conflict: Conflict) -> list[str]:
    """What may be asked now, a command a line; without the record's id, the bare names of the actions in one."""
    actions = conflict.available_actions
    if not actions:
        return []
    words = _BY_KIND.get(conflict.record_id.partition("-")[0])
    if words is None:
        return [f"What fits now: {', '.join(actions)}."]
    known = [
        f"  taskdock {words[action].format(id=conflict.record_id)}" for action in actions if action in words
    ]
    others = [f"  {action}" for action in actions if action not in words]
    return ["What fits now:", *known, *others]

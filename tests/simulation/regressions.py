"""Regressions: scripts that once broke an invariant, with a sentence on what was wrong each time.

Owns: `SCRIPTS`.
Never: one that is kept because it is interesting; each was a bug: of the product, of the kit, or planted.
Reads as: test_seeds.py -> this.

A seed stands for its acts only as long as the weights of the acts and the dice in script.py stay as they are; a script
stands for itself. So what is to be kept for good is a script, shrunk.
"""

SCRIPTS: dict[str, str] = {
    "1,create_task:0:0:1:4,break_box:0:0:0:1,stop_task:0:0:1:5": (
        "a task whose sandbox had failed could never be stopped, and no retry helped"
    ),
    "1,create_task:3:0:1:3,rename_tab:0:0:1:5,stop_task:0:0:1:4,lie:0:0:2:0,resume_task:0:0:1:4": (
        "one answer of absence, right before a start, made a task tell that its sandbox was lost and forget owed work"
    ),
    "13,create_task:1:0:0:0,drain:0:0:0:0,create_task:1:0:0:1,come_late:0:0:0:1,archive_task:1:0:0:0,retry_task:0:0:0:3": (
        "planted: a create lands after the archive, since a release is believed before its window has passed"
    ),
    "16,fail:0:0:0:0,send:0:0:0:0,send:0:0:0:0,fail:60:59:2:0,send:0:0:0:0,create_task:0:0:1:0,answer_permission:0:0:0:4,"
    "send:0:0:1:0,send:0:0:0:0,echo:0:0:0:5": (
        "planted: a turn that did not complete does not hold the queue, and the next message is sent"
    ),
}
"""Each with what was wrong, or would be with the bug that was planted when it was found."""

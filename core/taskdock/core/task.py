"""Task: one coding job on one branch of one repo, with at most one live sandbox.

Owns: the rules, the task table and its machine. The record stands in task_record.py, guards and orders in task_orders.py.
Never: a change to a tab, message or turn; what a task's status means for them is policy (task_policies.py).
Reads as: task_boundary matches an input to an open intent -> fires its trigger here -> the row alone sets the status.

Rule 1. A state is `status/step`; clients rely on the part before the slash. A failed state is `error/<the state that failed>`.
Rule 2. Entering a state orders its intent, unless one is open; entering it again (`=`) so orders the next run.
Rule 3. A step that fails for now is tried again, with a pause, until its attempts or its deadline are used up; what fails
        for good, or too often, leads to `error`, where it rests until somebody retries or kills.
Rule 4. Retry never trusts what it remembers of a sandbox that was ordered: it ensures it again, which adopts it.
Rule 5. A kill settles running turns, brings owed work out, and only then releases; nothing undoes it.
"""

from taskdock.core.machine import NEW, Row, build
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import (
    AGENT,
    COLLECT,
    CREATE,
    DESTROY,
    FAILED,
    KILL_FAILED,
    KILLED,
    NAMING,
    PROVISIONED_BY,
    QUEUED,
    RUNNING,
    SESSION,
    SETTLE,
    STEPS,
    UP,
    WAIT_REPO,
    Task,
    TaskStatus,
    error_of,
)

__all__ = [
    "AGENT", "COLLECT", "CREATE", "DESTROY", "FAILED", "KILLED", "KILL_FAILED", "MACHINE", "NAMING", "PROVISIONED_BY",
    "QUEUED", "ROWS", "RUNNING", "SESSION", "SETTLE", "STATES", "STEPS", "UP", "WAIT_REPO", "Task", "TaskCursor",
    "TaskStatus", "error_of",
]  # fmt: skip

STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    WAIT_REPO: ("await_repo",),
    QUEUED: ("ensure_name",),
    NAMING: ("ensure_name",),
    CREATE: ("create_sandbox",),
    AGENT: ("ensure_agent",),
    SESSION: (),
    RUNNING: ("come_up",),
    SETTLE: ("settle",),
    COLLECT: ("collect_work",),
    DESTROY: ("destroy_sandbox",),
    KILLED: ("let_go",),
    **dict.fromkeys((*FAILED, *KILL_FAILED), ("fail",)),
}


def _tried_again(*states: str) -> list[Row]:
    """A failure in these states: the same state again while attempts and deadline last, else its error."""
    again = Row("failed", states, "=", when="may_try_again", then="note_failed_attempt")
    return [again, *(Row("failed", state, error_of(state)) for state in states)]


ROWS = (
    Row("create", NEW, QUEUED, when="repo_is_ready"),
    Row("create", NEW, WAIT_REPO),
    Row("repo_ready", WAIT_REPO, QUEUED, then="take_repo"),
    Row("repo_failed", WAIT_REPO, error_of(WAIT_REPO)),
    Row("started", QUEUED, NAMING),
    Row("name_ensured", (QUEUED, NAMING), CREATE, then="take_name"),
    Row("sandbox_ready", CREATE, AGENT, then="take_sandbox"),
    Row("agent_ready", AGENT, SESSION),
    Row("session_settled", SESSION, RUNNING),
    Row("sessions_failed", SESSION, error_of(SESSION)),
    *_tried_again(QUEUED, NAMING, CREATE, AGENT, DESTROY),
    Row("sandbox_lost", RUNNING, error_of(RUNNING), then="note_lost"),
    Row("retry", FAILED, CREATE, when="box_ordered", then="note_retried"),
    Row("retry", FAILED, QUEUED, when="repo_is_ready", then="note_retried"),
    Row("retry", FAILED, WAIT_REPO, then="note_retried"),
    Row("retry", error_of(COLLECT), COLLECT, then="note_retried"),
    Row("retry", error_of(DESTROY), DESTROY, then="note_retried"),
    Row("kill", (*PROVISIONED_BY, *FAILED, *KILL_FAILED), SETTLE, then=("take_force", "drop_work")),
    Row("kill", (SETTLE, COLLECT, DESTROY), "=", when="asks_for_more_force", then="take_force"),
    Row("settled", SETTLE, COLLECT, when="work_is_owed"),
    Row("settled", SETTLE, DESTROY, when="box_ordered"),
    Row("settled", SETTLE, KILLED),
    Row("work_collected", COLLECT, DESTROY, when="all_is_in", then="take_work"),
    Row("work_collected", COLLECT, DESTROY, when="is_forced", then=("take_work", "give_up_work")),
    Row("work_collected", COLLECT, error_of(COLLECT), then="take_work"),
    Row("failed", COLLECT, "=", when="may_try_again", then="note_failed_attempt"),
    Row("failed", COLLECT, DESTROY, when="is_forced", then="give_up_work"),
    Row("failed", COLLECT, error_of(COLLECT)),
    Row("sandbox_released", DESTROY, KILLED, then="note_released"),
)

MACHINE = build(STATES, ROWS, TaskCursor)

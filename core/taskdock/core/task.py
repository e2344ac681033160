"""Task: one coding job on one branch of one repo, with at most one live sandbox.

Owns: the rules, the task table and its machine. The record stands in task_record.py, guards in task_guards.py, orders in
    task_orders.py and task_asks.py.
Never: a change to a tab, message or turn; what a task's status means for them is policy (task_policies.py).
Reads as: task_boundary matches an input to an open intent -> fires its trigger here -> the row alone sets the status.

Rule 1. A state is `status/step`; clients rely on the part before the slash. A failed state is `error/<the state that failed>`.
Rule 2. Entering a state orders its intent, unless one is open; entering it again (`=`) so orders the next run.
Rule 3. A step that fails for now is tried again, with a pause, until its attempts or its deadline are used up; what fails
        for good, or too often, leads to `error`, where it rests until somebody retries, stops, archives or kills.
Rule 4. What may be lost is looked at before it is touched. One answer of absence proves nothing: a create may be under way.
Rule 5. The generation rises in one place: when the provider says that the sandbox is gone and no create of it can land any
        more. Once its end was ordered, a sandbox is never started again.
Rule 6. Stop, archive and kill settle running turns, bring owed work out, starting the sandbox once where that is needed, and
        only then stop or release. Kill goes before archive, archive before stop, also through `error`; nothing undoes a kill.
"""

from taskdock.core.machine import NEW, Row, build
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import (
    AGENT,
    ARCHIVE,
    ARCHIVE_COLLECT,
    ARCHIVE_FAILED,
    ARCHIVE_SETTLE,
    ARCHIVE_WAKE,
    ARCHIVED,
    ARCHIVED_BY,
    ATTACH,
    CREATE,
    FAILED,
    KILL,
    KILL_COLLECT,
    KILL_FAILED,
    KILL_SETTLE,
    KILL_WAKE,
    KILLED,
    KILLED_BY,
    LOOKING,
    NAMING,
    OBSERVE,
    PROVISIONED_BY,
    QUEUED,
    REPLACE,
    RESCUE,
    RUNNING,
    SESSION,
    STOP,
    STOP_COLLECT,
    STOP_FAILED,
    STOP_SETTLE,
    STOP_WAKE,
    STOPPED,
    STOPPED_BY,
    WAIT_REPO,
    Task,
    TaskStatus,
    error_of,
    errors_of,
)

__all__ = ["MACHINE", "ROWS", "STATES", "Task", "TaskCursor", "TaskStatus"]

STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    ATTACH: ("await_branch",),
    WAIT_REPO: ("await_repo",),
    QUEUED: ("ensure_name",),
    NAMING: ("ensure_name",),
    CREATE: ("create_sandbox",),
    OBSERVE: ("observe_sandbox",),
    RESCUE: ("collect_work",),
    REPLACE: ("destroy_sandbox",),
    AGENT: ("ensure_agent",),
    SESSION: (),
    RUNNING: ("come_up",),
    LOOKING: ("observe_sandbox",),
    **dict.fromkeys((STOP_SETTLE, ARCHIVE_SETTLE, KILL_SETTLE), ("settle",)),
    **dict.fromkeys((STOP_WAKE, ARCHIVE_WAKE, KILL_WAKE), ("wake_sandbox",)),
    **dict.fromkeys((STOP_COLLECT, ARCHIVE_COLLECT, KILL_COLLECT), ("collect_work",)),
    STOP: ("stop_sandbox",),
    **dict.fromkeys((ARCHIVE, KILL), ("destroy_sandbox",)),
    STOPPED: ("be_stopped",),
    ARCHIVED: ("be_archived", "let_go"),
    KILLED: ("be_killed", "let_go"),
    **dict.fromkeys((*FAILED, *STOP_FAILED, *ARCHIVE_FAILED, *KILL_FAILED), ("fail",)),
}


def _tried_again(*states: str) -> list[Row]:
    """A failure in these states: the same state again while attempts and deadline last, else its error."""
    again = Row("failed", states, "=", when="may_try_again", then="note_failed_attempt")
    return [again, *(Row("failed", state, error_of(state)) for state in states)]


def _looked_at(source: str, back: list[Row]) -> list[Row]:
    """The answers of a look at a sandbox that may be lost; `back` is where one that runs leads."""
    return [
        *back,
        Row("observed", source, error_of(source), when="heals_too_often", then="note_unstable"),
        Row("observed", source, CREATE, when="is_seen_stopped", then="note_heal"),
        Row("observed", source, RESCUE, when=("is_seen_failed", "work_must_be_kept"), then="note_heal"),
        Row("observed", source, REPLACE, when="is_seen_broken", then=("note_heal", "note_given_up")),
        Row("observed", source, REPLACE, when="is_seen_gone", then=("note_heal", "note_lost")),
        Row("observed", source, "=", when="may_look_again", then="look_again"),
        Row("observed", source, error_of(source), then="note_unseen"),
        *_tried_again(source),
    ]


def _collected(source: str, dest: str) -> list[Row]:
    """Work is brought out of a sandbox before `dest`; what stays inside holds it up."""
    return [
        Row("work_collected", source, dest, when="all_is_in", then="take_work"),
        Row("work_collected", source, error_of(source), then="take_work"),
        *_tried_again(source),
    ]


def _ended(settle: str, wake: str, collect: str, dest: str, rest: str) -> list[Row]:
    """The way from settled turns over collected work to the end of the sandbox, or to rest where there is none."""
    return [
        Row("settled", settle, collect, when="work_is_owed"),
        Row("settled", settle, dest, when="box_ordered"),
        Row("settled", settle, rest),
        Row("work_collected", collect, dest, when="all_is_in", then="take_work"),
        Row("work_collected", collect, dest, when="is_forced", then=("take_work", "give_up_work")),
        Row("work_collected", collect, error_of(collect), then="take_work"),
        Row("failed", collect, wake, when="must_be_woken", then="note_failed_attempt"),
        Row("failed", collect, "=", when="may_try_again", then="note_failed_attempt"),
        Row("failed", collect, dest, when="is_forced", then="give_up_work"),
        Row("failed", collect, error_of(collect)),
        Row("sandbox_ready", wake, collect, when="is_the_same", then="take_box"),
        Row("sandbox_ready", wake, dest, then="take_box"),
        Row("failed", wake, "=", when="may_try_again", then="note_failed_attempt"),
        Row("failed", wake, dest, when="is_forced", then="give_up_work"),
        Row("failed", wake, error_of(wake)),
        *_tried_again(dest),
        *(Row("retry", error_of(state), state, then=("note_retried", "take_discard"))
          for state in (wake, collect, dest)),
    ]  # fmt: skip


def _released(source: str, dest: str) -> list[Row]:
    """The sandbox is absent: that ends its release only when no create of it can land any more."""
    return [
        Row("sandbox_released", source, dest, when="window_has_passed", then="note_released"),
        Row("sandbox_released", source, "=", then="wait_for_window"),
    ]


_STOPPABLE = (*PROVISIONED_BY, *FAILED, *STOP_FAILED)
_ARCHIVABLE = (*_STOPPABLE, *STOPPED_BY, STOPPED, *ARCHIVE_FAILED)
_KILLABLE = (*_ARCHIVABLE, *ARCHIVED_BY, *KILL_FAILED)
_RETRIED = ("note_retried", "take_discard")
_LOOKED_AFTER = (*_RETRIED, "forget_heals")
_RESUMED = ("note_resumed", "forget_heals")

ROWS = (
    # Provisioned
    Row("create", NEW, ATTACH, when="must_attach"),
    Row("create", NEW, QUEUED, when="repo_is_ready"),
    Row("create", NEW, WAIT_REPO),
    Row("branch_awaited", ATTACH, "=", then="take_job"),
    Row("branch_ready", ATTACH, QUEUED, then="take_branch"),
    Row("branch_failed", ATTACH, error_of(ATTACH)),
    Row("repo_failed", ATTACH, error_of(ATTACH)),
    Row("repo_ready", WAIT_REPO, QUEUED, then="take_repo"),
    Row("repo_failed", WAIT_REPO, error_of(WAIT_REPO)),
    Row("started", QUEUED, NAMING),
    Row("set_branch", (QUEUED, NAMING), QUEUED, then="drop_step"),
    Row("set_branch", (CREATE, OBSERVE), QUEUED, then=("drop_step", "unorder_box")),
    Row("name_ensured", (QUEUED, NAMING), CREATE, then="take_name"),
    Row("sandbox_ready", CREATE, AGENT, then=("take_box", "take_sandbox")),
    Row("agent_ready", AGENT, SESSION, then="forget_tries"),
    Row("session_settled", SESSION, RUNNING),
    Row("sessions_failed", SESSION, error_of(SESSION)),
    # Its sandbox may be lost
    Row("failed", (CREATE, AGENT), OBSERVE, when=("is_unclear", "may_try_again"), then=("note_failed_attempt", "keep_tries")),
    *_tried_again(QUEUED, NAMING, CREATE, AGENT),
    Row("sandbox_lost", (CREATE, AGENT), OBSERVE, then="drop_step"),
    Row("sandbox_lost", SESSION, OBSERVE),
    Row("sandbox_lost", RUNNING, LOOKING),
    *_looked_at(OBSERVE, [
        Row("observed", OBSERVE, AGENT, when=("is_seen_running", "box_is_ready"), then="keep_work"),
        Row("observed", OBSERVE, CREATE, when="is_seen_running"),
    ]),
    *_looked_at(LOOKING, [Row("observed", LOOKING, RUNNING, when="is_seen_running")]),
    *_collected(RESCUE, REPLACE),
    *_released(REPLACE, CREATE),
    *_tried_again(REPLACE),
    # Somebody looked after it: on with the first step not done
    Row("retry", error_of(ATTACH), ATTACH, then=_RETRIED),
    Row("retry", error_of(WAIT_REPO), WAIT_REPO, then=_RETRIED),
    Row("retry", errors_of(QUEUED, NAMING), QUEUED, then=_RETRIED),
    Row("retry", errors_of(CREATE, OBSERVE), CREATE, when=("create_never_began", "is_named"), then=_LOOKED_AFTER),
    Row("retry", errors_of(CREATE, OBSERVE), QUEUED, when="create_never_began", then=_LOOKED_AFTER),
    Row("retry", errors_of(CREATE, OBSERVE, RESCUE, AGENT, SESSION, LOOKING), OBSERVE, then=_LOOKED_AFTER),
    Row("retry", error_of(REPLACE), REPLACE, then=_LOOKED_AFTER),
    # Stopped and resumed
    Row("stop", _STOPPABLE, STOP_SETTLE, then=("begin_ending", "drop_work")),
    Row("resume", STOPPED_BY, "=", when="is_not_resumed", then="want_resume"),
    Row("stop", STOPPED_BY, "=", when="is_resumed", then="want_rest"),
    *_ended(STOP_SETTLE, STOP_WAKE, STOP_COLLECT, STOP, STOPPED),
    Row("sandbox_stopped", STOP, STOPPED, when="stop_is_sure", then="take_stop"),
    Row("sandbox_stopped", STOP, "=", then="wait_for_window"),
    Row("resume", STOPPED, REPLACE, when="destroy_was_ordered", then=_RESUMED),
    Row("resume", STOPPED, CREATE, when="is_named", then=_RESUMED),
    Row("resume", STOPPED, ATTACH, when="must_attach", then=_RESUMED),
    Row("resume", STOPPED, QUEUED, when="repo_is_ready", then=_RESUMED),
    Row("resume", STOPPED, WAIT_REPO, then=_RESUMED),
    # Archived and unarchived
    Row("archive", _ARCHIVABLE, ARCHIVE_SETTLE, then=("begin_ending", "take_force", "drop_work")),
    Row("archive", ARCHIVED_BY, "=", when="asks_for_more_force", then="take_force"),
    *_ended(ARCHIVE_SETTLE, ARCHIVE_WAKE, ARCHIVE_COLLECT, ARCHIVE, ARCHIVED),
    *_released(ARCHIVE, ARCHIVED),
    Row("unarchive", ARCHIVED, ATTACH, when="must_attach", then="note_unarchived"),
    Row("unarchive", ARCHIVED, QUEUED, when="repo_is_ready", then=("note_unarchived", "forget_heals")),
    Row("unarchive", ARCHIVED, WAIT_REPO, then="note_unarchived"),
    # Killed
    Row("kill", _KILLABLE, KILL_SETTLE, then=("begin_ending", "take_force", "drop_work")),
    Row("kill", ARCHIVED, KILLED),
    Row("kill", KILLED_BY, "=", when="asks_for_more_force", then="take_force"),
    *_ended(KILL_SETTLE, KILL_WAKE, KILL_COLLECT, KILL, KILLED),
    *_released(KILL, KILLED),
)  # fmt: skip

MACHINE = build(STATES, ROWS, TaskCursor)

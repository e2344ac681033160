"""History: what each event says, to the letter, since people and clients read it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from taskdock.core.history import HistoryEvent, HistoryKind, Json
from taskdock.core.inputs import (
    AnswerPermission,
    BranchMoved,
    BranchReady,
    CloneRemoved,
    CloseTab,
    EditMessage,
    Input,
    JobStepped,
    KillTask,
    NameEnsured,
    OpenTab,
    PermissionAsked,
    RemoveRepo,
    RenameTask,
    ResumeTask,
    RetryRepo,
    RetryTask,
    SandboxLost,
    SandboxReady,
    SandboxReaped,
    SandboxReleased,
    SandboxStopped,
    SessionReady,
    TurnEnd,
    TurnEnded,
    UnarchiveTask,
    WorkCollected,
)
from taskdock.core.intents import (
    CloneRepo,
    CollectWork,
    CreateSandbox,
    CreateSession,
    DestroySandbox,
    EnsureName,
    ObserveSandbox,
    RemoveClone,
    RunRepoJob,
    SendPrompt,
    StopSandbox,
)
from unit.core import givens as g
from unit.core import givens_job as j
from unit.core.cases import Asked, done, fails, starts
from unit.core.cases_end import UNCOMMITTED
from unit.core.cases_message import MORE
from unit.core.cases_repo import CLONED
from unit.core.cases_task import ABSENT, GOING
from unit.core.story import (
    JOB,
    OPTIONS,
    PERMANENT,
    START,
    TAB,
    TAB_2,
    TRANSIENT,
    RepoStory,
    Story,
    TaskStory,
    a_create,
    an_add,
)


def stepped(story: Story) -> Input:
    """The job's execution is about to fetch."""
    intent = story.start(RunRepoJob)
    return JobStepped(intent.id, intent.issue, "pre_sync")


Given = Callable[[], TaskStory] | Callable[[], RepoStory]
K = HistoryKind

BOX = "td-75b98ee5-task-1-g1"
CREATING = "init_create_sandbox/create"
RELEASED = SandboxReleased(START + timedelta(hours=1), 20.0)
STOPPED = SandboxStopped(START, 20.0)
SYNC_TOLD: dict[str, object] = {"job": JOB, "what": "sync_repo", "branch": None, "parent": None}
AGAIN = object()
"""Stands for the time of the next attempt, which the test takes from the intent that was ordered."""

EVENTS: list[tuple[HistoryKind, Given, Input | Asked, str | None, dict[str, object]]] = [
    (K.TASK_CREATED, g.no_task, a_create(), None, {"repo": "repo-1", "provider": "local", "agent": "demo"}),
    (K.TASK_ATTACHED, g.attaching_by_job, BranchReady(1, JOB, "c7"), None,
     {"branch": "theirs", "head": "c7", "job": JOB}),
    (K.TASK_PROVISION_QUEUED, g.no_task, a_create(), None, {}),
    (K.TASK_STEP_STARTED, g.queued, done(EnsureName, NameEnsured("T", "b", "main")), None, {"step": CREATING}),
    (K.TASK_STEP_STARTED, g.idle, SandboxLost(BOX, "it was deleted"), None,
        {"step": "running/observe", "reason": "it was deleted"}),
    (K.TASK_STEP_FAILED, g.creating, fails(CreateSandbox, TRANSIENT), None,
     {"step": CREATING, "attempt": 1, "retry_at": AGAIN, "reason": "it broke", "class": "transient"}),
    (K.TASK_STEP_FAILED, g.second_tab_pending, fails(CreateSession, TRANSIENT), TAB_2,
     {"step": "init_create_session", "attempt": 1, "retry_at": AGAIN, "reason": "it broke", "class": "transient"}),
    (K.TASK_STEP_FAILED, g.copying, fails(CollectWork, PERMANENT), None,
     {"step": "collect_work", "attempt": 1, "reason": "it broke", "class": "permanent"}),
    (K.TASK_NAMED, g.queued, done(EnsureName, NameEnsured("T", "b", "main", "no namer")), None,
     {"title": "T", "branch": "b", "base": "main", "note": "no namer"}),
    (K.TASK_RUNNING, g.opening_session, done(CreateSession, SessionReady("s1", "p1")), None, {}),
    (K.TASK_FAILED, g.creating_last_try, fails(CreateSandbox, TRANSIENT), None,
     {"step": CREATING, "attempts": 5, "reason": "it broke", "class": "transient"}),
    (K.TASK_RETRIED, g.failed_creating, RetryTask(), None, {"step": CREATING}),
    (K.TASK_STOPPED, g.STOP.ending, done(StopSandbox, STOPPED), None, {"head": "c2", "branch": "do-it-1"}),
    (K.TASK_RESUMED, g.STOP.done, ResumeTask(), None, {}),
    (K.TASK_ARCHIVED, g.ARCHIVE.ending, done(DestroySandbox, RELEASED), None, {"head": "c2", "branch": "do-it-1"}),
    (K.TASK_UNARCHIVED, g.ARCHIVE.done, UnarchiveTask(), None, {"branch": "do-it-1"}),
    (K.TASK_RENAMED, g.KILL.done, RenameTask("Better"), None, {"title": "Better"}),
    (K.TASK_KILLED, g.KILL.ending, done(DestroySandbox, RELEASED), None, {"head": "c2", "branch": "do-it-1"}),
    (K.TASK_KILLED, g.queued, KillTask(), None, {"head": None, "branch": None}),
    (K.SANDBOX_CREATED, g.creating, done(CreateSandbox, SandboxReady(adopted=False)), None,
     {"sandbox": BOX, "generation": 1}),
    (K.SANDBOX_ADOPTED, g.creating, done(CreateSandbox, SandboxReady(adopted=True)), None,
     {"sandbox": BOX, "generation": 1}),
    (K.SANDBOX_LOST, g.looking_absent, ABSENT, None, {"sandbox": BOX, "head": "c1", "work_owed": True}),
    (K.SANDBOX_LOST, g.resumed, done(CreateSandbox, SandboxReady(adopted=False)), None,
     {"sandbox": BOX, "head": "c2", "work_owed": False}),
    (K.SANDBOX_RELEASED, g.KILL.ending, done(DestroySandbox, RELEASED), None, {"sandbox": BOX}),
    (K.SANDBOX_REAPED, g.creating_second, SandboxReaped(BOX, "no task needs it"), None,
     {"sandbox": BOX, "reason": "no task needs it"}),
    (K.WORK_COLLECTED, g.copying, done(CollectWork, WorkCollected("c1", branch_moved=True)), None,
     {"head": "c1", "branch": "do-it-1", "moved": False, "uncommitted": 0}),
    (K.WORK_COLLECTED, g.idle_copying, done(CollectWork, WorkCollected("c1", branch_moved=True, kept=2)), None,
     {"head": "c1", "branch": "do-it-1", "moved": False, "uncommitted": 2}),
    (K.WORK_GIVEN_UP, g.KILL.forced, done(CollectWork, UNCOMMITTED), None,
     {"reason": "work_not_collected: uncommitted changes in notes.txt", "head": "c2"}),
    (K.WORK_GIVEN_UP, g.KILL.forced, fails(CollectWork, PERMANENT), None, {"reason": "it broke", "head": "c1"}),
    (K.WORK_GIVEN_UP, g.looking, GOING, None, {"reason": "the sandbox is destroying", "head": "c1"}),
    (K.BRANCH_MOVED, g.idle, BranchMoved(JOB, "do-it-1", "c1", "c2"), None,
     {"branch": "do-it-1", "old": "c1", "new": "c2", "job": JOB}),
    (K.TAB_OPENED, g.idle, OpenTab(TAB_2), TAB_2, {"number": 2}),
    (K.TAB_READY, g.opening_session, done(CreateSession, SessionReady("s1", "p1")), TAB, {"session": "s1"}),
    (K.TAB_FAILED, g.second_tab_pending, fails(CreateSession, PERMANENT), TAB_2,
     {"cause": "session", "reason": "it broke", "class": "permanent"}),
    (K.TAB_FAILED, g.looking, fails(ObserveSandbox, PERMANENT), TAB,
     {"cause": "task", "reason": "it broke", "class": "permanent"}),
    (K.TAB_CLOSED, g.failed_looking, CloseTab(TAB), TAB, {}),
    (K.MESSAGE_SENT, g.idle, MORE, TAB, {"message": "msg-2", "number": 2}),
    (K.MESSAGE_EDITED, g.creating, EditMessage(TAB, "msg-1", "Rather this."), TAB, {"message": "msg-1"}),
    (K.MESSAGE_WITHDRAWN, g.creating, CloseTab(TAB, force=True), TAB, {"message": "msg-1"}),
    (K.MESSAGE_FAILED, g.working, fails(SendPrompt, PERMANENT), TAB, {"message": "msg-1", "reason": "it broke"}),
    (K.TURN_STARTED, g.sending, starts(SendPrompt), TAB, {"message": "msg-1"}),
    (K.TURN_ENDED, g.delivered, done(SendPrompt, TurnEnded(TurnEnd.FAILED, "no login")), TAB,
     {"message": "msg-1", "end": "failed", "detail": "no login"}),
    (K.PERMISSION_ASKED, g.delivered, PermissionAsked(TAB, "msg-1", "perm-1", "Run make?", OPTIONS), TAB,
     {"permission": "perm-1", "title": "Run make?"}),
    (K.PERMISSION_ANSWERED, g.asked, AnswerPermission(TAB, "perm-1", "yes"), TAB,
     {"permission": "perm-1", "option": "yes"}),
    (K.REPO_ADDED, g.no_repo, an_add(), None, {"name": "acme/api", "remote": "https://git.example/acme/api"}),
    (K.REPO_STEP_FAILED, g.cloning, fails(CloneRepo, TRANSIENT), None,
     {"step": "cloning", "attempt": 1, "retry_at": AGAIN, "reason": "it broke", "class": "transient"}),
    (K.REPO_READY, g.cloning, done(CloneRepo, CLONED), None, {"trunk": "main", "head": "c0"}),
    (K.REPO_FAILED, g.cloning, fails(CloneRepo, PERMANENT), None,
     {"step": "cloning", "attempts": 1, "reason": "it broke", "class": "permanent"}),
    (K.REPO_RETRIED, g.clone_failed, RetryRepo(), None, {}),
    (K.REPO_REMOVED, g.cloned, RemoveRepo(), None, {"name": "acme/api"}),
    (K.REPO_STEP_FAILED, g.removing, fails(RemoveClone, TRANSIENT), None,
     {"step": "remove_clone", "attempt": 1, "retry_at": AGAIN, "reason": "it broke", "class": "transient"}),
    (K.REPO_CLONE_REMOVED, g.removing, done(RemoveClone, CloneRemoved()), None, {}),
    (K.REPO_CLONE_KEPT, g.removing, fails(RemoveClone, PERMANENT), None, {"reason": "it broke"}),
    (K.JOB_QUEUED, j.job_runs, j.RESTACK, None,
     {"job": "job-2", "what": "restack_subtree", "branch": "one", "parent": None}),
    (K.JOB_STARTED, j.job_has_its_turn, starts(RunRepoJob), None, SYNC_TOLD),
    (K.JOB_STEP, j.job_runs, stepped, None, {"job": JOB, "what": "sync_repo", "step": "pre_sync"}),
    (K.JOB_STEP, j.job_runs, fails(RunRepoJob, TRANSIENT), None,
     {"step": "lock", "attempt": 1, "retry_at": AGAIN, "reason": "it broke", **SYNC_TOLD}),
    (K.JOB_COMPLETED, j.job_runs, done(RunRepoJob, j.JOB_ENDED), None,
     {"changed": 1, "conflicts": 0, "reason": None, "error": None, **SYNC_TOLD}),
    (K.JOB_FAILED, j.job_runs, done(RunRepoJob, j.JOB_FAILED), None,
     {"changed": 0, "conflicts": 0, "reason": "every branch is in conflict", "error": "conflict", **SYNC_TOLD}),
    (K.JOB_CANCELLED, j.job_is_settled_after_cancel, done(RunRepoJob, j.JOB_ENDED), None,
     {"changed": 1, "conflicts": 0, "reason": None, "error": None, **SYNC_TOLD}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "input_", "tab", "data"),
    EVENTS,
    ids=[f"{kind.value}, {given.__name__}" for kind, given, _, _, _ in EVENTS],
)
def test_event_says(
    kind: HistoryKind, given: Given, input_: Input | Asked, tab: str | None, data: dict[str, object]
) -> None:
    """The event carries its time, its tab and exactly these facts."""
    story = given()
    change = story.do(input_(story) if callable(input_) else input_)
    found = [event for event in change.history if event.kind is kind]
    times = [intent.not_before.isoformat() for intent in change.ordered if intent.not_before is not None]
    expected: dict[str, Json | object] = {
        key: times[0] if value is AGAIN else value for key, value in data.items()
    }
    assert found[-1] == HistoryEvent(kind, story.now, tab, expected)  # type: ignore[arg-type]


def test_every_kind_is_said() -> None:
    """No kind is without a case, so none can be declared and never told."""
    assert {kind for kind, *_ in EVENTS} == set(HistoryKind)


def test_kinds_are_stable() -> None:
    """The names are a contract with clients: one that is gone or renamed breaks them."""
    assert [kind.value for kind in HistoryKind] == [
        "task.created", "task.attached", "task.provision_queued", "task.step_started", "task.step_failed", "task.named",
        "task.running", "task.failed", "task.retried", "task.stopped", "task.resumed", "task.archived",
        "task.unarchived", "task.killed", "task.renamed",
        "sandbox.created", "sandbox.adopted", "sandbox.lost", "sandbox.released", "sandbox.reaped",
        "work.collected", "work.given_up", "branch.moved",
        "tab.opened", "tab.ready", "tab.failed", "tab.closed",
        "message.sent", "message.edited", "message.withdrawn", "message.failed", "turn.started", "turn.ended",
        "permission.asked", "permission.answered",
        "repo.added", "repo.step_failed", "repo.ready", "repo.failed", "repo.retried", "repo.removed", "repo.clone_removed",
        "repo.clone_kept",
        "job.queued", "job.started", "job.step", "job.completed", "job.failed", "job.cancelled",
    ]  # fmt: skip


def test_events_are_told_at_the_time_of_their_step() -> None:
    """All that one step tells happened at one time, and none before the step."""
    story = g.idle()
    story.pass_time(60)
    change = story.kill()
    assert {event.at for event in change.history} == {story.now}
    assert story.now > START + timedelta(seconds=60)

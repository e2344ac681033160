"""Task cases: one for each arc of the task table that provisions, heals, fails, resumes and unarchives.

The ways of a stop, an archive and a kill are in cases_end.py.
"""

from taskdock.core.inputs import (
    AgentReady,
    BranchAwaited,
    BranchFailed,
    BranchReady,
    NameEnsured,
    Observed,
    RepoFailed,
    RepoReady,
    ResumeTask,
    RetryTask,
    SandboxLost,
    SandboxPhase,
    SandboxReady,
    SandboxReleased,
    SessionReady,
    SetBranch,
    UnarchiveTask,
    WorkCollected,
)
from taskdock.core.intents import (
    CollectWork,
    CreateSandbox,
    CreateSession,
    DestroySandbox,
    EnsureAgent,
    EnsureName,
    ObserveSandbox,
)
from unit.core import cases_end
from unit.core import givens as g
from unit.core.cases import Asked, Case, done, fails, starts
from unit.core.story import (
    JOB,
    PERMANENT,
    START,
    THEIRS,
    TRANSIENT,
    UNKNOWN,
    UNREACHABLE,
    WINDOW_SECONDS,
    a_create,
)

NAMED = NameEnsured("Do it", "do-it-1", "main")
LOST = SandboxLost("td-75b98ee5-task-1-g1", "it was deleted")
AGAIN = "task.retried task.step_started"
FAILED = "task.failed tab.failed"
SET_BRANCH = SetBranch("better")


def seen(phase: SandboxPhase) -> Asked:
    """A look at the sandbox finds this, read just now."""
    return lambda story: done(ObserveSandbox, Observed(phase, story.now))(story)


RUNNING, STOPPED, BROKEN, ABSENT, PENDING, GOING = (
    seen(SandboxPhase.RUNNING), seen(SandboxPhase.STOPPED), seen(SandboxPhase.FAILED), seen(SandboxPhase.ABSENT),
    seen(SandboxPhase.PENDING), seen(SandboxPhase.DESTROYING),
)  # fmt: skip


def released(*, late: bool) -> Asked:
    """The lost sandbox is gone; `late`: no create of it can land any more."""
    return lambda story: done(DestroySandbox, SandboxReleased(story.now if late else START, WINDOW_SECONDS))(
        story
    )


PROVISIONING = (
    Case("create[repo_is_ready]: new -> init_enqueue_provision", g.no_task, a_create(),
         "init_enqueue_provision", "EnsureName",
         "task.created task.provision_queued tab.opened message.sent"),
    Case("create: new -> init_enqueue_provision/wait_repo", g.no_task, a_create(repo_is_ready=False),
         "init_enqueue_provision/wait_repo", "Tell", "task.created task.step_started tab.opened message.sent"),
    Case("repo_ready: init_enqueue_provision/wait_repo -> init_enqueue_provision", g.waiting_for_repo, RepoReady(1),
         "init_enqueue_provision", "EnsureName", "task.provision_queued"),
    Case("repo_failed: init_enqueue_provision/wait_repo -> error/init_enqueue_provision/wait_repo",
         g.waiting_for_repo, RepoFailed(1, "no such remote"),
         "error/init_enqueue_provision/wait_repo", "", FAILED),
    # On a branch that was there before
    Case("create[must_attach]: new -> init_attach_branch", g.no_task, a_create(on_branch=THEIRS),
         "init_attach_branch", "Tell", "task.created task.step_started tab.opened message.sent"),
    Case("branch_awaited: init_attach_branch -> =", g.attaching, BranchAwaited(1, JOB), "init_attach_branch"),
    Case("branch_ready: init_attach_branch -> init_enqueue_provision", g.attaching_by_job, BranchReady(1, JOB, "c7"),
         "init_enqueue_provision", "EnsureName", "task.attached task.provision_queued"),
    Case("branch_failed: init_attach_branch -> error/init_attach_branch", g.attaching_by_job,
         BranchFailed(1, JOB, "nobody has it"), "error/init_attach_branch", "", FAILED),
    Case("repo_failed: init_attach_branch -> error/init_attach_branch", g.attaching, RepoFailed(1, "it was removed"),
         "error/init_attach_branch", "", FAILED),
    Case("started: init_enqueue_provision -> init_ensure_name", g.queued, starts(EnsureName),
         "init_ensure_name", "", "task.step_started"),
    Case("name_ensured: init_enqueue_provision -> init_create_sandbox/create", g.queued, done(EnsureName, NAMED),
         "init_create_sandbox/create", "CreateSandbox", "task.named task.step_started"),
    Case("name_ensured: init_ensure_name -> init_create_sandbox/create", g.naming, done(EnsureName, NAMED),
         "init_create_sandbox/create", "CreateSandbox", "task.named task.step_started"),
    Case("sandbox_ready: init_create_sandbox/create -> init_ensure_agent", g.creating,
         done(CreateSandbox, SandboxReady(adopted=False)),
         "init_ensure_agent", "EnsureAgent", "sandbox.created task.step_started"),
    Case("agent_ready: init_ensure_agent -> init_create_session", g.starting_agent, done(EnsureAgent, AgentReady()),
         "init_create_session", "CreateSession", "task.step_started"),
    Case("session_settled: init_create_session -> running", g.opening_session,
         done(CreateSession, SessionReady("s1", "p1")), "running", "SendPrompt", "tab.ready task.running"),
    Case("sessions_failed: init_create_session -> error/init_create_session", g.opening_session,
         fails(CreateSession, PERMANENT), "error/init_create_session", "", "tab.failed task.failed"),
    # Another branch, before anything outside has the old one
    Case("set_branch: init_enqueue_provision -> init_enqueue_provision", g.queued, SET_BRANCH,
         "init_enqueue_provision", "EnsureName"),
    Case("set_branch: init_ensure_name -> init_enqueue_provision", g.naming, SET_BRANCH,
         "init_enqueue_provision", "EnsureName", "task.provision_queued"),
    Case("set_branch: init_create_sandbox/create -> init_enqueue_provision", g.creating, SET_BRANCH,
         "init_enqueue_provision", "EnsureName", "task.provision_queued"),
    Case("set_branch: init_create_sandbox/observe -> init_enqueue_provision", g.observing_unbegun, SET_BRANCH,
         "init_enqueue_provision", "EnsureName", "task.provision_queued"),
    # A step fails for now
    Case("failed[may_try_again]: init_enqueue_provision -> =", g.queued, fails(EnsureName, TRANSIENT),
         "init_enqueue_provision", "EnsureName", "task.step_failed"),
    Case("failed[may_try_again]: init_ensure_name -> =", g.naming, fails(EnsureName, TRANSIENT),
         "init_ensure_name", "EnsureName", "task.step_failed"),
    Case("failed[may_try_again]: init_create_sandbox/create -> =", g.creating, fails(CreateSandbox, TRANSIENT),
         "init_create_sandbox/create", "CreateSandbox", "task.step_failed"),
    Case("failed[may_try_again]: init_ensure_agent -> =", g.starting_agent, fails(EnsureAgent, TRANSIENT),
         "init_ensure_agent", "EnsureAgent", "task.step_failed"),
    # A step fails for good
    Case("failed: init_enqueue_provision -> error/init_enqueue_provision", g.queued, fails(EnsureName, PERMANENT),
         "error/init_enqueue_provision", "", FAILED),
    Case("failed: init_ensure_name -> error/init_ensure_name", g.naming, fails(EnsureName, PERMANENT),
         "error/init_ensure_name", "", FAILED),
    Case("failed: init_create_sandbox/create -> error/init_create_sandbox/create", g.creating_last_try,
         fails(CreateSandbox, TRANSIENT), "error/init_create_sandbox/create", "", FAILED),
    Case("failed: init_ensure_agent -> error/init_ensure_agent", g.starting_agent, fails(EnsureAgent, PERMANENT),
         "error/init_ensure_agent", "", FAILED),
    # Retried
    Case("retry: error/init_attach_branch -> init_attach_branch", g.failed_attaching, RetryTask(),
         "init_attach_branch", "Tell", AGAIN),
    Case("retry: error/init_enqueue_provision/wait_repo -> init_enqueue_provision/wait_repo", g.failed_waiting,
         RetryTask(), "init_enqueue_provision/wait_repo", "Tell", AGAIN),
    Case("retry: error/init_enqueue_provision -> init_enqueue_provision", g.failed_queued, RetryTask(),
         "init_enqueue_provision", "EnsureName", "task.retried task.provision_queued"),
    Case("retry: error/init_ensure_name -> init_enqueue_provision", g.failed_naming, RetryTask(),
         "init_enqueue_provision", "EnsureName", "task.retried task.provision_queued"),
    Case("retry[create_never_began,is_named]: error/init_create_sandbox/create -> init_create_sandbox/create",
         g.failed_creating_unbegun, RetryTask(), "init_create_sandbox/create", "CreateSandbox", AGAIN),
    Case("retry[create_never_began,is_named]: error/init_create_sandbox/observe -> init_create_sandbox/create",
         g.failed_observing_unbegun, RetryTask(), "init_create_sandbox/create", "CreateSandbox", AGAIN),
    Case("retry[create_never_began]: error/init_create_sandbox/create -> init_enqueue_provision",
         g.failed_creating_renamed, RetryTask(),
         "init_enqueue_provision", "EnsureName", "task.retried task.provision_queued"),
    Case("retry[create_never_began]: error/init_create_sandbox/observe -> init_enqueue_provision",
         g.failed_observing_renamed, RetryTask(),
         "init_enqueue_provision", "EnsureName", "task.retried task.provision_queued"),
    *(Case(f"retry: error/{state} -> init_create_sandbox/observe", given, RetryTask(),
           "init_create_sandbox/observe", "ObserveSandbox", AGAIN)
      for state, given in (
          ("init_create_sandbox/create", g.failed_creating), ("init_create_sandbox/observe", g.failed_observing),
          ("init_create_sandbox/collect", g.failed_rescuing), ("init_ensure_agent", g.failed_agent),
          ("init_create_session", g.failed_session), ("running/observe", g.failed_looking),
      )),
    Case("retry: error/init_create_sandbox/destroy -> init_create_sandbox/destroy", g.failed_replacing, RetryTask(),
         "init_create_sandbox/destroy", "DestroySandbox", AGAIN),
)  # fmt: skip

HEALING = (
    # Its sandbox may be lost
    Case("failed[is_unclear,may_try_again]: init_create_sandbox/create -> init_create_sandbox/observe", g.creating,
         fails(CreateSandbox, UNKNOWN), "init_create_sandbox/observe", "ObserveSandbox",
         "task.step_failed task.step_started"),
    Case("failed[is_unclear,may_try_again]: init_ensure_agent -> init_create_sandbox/observe", g.starting_agent,
         fails(EnsureAgent, UNREACHABLE), "init_create_sandbox/observe", "ObserveSandbox",
         "task.step_failed task.step_started"),
    Case("sandbox_lost: init_create_sandbox/create -> init_create_sandbox/observe", g.creating_begun, LOST,
         "init_create_sandbox/observe", "ObserveSandbox", "task.step_started"),
    Case("sandbox_lost: init_ensure_agent -> init_create_sandbox/observe", g.starting_agent, LOST,
         "init_create_sandbox/observe", "ObserveSandbox", "task.step_started"),
    Case("sandbox_lost: init_create_session -> init_create_sandbox/observe", g.opening_session, LOST,
         "init_create_sandbox/observe", "ObserveSandbox", "task.step_started"),
    Case("sandbox_lost: running -> running/observe", g.idle, LOST,
         "running/observe", "ObserveSandbox", "task.step_started"),
    # What a look finds, while provisioning
    Case("observed[is_seen_running,box_is_ready]: init_create_sandbox/observe -> init_ensure_agent",
         g.observing_agent, RUNNING, "init_ensure_agent", "EnsureAgent", "task.step_started"),
    Case("observed[is_seen_running]: init_create_sandbox/observe -> init_create_sandbox/create", g.observing, RUNNING,
         "init_create_sandbox/create", "CreateSandbox", "task.step_started"),
    # What a look finds while it runs
    Case("observed[is_seen_running]: running/observe -> running", g.looking, RUNNING, "running", "", "task.running"),
    *(Case(f"observed[heals_too_often]: {source} -> error/{source}", given, STOPPED, f"error/{source}", "", FAILED)
      for source, given in (("init_create_sandbox/observe", g.observing_unstable),
                            ("running/observe", g.looking_unstable))),
    # What a look finds in either
    *(Case(f"observed[is_seen_stopped]: {source} -> init_create_sandbox/create", given, STOPPED,
           "init_create_sandbox/create", "CreateSandbox", "task.step_started")
      for source, given in (("init_create_sandbox/observe", g.observing), ("running/observe", g.looking))),
    *(Case(f"observed[is_seen_failed,work_must_be_kept]: {source} -> init_create_sandbox/collect", given, BROKEN,
           "init_create_sandbox/collect", "CollectWork", "task.step_started")
      for source, given in (("init_create_sandbox/observe", g.observing_owed), ("running/observe", g.looking))),
    *(Case(f"observed[is_seen_broken]: {source} -> init_create_sandbox/destroy", given, asked,
           "init_create_sandbox/destroy", "DestroySandbox", history)
      for source, given, asked, history in (
          ("init_create_sandbox/observe", g.observing, BROKEN, "task.step_started"),
          ("running/observe", g.looking, GOING, "work.given_up task.step_started"))),
    *(Case(f"observed[is_seen_gone]: {source} -> init_create_sandbox/destroy", given, ABSENT,
           "init_create_sandbox/destroy", "DestroySandbox", history)
      for source, given, history in (
          ("init_create_sandbox/observe", g.observing_absent, "task.step_started"),
          ("running/observe", g.looking_absent, "sandbox.lost task.step_started"))),
    *(Case(f"observed[may_look_again]: {source} -> =", given, PENDING, source, "ObserveSandbox")
      for source, given in (("init_create_sandbox/observe", g.observing), ("running/observe", g.looking))),
    *(Case(f"observed: {source} -> error/{source}", given, PENDING, f"error/{source}", "", FAILED)
      for source, given in (("init_create_sandbox/observe", g.observing_last_look),
                            ("running/observe", g.looking_last_look))),
    *(Case(f"failed[may_try_again]: {source} -> =", given, fails(ObserveSandbox, UNREACHABLE),
           source, "ObserveSandbox", "task.step_failed")
      for source, given in (("init_create_sandbox/observe", g.observing), ("running/observe", g.looking))),
    *(Case(f"failed: {source} -> error/{source}", given, fails(ObserveSandbox, PERMANENT), f"error/{source}", "", FAILED)
      for source, given in (("init_create_sandbox/observe", g.observing), ("running/observe", g.looking))),
    # Emptied and replaced
    Case("work_collected[all_is_in]: init_create_sandbox/collect -> init_create_sandbox/destroy", g.rescuing,
         done(CollectWork, cases_end.ALL_IN), "init_create_sandbox/destroy", "DestroySandbox",
         "work.collected task.step_started"),
    Case("work_collected: init_create_sandbox/collect -> error/init_create_sandbox/collect", g.rescuing,
         done(CollectWork, WorkCollected("c2", branch_moved=True, uncommitted=("notes.txt",))),
         "error/init_create_sandbox/collect", "", f"work.collected {FAILED}"),
    Case("failed[may_try_again]: init_create_sandbox/collect -> =", g.rescuing, fails(CollectWork, UNREACHABLE),
         "init_create_sandbox/collect", "CollectWork", "task.step_failed"),
    Case("failed: init_create_sandbox/collect -> error/init_create_sandbox/collect", g.rescuing,
         fails(CollectWork, PERMANENT), "error/init_create_sandbox/collect", "", FAILED),
    Case("sandbox_released[window_has_passed]: init_create_sandbox/destroy -> init_create_sandbox/create",
         g.replacing_late, released(late=True),
         "init_create_sandbox/create", "CreateSandbox", "sandbox.released task.step_started"),
    Case("sandbox_released: init_create_sandbox/destroy -> =", g.replacing, released(late=False),
         "init_create_sandbox/destroy", "DestroySandbox"),
    Case("failed[may_try_again]: init_create_sandbox/destroy -> =", g.replacing, fails(DestroySandbox, TRANSIENT),
         "init_create_sandbox/destroy", "DestroySandbox", "task.step_failed"),
    Case("failed: init_create_sandbox/destroy -> error/init_create_sandbox/destroy", g.replacing,
         fails(DestroySandbox, PERMANENT), "error/init_create_sandbox/destroy", "", FAILED),
)  # fmt: skip

BACK = (
    Case("resume[destroy_was_ordered]: stopped -> init_create_sandbox/destroy", g.stopped_replacing, ResumeTask(),
         "init_create_sandbox/destroy", "DestroySandbox", "task.resumed task.step_started"),
    Case("resume[is_named]: stopped -> init_create_sandbox/create", g.STOP.done, ResumeTask(),
         "init_create_sandbox/create", "CreateSandbox", "task.resumed task.step_started"),
    Case("resume[repo_is_ready]: stopped -> init_enqueue_provision", g.STOP.done_early, ResumeTask(),
         "init_enqueue_provision", "EnsureName", "task.resumed task.provision_queued"),
    Case("resume: stopped -> init_enqueue_provision/wait_repo", g.stopped_waiting, ResumeTask(),
         "init_enqueue_provision/wait_repo", "Tell", "task.resumed task.step_started"),
    Case("resume[must_attach]: stopped -> init_attach_branch", g.stopped_attaching, ResumeTask(),
         "init_attach_branch", "Tell", "task.resumed task.step_started"),
    Case("unarchive[must_attach]: archived -> init_attach_branch", g.archived_attaching, UnarchiveTask(),
         "init_attach_branch", "Tell", "task.unarchived task.step_started"),
    Case("unarchive[repo_is_ready]: archived -> init_enqueue_provision", g.ARCHIVE.done, UnarchiveTask(),
         "init_enqueue_provision", "EnsureName", "task.unarchived task.provision_queued"),
    Case("unarchive: archived -> init_enqueue_provision/wait_repo", g.archived_waiting, UnarchiveTask(repo_is_ready=False),
         "init_enqueue_provision/wait_repo", "Tell", "task.unarchived task.step_started"),
)  # fmt: skip

CASES = (*PROVISIONING, *HEALING, *BACK, *cases_end.CASES)

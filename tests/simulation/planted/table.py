"""Table: every planted bug, the invariants that may find it, its budget, and the script that leads to it.

Owns: `BUGS`.
Never: a bug that is there to be found easily; each hurts a user.
Reads as: hunting.py, tests/simulation/test_planted.py -> this -> *_bugs.py, scripts.py.
"""

from simulation.planted import job_bugs as jobs
from simulation.planted import repo_bugs as repos
from simulation.planted import sandbox_bugs as sandboxes
from simulation.planted import service_bugs as services
from simulation.planted import tab_bugs as tabs
from simulation.planted.hunting import Bug
from simulation.planted.scripts import BARE, FAR, NEAR, act, fail, fail_job, fail_store, job, lie, wait
from taskdock.core.job_record import JobKind
from taskdock.ports.sandbox import Phase
from taskdock.testing.simulation.faults import Kind

_A_TASK = act("create_task", 2.0, task=NEAR)
_A_FAR_TASK = act("create_task", 2.0, task=FAR)
_A_BARE_TASK = act("create_task", 2.0, task=BARE)
_MESSAGES = (act("send", 0.2), act("send", 2.0, tab=1), act("send", 2.0), act("send", 2.0, tab=1))
_A_LATE_CREATE = (act("come_late", 0.0, how=3), fail("provider.ensure", Kind.SLOW))
_A_RESTART = (act("kill", 0.0, how=0), act("mark_read", 2.0))

_BUSY_TABS = tuple(act("send", 2.0, tab=number % 4) for number in range(12))
_UNCOLLECTED = (fail("clones.take_in", Kind.PERMANENT, 3), act("send", 0.2), act("send", 15.0), wait(15.0))
_NO_WAY_TO_THE_AGENT = (fail("gateway.attach", Kind.REFUSED, 3), fail("gateway.attach", Kind.REFUSED, 3))
_ANSWERS = (act("answer_permission", 0.0, how=1), act("answer_permission", 2.0, how=3))
_A_REPO = act("add_repo", 15.0)
_REMOVALS = tuple(act("remove_repo", 15.0, tab=number) for number in range(4))
_RESTACK = job(JobKind.RESTACK_REPO, 15.0)

BUGS = (
    Bug(sandboxes.name_chosen_by_the_call, {1, 7}, 5, (fail("provider.ensure", Kind.LOST), _A_TASK), 20),
    Bug(sandboxes.replaced_before_its_release, {1}, 5, (_A_TASK, wait(15.0), act("break_box", 15.0)), 0),
    Bug(
        sandboxes.window_from_the_commit, {1}, 20,
        (act("come_late", 0.0, how=1), fail("provider.ensure", Kind.SLOW), fail("provider.destroy", Kind.SLOW),
         _A_BARE_TASK, act("kill_task", 2.0), wait(15.0)), 0,
    ),
    Bug(
        sandboxes.window_by_the_wall_clock, {1}, 20,
        (*_A_LATE_CREATE, _A_FAR_TASK, act("jump", 0.2, how=5), act("kill_task", 2.0), wait(120.0)), 0,
    ),
    Bug(
        sandboxes.create_lands_after_the_kill, {1}, 20,
        (*_A_LATE_CREATE, _A_FAR_TASK, act("kill_task", 2.0), wait(120.0)), 0,
    ),
    Bug(
        sandboxes.destroyed_and_started_again, {1}, 5,
        (_A_TASK, wait(15.0), fail("provider.destroy", Kind.PERMANENT), act("lose", 15.0), act("stop_task", 15.0),
         act("resume_task", 15.0)), 0,
    ),
    Bug(
        sandboxes.archive_during_create_leaks, {1}, 20,
        (fail("provider.ensure", Kind.SLOW), _A_TASK, act("archive_task", 15.0), wait(15.0)), 0,
    ),
    Bug(
        sandboxes.kill_undone_through_error, {5}, 5,
        (_A_TASK, wait(2.0), fail("provider.destroy", Kind.PERMANENT), act("kill_task", 15.0), act("archive_task", 15.0)), 0,
    ),
    Bug(
        sandboxes.retry_without_a_look, {10}, 20,
        (_A_TASK, wait(15.0), fail("provider.observe", Kind.PERMANENT, 3), act("break_box", 15.0), act("retry_task", 15.0)), 0,
    ),
    Bug(
        sandboxes.copy_clears_what_is_owed, {7}, 20,
        (_A_TASK, *[act("open_tab", 0.2, tab=1)] * 3, *_BUSY_TABS, act("archive_task", 15.0)), 0,
    ),
    Bug(
        sandboxes.stopped_without_collecting, {7}, 20,
        (_A_TASK, *_UNCOLLECTED, act("archive_task", 15.0)), 0,
    ),
    Bug(
        sandboxes.another_sandbox_taken_for_it, {7}, 20,
        (_A_TASK, *_UNCOLLECTED, act("lose", 0.0), act("stop_task", 15.0)), 0,
    ),
    Bug(
        sandboxes.one_look_says_it_is_another, {7}, 5,
        (_A_TASK, wait(120.0), act("stop_task", 15.0), lie(Phase.ABSENT), act("resume_task", 15.0)), 0,
    ),
    Bug(
        sandboxes.lost_at_the_first_absence, {7}, 20,
        (_A_TASK, wait(15.0), act("cancel_turn", 15.0), lie(Phase.ABSENT), fail("access.endpoint", Kind.UNREACHABLE), act("send", 15.0)), 0,
    ),
    Bug(sandboxes.branch_reserved_twice, {6}, 2, (_A_TASK,), 0),
    Bug(
        sandboxes.branch_taken_back_without_asking, {6}, 10,
        (_A_TASK, wait(2.0), act("archive_task", 15.0), act("unarchive_task", 2.0)), 0,
    ),
    Bug(
        sandboxes.create_not_written_down, {1, 10}, 20,
        (*_A_LATE_CREATE, _A_FAR_TASK, act("kill_task", 2.0), wait(120.0)), 0,
    ),
    Bug(
        sandboxes.uncommitted_work_not_restored, {7}, 20,
        (_A_TASK, act("send", 2.0), act("send", 2.0), wait(120.0), act("archive_task", 15.0), act("unarchive_task", 15.0)), 0,
    ),
    Bug(sandboxes.adopted_without_a_checkout, {7}, 10, (fail("clones.checkout", Kind.REFUSED), _A_TASK, wait(15.0)), 0),
    Bug(sandboxes.reaper_ends_what_is_in_use, {1}, 2, (_A_TASK, wait(1800.0)), 0),
    Bug(tabs.tab_forgotten_on_failure, {9}, 10, (fail("provider.ensure", Kind.PERMANENT), _A_TASK), 0),
    Bug(
        tabs.session_after_the_close, {2}, 20,
        (_A_TASK, wait(15.0), fail("gateway.open_session", Kind.SLOW), act("open_tab", 2.0), act("close_tab", 2.0, tab=1)), 0,
    ),
    Bug(
        tabs.close_forgotten_with_the_tab, {2}, 5,
        (_A_TASK, wait(15.0), fail("gateway.close", Kind.REFUSED), act("close_tab", 15.0, how=2)), 0,
    ),
    Bug(
        tabs.close_given_up, {2}, 5,
        (_A_TASK, wait(120.0), fail("gateway.close", Kind.PERMANENT), act("close_tab", 15.0, how=2)), 0,
    ),
    Bug(
        tabs.close_taken_back_by_a_stop, {2}, 10,
        (_A_TASK, wait(120.0), fail("gateway.close", Kind.REFUSED, 3), fail("access.stop_service", Kind.PERMANENT, 3),
         act("open_tab", 15.0), act("close_tab", 0.0), act("stop_task", 15.0)), 0,
    ),
    Bug(
        tabs.queue_dropped_with_the_sandbox, {3}, 10,
        (_A_TASK, act("send", 0.0), act("send", 0.0), act("send", 0.2), act("lose", 15.0)), 0,
    ),
    Bug(
        tabs.queue_dropped_by_a_close, {3}, 10,
        (_A_TASK, act("send", 0.0), act("send", 0.0), act("send", 0.2), act("close_tab", 2.0)), 0,
    ),
    Bug(
        tabs.hold_never_set, {3}, 5,
        (_A_TASK, act("send", 0.0), act("send", 0.0), act("send", 2.0), act("crash_agent", 15.0)), 0,
    ),
    Bug(
        tabs.hold_lost_with_the_session, {3}, 5,
        (_A_TASK, act("send", 0.0), act("send", 0.0), act("send", 2.0), act("crash_agent", 15.0)), 0,
    ),
    Bug(
        tabs.sent_again_after_doubt, {3}, 20,
        (_A_TASK, wait(2.0), fail("gateway.prompt", Kind.LOST), fail("gateway.delivery", Kind.PERMANENT), act("send", 15.0),
         act("resume_queue", 15.0)), 0,
    ),
    Bug(
        tabs.delivered_without_proof, {3}, 20,
        (_A_TASK, wait(15.0), fail("gateway.prompt", Kind.UNKNOWN), fail("gateway.delivery", Kind.PERMANENT), act("send", 15.0)), 0,
    ),
    Bug(
        tabs.unsent_told_as_doubtful, {3}, 20,
        (_A_TASK, wait(120.0), fail("gateway.prompt", Kind.REFUSED, 3), act("send", 2.0), wait(2.0),
         wait(0.2), act("stop_task", 15.0)), 0,
    ),
    Bug(tabs.order_swapped, {3}, 20, (_A_TASK, act("send", 0.0), act("send", 0.0), act("send", 2.0), wait(15.0)), 0),
    Bug(
        tabs.permission_answered_twice, {5}, 20,
        (_A_TASK, *[act("send", 0.0)] * 4, *_ANSWERS * 20), 0,
    ),
    Bug(
        tabs.completed_by_a_loss, {2, 3}, 20,
        (_A_TASK, act("send", 0.0), act("send", 0.0), act("send", 2.0), act("crash_agent", 15.0)), 0,
    ),
    Bug(tabs.tab_left_behind_by_a_retry, {9, 10}, 10,
        (fail("provider.ensure", Kind.PERMANENT), _A_TASK, act("retry_task", 2.0)), 0),
    Bug(services.fence_dropped, {5}, 5, (_A_TASK, act("second", 0.2), act("send", 2.0), act("second", 2.0)), 20),
    Bug(services.outcome_accepted_twice, {0, 1, 5, 9, 10}, 5, (_A_TASK,), 30),
    Bug(
        services.called_though_refused, {1}, 20,
        (fail("provider.observe", Kind.SLOW), _A_TASK, act("second", 0.2), act("kill_task", 15.0), wait(15.0)), 0,
    ),
    Bug(services.loss_not_told, {2}, 20, (_A_TASK, wait(120.0), act("crash_agent", 2.0)), 0),
    Bug(
        services.loss_left_to_its_sandbox, {2}, 5,
        (_A_TASK, wait(120.0), lie(Phase.ABSENT), act("crash_agent", 15.0)), 0,
    ),
    Bug(
        services.silence_taken_for_the_end, {2}, 20,
        (_A_TASK, wait(120.0), fail("access.endpoint", Kind.UNREACHABLE), act("close_tab", 15.0, how=2)), 0,
    ),
    Bug(services.question_not_told, {9}, 20, (_A_TASK, *_MESSAGES), 0),
    Bug(services.two_sessions_at_once, {2}, 10, (_A_TASK, wait(120.0), *_NO_WAY_TO_THE_AGENT, act("cut", 15.0)), 0),
    Bug(services.wake_lost, {9}, 5, (fail("provider.ensure", Kind.REFUSED), _A_TASK), 0),
    Bug(services.answer_to_the_task_lost, {9, 10}, 10, (_A_TASK,), 0),
    Bug(services.key_not_stored, {3}, 5, (_A_TASK, wait(120.0), fail_store("store.commit", Kind.LOST), act("send", 2.0)), 0),
    Bug(
        services.answered_before_the_commit, {0, 3}, 10,
        (_A_TASK, wait(120.0), fail_store("store.commit", Kind.REFUSED), act("send", 2.0)), 0,
    ),
    Bug(services.provider_asked_by_a_request, {8}, 5, (_A_TASK, act("kill_task", 2.0)), 0),
    Bug(
        services.entry_left_out_of_the_feed, {4}, 5,
        (_A_TASK, wait(15.0), act("stop_task", 15.0), act("resume_task", 15.0)), 0,
    ),
    Bug(services.feed_read_out_of_order, {4}, 2, (_A_TASK,), 0),
    Bug(jobs.changed_lost_by_a_failed_job, {7}, 10, (_A_REPO, fail_job("stack.act", Kind.LOST), _RESTACK), 0),
    Bug(jobs.failed_job_not_settled, {7}, 10, (_A_REPO, fail_job("stack.end", Kind.PERMANENT), _RESTACK), 0),
    Bug(
        jobs.joined_job_lost, {0, 9}, 10,
        (_A_REPO, fail_job("stack.act", Kind.SLOW), job(JobKind.RESTACK_REPO), *[job(JobKind.SYNC_REPO)] * 2), 0,
    ),
    Bug(jobs.two_jobs_at_once, {6}, 10, (_A_REPO, job(JobKind.RESTACK_REPO, 0.0), job(JobKind.SYNC_REPO, 0.0)), 0),
    Bug(
        jobs.two_gits_at_once, {6}, 20,
        (_A_REPO, act("kill", 0.0, how=32), job(JobKind.RESTACK_REPO, 2.0), wait(2.0)), 0,
    ),
    Bug(
        jobs.undo_over_a_moved_head, {7}, 10,
        (_A_REPO, _RESTACK, _RESTACK, act("undo_job", 15.0, tab=1)), 0,
    ),
    Bug(
        jobs.cancelled_told_as_completed, {5}, 10,
        (_A_REPO, fail_job("stack.act", Kind.SLOW), job(JobKind.RESTACK_REPO), act("cancel_job", 15.0)), 0,
    ),
    Bug(
        jobs.queued_twice_after_a_lost_answer, {9}, 5,
        (_A_REPO, _RESTACK, act("request_job", 15.0, how=7)), 0,
    ),
    Bug(jobs.job_never_goes_on, {9}, 20, (_A_REPO, act("kill", 0.0, how=20), _RESTACK), 0),
    Bug(jobs.job_ends_twice, {5}, 2, (_A_REPO, _RESTACK), 0),
    Bug(jobs.job_left_behind, {9}, 5, (_A_REPO, *[job(JobKind.RESTACK_REPO, 0.0), job(JobKind.SYNC_REPO, 15.0)]), 0),
    Bug(jobs.new_branch_not_registered, {9}, 5, (_A_TASK, wait(120.0)), 0),
    Bug(jobs.moved_branch_not_shown, {9}, 10, (_A_TASK, wait(120.0), _RESTACK, wait(15.0)), 0),
    Bug(repos.removed_under_a_task, {9}, 10, (_A_TASK, *_REMOVALS), 0),
    Bug(repos.removed_under_a_job, {9}, 10, (_A_REPO, job(JobKind.RESTACK_REPO, 0.0), *_REMOVALS), 0),
    Bug(repos.clone_removed_unseen, {7}, 20, (_A_TASK, wait(120.0), act("kill_task", 120.0), *_REMOVALS), 0),
    Bug(repos.clone_kept_in_silence, {9}, 20, (_A_TASK, wait(120.0), act("archive_task", 120.0), *_REMOVALS), 0),
)  # fmt: skip
"""In the order of sandboxes, tabs, services, jobs, repos."""

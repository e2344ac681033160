"""Repo cases: one for each arc of the repo table."""

from taskdock.core.inputs import AwaitReady, Cloned, RetryRepo
from taskdock.core.intents import CloneRepo
from unit.core import givens as g
from unit.core.cases import Case, done, fails
from unit.core.story import PERMANENT, TRANSIENT, an_add

CLONED = Cloned("main", "c0")

CASES = (
    Case("add: new -> cloning", g.no_repo, an_add(), "cloning", "CloneRepo", "repo.added"),
    Case("cloned: cloning -> ready", g.cloning_awaited, done(CloneRepo, CLONED), "ready", "Tell Tell", "repo.ready"),
    Case("failed[may_try_again]: cloning -> =", g.cloning, fails(CloneRepo, TRANSIENT),
         "cloning", "CloneRepo", "repo.step_failed"),
    Case("failed: cloning -> error", g.cloning_awaited, fails(CloneRepo, PERMANENT),
         "error", "Tell Tell", "repo.failed"),
    Case("retry: error -> cloning", g.clone_failed, RetryRepo(), "cloning", "CloneRepo", "repo.retried"),
    Case("await_ready: cloning -> =", g.cloning, AwaitReady("task-1", 1), "cloning"),
    Case("await_ready: ready -> =", g.cloned, AwaitReady("task-1", 1), "ready", "Tell"),
    Case("await_ready: error -> cloning", g.clone_failed, AwaitReady("task-1", 1),
         "cloning", "CloneRepo", "repo.retried"),
    Case("await_branch: error -> cloning", g.clone_failed, g.AWAIT, "cloning", "CloneRepo Tell",
         "repo.retried job.queued"),
)  # fmt: skip

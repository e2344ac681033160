"""Repo cases: one for each arc of the repo table."""

from taskdock.core.inputs import AwaitReady, Cloned, CloneRemoved, RemoveRepo, RetryRepo
from taskdock.core.intents import CloneRepo, RemoveClone
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
    Case("remove: cloning -> removed", g.cloning, RemoveRepo(), "removed", "RemoveClone", "repo.removed"),
    Case("remove: ready -> removed", g.cloned, RemoveRepo(), "removed", "RemoveClone", "repo.removed"),
    Case("remove: error -> removed", g.clone_failed, RemoveRepo(), "removed", "RemoveClone", "repo.removed"),
    Case("remove[keeps_a_clone]: removed -> =", g.removed_but_for_its_clone, RemoveRepo(), "removed", "RemoveClone",
         "repo.retried"),
    Case("clone_removed: removed -> =", g.removing, done(RemoveClone, CloneRemoved()), "removed", "",
         "repo.clone_removed"),
    Case("failed[may_try_again]: removed -> =", g.removing, fails(RemoveClone, TRANSIENT),
         "removed", "RemoveClone", "repo.step_failed"),
    Case("failed: removed -> =", g.removing, fails(RemoveClone, PERMANENT), "removed", "", "repo.clone_kept"),
    Case("await_ready: removed -> =", g.removed, AwaitReady("task-1", 1), "removed", "Tell"),
    Case("add: removed -> cloning", g.removed_but_for_its_clone, an_add(), "cloning", "CloneRepo", "repo.added"),
)  # fmt: skip

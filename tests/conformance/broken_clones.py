"""Broken clones: the real store of clones with one planted fault, to see that the checks find it.

Owns: `HonestClones`, which has none, and `CLONE_FAULTS`.
Never: a fault that no store of clones could have.
Reads as: test_clone.py -> a fault -> `GitClones`.
"""

# ruff: noqa: ARG002 - a fault has the arguments of what it breaks, and forgetting one is often the fault

import shutil
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import anyio
from attrs import evolve

from git_repos import git, head_of, refs_of
from taskdock.adapters.clone.git import GitClones
from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient
from taskdock.ports.clone import Checkout, Cloned, Progress, TakenIn


class HonestClones:
    """No fault: hands every call on to the real store below `root`."""

    found_by: ClassVar[str] = ""
    says: ClassVar[str] = ""

    def __init__(self, root: Path) -> None:
        self.real = GitClones(root)

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        return await self.real.clone(repo_id, remote, progress)

    async def branch_heads(self, repo_id: str) -> dict[str, str]:
        return await self.real.branch_heads(repo_id)

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        return await self.real.checkout(repo_id, task_id, base)

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        return await self.real.take_in(repo_id, task_id, generation, branch, bundle)

    async def known_heads(self, repo_id: str, task_id: str) -> tuple[str, ...]:
        return await self.real.known_heads(repo_id, task_id)

    async def tasks_with_work(self, repo_id: str) -> tuple[str, ...]:
        return await self.real.tasks_with_work(repo_id)

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        await self.real.remove(repo_id, begin)

    def path(self, repo_id: str) -> Path:
        return self.real.path(repo_id)


class TrunkIsGuessed(HonestClones):
    """The trunk is called master, as it always was."""

    found_by = "check_clone_says_where_the_trunk_is"
    says = "clone tells the remote's default branch and its commit"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        return evolve(await self.real.clone(repo_id, remote, progress), trunk="master")


class BranchCheckedOut(HonestClones):
    """The trunk is checked out by name, and so cannot be moved."""

    found_by = "check_clone_is_whole"
    says = "The work tree of a clone is detached"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        made = await self.real.clone(repo_id, remote, progress)
        git(self.path(repo_id), "symbolic-ref", "HEAD", f"refs/heads/{made.trunk}")
        return made


class MadeAnewEachTime(HonestClones):
    """Whoever asks for a clone gets a fresh one."""

    found_by = "check_cloning_again_describes"
    says = "A finished clone is never made anew"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        shutil.rmtree(self.path(repo_id), ignore_errors=True)
        return await self.real.clone(repo_id, remote, progress)


class BusyAtOnce(HonestClones):
    """A second clone of a repo, while the first is under way, is refused."""

    found_by = "check_callers_at_once_make_one_clone"
    says = "Callers of clone at once all get it"
    under_way: ClassVar[set[str]] = set()

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        if repo_id in self.under_way:
            raise Transient("This repo is being cloned.")
        self.under_way.add(repo_id)
        try:
            return await self.real.clone(repo_id, remote, progress)
        finally:
            self.under_way.discard(repo_id)


class HalfIsTakenForWhole(HonestClones):
    """A folder that is there counts as a clone, whatever a crash left in it."""

    found_by = "check_what_was_cut_off_is_made_anew"
    says = "A clone that was cut off at any moment is whole when it is asked for again"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        folder = self.path(repo_id)
        if not folder.exists():
            folder.mkdir(parents=True)
            git(folder, "init", "--quiet", ".")
            await anyio.lowlevel.checkpoint()
            shutil.rmtree(folder)
        return await self.real.clone(repo_id, remote, progress)


class MissingRemoteIsTransient(HonestClones):
    """A remote that is not there is tried again and again."""

    found_by = "check_no_remote_is_permanent"
    says = "A remote that does not exist is Permanent"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        try:
            return await self.real.clone(repo_id, remote, progress)
        except Permanent as error:
            raise Transient(error.reason) from error


class PasswordInTheReason(HonestClones):
    """The reason names the remote as it was given."""

    found_by = "check_network_is_transient"
    says = "What is told of a failed clone holds no credentials"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        try:
            return await self.real.clone(repo_id, remote, progress)
        except Transient as error:
            raise Transient(f"cloning {remote}: {error.reason}") from error


class RefusedIsPermanent(HonestClones):
    """A refused login is any failure."""

    found_by = "check_refused_credentials_are_told"
    says = "Refused credentials are AuthFailed"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        try:
            return await self.real.clone(repo_id, remote, progress)
        except AuthFailed as error:
            raise Permanent(error.reason) from error


class ProgressAsGitHasIt(HonestClones):
    """Progress is what git wrote since the last time, line ends and all."""

    found_by = "check_progress_is_sentences"
    says = "Progress is one sentence for people each time"

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        await progress("Receiving objects:  40%\rReceiving objects:  43%\r")
        return await self.real.clone(repo_id, remote, progress)


class OwnBranchesForgotten(HonestClones):
    """branch_heads lists what the remote has."""

    found_by = "check_branches_of_both_are_known"
    says = "branch_heads names every branch of the remote and of the clone"

    async def branch_heads(self, repo_id: str) -> dict[str, str]:
        found = refs_of(self.path(repo_id), "refs/remotes/origin/")
        return {name.removeprefix("refs/remotes/origin/"): head for name, head in found.items()}


class UnknownRepoIsEmpty(HonestClones):
    """A repo that was never cloned has no branches."""

    found_by = "check_unknown_repo_is_permanent"
    says = "branch_heads of a repo that was never cloned is Permanent"

    async def branch_heads(self, repo_id: str) -> dict[str, str]:
        return await self.real.branch_heads(repo_id) if self.path(repo_id).exists() else {}


class ShallowBundle(HonestClones):
    """The bundle brings the newest commit alone."""

    found_by = "check_bundle_holds_the_history"
    says = "A repository that has nothing can fetch what a checkout's bundle brings"

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        made = await self.real.checkout(repo_id, task_id, base)
        git(self.path(repo_id), "bundle", "create", "--quiet", str(made.bundle), made.ref, f"^{made.head}~1")
        return made


class OneBundleForAll(HonestClones):
    """The bundle of a task has one name."""

    found_by = "check_bundles_are_the_callers"
    says = "Each checkout gives a bundle of its own"

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        made = await self.real.checkout(repo_id, task_id, base)
        place = made.bundle.with_name(f"{task_id}.bundle")
        made.bundle.rename(place)
        return evolve(made, bundle=place)


class BaseMovesOn(HonestClones):
    """Every checkout begins at where its base is now."""

    found_by = "check_base_is_pinned_once"
    says = "The base of a task is pinned once and never moved again"

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        if (self.path(repo_id) / ".git").exists():
            git(self.path(repo_id), "update-ref", "-d", f"refs/taskdock/{task_id}/base")
        return await self.real.checkout(repo_id, task_id, base)


class LastPinWins(HonestClones):
    """The base is set without asking what it was; each caller stands where he asked to."""

    found_by = "check_pinning_at_once_has_one_winner"
    says = "First checkouts at once have one winner"

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        made = await self.real.checkout(repo_id, task_id, base)
        asked = head_of(self.path(repo_id), f"refs/remotes/origin/{base}")
        git(self.path(repo_id), "update-ref", f"refs/taskdock/{task_id}/base", asked or made.head)
        return evolve(made, head=asked or made.head)


class BaseIsARevision(HonestClones):
    """The base is handed to git, which reads more into it than a name."""

    found_by = "check_no_such_base_is_permanent"
    says = "A base that the clone does not have, as 'main~1', is Permanent"

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        known = head_of(self.path(repo_id), f"refs/remotes/origin/{base}")
        return await self.real.checkout(repo_id, task_id, known or base)


class WorkTreeFollows(HonestClones):
    """The clone checks out what was taken in."""

    found_by = "check_first_work_makes_the_branch"
    says = "Taking in moves no work tree"

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        taken = await self.real.take_in(repo_id, task_id, generation, branch, bundle)
        if taken.head is not None:
            git(self.path(repo_id), "checkout", "--quiet", "--detach", taken.head)
        return taken


class EachTimeIsNoted(HonestClones):
    """Each call leaves a ref of its own."""

    found_by = "check_taking_in_again_changes_nothing"
    says = "take_in is idempotent: the same bundle twice changes nothing"

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        taken = await self.real.take_in(repo_id, task_id, generation, branch, bundle)
        noted = f"refs/taskdock/{task_id}/note-{len(refs_of(self.path(repo_id)))}"
        git(self.path(repo_id), "update-ref", noted, taken.head or "HEAD")
        return taken


class NothingNewIsNoHead(HonestClones):
    """Who brings nothing is told nothing."""

    found_by = "check_nothing_new_tells_the_head"
    says = "take_in tells where the task stands"

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        taken = await self.real.take_in(repo_id, task_id, generation, branch, bundle)
        return taken if bundle is not None else evolve(taken, head=None)


class GenerationsAsText(HonestClones):
    """Generations are compared as text, so that 2 comes after 10."""

    found_by = "check_later_work_moves_on"
    says = "A task stands at its last collected head"

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        made = await self.real.checkout(repo_id, task_id, base)
        own = refs_of(self.path(repo_id), f"refs/taskdock/{task_id}/")
        collected = sorted(ref for ref in own if ref.rpartition("/")[2].isdecimal())
        return evolve(made, head=own[collected[-1]], ref=collected[-1]) if collected else made


class BranchIsForced(HonestClones):
    """The task's branch is put where the task stands, wherever it was."""

    found_by = "check_branch_moved_elsewhere_is_left"
    says = "The task's branch moves by compare-and-set"

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        taken = await self.real.take_in(repo_id, task_id, generation, branch, bundle)
        if taken.head is not None:
            git(self.path(repo_id), "update-ref", f"refs/heads/{branch}", taken.head)
        return evolve(taken, branch_moved=True)


class NameTakenIsForced(BranchIsForced):
    """The first work takes the branch's name, whoever had it."""

    found_by = "check_branch_of_others_is_left"
    says = "The task's branch moves by compare-and-set"


class OtherHeadsAreLost(HonestClones):
    """Of a bundle its HEAD is kept."""

    found_by = "check_every_head_is_kept"
    says = "known_heads names the base and every head that was collected"

    async def known_heads(self, repo_id: str, task_id: str) -> tuple[str, ...]:
        own = refs_of(self.path(repo_id), f"refs/taskdock/{task_id}/")
        return tuple(sorted({head for ref, head in own.items() if "-heads/" not in ref}))


class DamagedIsNothingNew(HonestClones):
    """A bundle that cannot be read brings nothing, and so there is nothing to tell."""

    found_by = "check_damaged_bundle_is_permanent"
    says = "A bundle that is not whole is Permanent"

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        with suppress(PortError):
            return await self.real.take_in(repo_id, task_id, generation, branch, bundle)
        return await self.real.take_in(repo_id, task_id, generation, branch, None)


class OneBranchForAllTasks(HonestClones):
    """What comes out of sandboxes goes to one branch, one after the other."""

    found_by = "check_tasks_do_not_mix"
    says = "The work of each task goes to its own branch"

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        return await self.real.take_in(repo_id, task_id, generation, "agents-work", bundle)


class HooksRun(HonestClones):
    """After work came in, the clone's own hook is told, as git would do it."""

    found_by = "check_nothing_planted_runs"
    says = "No hook and no fsmonitor of a clone is ever run"

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        taken = await self.real.take_in(repo_id, task_id, generation, branch, bundle)
        with suppress(subprocess.CalledProcessError):
            git(self.path(repo_id), "status", "--porcelain")
        return taken


class RemovedInName(HonestClones):
    """A clone that may go is left to whoever cleans the disk."""

    found_by = "check_removed_clone_is_gone"
    says = "A clone of which the remote has everything is removed"

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        await begin()


class RemovedUnseen(HonestClones):
    """What is to go goes; nobody looks what is in it."""

    found_by = "check_clone_with_unpushed_work_stays"
    says = "A clone stays, untouched, while something in it is nowhere else"

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        await begin()
        shutil.rmtree(self.path(repo_id), ignore_errors=True)


class BranchesAreAll(HonestClones):
    """Before a clone goes, its branches are looked at, and nothing else."""

    found_by = "check_clone_with_uncommitted_work_stays"
    says = "A clone stays, untouched, while something in it is nowhere else"

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        if not git(self.path(repo_id), "rev-list", "--branches", "--not", "--remotes=origin"):
            await begin()
            shutil.rmtree(self.path(repo_id))


class FetchedOnceIsEnough(HonestClones):
    """What was fetched once counts as what the remote has."""

    found_by = "check_remote_is_asked_before_a_removal"
    says = "A clone stays, untouched, while something in it is nowhere else"

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        if not git(self.path(repo_id), "rev-list", "--glob=refs/taskdock/*", "--not", "--remotes=origin"):
            await begin()
            shutil.rmtree(self.path(repo_id))


class BegunWhenDone(HonestClones):
    """Who asked for the removal is told when it is done."""

    found_by = "check_removal_is_asked_once_more"
    says = "begin is awaited right before the first file goes"

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        await self.real.remove(repo_id, anyio.lowlevel.checkpoint)
        await begin()


class BeganIsWork(HonestClones):
    """Every task that a clone knows of counts as one with work in it."""

    found_by = "check_tasks_with_work_are_named"
    says = "tasks_with_work names every task of which the clone keeps work"

    async def tasks_with_work(self, repo_id: str) -> tuple[str, ...]:
        if not self.path(repo_id).exists():
            return ()
        return tuple(sorted({ref.split("/")[2] for ref in refs_of(self.path(repo_id), "refs/taskdock/")}))


CLONE_FAULTS: tuple[type[HonestClones], ...] = (
    TrunkIsGuessed,
    BranchCheckedOut,
    MadeAnewEachTime,
    BusyAtOnce,
    HalfIsTakenForWhole,
    MissingRemoteIsTransient,
    PasswordInTheReason,
    RefusedIsPermanent,
    ProgressAsGitHasIt,
    OwnBranchesForgotten,
    UnknownRepoIsEmpty,
    ShallowBundle,
    OneBundleForAll,
    BaseMovesOn,
    LastPinWins,
    BaseIsARevision,
    WorkTreeFollows,
    EachTimeIsNoted,
    NothingNewIsNoHead,
    GenerationsAsText,
    BranchIsForced,
    NameTakenIsForced,
    OtherHeadsAreLost,
    DamagedIsNothingNew,
    OneBranchForAllTasks,
    HooksRun,
    RemovedInName,
    RemovedUnseen,
    BranchesAreAll,
    FetchedOnceIsEnough,
    BegunWhenDone,
    BeganIsWork,
)

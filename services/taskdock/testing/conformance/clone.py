"""Clone conformance: what every store of clones must keep, as checks without a test runner.

Owns: `CLONE_CHECKS`; each check takes a `CloneUnderTest` and raises AssertionError with the broken promise.
Never: a promise that is not in `taskdock.ports.clone`.
Reads as: your test -> a check (what comes out of sandboxes is in clone_work.py, how a clone goes in clone_removal.py) -> your adapter, and real git remotes.

How to use it, with pytest and anyio's plugin:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", CLONE_CHECKS, ids=lambda check: check.__name__)
    async def test_my_clones(check, tmp_path):
        await check(CloneUnderTest(MyClones(tmp_path / "clones"), lambda: MyClones(tmp_path / "clones"), tmp_path))

The checks make their remotes with the git of this host. What only a killed process shows is not here.
"""

import socket
from functools import partial

import anyio

from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient
from taskdock.testing.conformance.clone_removal import REMOVAL_CHECKS
from taskdock.testing.conformance.clone_repos import GitRefused, Remote, git, head_of, refs_of
from taskdock.testing.conformance.clone_under_test import CloneCheck, CloneUnderTest, unheard
from taskdock.testing.conformance.clone_work import WORK_CHECKS
from taskdock.testing.conformance.promises import PromiseBroken, all_succeed, refused, require, told

__all__ = ["CLONE_CHECKS", "CloneCheck", "CloneUnderTest"]

_FETCH = "+refs/heads/*:refs/remotes/origin/*"
_CUT_OFF_AFTER_SECONDS = (0.0, 0.005, 0.02, 0.06)


async def check_clone_says_where_the_trunk_is(sut: CloneUnderTest) -> None:
    """A finished clone is told by the remote's default branch and the commit it points to."""
    remote = await sut.remote()
    made = await sut.store.clone(sut.new_repo_id(), str(remote.folder), unheard)
    wanted = ("main", await remote.head("main"))
    require(
        (made.trunk, made.head) == wanted,
        "clone tells the remote's default branch and its commit",
        f"of {wanted} it told {(made.trunk, made.head)}",
        "read what the remote's HEAD names, and its commit as 40 hex digits",
    )


async def check_clone_is_whole(sut: CloneUnderTest) -> None:
    """A clone has every branch with its whole history, a detached work tree, and the plain line of what is fetched."""
    remote, repo_id = await sut.remote(), sut.new_repo_id()
    await sut.store.clone(repo_id, str(remote.folder), unheard)
    folder = sut.store.path(repo_id)
    counted = await git(folder, "rev-list", "--count", "refs/remotes/origin/topic")
    require(
        counted == "4" and await git(folder, "rev-parse", "--is-shallow-repository") == "false",
        "A clone has the whole history of every branch",
        f"of the 4 commits of a branch it has {counted}",
        "clone all branches, without a depth",
    )
    fetched = await git(folder, "config", "--get-all", "remote.origin.fetch")
    require(
        fetched == _FETCH,
        f"A clone fetches {_FETCH}",
        f"it fetches {fetched!r}",
        "leave git's own line as it is",
    )
    try:
        named = await git(folder, "symbolic-ref", "--quiet", "HEAD")
    except GitRefused:
        named = ""
    require(
        not named,
        "The work tree of a clone is detached, so that no branch is held by it",
        f"{named} is checked out",
        "check the trunk out with --detach",
    )


async def check_cloning_again_describes(sut: CloneUnderTest) -> None:
    """Cloning what is cloned describes it, also through a store that did not make it, and replaces nothing."""
    remote, repo_id = await sut.remote(), sut.new_repo_id()
    made = await sut.store.clone(repo_id, str(remote.folder), unheard)
    kept = await git(sut.store.path(repo_id), "commit-tree", "-m", "kept", "refs/remotes/origin/main^{tree}")
    for store in (sut.store, sut.second()):
        again = await store.clone(repo_id, str(remote.folder), unheard)
        require(
            again == made,
            "Cloning is idempotent by repo id",
            f"the second time it told {again}, not {made}",
            "describe the clone that is there",
        )
    require(
        await head_of(sut.store.path(repo_id), kept) == kept,
        "A finished clone is never made anew, since it may hold work that is nowhere else",
        "a commit that was in it is gone",
        "look whether it is finished before you make it",
    )


async def check_callers_at_once_make_one_clone(sut: CloneUnderTest) -> None:
    """Callers at once, through two stores, all get the same finished clone."""
    remote, repo_id = await sut.remote(), sut.new_repo_id()
    calls = [
        partial(store.clone, repo_id, str(remote.folder), unheard) for store in (sut.store, sut.second()) * 2
    ]
    made = await all_succeed("Callers of clone at once all get it", calls)
    require(
        len(set(made)) == 1,
        "Callers of clone at once get the same clone",
        f"they were told {len(set(made))} different things",
        "have one make it under a lock that all processes share, and the others wait",
    )


async def check_what_was_cut_off_is_made_anew(sut: CloneUnderTest) -> None:
    """A clone that was cut off at any moment is whole when it is asked for again."""
    remote = await sut.remote()
    for seconds in _CUT_OFF_AFTER_SECONDS:
        repo_id = sut.new_repo_id()
        async with anyio.create_task_group() as group:
            group.start_soon(sut.store.clone, repo_id, str(remote.folder), unheard)
            await anyio.sleep(seconds)
            group.cancel_scope.cancel()
        made = await sut.second().clone(repo_id, str(remote.folder), unheard)
        found = await refs_of(sut.store.path(repo_id), "refs/remotes/origin/topic")
        require(
            made.head == await remote.head("main") and bool(found),
            "What a crash left half-made is made anew",
            f"a clone that was cut off after {seconds:g} s had {sorted(found) or 'no branch'} the next time",
            "make it beside its place, and rename it when it is whole",
        )


async def check_no_remote_is_permanent(sut: CloneUnderTest) -> None:
    """A remote that does not exist is Permanent, and so is an empty one until something is pushed to it."""
    with refused(Permanent, "A remote that does not exist is Permanent"):
        await sut.store.clone(sut.new_repo_id(), str(sut.new_path("nothing")), unheard)
    empty, repo_id = await Remote.make(sut.new_path("empty")), sut.new_repo_id()
    with refused(Permanent, "An empty remote is Permanent", "look for a commit before you call it cloned"):
        await sut.store.clone(repo_id, str(empty.folder), unheard)
    pushed = await empty.push("main", "first.txt", "first")
    made = await sut.store.clone(repo_id, str(empty.folder), unheard)
    require(
        made.head == pushed,
        "A remote that was empty is cloned once something was pushed to it",
        f"its head is told as {made.head}",
        "leave nothing behind of a clone that failed",
    )


async def check_network_is_transient(sut: CloneUnderTest) -> None:
    """A host where nothing answers is Transient, and what is told of it holds no password."""
    password = "conformance-canary"  # noqa: S105 - made up, to be looked for
    with socket.socket() as taken:
        # Bound and not listening: nobody else takes the port, and nobody answers.
        taken.bind(("127.0.0.1", 0))
        remote = f"http://ada:{password}@127.0.0.1:{taken.getsockname()[1]}/demo.git"
        try:
            await sut.store.clone(sut.new_repo_id(), remote, unheard)
        except Transient as error:
            _require_no_password(error, password)
        except PortError as error:
            seen, mend = (
                f"it was refused with {error!r}",
                "raise Transient (or Unreachable) for what a network does",
            )
            raise PromiseBroken("A host where nothing answers is Transient", seen, mend) from error
        else:
            raise PromiseBroken(
                "A host where nothing answers is Transient", "clone succeeded", "ask the remote"
            )


async def check_refused_credentials_are_told(sut: CloneUnderTest) -> None:
    """Refused credentials are AuthFailed."""
    mend = "tell a refused login from other failures, and raise AuthFailed"
    with refused(AuthFailed, "Refused credentials are AuthFailed", mend):
        await sut.store.clone(sut.new_repo_id(), sut.refusing(), unheard)


async def check_progress_is_sentences(sut: CloneUnderTest) -> None:
    """Progress comes in single lines for people."""
    heard: list[str] = []

    async def hear(sentence: str) -> None:
        heard.append(sentence)

    await sut.store.clone(sut.new_repo_id(), str((await sut.remote()).folder), hear)
    odd = [sentence for sentence in heard if not sentence.strip() or len(sentence.splitlines()) != 1]
    require(
        not odd,
        "Progress is one sentence for people each time",
        f"there was {odd[:1]}",
        "cut git's output into lines",
    )


async def check_branches_of_both_are_known(sut: CloneUnderTest) -> None:
    """branch_heads names every branch of the remote and of the clone itself, without asking the remote."""
    bench = await sut.bench()
    born = await git(bench.folder, "rev-parse", "refs/remotes/origin/main~1")
    await git(bench.folder, "update-ref", "refs/heads/born-here", born)
    wanted = {
        "born-here": born,
        "main": await bench.remote.head("main"),
        "topic": await bench.remote.head("topic"),
    }
    await anyio.Path(bench.remote.folder).rename(sut.new_path("away"))
    heads = await sut.store.branch_heads(bench.repo_id)
    require(
        heads == wanted,
        "branch_heads names every branch of the remote and of the clone, without a network",
        f"of {sorted(wanted)} it told {sorted(heads)}, some at other commits"
        if heads.keys() == wanted.keys()
        else f"of {sorted(wanted)} it told {sorted(heads)}",
        "read refs/remotes/origin and refs/heads of the clone, origin's HEAD left out",
    )


async def check_unknown_repo_is_permanent(sut: CloneUnderTest) -> None:
    """What is asked of a repo that was never cloned is Permanent."""
    mend = "say that there is no clone, as Permanent"
    with refused(Permanent, "branch_heads of a repo that was never cloned is Permanent", mend):
        await sut.store.branch_heads(sut.new_repo_id())
    with refused(Permanent, "checkout of a repo that was never cloned is Permanent", mend):
        await sut.store.checkout(sut.new_repo_id(), "task-1", "main")
    with refused(Permanent, "take_in for a repo that was never cloned is Permanent", mend):
        await sut.store.take_in(sut.new_repo_id(), "task-1", 1, "work", None)


def _require_no_password(error: PortError, password: str) -> None:
    require(
        password not in f"{error!r} {error.log_tail}",
        "What is told of a failed clone holds no credentials",
        "the password of the remote is in the reason or the log tail",
        "take credentials out of whatever git says before you pass it on",
    )


CLONE_CHECKS: tuple[CloneCheck, ...] = (
    *told(
        check_clone_says_where_the_trunk_is,
        check_clone_is_whole,
        check_cloning_again_describes,
        check_callers_at_once_make_one_clone,
        check_what_was_cut_off_is_made_anew,
        check_no_remote_is_permanent,
        check_network_is_transient,
        check_refused_credentials_are_told,
        check_progress_is_sentences,
        check_branches_of_both_are_known,
        check_unknown_repo_is_permanent,
    ),
    *WORK_CHECKS,
    *REMOVAL_CHECKS,
)

"""Service clones on real git: made once, described, checked out into bundles."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from git_repos import commit_to, git, head_of, make_remote, refs_of
from taskdock.adapters.clone.git import GitClones
from taskdock.core.errors import Foreign, Permanent, PortError

if TYPE_CHECKING:
    from taskdock.ports.clone import CloneStore

pytestmark = pytest.mark.anyio


async def ignore(sentence: str) -> None:
    """Take progress and do nothing with it."""


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """Give a bare remote with three commits on main and one more on topic."""
    path = make_remote(tmp_path / "remote.git", commits=3)
    commit_to(path, "topic", {"topic.txt": "1\n"}, parent="main")
    return path


@pytest.fixture
def clones(tmp_path: Path) -> GitClones:
    """Give a store of clones below a root that does not exist yet."""
    return GitClones(tmp_path / "data" / "clones")


async def test_it_is_a_clone_store(clones: GitClones) -> None:
    """The adapter fits its port."""
    checked: CloneStore = clones
    assert checked.path("repo-1").name == "repo-1"


async def test_clone_is_full_detached_and_fetches_every_branch(clones: GitClones, remote: Path) -> None:
    """A clone has the whole history, a work tree detached at the trunk, and the plain fetch line."""
    made = await clones.clone("repo-1", str(remote), ignore)
    folder = clones.path("repo-1")
    assert (made.trunk, made.head) == ("main", head_of(remote, "main"))
    assert git(folder, "rev-parse", "--is-shallow-repository", "--is-bare-repository") == "false\nfalse"
    assert (folder / ".git" / "HEAD").read_text().strip() == made.head
    assert git(folder, "status", "--porcelain") == ""
    assert (folder / "README.md").read_text() == "# Demo\n"
    assert git(folder, "config", "--get-all", "remote.origin.fetch") == "+refs/heads/*:refs/remotes/origin/*"
    assert git(folder, "rev-list", "--count", "--all") == "4"
    assert not (folder / ".git" / "hooks").exists()


async def test_clone_shares_nothing_with_a_local_remote(clones: GitClones, remote: Path) -> None:
    """A remote on the same disk lends no object files: what happens to it later cannot hurt the clone."""
    await clones.clone("repo-1", str(remote), ignore)
    objects = clones.path("repo-1") / ".git" / "objects"
    files = [path for path in objects.rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_nlink for path in files} == {1}
    assert not (objects / "info" / "alternates").exists()


async def test_cloning_again_changes_nothing(clones: GitClones, remote: Path) -> None:
    """A second call describes the finished clone without asking the remote."""
    first = await clones.clone("repo-1", str(remote), ignore)
    marker = clones.path("repo-1") / ".git" / "still-here"
    marker.touch()
    commit_to(remote, "main", {"later.txt": "later\n"})
    assert await clones.clone("repo-1", str(remote), ignore) == first
    assert marker.exists()


async def test_two_callers_make_one_clone(clones: GitClones, remote: Path, tmp_path: Path) -> None:
    """Callers at once, also through two stores over one root, get the same clone."""
    stores = [clones, GitClones(tmp_path / "data" / "clones"), clones]
    made = []

    async def one(store: GitClones) -> None:
        made.append(await store.clone("repo-1", str(remote), ignore))

    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(one, store)
    assert len(made) == len(stores)
    assert len(set(made)) == 1


async def test_a_folder_that_is_no_clone_is_left_alone(clones: GitClones, remote: Path) -> None:
    """What stands under the name of a clone and is none is Foreign and untouched."""
    folder = clones.path("repo-1")
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Foreign, match="left untouched"):
        await clones.clone("repo-1", str(remote), ignore)
    assert (folder / "notes.txt").read_text() == "mine"


async def test_half_made_clone_is_made_anew(clones: GitClones, remote: Path) -> None:
    """The folder of a clone that a crash cut off is thrown away, not built upon."""
    partial = clones.path("repo-1").with_name("repo-1.partial")
    (partial / ".git").mkdir(parents=True)
    (partial / ".git" / "HEAD").write_text("half")
    made = await clones.clone("repo-1", str(remote), ignore)
    assert made.head == head_of(remote, "main")
    assert not partial.exists()


async def test_hooks_of_a_template_are_not_taken(remote: Path, tmp_path: Path) -> None:
    """A user's template folder and hooks path have no say in a service clone."""
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    hook = template / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[init]\n\ttemplateDir = {template.parent}\n[core]\n\thooksPath = {template}\n")
    clones = GitClones(tmp_path / "clones", variables={**os.environ, "GIT_CONFIG_GLOBAL": str(config)})
    await clones.clone("repo-1", str(remote), ignore)
    assert not (tmp_path / "ran").exists()
    assert not (clones.path("repo-1") / ".git" / "hooks").exists()


async def test_root_inside_another_repository(remote: Path, tmp_path: Path) -> None:
    """A missing clone below somebody's own repository is missing; git does not climb up to that repository."""
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    clones = GitClones(outer / ".data")
    with pytest.raises(Permanent, match="no clone of repo-1"):
        await clones.branch_heads("repo-1")
    await clones.clone("repo-1", str(remote), ignore)
    git(outer, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    (clones.path("repo-1") / ".git" / "HEAD").unlink()
    with pytest.raises(PortError):
        await clones.branch_heads("repo-1")
    assert list(refs_of(outer).values()) == [head_of(outer, "HEAD")]


@pytest.mark.parametrize("branches", [["only"], ["dev", "master"], ["dev", "main", "master"]])
async def test_trunk_of_a_remote_whose_head_names_no_branch(
    clones: GitClones, tmp_path: Path, branches: list[str]
) -> None:
    """When the remote's HEAD leads nowhere the trunk is its only branch, or main before master."""
    path = make_remote(tmp_path / "odd.git", commits=0, branch="gone")
    for name in branches:
        commit_to(path, name, {"a.txt": name})
    made = await clones.clone("repo-1", str(path), ignore)
    assert made.trunk == (branches[0] if len(branches) == 1 else branches[1])
    assert refs_of(clones.path("repo-1"), f"refs/heads/{made.trunk}") != {}
    assert await clones.clone("repo-1", str(path), ignore) == made


async def test_remote_without_a_clear_trunk(clones: GitClones, tmp_path: Path) -> None:
    """Two unusual branches and no HEAD: nobody guesses, the reason says what to set."""
    path = make_remote(tmp_path / "odd.git", commits=0, branch="gone")
    for name in ("one", "two"):
        commit_to(path, name, {"a.txt": name})
    with pytest.raises(Permanent, match="set its default branch"):
        await clones.clone("repo-1", str(path), ignore)


async def test_empty_remote_says_what_to_do_and_works_afterwards(clones: GitClones, tmp_path: Path) -> None:
    """A remote without commits is Permanent; after the first push the same call succeeds."""
    path = make_remote(tmp_path / "empty.git", commits=0)
    with pytest.raises(Permanent, match="empty: push a first commit"):
        await clones.clone("repo-1", str(path), ignore)
    commit_to(path, "main", {"a.txt": "a"})
    assert (await clones.clone("repo-1", str(path), ignore)).trunk == "main"


async def test_branch_heads_name_every_branch(clones: GitClones, remote: Path) -> None:
    """Branches of the remote and of the clone itself are listed, without origin's HEAD."""
    await clones.clone("repo-1", str(remote), ignore)
    folder = clones.path("repo-1")
    git(folder, "branch", "born-here", "origin/topic")
    heads = await clones.branch_heads("repo-1")
    assert heads == {
        "born-here": head_of(remote, "topic"),
        "main": head_of(remote, "main"),
        "topic": head_of(remote, "topic"),
    }


async def test_a_branch_that_both_have(clones: GitClones, remote: Path) -> None:
    """The clone's own head counts when it holds the remote's, or stood there and was rebased since; else the remote's."""
    await clones.clone("repo-1", str(remote), ignore)
    folder = clones.path("repo-1")
    main, topic = head_of(remote, "main"), head_of(remote, "topic")
    assert main is not None
    assert topic is not None
    beside = git(folder, "commit-tree", "-p", "origin/main~1", "-m", "beside", "origin/main^{tree}")
    for own, expected in ((f"{main}~2", main), (topic, topic), (beside, beside)):
        git(folder, "update-ref", "refs/heads/main", own)
        assert (await clones.branch_heads("repo-1"))["main"] == expected
        task = f"task-{own[:8]}"
        assert (await clones.checkout("repo-1", task, "main")).head == expected
    git(folder, "update-ref", "-d", "refs/heads/main")
    git(folder, "update-ref", "refs/heads/main", beside)
    assert (await clones.branch_heads("repo-1"))["main"] == main
    assert (await clones.checkout("repo-1", "task-other", "main")).head == main


async def test_checkout_bundles_the_whole_history(clones: GitClones, remote: Path, tmp_path: Path) -> None:
    """A bundle is enough for a clone with everything that led to the base."""
    await clones.clone("repo-1", str(remote), ignore)
    checkout = await clones.checkout("repo-1", "task-1", "topic")
    assert checkout.head == head_of(remote, "topic")
    assert checkout.ref == "refs/taskdock/task-1/base"
    target = tmp_path / "target"
    target.mkdir()
    git(target, "init", "--quiet")
    git(target, "fetch", "--quiet", str(checkout.bundle), f"{checkout.ref}:refs/heads/here")
    assert git(target, "rev-list", "--count", "here") == "4"
    git(target, "fsck", "--strict")


async def test_base_is_pinned_once(clones: GitClones, remote: Path) -> None:
    """The first checkout decides where a task starts; neither a moved branch nor another base changes it."""
    await clones.clone("repo-1", str(remote), ignore)
    first = await clones.checkout("repo-1", "task-1", "main")
    commit_to(remote, "main", {"later.txt": "later\n"})
    git(clones.path("repo-1"), "fetch", "--quiet", "origin")
    assert (await clones.checkout("repo-1", "task-1", "main")).head == first.head
    assert (await clones.checkout("repo-1", "task-1", "topic")).head == first.head
    assert (await clones.checkout("repo-1", "task-2", "main")).head == head_of(remote, "main")
    assert await clones.known_heads("repo-1", "task-1") == (first.head,)


async def test_pinning_at_once_has_one_winner(clones: GitClones, remote: Path) -> None:
    """Concurrent first checkouts with different bases all stand at the same commit."""
    await clones.clone("repo-1", str(remote), ignore)
    heads: list[str] = []

    async def one(base: str) -> None:
        heads.append((await clones.checkout("repo-1", "task-1", base)).head)

    async with anyio.create_task_group() as tasks:
        for base in ("main", "topic", "main", "topic"):
            tasks.start_soon(one, base)
    assert len(heads) == 4
    assert len(set(heads)) == 1


@pytest.mark.parametrize("form", ["tag", "commit", "short"])
async def test_base_may_be_a_tag_or_a_commit(clones: GitClones, remote: Path, form: str) -> None:
    """Besides branches, an annotated tag and a commit (whole or its first 7 digits) are bases."""
    git(remote, "tag", "-a", "v1", "-m", "first", "main~1")
    commit = git(remote, "rev-parse", "main~1")
    await clones.clone("repo-1", str(remote), ignore)
    base = {"tag": "v1", "commit": commit, "short": commit[:7]}[form]
    assert (await clones.checkout("repo-1", "task-1", base)).head == commit


async def test_anything_else_is_no_base(clones: GitClones, remote: Path) -> None:
    """Revision syntax, options and what does not exist are refused in a sentence, and nothing is pinned."""
    await clones.clone("repo-1", str(remote), ignore)
    syntax = ("main~1", "main^{tree}", "HEAD", "@", ":/commit", "ma*", "a\0b", "")
    for base in (*syntax, "--all", "-x", "../main", "nope", "deadbeef"):
        with pytest.raises(Permanent, match="no branch, tag or commit"):
            await clones.checkout("repo-1", "task-1", base)
    assert await clones.known_heads("repo-1", "task-1") == ()


async def test_ids_that_could_leave_their_place_are_refused(clones: GitClones, remote: Path) -> None:
    """An id becomes one part of a path and of a ref name, so it is letters, digits, - and _ only."""
    await clones.clone("repo-1", str(remote), ignore)
    for wrong in ("../x", "a/b", "", ".hidden", "a.lock", "x\0", "a b"):
        with pytest.raises(Permanent, match="repo id"):
            await clones.clone(wrong, str(remote), ignore)
        with pytest.raises(Permanent, match="task id"):
            await clones.checkout("repo-1", wrong, "main")


async def test_bundles_of_a_crash_are_taken_away_after_a_day(clones: GitClones, remote: Path) -> None:
    """A bundle that nobody deleted goes when it is a day old; a fresh one stays."""
    await clones.clone("repo-1", str(remote), ignore)
    old = (await clones.checkout("repo-1", "task-1", "main")).bundle
    fresh = (await clones.checkout("repo-1", "task-1", "main")).bundle
    os.utime(old, (0, 0))
    await clones.checkout("repo-1", "task-1", "main")
    assert not old.exists()
    assert fresh.exists()


async def test_clones_are_private(clones: GitClones, remote: Path) -> None:
    """Other users of the host cannot look below the root."""
    await clones.clone("repo-1", str(remote), ignore)
    assert clones.path("repo-1").parent.stat().st_mode & 0o077 == 0


async def test_progress_comes_in_sentences(tmp_path: Path) -> None:
    """A clone tells how far it is, in whole sentences and not more than about four a second."""
    path = make_remote(tmp_path / "big.git", {f"f{n}.bin": os.urandom(20_000) for n in range(200)})
    told: list[str] = []

    async def listen(sentence: str) -> None:
        told.append(sentence)

    clones = GitClones(tmp_path / "clones")
    begun = anyio.current_time()
    await clones.clone("repo-1", str(path), listen)
    seconds = anyio.current_time() - begun
    assert 1 <= len(told) <= 1 + seconds * 4
    for sentence in told:
        stage, _, numbers = sentence.partition(": ")
        assert stage[0].isupper()
        assert " % (" in numbers


async def test_error_of_the_listener_reaches_the_caller(clones: GitClones, remote: Path) -> None:
    """What the progress callback raises comes out as itself, and the clone can be made afterwards."""

    async def refuse(sentence: str) -> None:
        raise LookupError(sentence)

    with pytest.raises(LookupError):
        await clones.clone("repo-1", str(remote), refuse)
    assert (await clones.clone("repo-1", str(remote), ignore)).trunk == "main"

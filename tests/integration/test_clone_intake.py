"""Work that comes out of a sandbox: what a bundle becomes in the clone, also after a crash, a race or an attack."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from attrs import evolve, frozen

from git_repos import bundle_of, commit_in, git, head_of, make_remote, refs_of, work_copy
from taskdock.adapters.clone import intake
from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.refs import head_name
from taskdock.core.errors import Permanent
from taskdock.ports.clone import TakenIn

pytestmark = pytest.mark.anyio

OWN = "refs/taskdock/task-1/"


async def ignore(sentence: str) -> None:
    """Take progress and do nothing with it."""


@frozen
class Bench:
    """A clone, a task on it whose base is pinned, and the working copy of its agent."""

    clones: GitClones
    agent: Path
    base: str
    folder: Path
    bundles: Path
    branch: str = "topic-1"

    def bundle(self, *revisions: str) -> Path:
        """Bundle revisions of the agent's copy (all that is new since the base unless named)."""
        wanted = revisions or ("HEAD", "--branches", f"^{self.base}")
        return bundle_of(self.agent, self.bundles / f"{len(list(self.bundles.iterdir()))}.bundle", *wanted)

    async def take_in(self, bundle: Path | None, generation: int = 1) -> TakenIn:
        """Take a bundle in for the task."""
        return await self.clones.take_in("repo-1", "task-1", generation, self.branch, bundle)

    def head(self, ref: str) -> str | None:
        """Give what a ref of the clone stands at."""
        return head_of(self.folder, ref)

    @property
    def branch_head(self) -> str | None:
        """Give where the task's branch stands in the clone."""
        return self.head(f"refs/heads/{self.branch}")


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    """Give a task that begins at main on a branch of its own that does not exist yet."""
    remote = make_remote(tmp_path / "remote.git", commits=3)
    clones = GitClones(tmp_path / "clones")
    await clones.clone("repo-1", str(remote), ignore)
    base = (await clones.checkout("repo-1", "task-1", "main")).head
    agent = work_copy(remote, tmp_path / "agent")
    git(agent, "checkout", "--quiet", "-b", "topic-1")
    (tmp_path / "bundles").mkdir()
    return Bench(clones, agent, base, clones.path("repo-1"), tmp_path / "bundles")


async def test_first_work_makes_the_branch(bench: Bench) -> None:
    """The first bundle becomes the task's own ref and, from nothing, its branch."""
    work = commit_in(bench.agent, {"a.txt": "a"})
    assert await bench.take_in(bench.bundle()) == TakenIn(head=work, branch_moved=True)
    assert bench.branch_head == bench.head(f"{OWN}1") == work
    assert (bench.folder / ".git" / "HEAD").read_text().strip() == bench.base


async def test_same_bundle_twice_changes_nothing(bench: Bench) -> None:
    """Taking in is idempotent: equal answer, equal refs."""
    commit_in(bench.agent, {"a.txt": "a"})
    bundle = bench.bundle()
    first = await bench.take_in(bundle)
    refs = refs_of(bench.folder)
    assert await bench.take_in(bundle) == first
    assert refs_of(bench.folder) == refs


async def test_later_work_moves_the_branch_on(bench: Bench) -> None:
    """Each bundle moves the branch from where we last put it, through generations and history that was rewritten."""
    for generation in (1, 1, 2, 10, 11):
        work = commit_in(bench.agent, {"a.txt": f"{generation}"})
        assert await bench.take_in(bench.bundle(), generation) == TakenIn(head=work, branch_moved=True)
        assert bench.branch_head == work
        git(bench.agent, "commit", "--quiet", "--amend", "--allow-empty", "--message", "amended")
    checkout = await bench.clones.checkout("repo-1", "task-1", "main")
    assert checkout.ref == f"{OWN}11"
    assert checkout.head == bench.head(f"{OWN}11")
    assert bench.base in git(bench.folder, "bundle", "list-heads", str(checkout.bundle))


async def test_nothing_new(bench: Bench) -> None:
    """No bundle is no work: no branch appears and none moves; the answer says where the task stands anyway."""
    assert await bench.take_in(None) == TakenIn(head=None, branch_moved=True)
    assert bench.branch_head is None
    work = commit_in(bench.agent, {"a.txt": "a"})
    await bench.take_in(bench.bundle())
    refs = refs_of(bench.folder)
    assert await bench.take_in(None) == TakenIn(head=work, branch_moved=True)
    assert refs_of(bench.folder) == refs


async def test_branch_that_moved_elsewhere_is_left_alone(bench: Bench) -> None:
    """When somebody moved the branch meanwhile it stays there, and the work is kept all the same."""
    commit_in(bench.agent, {"a.txt": "a"})
    await bench.take_in(bench.bundle())
    git(bench.folder, "update-ref", "refs/heads/topic-1", f"{bench.base}~1")
    moved = bench.branch_head
    for content in ("b", "c"):
        work = commit_in(bench.agent, {"a.txt": content})
        assert await bench.take_in(bench.bundle()) == TakenIn(head=work, branch_moved=False)
        assert bench.branch_head == moved
        assert bench.head(f"{OWN}1") == work
    assert await bench.take_in(None) == TakenIn(head=work, branch_moved=False)


async def test_branch_that_was_deleted_elsewhere_stays_away(bench: Bench) -> None:
    """A branch that somebody deleted after we put it there is not made again."""
    commit_in(bench.agent, {"a.txt": "a"})
    await bench.take_in(bench.bundle())
    git(bench.folder, "update-ref", "-d", "refs/heads/topic-1")
    commit_in(bench.agent, {"a.txt": "b"})
    assert not (await bench.take_in(bench.bundle())).branch_moved
    assert bench.branch_head is None


async def test_name_that_somebody_else_took(bench: Bench) -> None:
    """A branch of this name that is not ours, or one that makes the name impossible, is not touched."""
    work = commit_in(bench.agent, {"a.txt": "a"})
    git(bench.folder, "update-ref", "refs/heads/topic-1", f"{bench.base}~1")
    assert await bench.take_in(bench.bundle()) == TakenIn(head=work, branch_moved=False)
    below = evolve(bench, branch="topic-1/below")
    assert await below.take_in(bench.bundle()) == TakenIn(head=work, branch_moved=False)
    above = evolve(bench, branch="main/x")
    assert await above.take_in(bench.bundle()) == TakenIn(head=work, branch_moved=False)


async def test_task_on_an_existing_branch(bench: Bench) -> None:
    """A task that began on a branch of the clone moves that branch on from its base."""
    git(bench.folder, "update-ref", "refs/heads/topic-1", bench.base)
    work = commit_in(bench.agent, {"a.txt": "a"})
    assert await bench.take_in(bench.bundle()) == TakenIn(head=work, branch_moved=True)
    assert bench.branch_head == work


async def test_every_head_is_kept(bench: Bench) -> None:
    """Branches and stash of the agent come along under the task's own refs, whatever they are called."""
    git(bench.agent, "checkout", "--quiet", "-b", "feat/deep/name")
    deep = commit_in(bench.agent, {"deep.txt": "deep"})
    git(bench.agent, "checkout", "--quiet", "-b", "n" * 200, "topic-1")
    long = commit_in(bench.agent, {"long.txt": "long"})
    git(bench.agent, "checkout", "--quiet", "topic-1")
    (bench.agent / "README.md").write_text("stashed")
    git(bench.agent, "stash", "--quiet")
    stash = head_of(bench.agent, "refs/stash")
    work = commit_in(bench.agent, {"a.txt": "a"})
    taken = await bench.take_in(bench.bundle("HEAD", "--branches", "refs/stash", f"^{bench.base}"))
    assert taken == TakenIn(head=work, branch_moved=True)
    kept = refs_of(bench.folder, f"{OWN}1-heads/")
    assert kept[f"{OWN}1-heads/feat%2Fdeep%2Fname"] == deep
    assert kept[OWN + head_name(1, "refs/heads/" + "n" * 200)] == long
    assert kept[f"{OWN}1-heads/refs%2Fstash"] == stash
    known = await bench.clones.known_heads("repo-1", "task-1")
    assert {bench.base, work, deep, long, stash} <= set(known)
    assert list(known) == sorted(set(known))
    assert set(refs_of(bench.folder, "refs/heads/")) == {"refs/heads/main", "refs/heads/topic-1"}


async def test_heads_whose_names_exclude_each_other(bench: Bench) -> None:
    """An agent that renames `x` to `x/y` between two collections loses neither."""
    git(bench.agent, "branch", "x")
    git(bench.agent, "checkout", "--quiet", "x")
    first = commit_in(bench.agent, {"x.txt": "1"})
    await bench.take_in(bench.bundle())
    git(bench.agent, "branch", "--move", "x", "x/y")
    second = commit_in(bench.agent, {"x.txt": "2"})
    await bench.take_in(bench.bundle())
    kept = refs_of(bench.folder, f"{OWN}1-heads/")
    assert (kept[f"{OWN}1-heads/x"], kept[f"{OWN}1-heads/x%2Fy"]) == (first, second)


async def test_middle_of_a_rebase(bench: Bench) -> None:
    """While HEAD has left the branch for a rebase the task stands at its branch, and HEAD is kept beside it."""
    tip = commit_in(bench.agent, {"a.txt": "a"})
    await bench.take_in(bench.bundle())
    git(bench.agent, "checkout", "--quiet", "--detach", f"{bench.base}~1")
    half = commit_in(bench.agent, {"half.txt": "half"})
    taken = await bench.take_in(bench.bundle("HEAD", f"^{bench.base}", f"^{tip}"))
    assert taken == TakenIn(head=tip, branch_moved=True)
    assert bench.branch_head == tip
    assert bench.head(f"{OWN}1-heads/HEAD") == half
    git(bench.agent, "checkout", "--quiet", "-B", "topic-1")
    done = commit_in(bench.agent, {"done.txt": "done"})
    assert await bench.take_in(bench.bundle()) == TakenIn(head=done, branch_moved=True)


async def test_work_on_top_of_the_branch_counts_without_it(bench: Bench) -> None:
    """Commits that an agent made on another branch, on top of its own, are where the task stands."""
    commit_in(bench.agent, {"a.txt": "a"})
    git(bench.agent, "checkout", "--quiet", "-b", "elsewhere")
    work = commit_in(bench.agent, {"b.txt": "b"})
    assert await bench.take_in(bench.bundle()) == TakenIn(head=work, branch_moved=True)


def dirty_commit(agent: Path, content: str) -> str:
    """Make a commit of uncommitted work as a sandbox would, without moving anything of the agent's."""
    blob = git(agent, "hash-object", "-w", "--stdin", stdin=content.encode())
    tree = git(agent, "mktree", stdin=f"100644 blob {blob}\tdirty.txt\n".encode())
    commit = git(agent, "commit-tree", "-p", "HEAD", "-m", "uncommitted", tree)
    git(agent, "update-ref", intake.DIRTY, commit)
    return commit


async def test_uncommitted_work_is_kept_and_handed_out_again(bench: Bench) -> None:
    """A dirty tree comes in as a commit beside the head and leaves with the next checkout, as long as it fits."""
    dirty = dirty_commit(bench.agent, "one")
    assert await bench.take_in(bench.bundle(intake.DIRTY, f"^{bench.base}")) == TakenIn(
        None, branch_moved=True
    )
    checkout = await bench.clones.checkout("repo-1", "task-1", "main")
    assert checkout.ref == f"{OWN}base"
    assert f"{dirty} {OWN}1-dirty" in git(bench.folder, "bundle", "list-heads", str(checkout.bundle))
    work = commit_in(bench.agent, {"a.txt": "a"})
    await bench.take_in(bench.bundle())
    checkout = await bench.clones.checkout("repo-1", "task-1", "main")
    assert checkout.head == work
    assert "dirty" not in git(bench.folder, "bundle", "list-heads", str(checkout.bundle))
    dirty = dirty_commit(bench.agent, "two")
    await bench.take_in(bench.bundle(intake.DIRTY, f"^{work}"), 2)
    checkout = await bench.clones.checkout("repo-1", "task-1", "main")
    assert (checkout.ref, checkout.head) == (f"{OWN}2", work)
    assert f"{dirty} {OWN}2-dirty" in git(bench.folder, "bundle", "list-heads", str(checkout.bundle))


class Killed(BaseException):
    """What a SIGKILL between two steps looks like from inside."""


@pytest.mark.parametrize("step", ["_keep", "_follow", "_followed"])
@pytest.mark.parametrize("rest", ["bundle", "nothing"])
async def test_killed_between_two_steps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str, rest: str
) -> None:
    """Wherever the first take-in stops, the next one ends where an undisturbed one would.

    It gets the same bundle again, or none, when all its heads were kept before the end came.
    """
    await bench.take_in(bench.bundle("topic-1", "^topic-1~1"))
    old = bench.branch_head
    work = commit_in(bench.agent, {"a.txt": "a"})
    bundle = bench.bundle()
    _stop_before(monkeypatch, step)
    with pytest.raises(Killed):
        await bench.take_in(bundle)
    monkeypatch.undo()
    assert bench.branch_head == (work if step == "_followed" else old)
    assert work in await bench.clones.known_heads("repo-1", "task-1")
    taken = await bench.take_in(bundle if rest == "bundle" else None)
    assert taken == TakenIn(head=work, branch_moved=True)
    assert bench.branch_head == bench.head(f"{OWN}1") == bench.head(f"{OWN}branch") == work


def _stop_before(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Let the process 'die' before a step of the intake; `_followed` is after the branch moved, before that is noted."""
    if step != "_followed":

        async def die(*_: object) -> None:
            raise Killed

        monkeypatch.setattr(intake, step, die)
        return
    put = Clone.put

    async def put_or_die(self: Clone, doing: str, refs: dict[str, str]) -> None:
        if any(ref.endswith("/branch") for ref in refs):
            raise Killed
        await put(self, doing, refs)

    monkeypatch.setattr(Clone, "put", put_or_die)


async def test_crash_and_then_newer_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch follows newer work also when the crash came right after it was moved."""
    commit_in(bench.agent, {"a.txt": "a"})
    _stop_before(monkeypatch, "_followed")
    with pytest.raises(Killed):
        await bench.take_in(bench.bundle())
    monkeypatch.undo()
    newer = commit_in(bench.agent, {"a.txt": "b"})
    assert await bench.take_in(bench.bundle()) == TakenIn(head=newer, branch_moved=True)


def cut(bundle: Path) -> None:
    """Lose the end of the pack."""
    bundle.write_bytes(bundle.read_bytes()[:-30])


def garble(bundle: Path) -> None:
    """Change bytes in the middle of the pack."""
    content = bytearray(bundle.read_bytes())
    content[-60:-50] = bytes(10)
    bundle.write_bytes(content)


def replace(bundle: Path) -> None:
    """Put something else in its place."""
    bundle.write_bytes(b"not a bundle at all")


def remove(bundle: Path) -> None:
    """Take it away."""
    bundle.unlink()


@pytest.mark.parametrize("damage", [cut, garble, replace, remove])
async def test_damaged_bundle(bench: Bench, damage: Callable[[Path], None]) -> None:
    """A bundle that is not whole is Permanent and leaves every ref as it was; a whole one works afterwards."""
    commit_in(bench.agent, {"a.txt": "a" * 1000})
    bundle = bench.bundle()
    refs = refs_of(bench.folder)
    damage(bundle)
    with pytest.raises(Permanent, match="damaged"):
        await bench.take_in(bundle)
    assert refs_of(bench.folder) == refs
    assert (await bench.take_in(bench.bundle())).branch_moved


async def test_bundle_that_builds_on_unknown_commits(bench: Bench) -> None:
    """A bundle whose prerequisites the clone lacks is refused whole."""
    known = commit_in(bench.agent, {"a.txt": "a"})
    commit_in(bench.agent, {"a.txt": "b"})
    with pytest.raises(Permanent, match="does not have"):
        await bench.take_in(bench.bundle("HEAD", f"^{known}"))
    assert bench.branch_head is None


@pytest.mark.parametrize(
    "name",
    [
        "refs/heads/x:refs/heads/main",
        "refs/heads/*",
        "+refs/heads/x",
        "refs/heads/../../config",
        "^refs/heads/x",
    ],
)
async def test_forged_names_in_a_bundle(bench: Bench, name: str) -> None:
    """A name in a bundle's header that git would read as a refspec is refused; no ref of the clone moves."""
    work = commit_in(bench.agent, {"a.txt": "a"})
    bundle = bench.bundle("topic-1", f"^{bench.base}")
    line = f"{work} refs/heads/topic-1\n".encode()
    forged = line + f"{work} refs/heads/x\n{work} {name}\n".encode()
    bundle.write_bytes(bundle.read_bytes().replace(line, forged, 1))
    refs = refs_of(bench.folder)
    with pytest.raises(Permanent):
        await bench.take_in(bundle)
    assert refs_of(bench.folder) == refs
    assert work not in refs.values()


def planted_that_ran(folder: Path) -> list[str]:
    """Name the programs that left their mark."""
    return sorted(path.name for path in folder.glob("ran-*"))


async def test_hooks_and_fsmonitor_of_the_clone_do_not_run(bench: Bench, tmp_path: Path) -> None:
    """Programs planted in the clone's own folder or config are never started."""
    hooks = bench.folder / ".git" / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc", "post-update"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\n")
        (hooks / name).chmod(0o755)
    git(bench.folder, "config", "core.fsmonitor", f"touch {tmp_path}/ran-fsmonitor")
    commit_in(bench.agent, {"a.txt": "a"})
    assert (await bench.take_in(bench.bundle())).branch_moved
    await bench.clones.checkout("repo-1", "task-2", "topic-1")
    assert planted_that_ran(tmp_path) == []


async def test_tasks_do_not_mix(bench: Bench) -> None:
    """Collecting several tasks of a repo at once gives each its own refs and branch."""
    works = {}
    for number in range(2, 6):
        git(bench.agent, "checkout", "--quiet", "-B", "topic-1", bench.base)
        works[number] = (commit_in(bench.agent, {"n.txt": f"{number}"}), bench.bundle())
        await bench.clones.checkout("repo-1", f"task-{number}", "main")
    taken = {}

    async def one(number: int) -> None:
        _, bundle = works[number]
        taken[number] = await bench.clones.take_in("repo-1", f"task-{number}", 1, f"b-{number}", bundle)

    async with anyio.create_task_group() as tasks:
        for number in works:
            tasks.start_soon(one, number)
    for number, (work, _) in works.items():
        assert taken[number] == TakenIn(head=work, branch_moved=True)
        assert bench.head(f"refs/heads/b-{number}") == bench.head(f"refs/taskdock/task-{number}/1") == work


async def test_branch_names_that_git_refuses(bench: Bench) -> None:
    """A name that is no branch is Permanent before anything is taken in."""
    commit_in(bench.agent, {"a.txt": "a"})
    refs = refs_of(bench.folder)
    for branch in ("", "-x", "a..b", "a b", "x.lock", "HEAD", "refs/../x", "a:b"):
        with pytest.raises(Permanent, match="not a branch name"):
            await evolve(bench, branch=branch).take_in(bench.bundle())
    assert refs_of(bench.folder) == refs

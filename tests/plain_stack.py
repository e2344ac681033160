"""Plain stack: repo jobs on plain git alone, which really move branches; the fake beside git-spice.

Owns: `PlainStackJobs`: a second adapter of the stack port, for tests.
Never: shipped; it reads all branches for each question, and knows one remote and one network, this machine.
Reads as: conformance tests, tests without a git-spice -> this -> git.

The parent of a branch, and the commit of it that the branch stands on, are in the clone's own config. A snapshot is a
blob with the heads and parents under `refs/plain/<job>/`.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio
from attrs import define, field

from taskdock.adapters.clone.clone import sweep_locks
from taskdock.adapters.clone.git import GitClones
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobKind, JobResult, Moved
from taskdock.ports.stack import JobEnd, JobOrder, JobReport, StackTool
from taskdock.testing.conformance.clone_repos import ENVIRONMENT, GitRefused, git, head_of, refs_of

HEADS, REMOTE, PLAIN = "refs/heads/", "refs/remotes/origin/", "refs/plain/"
TRUNK = "main"
LOCK_SECONDS = 60.0
_COLLECTED = "taskdock"


class Stopped(Exception):
    """The job ends here."""

    def __init__(self, kind: JobErrorKind, reason: str) -> None:
        super().__init__(reason)
        self.failure = JobFailure(kind, reason, "look at the branches")


@define(eq=False)
class PlainRun:
    """One attempt in one clone."""

    folder: Path
    order: JobOrder
    report: JobReport
    conflicts: dict[str, tuple[str, ...]] = field(factory=dict)
    blocked: dict[str, str] = field(factory=dict)
    pushed: dict[str, str] = field(factory=dict)

    async def git(self, *arguments: str) -> str:
        """Run git in the clone."""
        return await git(self.folder, *arguments)

    async def heads(self) -> dict[str, str]:
        """Every branch."""
        refs = await refs_of(self.folder, HEADS)
        return {name.removeprefix(HEADS): head for name, head in refs.items()}

    async def parents(self) -> dict[str, tuple[str, str]]:
        """By branch of a stack: its parent, and the commit of it that the branch stands on; parents first."""
        try:
            text = await self.git("config", "--local", "--get-regexp", r"^plain\..*\.parent$")
        except GitRefused:
            return {}
        rows = (line.split(" ") for line in text.splitlines())
        known = {
            key.removeprefix("plain.").removesuffix(".parent"): (parent, base) for key, parent, base in rows
        }
        found: dict[str, tuple[str, str]] = {}
        while rest := [name for name in known if name not in found and known[name][0] in {TRUNK, *found}]:
            found |= {name: known[name] for name in sorted(rest)}
        return found

    async def set_parent(self, name: str, parent: str, base: str) -> None:
        """Note on what a branch stands."""
        await self.git("config", "--local", "--replace-all", f"plain.{name}.parent", f"{parent} {base}")

    async def move(self, name: str, new: str, old: str) -> None:
        """Move a branch from where it was seen."""
        await self.git("update-ref", "-m", f"job {self.order.job_id}", HEADS + name, new, old)

    async def note(self, which: str) -> None:
        """Keep how the branches stand."""
        text = json.dumps({"heads": await self.heads(), "parents": await self.parents()})
        await self.keep(self.order.job_id, which, text)

    async def keep(self, job_id: str, which: str, text: str) -> None:
        """Keep a text under a ref of the job."""
        done = await anyio.run_process(
            ["git", "-C", str(self.folder), "hash-object", "-w", "--stdin"],
            input=text.encode(),
            env=ENVIRONMENT,
        )
        await self.git("update-ref", f"{PLAIN}{job_id}/{which}", done.stdout.decode().strip())

    async def noted(self, job_id: str, which: str) -> dict[str, dict[str, str]] | None:
        """How they stood; None when nobody noted it."""
        try:
            found: dict[str, dict[str, str]] = json.loads(
                await self.git("cat-file", "blob", f"{PLAIN}{job_id}/{which}")
            )
        except GitRefused:
            return None
        return found

    async def tidy(self) -> None:
        """Put the clone in order."""
        sweep_locks(self.folder / ".git")
        with suppress(GitRefused):
            await self.git("rebase", "--quit")
        await self.git("checkout", "--quiet", "--force", "--detach", HEADS + TRUNK)
        await self.git("clean", "-ffdq")


class PlainStackJobs:
    """Implements `StackJobs` on the clones of `clones`."""

    def __init__(self, clones: GitClones) -> None:
        self.clones = clones

    async def probe(self) -> StackTool:
        """Plain git is always there."""
        return StackTool("plain-git", "v1")

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        """Do the job, step by step."""
        await report.checkpoint("lock")
        async with self.opened(order, report) as run:
            failure = None
            try:
                await self.work(run)
            except Stopped as reason:
                failure = reason.failure
            return await self.end(run, failure)

    async def settle(self, order: JobOrder) -> JobEnd:
        """Only tell."""
        async with self.opened(order, None) as run:
            await self.take_over(run)
            return await self.end(run, None)

    @asynccontextmanager
    async def opened(self, order: JobOrder, report: JobReport | None) -> AsyncIterator[PlainRun]:
        """Have the clone alone."""
        async with self.clones.locked(order.repo_id, LOCK_SECONDS):
            yield PlainRun(self.clones.path(order.repo_id), order, report or _Silent())

    async def work(self, run: PlainRun) -> None:
        """Every step but the lock and the end."""
        await run.report.checkpoint("preflight")
        await run.tidy()
        await run.report.checkpoint("snapshot")
        await self.snapshot(run)
        if run.order.kind is JobKind.UNDO:
            await run.report.checkpoint("act", 0, 1)
            await self.undo(run)
            return
        await run.report.checkpoint("pre_sync")
        await run.git("fetch", "--quiet", "--prune", "origin", f"+{HEADS}*:{REMOTE}*")
        await self.act(run)
        await run.report.checkpoint("post_sync")
        if run.order.push:
            await self.push(run)

    async def snapshot(self, run: PlainRun) -> None:
        """Note how the branches stand before the job, once."""
        if await run.noted(run.order.job_id, "before") is None:
            await run.note("before")
        else:
            await self.take_over(run)

    async def take_over(self, run: PlainRun) -> None:
        """What collected work moved meanwhile is none of the job's doing."""
        before = await run.noted(run.order.job_id, "before")
        if before is None:
            return
        for name, head in (await run.heads()).items():
            last = await run.git("log", "--walk-reflogs", "--max-count=1", "--format=%gs", HEADS + name, "--")
            if before["heads"].get(name) != head and last == _COLLECTED:
                before["heads"][name] = head
        await run.keep(run.order.job_id, "before", json.dumps(before))

    async def act(self, run: PlainRun) -> None:
        """What the kind asks for."""
        order = run.order
        if order.kind is JobKind.REGISTER_EXISTING_BRANCH:
            await run.report.checkpoint("act", 0, 1)
            await self.register(run, str(order.branch), order.parent or TRUNK)
            return
        await self.forward_trunk(run)
        if order.kind is JobKind.SYNC_REPO:
            return
        parents = await run.parents()
        if order.branch is not None and order.branch not in parents:
            raise Stopped(JobErrorKind.USER_ERROR, f"{order.branch} is in no stack")
        if order.kind is JobKind.REPARENT_BRANCH:
            await run.set_parent(str(order.branch), str(order.parent), parents[str(order.branch)][1])
        names = self.targets(order, parents)
        for number, name in enumerate(names):
            await run.report.checkpoint("act", number, len(names))
            await self.restack(run, name)

    def targets(self, order: JobOrder, parents: dict[str, tuple[str, str]]) -> list[str]:
        """The branches that it is about, parents first."""
        if order.branch is None:
            return list(parents)
        found = [order.branch]
        if order.kind is not JobKind.REBASE_BRANCH:
            for name, (parent, _) in parents.items():
                found += [name] if parent in found and name not in found else []
        return found

    async def register(self, run: PlainRun, name: str, parent: str) -> None:
        """Take a branch into the stack."""
        remote = await head_of(run.folder, REMOTE + name)
        own = await head_of(run.folder, HEADS + name)
        if own is None and remote is None:
            raise Stopped(JobErrorKind.USER_ERROR, f"there is no branch {name}")
        if own is None:
            await run.move(name, str(remote), "0" * 40)
        await run.set_parent(name, parent, await run.git("merge-base", HEADS + name, HEADS + parent))

    async def forward_trunk(self, run: PlainRun) -> None:
        """Follow the remote's trunk."""
        own, there = await head_of(run.folder, HEADS + TRUNK), await head_of(run.folder, REMOTE + TRUNK)
        if own != there:
            await run.move(TRUNK, str(there), str(own))

    async def restack(self, run: PlainRun, name: str) -> None:
        """Rebase a branch onto its parent; in conflict it stays where it is."""
        parent, base = (await run.parents())[name]
        if parent in run.conflicts or parent in run.blocked:
            run.blocked[name] = f"stacked on {parent}, which is in conflict"
            return
        onto, head = await head_of(run.folder, HEADS + parent), await head_of(run.folder, HEADS + name)
        if onto == await run.git("merge-base", str(onto), str(head)):
            await run.set_parent(name, parent, str(onto))
            return
        try:
            await run.git("rebase", "--quiet", "--onto", str(onto), base, str(head))
        except GitRefused:
            files = await run.git("diff", "--name-only", "--diff-filter=U")
            run.conflicts[name] = tuple(sorted(set(files.splitlines())))
            await self.take_back(run)
            return
        await run.move(name, await run.git("rev-parse", "HEAD"), str(head))
        await run.set_parent(name, parent, str(onto))

    async def take_back(self, run: PlainRun) -> None:
        """Leave nothing of a rebase that stopped."""
        await run.git("rebase", "--abort")

    async def push(self, run: PlainRun) -> None:
        """Push what moved, each from where it was seen on the remote."""
        refusals = []
        for name in sorted((await self.changed(run)).keys() - {TRUNK}):
            seen = await head_of(run.folder, REMOTE + name)
            lease = f"--force-with-lease={HEADS}{name}:{seen or ''}"
            try:
                await run.git("push", "--quiet", lease, "origin", f"{HEADS}{name}:{HEADS}{name}")
            except GitRefused as error:
                refusals += [] if "stale info" in str(error) else [str(error)]
                run.blocked[name] = "the remote has newer commits"
            else:
                run.pushed[name] = str(await head_of(run.folder, HEADS + name))
        if refusals:
            raise Stopped(JobErrorKind.CONFIG_ERROR, f"the remote refused the push: {refusals[0]}")

    async def undo(self, run: PlainRun) -> None:
        """Put back what a job moved, in one transaction."""
        job = str(run.order.undo_of)
        before, after = await run.noted(job, "before"), await run.noted(job, "after")
        if before is None or after is None:
            raise Stopped(JobErrorKind.USER_ERROR, f"nobody knows any more what {job} moved")
        heads, moves = await run.heads(), _difference(before["heads"], after["heads"])
        self.require_unmoved(moves, heads)
        orders = [
            f"update {HEADS}{name} {one.old} {heads[name]}"
            if one.old
            else f"delete {HEADS}{name} {heads[name]}"
            for name, one in moves.items()
            if heads.get(name) != one.old
        ]
        await anyio.run_process(
            ["git", "-C", str(run.folder), "update-ref", "--stdin"],
            input="".join(f"{order}\n" for order in orders).encode(),
            env=ENVIRONMENT,
        )
        for name, (parent, base) in before["parents"].items():  # type: ignore[str-unpack]
            await run.set_parent(name, parent, base)

    def require_unmoved(self, moves: dict[str, Moved], heads: dict[str, str]) -> None:
        """Refuse when a branch is neither where the job left it nor back already."""
        if any(heads.get(name) not in {one.old, one.new} for name, one in moves.items()):
            raise Stopped(JobErrorKind.DIVERGED, "a branch moved since; nothing was touched")

    async def changed(self, run: PlainRun) -> dict[str, Moved]:
        """What the job moved."""
        before = await run.noted(run.order.job_id, "before")
        return {} if before is None else _difference(before["heads"], await run.heads())

    async def end(self, run: PlainRun, failure: JobFailure | None) -> JobEnd:
        """Leave the clone in order, and tell."""
        await run.tidy()
        changed = await self.changed(run)
        await run.note("after")
        if failure is None and run.conflicts and not changed.keys() - {TRUNK}:
            failure = JobFailure(
                JobErrorKind.CONFLICT, f"in conflict: {', '.join(run.conflicts)}", "rebase by hand"
            )
        result = JobResult(changed, {}, run.blocked, run.conflicts, run.pushed)
        trunk = await head_of(run.folder, HEADS + TRUNK)
        return JobEnd(result, failure, await self.branches(run), trunk, datetime.now(UTC))

    async def branches(self, run: PlainRun) -> tuple[BranchSeen, ...]:
        """Trunk, then the stacks from the bottom up, then the rest."""
        heads, parents = await run.heads(), await run.parents()
        depths = {TRUNK: 0}
        seen = [BranchSeen(TRUNK, heads[TRUNK])]
        for name, (parent, _) in parents.items():
            if name in heads:
                depths[name] = depths[parent] + 1
                seen.append(BranchSeen(name, heads[name], parent, is_tracked=True, depth=depths[name]))
        seen += [BranchSeen(name, head) for name, head in heads.items() if name not in depths]
        return tuple(seen)


class _Silent:
    """A report that nobody hears."""

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Tell nobody."""

    async def progress(self, sentence: str) -> None:
        """Tell nobody."""


def _difference(before: dict[str, str], after: dict[str, str]) -> dict[str, Moved]:
    names = sorted({*before, *after})
    moves = {name: Moved(before.get(name), after.get(name)) for name in names}
    return {name: one for name, one in moves.items() if one.old != one.new}

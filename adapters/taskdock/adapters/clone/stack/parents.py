"""Parents: what is stacked on what, told to git-spice, or written down until there is one.

Owns: `register_existing_branch`, and the parents of branches that no git-spice knows yet (the clone's own config,
    `taskdock-stack.<branch>.parent`).
Never: a branch made from nothing: it is the clone's, or the remote's.
Reads as: jobs.py -> this -> tool.py, clone.py.
"""

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.refs import is_branch_name
from taskdock.adapters.clone.stack.failures import JobStopped, classify, stopped
from taskdock.adapters.clone.stack.listing import Listed, Stacks, parse, trunk_of
from taskdock.adapters.clone.stack.run import JobRun
from taskdock.adapters.clone.stack.sync import forward_branches, move
from taskdock.adapters.clone.stack.tool import GitSpice
from taskdock.core.job_record import JobErrorKind, JobFailure

_SECTION = "taskdock-stack"
_NONE = 1
"""What `git config` answers when nothing fits."""


async def prepare(run: JobRun, tool: GitSpice) -> Stacks:
    """Have git-spice know the clone, its trunk, and every parent that was written down while there was no git-spice."""
    if (await run.clone.resolve("refs/spice/data")) is None:
        await _init(run, tool)
    text = await run.listing(tool)
    if trunk_of(text) != run.trunk:
        await _init(run, tool)
        text = await run.listing(tool)
    stacks = parse(text, run.trunk)
    run.tracked = len(stacks.branches)
    written = await written_down(run.clone, run.trunk)
    if not written.branches:
        return stacks
    heads = await run.heads()
    for name in written.order():
        if name not in stacks and name in heads:
            await track(run, tool, name, written.branches[name].parent)
        await run.clone.configure("--remove-section", f"{_SECTION}.{name}")
    return await run.stacks(tool)


async def register(run: JobRun, fetched: JobFailure | None) -> None:
    """Take a branch into the stack; `fetched` is why the remote could not be asked, which matters only for its branches."""
    name = _name(run)
    own, remote = (await run.heads()).get(name), (await run.remote_heads()).get(name)
    if own is None and remote is None:
        if fetched is not None:
            raise JobStopped(fetched)
        hint = f"push {name} to the remote, then try again"
        raise stopped(JobErrorKind.USER_ERROR, f"neither the remote nor the clone has a branch {name}", hint)
    stacks = await _known(run)
    parent = run.order.parent or (stacks.branches[name].parent if name in stacks else run.trunk)
    if run.order.if_stacked and not _is_stacked(stacks, parent):
        run.skipped[name] = f"{parent} is in no stack; register that one first, then {name}"
        return
    _check(stacks, name, parent)
    if own is None:
        await move(run, name, None, str(remote))
    elif await forward_branches(run, [name]):
        hint = "bring the two together on one side, then sync"
        raise stopped(
            JobErrorKind.DIVERGED, f"{name} was moved both here and on the remote; nothing was touched", hint
        )
    if run.tool is None:
        await run.clone.configure("--replace-all", f"{_SECTION}.{name}.parent", parent)
    else:
        await track(run, run.tool, name, parent)


async def track(run: JobRun, tool: GitSpice, name: str, parent: str) -> None:
    """Tell git-spice on which branch this one is stacked; nothing is rebased."""
    result = await run.call(tool, "branch", "track", name, "--base", parent)
    now = await run.stacks(tool)
    if name not in now or now.branches[name].parent != parent:
        raise JobStopped(classify(result, f"registering {name} on {parent}"))


async def written_down(clone: Clone, trunk: str) -> Stacks:
    """Read the parents that no git-spice was told yet."""
    pattern = rf"^{_SECTION}\..*\.parent$"
    result = await clone.git("config", "--local", "-z", "--get-regexp", pattern)
    if result.exit_code not in {0, _NONE}:
        raise clone.failed(result, "reading the config of the clone")
    rows = (entry.partition("\n") for entry in result.text.split("\0") if entry)
    found = {key.removeprefix(f"{_SECTION}.").removesuffix(".parent"): parent for key, _, parent in rows}
    return Stacks(trunk, {name: Listed(name=name, parent=parent) for name, parent in found.items()})


async def _known(run: JobRun) -> Stacks:
    if run.tool is None:
        return await written_down(run.clone, run.trunk)
    return await run.stacks(run.tool)


async def _init(run: JobRun, tool: GitSpice) -> None:
    result = await run.call(tool, "repo", "init", "--trunk", run.trunk, "--remote", "origin")
    if result.exit_code != 0:
        raise JobStopped(classify(result, "telling git-spice about the clone"))


def _name(run: JobRun) -> str:
    name = run.order.branch or ""
    if not is_branch_name(name):
        raise stopped(JobErrorKind.USER_ERROR, f"{name[:80]!r} is not a branch name that git takes")
    if name == run.trunk:
        raise stopped(JobErrorKind.USER_ERROR, f"{name} is trunk, and belongs to no stack", "name another")
    return name


def _is_stacked(stacks: Stacks, parent: str) -> bool:
    return parent == stacks.trunk or parent in stacks


def _check(stacks: Stacks, name: str, parent: str) -> None:
    if not _is_stacked(stacks, parent):
        raise stopped(JobErrorKind.USER_ERROR, f"{parent} is in no stack", f"register {parent} first")
    if parent in stacks.upstack(name):
        hint = f"choose a parent that is not {name} itself nor stacked on it"
        raise stopped(
            JobErrorKind.USER_ERROR, f"{name} cannot be stacked on {parent}: that makes a cycle", hint
        )

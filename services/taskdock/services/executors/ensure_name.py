"""Ensure name: title, branch and base of a task.

Owns: the executor of `EnsureName`.
Never: a reservation; the branch is held by the commit of the outcome, and a collision there is a new attempt.
Reads as: scheduler -> `ensure_name` -> namer, clone -> NameEnsured.
"""

from taskdock.core.errors import Permanent, PortError
from taskdock.core.inputs import NameEnsured
from taskdock.core.intents import EnsureName
from taskdock.core.repo import Repo
from taskdock.core.values import automatic_branch
from taskdock.ports.naming import NameProposal, NameRequest
from taskdock.services.execution import Execution
from taskdock.services.tools import Tools

_PROMPT_CHARACTERS_MAX = 4_000
_SUFFIXES_MAX = 20


async def ensure_name(body: EnsureName, execution: Execution, tools: Tools) -> NameEnsured:
    """Keep what the user gave, propose the rest; an explicit branch is Permanent where it is and should not be, or the reverse."""
    await execution.start()
    if body.is_kept:
        return _kept(body)
    heads = await tools.clones.branch_heads(body.repo_id)
    _check_branch(body, heads)
    note = None
    proposal = NameProposal(body.title or "", "")
    if body.title is None or body.branch is None:
        proposal, note = await _propose(body, tools)
    return NameEnsured(
        title=body.title or proposal.title,
        branch=body.branch or _free_branch(body, proposal.slug, heads),
        base=body.base or await _trunk(body, tools),
        note=note,
    )


def _check_branch(body: EnsureName, heads: dict[str, str]) -> None:
    """A new branch must not be there yet; one that is worked on must be."""
    if body.branch is None or (body.branch in heads) is body.is_there:
        return
    if body.is_there:
        raise Permanent(
            f"branch_missing: the repo has no branch {body.branch!r} any more. Push it, sync the repo, then retry."
        )
    raise Permanent(
        f"branch_exists: the repo has a branch {body.branch!r} already. Give the task another one with `task set-branch`, then "
        "retry."
    )


def _kept(body: EnsureName) -> NameEnsured:
    """The name from before: its branch may exist by now, and is the task's own."""
    assert body.title is not None
    assert body.branch is not None
    assert body.base is not None
    return NameEnsured(body.title, body.branch, body.base)


async def _propose(body: EnsureName, tools: Tools) -> tuple[NameProposal, str | None]:
    text = await tools.reads.message_text(body.message_id) or ""
    request = NameRequest(text[:_PROMPT_CHARACTERS_MAX])
    try:
        return await tools.namer.propose(request), None
    except PortError as error:
        note = f"The namer {tools.namer.id!r} failed ({error.reason}); the heuristic named the task."
        return await tools.fallback_namer.propose(request), note


def _free_branch(body: EnsureName, slug: str, heads: dict[str, str]) -> str:
    """The first suffix that the repo does not have; the attempt moves the start, so a held name is left behind."""
    start = (body.attempt - 1) * _SUFFIXES_MAX
    for number in range(start, start + _SUFFIXES_MAX):
        branch = automatic_branch(slug, body.task_id, number)
        if branch not in heads:
            return branch
    raise Permanent(f"name_taken: {_SUFFIXES_MAX} names made from {slug!r} are all branches of the repo.")


async def _trunk(body: EnsureName, tools: Tools) -> str:
    found = await tools.reads.record("repo", body.repo_id)
    assert found is not None and isinstance(found.record, Repo) and found.record.trunk is not None
    return found.record.trunk

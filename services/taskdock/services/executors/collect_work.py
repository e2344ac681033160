"""Collect work: the task's commits come into the service clone.

Owns: the executor of `CollectWork`.
Never: a silent loss; what is in no commit is named, and a sandbox that was made anew is not taken for the one with the work.
Reads as: scheduler -> `collect_work` -> access (bundle out), clone (take in) -> WorkCollected.
"""

from taskdock.core.errors import Unreachable
from taskdock.core.inputs import WorkCollected
from taskdock.core.intents import CollectWork
from taskdock.services.checkout import bundle_out, files_kept, uncommitted_files
from taskdock.services.execution import Execution
from taskdock.services.links import SERVICE
from taskdock.services.sandboxes import mark_of, ref_of
from taskdock.services.tools import Tools


async def collect_work(body: CollectWork, _execution: Execution, tools: Tools) -> WorkCollected:
    """Bundle what the clone does not have and take it in; with `quiesce` the agent is stopped first."""
    access = tools.sites.of(body.sandbox).access
    ref = ref_of(body.sandbox)
    await _refuse_another(body, tools)
    if body.quiesce:
        await access.stop_service(ref, SERVICE)
    known = await tools.clones.known_heads(body.repo_id, body.sandbox.task_id)
    bundle = await bundle_out(access, ref, known)
    try:
        taken = await tools.clones.take_in(
            body.repo_id, body.sandbox.task_id, body.sandbox.generation, body.branch, bundle
        )
    finally:
        if bundle is not None:
            bundle.unlink(missing_ok=True)
    left = await uncommitted_files(access, ref) if body.quiesce else ()
    kept = await files_kept(access, ref)
    return WorkCollected(taken.head, taken.branch_moved, left, kept)


async def _refuse_another(body: CollectWork, tools: Tools) -> None:
    """Unreachable when the sandbox is not the one that has the work: that one cannot be asked any more."""
    mark = mark_of(await tools.sites.of(body.sandbox).provider.observe(ref_of(body.sandbox)))
    if body.mark and mark and mark != body.mark:
        raise Unreachable(
            f"The sandbox {body.sandbox.name} was made anew; the one with the task's work is gone."
        )

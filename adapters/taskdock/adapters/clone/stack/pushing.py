"""Pushing: moved branches to the remote, each only from where the job saw it there.

Owns: the one push of a job, and what the remote answered for each branch.
Never: `--force` alone, or a lease without a commit: after a fetch that would overwrite what somebody just pushed.
Reads as: jobs.py, undo.py -> this -> sync.py runs the git.
"""

from collections.abc import Mapping

from attrs import frozen

from taskdock.adapters.clone.failures import NETWORK, failure
from taskdock.adapters.clone.process import GitResult
from taskdock.adapters.clone.refs import BRANCHES
from taskdock.adapters.clone.stack import snapshot
from taskdock.adapters.clone.stack.failures import JobStopped, failure_of, stopped
from taskdock.adapters.clone.stack.run import JobRun
from taskdock.adapters.clone.stack.sync import network_git
from taskdock.core.job_record import JobErrorKind, Moved

_DOING = "pushing to the remote"
_STALE = ("stale info", "fetch first", "remote ref updated since checkout")
_NEWER = "the remote has newer commits; sync, then do it again"
_FIELDS = 3


@frozen
class Answer:
    """What the remote said about one branch."""

    accepted: bool
    reason: str = ""

    @property
    def is_newer(self) -> bool:
        """Whether somebody pushed there meanwhile."""
        return any(words in self.reason for words in _STALE)


async def push(run: JobRun) -> None:
    """Push what the job moved, and the branch that it was about; what somebody pushed meanwhile is left, and told."""
    heads, remote = await run.heads(), await run.remote_heads()
    moved = await snapshot.changed(run.clone, run.order.job_id)
    names = sorted({*moved, *([run.order.branch] if run.order.branch else [])} - {run.trunk})
    moves = {name: Moved(remote.get(name), heads[name]) for name in names if name in heads}
    wanted = {
        name: move
        for name, move in moves.items()
        if move.old != move.new and name not in run.blocked and name not in run.conflicts
    }
    if not wanted:
        return
    await snapshot.take_remote(run)
    answers = await send(run, wanted)
    for name, answer in answers.items():
        if answer.accepted:
            run.pushed[name] = heads[name]
        elif answer.is_newer:
            run.blocked[name] = _NEWER
    _refuse(answers)


async def send(run: JobRun, moves: Mapping[str, Moved]) -> dict[str, Answer]:
    """Push each branch from the head that the remote must have (None: no such branch) to the new one (None: none)."""
    leases = [f"--force-with-lease={BRANCHES}{name}:{move.old or ''}" for name, move in moves.items()]
    targets = [f"{move.new or ''}:{BRANCHES}{name}" for name, move in moves.items()]
    result = await network_git(run, _DOING, "push", "--porcelain", *leases, "origin", *targets)
    answers = {name: _answer(columns) for name, columns in _lines(result)}
    if result.exit_code != 0 and not answers:
        raise JobStopped(
            failure_of(failure(result.exit_code, result.stderr, _DOING, rows=NETWORK), network=True)
        )
    return answers


def _lines(result: GitResult) -> list[tuple[str, list[str]]]:
    """Read the flag, `<from>:<to>` and what happened, parted by tabs, one line a branch."""
    rows = [line.split("\t") for line in result.text.splitlines()]
    rows = [row for row in rows if len(row) == _FIELDS]
    return [(row[1].partition(":")[2].removeprefix(BRANCHES), row) for row in rows]


def _answer(columns: list[str]) -> Answer:
    return Answer(accepted=not columns[0].startswith("!"), reason=columns[2])


def _refuse(answers: Mapping[str, Answer]) -> None:
    """End the job when the remote took a branch for none of the reasons that a sync helps against."""
    refused = [f"{name} {answer.reason}" for name, answer in answers.items() if _is_refusal(answer)]
    if refused:
        hint = "look at the hooks and the branch protection of the remote; the branches are moved here"
        raise stopped(
            JobErrorKind.CONFIG_ERROR, f"the remote refused the push: {'; '.join(refused[:3])}", hint
        )


def _is_refusal(answer: Answer) -> bool:
    return not answer.accepted and not answer.is_newer

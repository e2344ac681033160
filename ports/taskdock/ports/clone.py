"""Clone: the port to the service-owned clones, the only place where git runs on the host.

Owns: `CloneStore` and its shapes.
Never: a work tree of a person or an agent; a hook, fsmonitor or config of a repository run by us (all switched off).
Reads as: services/executors -> this Protocol -> adapters/clone/git.py.

A service clone has a detached work tree, fetches `+refs/heads/*:refs/remotes/origin/*`, and belongs to one repo id.
Code goes into a sandbox as a bundle made here (never shallow) and comes out as a bundle taken in here.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from attrs import frozen

Progress = Callable[[str], Awaitable[None]]
"""Called with one sentence for people, e.g. 'Receiving objects: 43 % (3,210 of 7,400)'. Lossy and throttled above."""


@frozen
class Cloned:
    """A finished clone: the remote's default branch and the commit it points to (40 hex digits)."""

    trunk: str
    head: str


@frozen
class Checkout:
    """What a sandbox needs to stand where the task stands."""

    bundle: Path
    """A git bundle holding `head`; the caller deletes it."""
    head: str
    """The commit to check out, 40 hex digits."""
    ref: str
    """The full ref name inside the bundle that holds `head`."""


@frozen
class TakenIn:
    """Where the task stands after a bundle: its newest commit (None: it never made one), and whether our branch followed.

    The head is told also when the bundle brought nothing new, so that a crash before the outcome hides none.
    """

    head: str | None
    branch_moved: bool
    """False when the branch had moved elsewhere meanwhile; the work is kept under the task's own ref all the same."""


class CloneStore(Protocol):
    """Service clones on this host. Raises only `PortError`s."""

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        """Make or finish the clone of `remote`; idempotent by repo id: what a crash left half-made is made anew.

        `Permanent` for a remote that does not exist or is empty, `AuthFailed` for refused credentials, `Transient` for
        everything a network does; the log tail holds git's words without credentials.
        """
        ...

    async def branch_heads(self, repo_id: str) -> dict[str, str]:
        """Every branch known of the remote and in the clone itself: name -> head. No network."""
        ...

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        """Pin where the task starts (`refs/taskdock/<task>/base`, once, never moved again) and bundle where it stands.

        The task stands at its last collected head when there is one, else at its base. `base` is a branch or commit;
        `Permanent` when the clone has no such thing.
        """
        ...

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        """Fetch a bundle (its HEAD and branches) into `refs/taskdock/<task>/<generation>` and move the task's branch.

        The branch moves by compare-and-set from the head we last took in (zero for the first), never by force.
        `bundle` None means that the sandbox had nothing new. Idempotent: the same bundle twice changes nothing.
        """
        ...

    async def known_heads(self, repo_id: str, task_id: str) -> tuple[str, ...]:
        """Commits of the task that the clone has already (base and collected), to leave out of a bundle."""
        ...

    async def tasks_with_work(self, repo_id: str) -> tuple[str, ...]:
        """Every task of which the clone keeps work, sorted: a task that goes on needs the clone for it. None without a clone."""
        ...

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        """Remove the clone for good, if nothing in it is nowhere else; idempotent, also where a crash came in between.

        The remote is asked; what it does not have now (a commit, an uncommitted change, somebody's work tree) is a
        `Permanent` that names it and where the clone is, and nothing is touched. A remote that does not answer proves
        nothing: it raises as `clone` does. `begin` is awaited right before the first file goes, under the clone's lock; what
        it raises is raised on, and the clone is still whole.
        """
        ...

    def path(self, repo_id: str) -> Path:
        """Where the clone is on this host, for showing to people."""
        ...

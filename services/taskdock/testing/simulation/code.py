"""Code: what git keeps, in the simplest form in which it can be lost: edits, with a commit or without.

Owns: `Tree` (a checkout), `Clones` (the service's side).
Never: an edit that vanishes by itself.
Reads as: agents.py edits and commits; carrier.py carries between the two.
"""

from attrs import evolve, field, frozen, mutable

from taskdock.core.errors import Permanent

TRUNK = "main"
TRUNK_HEAD = "0" * 40
OTHERS = ("side/low", "side/high")
"""Branches of people, which no task has."""


@frozen
class State:
    """How a checkout stands: its newest commit, the edits in commits, and those in none."""

    head: str = TRUNK_HEAD
    committed: frozenset[str] = frozenset()
    uncommitted: frozenset[str] = frozenset()

    @property
    def edits(self) -> frozenset[str]:
        """All of them."""
        return self.committed | self.uncommitted


@mutable(eq=False)
class Tree:
    """A checkout in a sandbox."""

    state: State
    branch: str

    def edit(self, name: str) -> None:
        """Change a file."""
        self.state = evolve(self.state, uncommitted=self.state.uncommitted | {name})

    def commit(self, name: str) -> None:
        """Put every edit into a commit."""
        self.state = State(name, self.state.edits)


@mutable(eq=False)
class Kept:
    """What the clone has of one task."""

    start: str | None = None
    """Where its first checkout stood."""
    newest: State | None = None
    edits: frozenset[str] = frozenset()
    """Every edit that is under one of the task's own refs."""
    followed: str | None = None
    """Where its branch was put last."""
    repo_id: str = ""
    branch: str = ""
    in_branch: frozenset[str] = frozenset()
    """The edits that its branch has."""


@mutable(eq=False)
class Clones:
    """The service's clones, with the branches of their remotes."""

    branches: dict[str, dict[str, str]] = field(factory=dict)
    """By repo: the branches that it knows, and their heads."""
    kept: dict[str, Kept] = field(factory=dict)
    """By task."""
    elsewhere: dict[str, frozenset[str]] = field(factory=dict)
    """By task: the edits that its remote has."""

    def clone(self, repo_id: str, remote: str) -> str:
        """Make a clone, or find it; trunk's head."""
        if "missing" in remote:
            raise Permanent(f"There is no repository at {remote}.")
        self.branches.setdefault(repo_id, {TRUNK: TRUNK_HEAD, **{name: f"{name}-1" for name in OTHERS}})
        return TRUNK_HEAD

    def start_of(self, repo_id: str, task_id: str, base: str) -> State:
        """Where a task stands: at its newest work, else at its base."""
        heads = self.branches.get(repo_id, {})
        if base not in heads:
            raise Permanent(f"The clone has no branch {base!r}.")
        kept = self.kept.setdefault(task_id, Kept())
        kept.start = kept.start or heads[base]
        return kept.newest or State(heads[base])

    def take_in(self, repo_id: str, task_id: str, branch: str, state: State) -> bool:
        """Keep how a checkout stands; what was kept before stays, too. Whether the branch followed.

        It does not when somebody else moved it since.
        """
        kept = self.kept.setdefault(task_id, Kept())
        kept.repo_id = repo_id
        ours = (None, kept.start, kept.followed, kept.newest and kept.newest.head, state.head)
        kept.newest = state
        kept.edits |= state.edits
        heads = self.branches.setdefault(repo_id, {})
        if state.head == kept.start:
            return True
        if heads.get(branch) not in ours:
            return False
        heads[branch] = kept.followed = state.head
        kept.branch, kept.in_branch = branch, state.committed
        return True

    def push(self, repo_id: str, branch: str) -> None:
        """The remote gets a branch, and what tasks have put into it."""
        for task_id, kept in self.kept.items():
            if (kept.repo_id, kept.branch) == (repo_id, branch):
                self.elsewhere[task_id] = self.elsewhere.get(task_id, frozenset()) | kept.in_branch

    def tasks_with_work(self, repo_id: str) -> tuple[str, ...]:
        """The tasks whose work is in a clone."""
        return tuple(sorted(task_id for task_id, kept in self.kept.items() if kept.repo_id == repo_id))

    def demand_all_elsewhere(self, repo_id: str) -> None:
        """Permanent while the remote has not all that is in the clone."""
        for task_id in self.tasks_with_work(repo_id):
            if not self.kept[task_id].edits <= self.elsewhere.get(task_id, frozenset()):
                raise Permanent(f"The remote has not all of {task_id}.")

    def remove(self, repo_id: str) -> None:
        """Take the clone away, with all that is in it."""
        self.branches.pop(repo_id, None)
        for task_id in self.tasks_with_work(repo_id):
            del self.kept[task_id]

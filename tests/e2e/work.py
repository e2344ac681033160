"""Work: what a user's agent leaves in a sandbox, and where it is found again.

Owns: `Work`, which makes a commit and an uncommitted edit through the agent, and looks for both from outside.
Never: a look through Taskdock's own eyes; it reads files and asks git.
Reads as: a test -> `do_work` -> the agent; later `Work.is_in_checkout`, `Work.is_in_clone`.
"""

from pathlib import Path

from attrs import frozen

from e2e.installation import ended
from e2e.providers import hand_over, under_test
from git_repos import git, refs_of
from taskdock.app import Dock, TaskView
from taskdock.services.receipts import TaskReceipt

COMMITTED = "Write down the cursor"
EDITED = "Draft the pages"
LATE = "late.txt"


@frozen
class Work:
    """A commit and an uncommitted edit of a task: the agent's, and one that nobody told Taskdock of."""

    home: Path
    task_id: str
    repo_id: str
    commit: str
    edits: dict[str, str]

    def checkout(self, generation: int) -> Path:
        """The checkout in the sandbox of a generation."""
        return checkout_of(self.home, self.task_id, generation)

    def is_in_checkout(self, generation: int) -> None:
        """Assert that the commit is the head there, and that the edits are there, uncommitted."""
        checkout = self.checkout(generation)
        assert git(checkout, "rev-parse", "HEAD") == self.commit
        assert {name: (checkout / name).read_text() for name in self.edits} == self.edits
        status = git(checkout, "status", "--porcelain", "--untracked-files=all").splitlines()
        assert {line[3:] for line in status} == set(self.edits)

    def is_in_clone(self, generation: int) -> None:
        """Assert that the service clone keeps the commit and, beside it, the edits."""
        clone = self.home / "repos" / self.repo_id
        refs = refs_of(clone, f"refs/taskdock/{self.task_id}/")
        kept = f"refs/taskdock/{self.task_id}/{generation}"
        assert refs[kept] == self.commit
        assert git(clone, "rev-parse", f"{kept}-dirty^") == self.commit
        changed = git(clone, "diff", "--name-only", kept, f"{kept}-dirty").splitlines()
        assert set(changed) == set(self.edits)
        found = {name: git(clone, "show", f"{kept}-dirty:{name}") + "\n" for name in self.edits}
        assert found == self.edits


def checkout_of(home: Path, task_id: str, generation: int) -> Path:
    """The checkout in the sandbox of a task's generation."""
    (box,) = [one for one in under_test().boxes(home) if one.name.endswith(f"-{task_id}-g{generation}")]
    return box.path / "home" / "checkout"


async def do_work(dock: Dock, receipt: TaskReceipt, *, late: bool = True) -> Work:
    """Let the agent commit (its first prompt has to), then edit without a commit; see both in the sandbox.

    With `late` one more edit is made that belongs to no turn, so that only a collection after this brings it out.
    """
    await ended(dock, receipt.task_id, 1)
    await dock.send(receipt.tab_id or "", f"{EDITED}\ndemo: dirty")
    view = await ended(dock, receipt.task_id, 2)
    return look_at_work(dock, view, receipt, late=late)


def look_at_work(dock: Dock, view: TaskView, receipt: TaskReceipt, *, late: bool) -> Work:
    """Read what the agent left, and add the late edit."""
    checkout = checkout_of(dock.home, view.task.id, view.task.generation)
    if late:
        (checkout / LATE).write_text("nobody told of this\n")
        hand_over(checkout / LATE)
    status = git(checkout, "status", "--porcelain", "--untracked-files=all").splitlines()
    edits = {line[3:]: (checkout / line[3:]).read_text() for line in status}
    assert len(edits) == 1 + late, status
    commit = git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "log", "-1", "--format=%s") == f"Note: {COMMITTED}"
    return Work(dock.home, view.task.id, receipt.repo_id or "", commit, edits)

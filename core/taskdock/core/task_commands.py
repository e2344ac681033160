"""Task commands: what users ask of a task as a whole.

Owns: the handlers of create, retry, stop, resume, archive, unarchive, kill, rename and set branch.
Never: a status; a command fires its trigger, and what has no row is a Conflict or is under way already.
Reads as: task_boundary.step -> a handler here -> the task table.
"""

from datetime import datetime

from attrs import evolve

from taskdock.core import inputs
from taskdock.core import task as tasks
from taskdock.core import task_record as at
from taskdock.core.change import BranchHold, Draft
from taskdock.core.errors import Conflict
from taskdock.core.history import HistoryKind
from taskdock.core.machine import Fired, fire, must_fire
from taskdock.core.tab_commands import open_tab
from taskdock.core.task_actions import branch_may_change, conflict
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import Task, TaskStatus
from taskdock.core.turns import the_task
from taskdock.core.values import first_line

_UNDER_WAY = {
    "stop": (TaskStatus.STOPPING, TaskStatus.STOPPED),
    "archive": (TaskStatus.ARCHIVING, TaskStatus.ARCHIVED),
    "kill": (TaskStatus.KILLING, TaskStatus.KILLED),
    "resume": (TaskStatus.STOPPING,),
}
"""Where a command that no row takes asks for what is happening already."""


def create(draft: Draft, command: inputs.CreateTask) -> str | None:
    """Make the task and its first tab, with the prompt as first message, in one commit."""
    if draft.slice.version:
        raise Conflict(f"The task {command.task_id!r} exists already.")
    draft.workspace = command.workspace
    branch = command.on_branch or command.branch
    draft.put(
        Task(
            id=command.task_id,
            workspace=command.workspace,
            owner=command.owner,
            repo_id=command.repo_id,
            provider=command.provider,
            agent=command.agent,
            first_message_id=command.message_id,
            title=command.title or first_line(command.prompt),
            title_given=command.title is not None,
            branch=branch,
            branch_given=branch is not None,
            base=command.on_branch or command.base,
            on_branch=command.on_branch is not None,
            is_attached=_is_fresh(draft, command.branch_read_at),
            model=command.model,
            permission_mode=command.permission_mode,
            repo_is_ready=command.repo_is_ready,
            created_at=draft.now,
            updated_at=draft.now,
        )
    )
    draft.needs_repo = command.repo_id
    if branch is not None:
        draft.hold = BranchHold(command.repo_id, branch, command.task_id)
    draft.note(HistoryKind.TASK_CREATED, repo=command.repo_id, provider=command.provider, agent=command.agent)
    must_fire(tasks.MACHINE, TaskCursor(draft, command.task_id), "create")
    return open_tab(
        draft,
        inputs.OpenTab(command.tab_id, None, command.agent, command.message_id, command.prompt),
    )


def _is_fresh(draft: Draft, read_at: datetime | None) -> bool:
    """Whether the repo's branches were read so lately that the one which was among them counts as there."""
    return read_at is not None and read_at >= draft.after(-draft.figures.branch_fresh_seconds)


def retry(draft: Draft, command: inputs.RetryTask) -> str | None:
    """Go on from where it failed."""
    return _fired(draft, "retry", command)


def stop(draft: Draft, command: inputs.StopTask) -> str | None:
    """Bring the work out and stop the sandbox; a stop behind a resume takes that back."""
    return _fired(draft, "stop", command)


def resume(draft: Draft, command: inputs.ResumeTask) -> str | None:
    """Start it again, at once or as soon as it is stopped."""
    if the_task(draft).at in at.PROVISIONED_BY:
        return "the task is up, or on its way"
    return _fired(draft, "resume", command)


def archive(draft: Draft, command: inputs.ArchiveTask) -> str | None:
    """Bring the work out and release the sandbox."""
    return _fired(draft, "archive", command)


def unarchive(draft: Draft, command: inputs.UnarchiveTask) -> str | None:
    """Provision it again; the branch is held again in this very commit, else another task has it."""
    task = the_task(draft)
    if task.at == at.ARCHIVED:
        # The repo may have been removed and added again meanwhile: then its clone is being made.
        draft.needs_repo = task.repo_id
        draft.put(evolve(task, repo_is_ready=command.repo_is_ready))
    return _fired(draft, "unarchive", command)


def kill(draft: Draft, command: inputs.KillTask) -> str | None:
    """End it for good."""
    return _fired(draft, "kill", command)


def _fired(draft: Draft, trigger: str, command: object) -> str | None:
    task = the_task(draft)
    if fire(tasks.MACHINE, TaskCursor(draft, task.id, input_=command), trigger) is Fired.MOVED:
        return None
    if task.status in _UNDER_WAY.get(trigger, ()):
        return f"{trigger} is under way already"
    raise conflict(draft, f"A task that is {task.status.value} cannot be asked to {trigger}.", task)


def rename(draft: Draft, command: inputs.RenameTask) -> str | None:
    """Give it another title, whatever its status; the branch stays."""
    task = the_task(draft)
    if task.title == command.title and task.title_given:
        return "it has this title already"
    draft.put(evolve(task, title=command.title, title_given=True, updated_at=draft.now))
    draft.note(HistoryKind.TASK_RENAMED, title=command.title)
    return None


def set_branch(draft: Draft, command: inputs.SetBranch) -> str | None:
    """Give it another branch name, as long as nothing outside has the old one."""
    task = the_task(draft)
    if not branch_may_change(task):
        raise conflict(
            draft,
            f"The branch of a task that is {task.status.value} is settled: its sandbox was begun, or it is ended.",
            task,
        )
    if task.branch == command.branch:
        return "it has this branch already"
    if task.branch is not None:
        draft.release = BranchHold(task.repo_id, task.branch, task.id)
    draft.hold = BranchHold(task.repo_id, command.branch, task.id)
    draft.put(evolve(task, branch=command.branch, branch_given=True, is_named=False, updated_at=draft.now))
    fire(tasks.MACHINE, TaskCursor(draft, task.id), "set_branch")
    return None

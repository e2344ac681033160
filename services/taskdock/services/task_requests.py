"""Task requests: create a task, and everything that may be asked of one as a whole.

Owns: `TaskRequests`, the only place that makes tasks.
Never: a decision about what fits the task's status; that is the core's.
Reads as: tab_requests.py and the dock stand on this -> `Workbench._ask_task` -> Stepper.submit.
"""

from attrs import evolve, frozen

from taskdock.core import inputs, values
from taskdock.core.branches import Branches
from taskdock.core.errors import InvalidCommand
from taskdock.core.repo import Repo, RepoStatus
from taskdock.services.job_requests import JobRequests
from taskdock.services.receipts import TaskReceipt
from taskdock.services.requests import Request
from taskdock.services.stepping import Decision
from taskdock.services.workbench import DEFAULT_WORKSPACE, of_task


@frozen
class TaskRequests(JobRequests):
    """What may be asked about tasks. What is asked for and under way already is a success that changes nothing."""

    async def create_task(  # noqa: PLR0913 - a create names everything that cannot be changed later
        self,
        *,
        prompt: str,
        repo: str,
        title: str | None = None,
        branch: str | None = None,
        base: str | None = None,
        on_branch: str | None = None,
        provider: str | None = None,
        agent: str | None = None,
        model: str | None = None,
        permission_mode: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TaskReceipt:
        """Create a task with its first tab, whose first message is the prompt.

        `repo` is a repo's id, its name, or a remote; an unknown remote is registered in the same commit and cloned in
        the background. `branch` is the name of the new branch (else one is made from the prompt), `base` the branch or
        commit that it starts from (else the trunk). Instead of both, `on_branch` names a branch that is there already, which
        the task then works on: at once when the repo's branches were read lately and it was among them, else as soon as a
        job has registered it. `model` and `permission_mode` are the agent's own words for what its
        sessions use; without them it has its own.
        """
        body = {"prompt": prompt, "repo": repo, "title": title, "branch": branch, "base": base}
        # Left out where it was not given: keys from before it could be are still good.
        body |= {} if on_branch is None else {"on_branch": on_branch}
        body |= {"provider": provider, "agent": agent, "model": model, "permission_mode": permission_mode}
        request = Request("create_task", TaskReceipt, workspace, key, body)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        command = inputs.CreateTask(
            task_id=self.clock.new_id("task"),
            tab_id=self.clock.new_id("tab"),
            message_id=self.clock.new_id("message"),
            workspace=workspace,
            owner=self.owner,
            repo_id="",
            repo_is_ready=False,
            prompt=values.check_prompt(prompt),
            provider=self.offer.provider(provider),
            agent=self.offer.agent(agent),
            title=named(title, "title"),
            branch=None if branch is None else values.check_branch(branch),
            base=None if base is None else values.check_branch(base, field="base"),
            model=named(model, "model"),
            permission_mode=named(permission_mode, "permission_mode"),
            on_branch=_existing(on_branch, branch, base),
        )
        found = await self._resolve(repo, workspace)
        if isinstance(found, Repo) and found.status is RepoStatus.REMOVED and values.is_remote(repo):
            found = self._add(repo, workspace, None)
        commands = _with_repo(await self._with_branch(command, found), found)
        return await request.submit(
            self.stepper, self.reads, commands, lambda decision: _created(decision, command)
        )

    async def _with_branch(
        self, command: inputs.CreateTask, found: Repo | inputs.AddRepo
    ) -> inputs.CreateTask:
        """The command, with when the repo's branches were last read if the one that it names was among them."""
        if command.on_branch is None or not isinstance(found, Repo):
            return command
        if command.on_branch == found.trunk:
            raise InvalidCommand(
                f"{found.trunk!r} is the trunk, and no task works on it: leave on_branch away, then the task gets a branch of "
                "its own that starts there.",
                field="on_branch",
            )
        read = await self.reads.record("branches", found.id)
        if read is None or not isinstance(read.record, Branches):
            return command
        is_there = any(branch.name == command.on_branch for branch in read.record.seen)
        return evolve(command, branch_read_at=read.record.read_at if is_there else None)

    async def stop_task(
        self, task_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """Bring the work out and stop the sandbox; it goes on with a resume, a new tab or a message."""
        return await self._ask_task("stop_task", task_id, inputs.StopTask(), key, workspace)

    async def resume_task(
        self, task_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """Start a stopped task again, or one that is being stopped as soon as it is."""
        return await self._ask_task("resume_task", task_id, inputs.ResumeTask(), key, workspace)

    async def archive_task(
        self, task_id: str, *, force: bool = False, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """Bring the work out and release the sandbox; `force` gives up work that cannot be brought out."""
        return await self._ask_task("archive_task", task_id, inputs.ArchiveTask(force), key, workspace)

    async def unarchive_task(
        self, task_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """Provision an archived task again, on its branch and with its work.

        BranchTaken when another task has the branch, Conflict when its repo was removed.
        """
        request = Request("unarchive_task", TaskReceipt, workspace, key, {"task": task_id})
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        task = await self._task_in(workspace, task_id)
        repo = await self.reads.record("repo", task.repo_id)
        ready = repo is not None and isinstance(repo.record, Repo) and repo.record.status is RepoStatus.READY
        command = inputs.UnarchiveTask(repo_is_ready=ready)
        return await request.submit(self.stepper, self.reads, [(task_id, command)], of_task)

    async def kill_task(
        self, task_id: str, *, force: bool = False, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """End the task for good; `force` gives up work that cannot be brought out. Killing twice is one kill."""
        return await self._ask_task("kill_task", task_id, inputs.KillTask(force), key, workspace)

    async def retry_task(
        self,
        task_id: str,
        *,
        discard: bool = False,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TaskReceipt:
        """Go on from where the task failed; `discard` gives up work that a broken sandbox does not give back."""
        return await self._ask_task("retry_task", task_id, inputs.RetryTask(discard), key, workspace)

    async def rename_task(
        self, task_id: str, title: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """Give the task another title, in any status; its branch stays."""
        command = inputs.RenameTask(values.check_title(title))
        return await self._ask_task("rename_task", task_id, command, key, workspace)

    async def set_branch(
        self, task_id: str, branch: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """Give the task another branch name, as long as nothing outside has the old one."""
        command = inputs.SetBranch(values.check_branch(branch))
        return await self._ask_task("set_branch", task_id, command, key, workspace)


def named(text: str | None, field: str) -> str | None:
    """A name that may be left out; InvalidCommand for one that is none."""
    return None if text is None else values.check_title(text, field=field)


def _existing(on_branch: str | None, branch: str | None, base: str | None) -> str | None:
    """The branch to work on; InvalidCommand for one that git would not take, or beside the name or the base of a new one."""
    if on_branch is None:
        return None
    if branch is not None or base is not None:
        raise InvalidCommand(
            "A task works on a branch that is there (on_branch), or on a new one (branch, base): give one or the other.",
            field="on_branch",
        )
    return values.check_branch(on_branch, field="on_branch")


def _with_repo(command: inputs.CreateTask, found: Repo | inputs.AddRepo) -> list[tuple[str, inputs.Input]]:
    """What one commit holds: the task on its repo, and the repo itself where nobody registered it yet."""
    if isinstance(found, Repo):
        ready = found.status is RepoStatus.READY
        return [(command.task_id, evolve(command, repo_id=found.id, repo_is_ready=ready))]
    return [(command.task_id, evolve(command, repo_id=found.repo_id)), (found.repo_id, found)]


def _created(decision: Decision, command: inputs.CreateTask) -> TaskReceipt:
    return evolve(of_task(decision), tab_id=command.tab_id, message_id=command.message_id)

"""Workbench: the request path. Every command validates, persists a cheap record, enqueues and returns.

Owns: `Workbench`, the only place that makes tasks, tabs, messages and repos.
Never: a provider, an agent, git or a network; it is given none, so it cannot.
Reads as: entry adapters and embedding backends -> Workbench -> Stepper.submit -> receipt.
"""

from collections.abc import Sequence

import attrs
from attrs import evolve, frozen

from taskdock.core import inputs, values
from taskdock.core.errors import InvalidCommand, NotFound
from taskdock.core.repo import Repo, RepoStatus
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.clock import Clock
from taskdock.ports.store import Reads
from taskdock.services.receipts import RepoReceipt, TabReceipt, TaskReceipt
from taskdock.services.requests import Request
from taskdock.services.stepping import Decision, Stepper

DEFAULT_WORKSPACE = "default"


@frozen
class Offer:
    """What this installation offers, as names only: the request path checks against it and calls none of it."""

    providers: tuple[str, ...]
    agents: tuple[str, ...]

    def provider(self, name: str | None) -> str:
        """The provider asked for, or the first; InvalidCommand for one that is not configured."""
        return _one_of("provider", name, self.providers)

    def agent(self, name: str | None) -> str:
        """The agent asked for, or the first; InvalidCommand for one that is not configured."""
        return _one_of("agent", name, self.agents)


@frozen
class Workbench:
    """Commands of one store. All methods return in milliseconds, whatever any provider does.

    `key` is a client's idempotency key: the same key with the same arguments repeats the first receipt, with other
    arguments it is `IdempotencyKeyReused`. Every method raises CommandRejected for a request that does not fit.
    """

    stepper: Stepper
    reads: Reads
    clock: Clock
    offer: Offer
    owner: str

    async def create_task(  # noqa: PLR0913 - a create names everything that cannot be changed later
        self,
        *,
        prompt: str,
        repo: str,
        title: str | None = None,
        branch: str | None = None,
        base: str | None = None,
        provider: str | None = None,
        agent: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TaskReceipt:
        """Create a task with its first tab, whose first message is the prompt.

        `repo` is a repo's id, its name, or a remote; an unknown remote is registered in the same commit and cloned in
        the background. `branch` is the name of the new branch (else one is made from the prompt), `base` the branch or
        commit that it starts from (else the trunk).
        """
        body = {"prompt": prompt, "repo": repo, "title": title, "branch": branch, "base": base}
        request = Request(
            "create_task", TaskReceipt, workspace, key, {**body, "provider": provider, "agent": agent}
        )
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
            title=None if title is None else values.check_title(title),
            branch=None if branch is None else values.check_branch(branch),
            base=None if base is None else values.check_branch(base, field="base"),
        )
        found = await self._resolve(repo, workspace)
        ready = isinstance(found, Repo) and found.status is RepoStatus.READY
        repo_id = found.id if isinstance(found, Repo) else found.repo_id
        command = evolve(command, repo_id=repo_id, repo_is_ready=ready)
        commands: list[tuple[str, inputs.Input]] = [(command.task_id, command)]
        if isinstance(found, inputs.AddRepo):
            commands.append((repo_id, found))
        return await request.submit(
            self.stepper, self.reads, commands, lambda decision: _created(decision, command)
        )

    async def retry_task(
        self, task_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """Go on from where the task failed."""
        return await self._task_command("retry_task", task_id, inputs.RetryTask(), key, workspace)

    async def kill_task(
        self, task_id: str, *, force: bool = False, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskReceipt:
        """End the task for good; `force` gives up work that cannot be brought out. Killing twice is one kill."""
        return await self._task_command("kill_task", task_id, inputs.KillTask(force), key, workspace)

    async def open_tab(
        self,
        task_id: str,
        *,
        name: str | None = None,
        agent: str | None = None,
        prompt: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> TabReceipt:
        """Open one more tab at once; its session is made in the background."""
        body = {"task": task_id, "name": name, "agent": agent, "prompt": prompt}
        request = Request("open_tab", TabReceipt, workspace, key, body)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        command = inputs.OpenTab(
            tab_id=self.clock.new_id("tab"),
            name=None if name is None else values.check_title(name),
            agent=None if agent is None else self.offer.agent(agent),
            message_id=None if prompt is None else self.clock.new_id("message"),
            prompt=None if prompt is None else values.check_prompt(prompt),
        )
        await self._must_be_in(task_id, workspace)
        return await request.submit(
            self.stepper,
            self.reads,
            [(task_id, command)],
            lambda decision: _of_tab(decision, command.tab_id, command.message_id),
        )

    async def close_tab(
        self, tab_id: str, *, force: bool = False, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Close a tab; `force` withdraws messages that are still queued."""
        return await self._tab_command("close_tab", inputs.CloseTab(tab_id, force), key, workspace)

    async def retry_tab(
        self, tab_id: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Open the tab's session again after it failed."""
        return await self._tab_command("retry_tab", inputs.RetryTab(tab_id), key, workspace)

    async def send(
        self, tab_id: str, text: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TabReceipt:
        """Queue a message; it is sent when the tab is ready and its turn is over. Lifts a held queue."""
        message_id = self.clock.new_id("message")
        command = inputs.SendMessage(tab_id, message_id, values.check_prompt(text))
        return await self._tab_command("send", command, key, workspace, ignore=("message_id",))

    async def add_repo(
        self,
        remote: str,
        *,
        name: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> RepoReceipt:
        """Register a remote and clone it in the background; adding it again starts a failed clone again."""
        add = self._add(remote, workspace, name)
        request = Request("add_repo", RepoReceipt, workspace, key, attrs.asdict(add))
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        return await request.submit(self.stepper, self.reads, [(add.repo_id, add)], _of_repo)

    async def retry_repo(
        self, repo: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> RepoReceipt:
        """Start a failed clone again."""
        request = Request("retry_repo", RepoReceipt, workspace, key, {"repo": repo})
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        found = await self._resolve(repo, workspace)
        if not isinstance(found, Repo):
            raise NotFound(f"There is no repo {repo!r}. Add it with its remote.")
        return await request.submit(self.stepper, self.reads, [(found.id, inputs.RetryRepo())], _of_repo)

    async def _task_command(
        self,
        name: str,
        task_id: str,
        command: inputs.RetryTask | inputs.KillTask,
        key: str | None,
        workspace: str,
    ) -> TaskReceipt:
        body = {"task": task_id, **attrs.asdict(command)}
        request = Request(name, TaskReceipt, workspace, key, body)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        await self._must_be_in(task_id, workspace)
        return await request.submit(self.stepper, self.reads, [(task_id, command)], _of_task)

    async def _tab_command(
        self,
        name: str,
        command: inputs.CloseTab | inputs.RetryTab | inputs.SendMessage,
        key: str | None,
        workspace: str,
        ignore: Sequence[str] = (),
    ) -> TabReceipt:
        body = {field: value for field, value in attrs.asdict(command).items() if field not in ignore}
        request = Request(name, TabReceipt, workspace, key, body)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        task_id = await self._tab_must_be_in(command.tab_id, workspace)
        message_id = command.message_id if isinstance(command, inputs.SendMessage) else None
        return await request.submit(
            self.stepper,
            self.reads,
            [(task_id, command)],
            lambda decision: _of_tab(decision, command.tab_id, message_id),
        )

    async def _tab_must_be_in(self, tab_id: str, workspace: str) -> str:
        """The task of a tab; NotFound when the workspace has no such tab, told apart from nothing."""
        task_id = await self.reads.task_of(tab_id)
        found = None if task_id is None else await self.reads.record("task", task_id)
        if found is None or not isinstance(found.record, Task) or found.record.workspace != workspace:
            raise NotFound(f"There is no tab {tab_id!r} in the workspace {workspace!r}.")
        return found.record.id

    async def _must_be_in(self, task_id: str, workspace: str) -> None:
        found = await self.reads.record("task", task_id)
        if found is None or not isinstance(found.record, Task) or found.record.workspace != workspace:
            raise NotFound(f"There is no task {task_id!r} in the workspace {workspace!r}.")

    async def _resolve(self, repo: str, workspace: str) -> Repo | inputs.AddRepo:
        """The repo that was named; for a remote that nobody registered, the command that registers it."""
        if values.is_remote(repo):
            add = self._add(repo, workspace, None)
            found = await self.reads.record("repo", add.repo_id)
            return found.record if found and isinstance(found.record, Repo) else add
        found = await self.reads.record("repo", repo)
        record = found.record if found else await self.reads.repo_named(workspace, repo)
        if not isinstance(record, Repo) or record.workspace != workspace:
            raise NotFound(f"There is no repo {repo!r}: add it first, or name it by its remote.")
        return record

    def _add(self, remote: str, workspace: str, name: str | None) -> inputs.AddRepo:
        remote = values.check_remote(remote)
        chosen = values.repo_name(remote) if name is None else values.check_title(name)
        return inputs.AddRepo(values.repo_id(workspace, remote), workspace, chosen, remote)


def _created(decision: Decision, command: inputs.CreateTask) -> TaskReceipt:
    return evolve(_of_task(decision), tab_id=command.tab_id, message_id=command.message_id)


def _of_task(decision: Decision) -> TaskReceipt:
    task = decision.record(Task, decision.slice.boundary)
    return TaskReceipt(task.id, task.status.value, decision.change.version, position=0, repo_id=task.repo_id)


def _of_tab(decision: Decision, tab_id: str, message_id: str | None) -> TabReceipt:
    tab = decision.record(Tab, tab_id)
    return TabReceipt(
        tab.id, tab.task_id, tab.status.value, decision.change.version, position=0, message_id=message_id
    )


def _of_repo(decision: Decision) -> RepoReceipt:
    repo = decision.record(Repo, decision.slice.boundary)
    return RepoReceipt(repo.id, repo.status.value, decision.change.version, position=0)


def _one_of(field: str, name: str | None, known: tuple[str, ...]) -> str:
    if name is None:
        return known[0]
    if name not in known:
        raise InvalidCommand(
            f"Unknown {field} {name!r}: this installation offers {', '.join(known)}.", field=field
        )
    return name

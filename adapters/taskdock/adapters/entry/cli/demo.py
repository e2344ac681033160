"""Demo: one task from its creation to its commit, and a stack that follows trunk, on a repo made for them, step by step.

Owns: `taskdock demo`.
Never: a stand-in; the store, git, the sandbox and the agent's server are the real ones, only the agent has no model.
Reads as: app.py -> `command` -> dock -> following.py, demo_stack.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import click
from attrs import evolve, field, frozen, mutable

from taskdock.adapters.entry.cli import orders, output, rests, sayings
from taskdock.adapters.entry.cli.cloning import follow_clone
from taskdock.adapters.entry.cli.demo_repo import NAME, demo_repo, git
from taskdock.adapters.entry.cli.demo_stack import StackDemo
from taskdock.adapters.entry.cli.exit_codes import ExitCode
from taskdock.adapters.entry.cli.following import View, Wanted, follow
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.adapters.entry.cli.runner import run
from taskdock.adapters.entry.cli.views import Quiet, view_for
from taskdock.core.task import Task
from taskdock.services.dock import Dock

AGENT = "demo"
PROMPT = "Write a note on how to greet people in French"


@click.command("demo", cls=Command)
@click.option("--stay", is_flag=True, help="Go on scheduling afterwards, until SIGINT or SIGTERM.")
@click.pass_context
def command(context: click.Context, *, stay: bool) -> None:
    """Make a small repo, drive one task on it to its commit, restack three branches and undo it, and show every step."""
    demo = _Demo(Invocation.of(context), stay=stay)
    run(context, demo.work, schedule=True, code_after_signal=lambda: demo.code)


@frozen
class _Ended:
    """What the demo came to: the task, how it came to rest, and its commits as `git log` tells them."""

    task: Task
    rest: Rest
    log: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    """The restack and its undo; none without git-spice."""


@mutable(eq=False)
class _Demo:
    """One run of the demo."""

    invocation: Invocation
    stay: bool
    code: int | None = field(default=None, init=False)
    """The exit code, once there is nothing left to do but to stay: being ended is then as it should be."""

    async def work(self, dock: Dock) -> int:
        """All of it."""
        ended = await self._drive(dock)
        await self._tell_commits(ended)
        if ended.rest.ok:
            ended = await self._restack(dock, ended)
        if self.invocation.json:
            await self._tell_document(ended)
        if not self.stay:
            return orders.code_of(await self._clean_up(dock, ended) if ended.rest.ok else ended.rest)
        if not ended.rest.ok:
            await output.say(f"taskdock: {ended.rest.reason}", err=True)
        await self._say_that_it_stays(dock)
        code = ExitCode.OK if ended.rest.ok else ExitCode.FAILED
        if dock.schedules:
            self.code = code
            await anyio.sleep_forever()
        return code

    async def _drive(self, dock: Dock) -> _Ended:
        workspace = self.invocation.workspace
        remote = await demo_repo(self.invocation.home / "demo")
        since = dock.clock.now()
        added = await dock.add_repo(str(remote), name=NAME, workspace=workspace)
        await self._say(f"repo {added.repo_id}: {remote}")
        # A clone that fails fails the task that waits for it, with the reason.
        await follow_clone(dock, added.repo_id, workspace, self._view(), since)
        receipt = await dock.create_task(repo=added.repo_id, prompt=PROMPT, agent=AGENT, workspace=workspace)
        await self._say(f"task {receipt.task_id}: {PROMPT}")
        rule = rests.of_message(receipt.message_id or "", receipt.tab_id or "")
        wanted = Wanted(receipt.task_id, rule, workspace, until_collected=True)
        rest = await follow(dock, wanted, self._view())
        task = (await dock.task(receipt.task_id, workspace=workspace)).task
        if rest.ok and task.head is None:
            rest = Rest(ok=False, reason="no commit came of it")
        return _Ended(task, rest, tuple(await self._log(task)))

    async def _restack(self, dock: Dock, ended: _Ended) -> _Ended:
        """Show a stack that follows trunk, and goes back."""
        stack = StackDemo(dock, ended.task.repo_id, self.invocation.workspace, self._view, self._say)
        rest = await stack.show(await demo_repo(self.invocation.home / "demo"))
        return evolve(ended, rest=rest, jobs=tuple(stack.jobs))

    async def _clean_up(self, dock: Dock, ended: _Ended) -> Rest:
        """Kill the task, so that nothing of the demo goes on running; a demo that failed is left to be looked at."""
        since = dock.clock.now()
        workspace = self.invocation.workspace
        await dock.kill_task(ended.task.id, workspace=workspace)
        await self._say("Nothing is left running: the task is killed, its commit stays in the clone.")
        wanted = Wanted(ended.task.id, rests.of_kill, workspace, since=since, silent=True)
        return await follow(dock, wanted, self._view())

    async def _log(self, task: Task) -> list[str]:
        """The commits of the task's branch, as the service clone has them; none where nobody says where that is."""
        where = self.invocation.installation.clone_path
        if where is None or task.head is None or task.base is None:
            return []
        clone = where(self.invocation.home, task.repo_id)
        return await branch_log(clone, task)

    def _view(self) -> View:
        return Quiet() if self.invocation.json else view_for(sys.stdout)

    async def _say(self, text: str) -> None:
        if not self.invocation.json:
            await output.say(text)

    async def _tell_document(self, ended: _Ended) -> None:
        task = ended.task
        told = {"repo_id": task.repo_id, "task_id": task.id, "ok": ended.rest.ok, "job_ids": list(ended.jobs)}
        commit = {"branch": task.branch, "head": task.head, "log": list(ended.log)}
        await output.say(json.dumps({**told, **commit}))

    async def _tell_commits(self, ended: _Ended) -> None:
        """The result, with the commit."""
        task = ended.task
        if ended.log and not self.invocation.json:
            where = self.invocation.installation.clone_path
            place = f" in {where(self.invocation.home, task.repo_id)}" if where else ""
            await output.say(f"git log --oneline {task.branch}{place}")
            for line in ended.log:
                await output.say(f"  {line}")

    async def _say_that_it_stays(self, dock: Dock) -> None:
        if not dock.schedules:
            await self._say("Another process schedules this home, so this one need not stay.")
            return
        await self._say("")
        await self._say("Staying up for more tasks; Ctrl-C ends it in order. In a second terminal:")
        await self._say(f"  {orders.command_line(self.invocation, 'task', 'list')}")


async def branch_log(clone: Path, task: Task) -> list[str]:
    """`git log --oneline` of the task's head, newest first, down to where the task began; [] when git cannot tell."""
    assert task.head is not None
    since = [f"^refs/remotes/origin/{task.base}"]
    try:
        text = await git(clone, "log", "--oneline", "--no-decorate", "-n", "20", task.head, *since, "--")
    except subprocess.CalledProcessError as error:
        tail = error.stderr.decode(errors="replace").strip() if error.stderr else ""
        return [f"{sayings.commit(task.head)} (git log failed: {output.one_line(tail)})"]
    return text.splitlines()

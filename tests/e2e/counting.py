"""Counting: what a home's sandboxes are, as a witness of the kill matrix, without any port.

Owns: `counted`.
Never: the code under test.
Reads as: test_kill_in_each_step.py, test_kill_matrix.py -> the kill matrix -> this, while a task rests.
"""

from collections.abc import Sequence
from pathlib import Path

from e2e.providers import command_of, eyes_on
from taskdock.app import TaskView
from taskdock.core import task_record as at

SERVER = "sandbox-agent\0server"


async def counted(home: Path, view: TaskView) -> Sequence[str]:
    """One sandbox and one server of a running task, no process of a stopped one, and nothing of one that is gone."""
    task = view.task
    boxes = eyes_on(task.provider).boxes(home)
    names, processes = [box.name for box in boxes], [pid for box in boxes for pid in box.pids]
    servers = [pid for pid in processes if SERVER in command_of(pid)]
    wrong: list[str] = []
    if names != ([] if task.at in (at.ARCHIVED, at.KILLED) else [task.sandbox.name]):
        wrong.append(f"the sandboxes of a task that is {task.at} are {names}")
    if task.at == at.RUNNING and len(servers) != 1:
        wrong.append(f"{len(servers)} servers run: {servers}")
    if task.at != at.RUNNING and processes:
        wrong.append(f"processes of a task that is {task.at}: {processes}")
    return wrong

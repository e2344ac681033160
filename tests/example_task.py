"""Example task: one task on an example of a provider, carried by what is installed and not by this checkout.

Owns: `carried`.
Never: a provider; the config in the home names it.
Reads as: tests/packaging -> this -> a process with the environment's Python -> taskdock.app.
"""

import json
from pathlib import Path
from typing import Any

from clean_install import run

_PROGRAM = """
import json, sys
from pathlib import Path
import anyio
import taskdock.app
from taskdock.app import load_config

async def main(home, repo):
    async with taskdock.app.open(load_config(home / "taskdock.toml", home=home)) as dock:
        receipt = await dock.create_task(repo=repo, prompt="Add a note")
        with anyio.fail_after(120):
            async for _ in dock.watch(task=receipt.task_id):
                task = (await dock.task(receipt.task_id)).task
                if task.head or task.failure:
                    break
        boxes = sorted(path.name for path in Path(sys.argv[3]).glob("td-*"))
        await dock.kill_task(receipt.task_id)
        with anyio.fail_after(120):
            async for _ in dock.watch(task=receipt.task_id):
                if (await dock.task(receipt.task_id)).task.status.value == "killed":
                    break
        print(json.dumps([task.provider, task.failure and task.failure.reason, task.status.value, task.branch, boxes]))

anyio.run(main, Path(sys.argv[1]), sys.argv[2], backend=sys.argv[4])
"""


def carried(programs: Path, home: Path, repo: Path, boxes: Path, backend: str) -> list[Any]:
    """Create it, wait for its first commit, kill it: its provider, failure, status and branch, and what `boxes` held."""
    argv = (programs / "python", "-W", "error", "-c", _PROGRAM, home, repo, boxes, backend)
    told: list[Any] = json.loads(run(*argv, cwd=home.parent))
    return told

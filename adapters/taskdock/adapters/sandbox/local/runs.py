"""Runs: which namespaces commands were started in, since what a command leaves in the background outlives it.

Owns: `note_run`, `runs`, `forget_ended`.
Never: a service's namespace; that one stands in the service's own record.
Reads as: commands.py, provider.py -> these -> `runs/<incarnation>.json`.
"""

from pathlib import Path

from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.adapters.sandbox.local.process_table import ProcessKey, ProcessTable
from taskdock.adapters.sandbox.local.records import RunRecord, read_run_record, write_record


def note_run(folder: SandboxFolder, incarnation: str, first: ProcessKey) -> None:
    """Write down the first process of a command's namespace, before anything of the command runs in it."""
    folder.runs.mkdir(mode=0o700, exist_ok=True)
    record = RunRecord(first.boot_id, first.pid, first.start_ticks)
    # Not flushed: what a loss of power takes along, it ends as well.
    write_record(folder.runs / f"{incarnation}.json", record, flush=False)


def runs(folder: SandboxFolder) -> list[ProcessKey]:
    """List the first processes of all commands' namespaces that were written down and not forgotten."""
    return [key for _, key in _noted(folder)]


def forget_ended(folder: SandboxFolder, table: ProcessTable) -> None:
    """Take the notes of namespaces away that are no more. Also under a shared guard: nobody needs them."""
    for path, key in _noted(folder):
        if not table.alive(key):
            path.unlink(missing_ok=True)


def _noted(folder: SandboxFolder) -> list[tuple[Path, ProcessKey]]:
    found = ((path, read_run_record(path)) for path in sorted(folder.runs.glob("[!.]*.json")))
    return [(path, record.key) for path, record in found if record is not None]

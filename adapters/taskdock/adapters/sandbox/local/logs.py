"""Logs: the output of a service, kept short and shown when something went wrong.

Owns: `log_tail`, `trim`, and what keeps the output from growing without end.
Never: a token in what is shown.
Reads as: services.py -> these -> `services/<service>.log` and the log that the service keeps itself.

The service writes straight into the file, so that it needs nobody of ours to live. What bounds the file: each start
begins a new one, and `endpoint` and `ensure_service`, which come with every conversation, cut it to its last MiB when
it is above eight. Between two such calls only the disk is the bound; `capabilities` says so.
"""

import os
from contextlib import suppress
from pathlib import Path

from taskdock.adapters.sandbox.local.files import read_end
from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.adapters.sandbox.local.records import ServiceRecord
from taskdock.core.errors import Permanent

LOG_BYTES_MAX = 8 * 1024 * 1024
_KEPT_BYTES = 1024 * 1024
_SHOWN_BYTES = 4096


def log_tail(folder: SandboxFolder, record: ServiceRecord) -> str | None:
    """Show the end of the service's output and of its own log, at most 4 KiB each, without the token; None when empty."""
    found = [_end_of(folder.service_log(record.name), _SHOWN_BYTES)]
    if record.log_path is not None:
        with suppress(Permanent):
            found.append(read_end(folder, record.log_path, _SHOWN_BYTES))
    text = "\n".join(part.decode(errors="replace").strip() for part in found if part.strip())
    return text.replace(record.token, "[token]") or None


def too_long(log: Path) -> bool:
    """Whether the file has to be trimmed."""
    with suppress(FileNotFoundError):
        return log.stat().st_size > LOG_BYTES_MAX
    return False


def trim(log: Path) -> None:
    """Cut the file to its last MiB where it is too long. Under the guard; what is written meanwhile may be lost."""
    if too_long(log):
        kept = _end_of(log, _KEPT_BYTES)
        # In place, because the service holds this very file open; it appends, so it goes on behind what we put back.
        os.truncate(log, 0)
        with log.open("ab") as file:
            file.write(kept)


def _end_of(path: Path, size: int) -> bytes:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, size, max(0, os.fstat(descriptor).st_size - size))
        finally:
            os.close(descriptor)
    return b""

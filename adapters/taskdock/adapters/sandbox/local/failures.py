"""Failures: what an error of the operating system means to whoever asked for a sandbox.

Owns: the one table from errno to `PortError`.
Never: an error swallowed, or told apart by its text.
Reads as: provider.py -> `as_port_error` around each piece of work.
"""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from taskdock.core.errors import Permanent, PortError, QuotaExceeded, Transient

FAILURES: Mapping[int, type[PortError]] = MappingProxyType(
    {
        errno.ENOENT: Permanent,
        errno.EACCES: Permanent,
        errno.EPERM: Permanent,
        errno.EROFS: Permanent,
        errno.ENOTDIR: Permanent,
        errno.EISDIR: Permanent,
        errno.ENAMETOOLONG: Permanent,
        errno.ELOOP: Permanent,
        errno.ENOEXEC: Permanent,
        errno.E2BIG: Permanent,
        errno.EINVAL: Permanent,
        errno.EXDEV: Permanent,
        errno.EDQUOT: QuotaExceeded,
    }
)
"""What will fail again the same way. Whatever is not here (a full disk, no memory, too many files open) may pass."""


@contextmanager
def as_port_error(doing: str) -> Iterator[None]:
    """Turn an `OSError` raised inside into the `PortError` of the table; `doing` completes "Could not ..."."""
    try:
        yield
    except OSError as error:
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        raise FAILURES.get(error.errno or 0, Transient)(f"Could not {doing}. {what}.") from error

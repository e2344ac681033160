"""Namespace: what a sandbox sees of this machine at the levels of bubblewrap.

Owns: `bwrap_argv`, the one table of what is visible, and whether it can be written.
Never: a mount point below a folder that the inside can write (what is planted there would lead the mount astray); the
    folder /etc, /run, /var or a home; a secret in argv.
Reads as: bubblewrap.py -> `bwrap_argv` -> bwrap.

Everything lies at the path that it has outside, so a path means the same on both sides and at every level.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

INSIDE = Path(__file__).with_name("inside.py")
BRIDGE = Path(__file__).with_name("bridge.py")
OURS = "/run/taskdock"
LOCK = f"{OURS}/lock"
_SCRATCH_BYTES = 1 << 30

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
ETC = (
    "alternatives",
    "ca-certificates.conf",
    "gitconfig",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "passwd",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "resolv.conf",
    "services",
    # Not all of ssl: its folder `private` holds keys, which root's sandboxes could read.
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)
"""What is visible of /etc: all of it may be read by everybody, and none of it is a secret."""
_KERNEL = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
"""Parts of /proc that belong to the machine and not to a process. Started by root, they could be written inside."""


def bwrap_argv(
    bwrap: str, home: Path, lock: Path, programs: Iterable[Path], *, network: bool
) -> tuple[str, ...]:
    """Make the command line, up to and without the descriptors and the program."""
    return (
        bwrap,
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *(() if network else ("--unshare-net",)),
        # A session of its own, lest a signal to "my group" reach bwrap, which is outside.
        *("--hostname", "sandbox", "--cap-drop", "ALL", "--new-session"),
        *_system(),
        *("--proc", "/proc", *_kernel(), "--dev", "/dev"),
        *_scratch("/tmp", "/var/tmp", "/dev/shm"),  # noqa: S108 - the sandbox's own
        *_readable([*_tools(), *programs], home),
        *("--bind", str(home), str(home)),
        *(
            "--ro-bind",
            str(INSIDE),
            f"{OURS}/{INSIDE.name}",
            "--ro-bind",
            str(BRIDGE),
            f"{OURS}/{BRIDGE.name}",
        ),
        *("--ro-bind", str(lock), LOCK, "--lock-file", LOCK),
        *("--remount-ro", "/dev", "--remount-ro", "/"),
    )


def interpreter() -> Path:
    """Return the Python that runs our files inside: the real one, not a link of a virtual environment."""
    return Path(sys.executable).resolve()


def _system() -> Iterator[str]:
    for path in SYSTEM:
        if os.path.islink(path):  # noqa: PTH114 - a link is made anew, whatever it leads to
            yield from ("--symlink", os.readlink(path), path)  # noqa: PTH115
        elif Path(path).exists():
            yield from ("--ro-bind", path, path)
    for name in ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")


def _kernel() -> Iterator[str]:
    # As another user they cannot be written anyway, and a /proc with nothing over it lets a program inside make
    # namespaces of its own.
    if os.geteuid() == 0:
        for name in _KERNEL:
            yield from ("--ro-bind-try", f"/proc/{name}", f"/proc/{name}")


def _scratch(*folders: str) -> Iterator[str]:
    """Give each start folders in memory that end with it. What is to last is written below the home."""
    for folder in folders:
        yield from ("--size", str(_SCRATCH_BYTES), "--perms", "1777", "--tmpfs", folder)


def _tools() -> Iterator[Path]:
    """Name the folders of this Python, and of git and node where they are not the system's."""
    yield Path(sys.base_prefix).resolve()
    yield interpreter().parent.parent
    for name in ("git", "node"):
        found = shutil.which(name)
        if found is not None:
            real = Path(found).resolve()
            yield real.parent.parent if real.parent.name == "bin" else real
            yield Path(found).absolute()


def _readable(paths: Iterable[Path], home: Path) -> Iterator[str]:
    """Make them readable, unless they are so already, or would show more than a program: a home, or the sandboxes."""
    hidden = (home, Path.home().resolve())
    for path in dict.fromkeys(paths):
        is_system = any(path.is_relative_to(system) for system in SYSTEM)
        if not is_system and not any(one.is_relative_to(path) for one in hidden):
            yield from ("--ro-bind-try", str(path), str(path))

"""Image: one for boxes, made of this machine's own files (git, Python 3, busybox), without a registry.

    python make_image.py /run/podman/podman.sock taskdock-box:1

Owns: `make_image`, which our tests call, too.
Never: a download. It wants git, the distribution's python3 and a static busybox (Debian: busybox-static).
Reads as: who runs the tests -> this -> the engine's socket.
"""

import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import httpx

PASSWD = b"root:x:0:0:root:/root:/bin/sh\ntask:x:1000:1000:task:/box/home:/bin/sh\n"
GROUP = b"root:x:0:\ntask:x:1000:\n"
LEFT_OUT = re.compile(r"/(test|idlelib|config-[^/]+|ensurepip|__pycache__)$")


class RootFilesystem:
    """The archive that becomes the image."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def fill(self) -> None:
        """Put everything into it."""
        for folder in ("usr", "usr/bin", "etc", "root", "run", "proc", "sys", "dev"):
            self._put(folder, mode=0o755, kind=tarfile.DIRTYPE)
        for folder in ("tmp", "var/tmp"):
            self._put(folder, mode=0o1777, kind=tarfile.DIRTYPE)
        for link in ("bin", "sbin"):
            self._link(link, "usr/bin")
        self._put("etc/passwd", PASSWD)
        self._put("etc/group", GROUP)
        self._add_busybox()
        self._add_programs()

    def _add_busybox(self) -> None:
        """One program under all the names of small ones."""
        busybox = Path("/bin/busybox").resolve()
        self._put("usr/bin/busybox", busybox.read_bytes(), mode=0o755)
        applets = subprocess.run(
            [busybox, "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        for applet in set(applets) - {"busybox", "python3", "git"}:
            self._link(f"usr/bin/{applet}", "busybox")

    def _add_programs(self) -> None:
        """Python and git, with the libraries that they load."""
        python, git = Path("/usr/bin/python3").resolve(), Path("/usr/bin/git").resolve()
        library = Path("/usr/lib") / python.name
        self._archive.add(python, f"usr/bin/{python.name}")
        self._link("usr/bin/python3", python.name)
        self._archive.add(git, "usr/bin/git")
        for path in _libraries([python, git, *library.glob("lib-dynload/*.so")]):
            self._archive.add(path.resolve(), str(path)[1:])
        self._archive.add(library, str(library)[1:], filter=_wanted)
        for folder in ("usr/lib/git-core", "usr/share/git-core"):
            self._archive.add(f"/{folder}", folder)

    def _put(
        self, name: str, content: bytes = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE
    ) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.type = len(content), mode, kind
        self._archive.addfile(entry, io.BytesIO(content))

    def _link(self, name: str, to: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, to
        self._archive.addfile(entry)


def _libraries(programs: Sequence[Path]) -> list[Path]:
    argv = ["/usr/bin/ldd", *map(str, programs)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    return sorted({Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)})


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if LEFT_OUT.search(entry.name) else entry


def make_image(socket: Path, image: str) -> None:
    """Make it in the engine, under this name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        RootFilesystem(archive).fill()
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://engine") as engine:
        query = {"fromSrc": "-", "repo": image}
        content = packed.getvalue()
        engine.post("/images/create", params=query, content=content, timeout=300.0).raise_for_status()


if __name__ == "__main__":
    make_image(Path(sys.argv[1]), sys.argv[2])

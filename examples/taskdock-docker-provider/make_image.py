"""Make the image of the tests out of this machine's own files: git, Python 3 and busybox, without a registry.

    python make_image.py /run/podman/podman.sock taskdock-box:1

It wants git, python3 (of the distribution) and a static busybox (Debian: apt-get install git python3 busybox-static).
"""

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import httpx

PASSWD = b"root:x:0:0:root:/root:/bin/sh\ntask:x:1000:1000:task:/box/home:/bin/sh\n"
GROUP = b"root:x:0:\ntask:x:1000:\n"


def libraries(programs: list[Path]) -> set[Path]:
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    return {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)}


def rootfs(tar: tarfile.TarFile) -> None:
    def put(name: str, content: bytes = b"", mode: int = 0o644, kind: bytes = tarfile.REGTYPE, to: str = "") -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.type, entry.linkname = len(content), mode, kind, to
        tar.addfile(entry, io.BytesIO(content))

    for folder in ("usr", "usr/bin", "etc", "root", "run", "proc", "sys", "dev", "box"):
        put(folder, mode=0o755, kind=tarfile.DIRTYPE)
    for folder in ("tmp", "var/tmp"):
        put(folder, mode=0o1777, kind=tarfile.DIRTYPE)
    for link in ("bin", "sbin"):
        put(link, kind=tarfile.SYMTYPE, to="usr/bin")
    put("etc/passwd", PASSWD)
    put("etc/group", GROUP)

    python = Path("/usr/bin/python3").resolve()
    busybox = Path("/usr/bin/busybox" if Path("/usr/bin/busybox").exists() else "/bin/busybox").resolve()
    git = Path("/usr/bin/git").resolve()
    library = Path("/usr/lib") / python.name
    put("usr/bin/busybox", busybox.read_bytes(), 0o755)
    tar.add(python, f"usr/bin/{python.name}")
    put("usr/bin/python3", kind=tarfile.SYMTYPE, to=python.name)
    tar.add(git, "usr/bin/git")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in set(applets) - {"busybox", "python3", "git"}:
        put(f"usr/bin/{applet}", kind=tarfile.SYMTYPE, to="busybox")
    needed = [python, git, *library.glob("lib-dynload/*.so"), *Path("/usr/lib/git-core").glob("git-remote-http")]
    for path in sorted(libraries(needed)):
        tar.add(path.resolve(), str(path)[1:])
    tar.add(
        library,
        str(library)[1:],
        filter=lambda entry: None if re.search(r"/(test|idlelib|config-[^/]+|ensurepip)$", entry.name) else entry,
    )
    tar.add("/usr/lib/git-core", "usr/lib/git-core")
    tar.add("/usr/share/git-core", "usr/share/git-core")


def main(socket: str, image: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=False) as tar:
        rootfs(tar)
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://engine", timeout=300) as engine:
        query = {"fromSrc": "-", "repo": image}
        engine.post("/images/create", params=query, content=packed.getvalue()).raise_for_status()
        known = engine.get(f"/images/{image}/json").raise_for_status().json()
    print(f"{image} is {known['Id'][:19]}, {len(packed.getvalue()) >> 20} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Escape tries from inside the levels of bubblewrap: each is made by a program in a real sandbox, and must fail.

What a test tries is proved to be possible where it should be: at level `process`, or against the sandbox itself.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

from git_repos import git, head_of, make_remote
from local_process import OWNER, a_figure, processes, running_sandbox, sandboxes, service, sleepers, until
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.adapters.sandbox.local.lock import holder
from taskdock.adapters.sandbox.local.namespace import ETC
from taskdock.core.errors import Transient
from taskdock.ports.sandbox import Exec, ProgramFile, SandboxSpec, ServiceSpec
from taskdock.services.checkout import Identity, bundle_out, check_out

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("level", [Level.BUBBLEWRAP, Level.BUBBLEWRAP_NETNS], indirect=True),
]


@pytest.fixture
async def spec(tmp_path: Path, level: Level) -> AsyncIterator[SandboxSpec]:
    """Give a running sandbox below tmp_path, and leave no process of it behind, even when a test fails."""
    async with running_sandbox(tmp_path / "root", level) as one:
        yield one


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of ours on the host, of the same user as what is inside."""
    with subprocess.Popen(["sleep", "600"], env={"SECRET": "of-the-bystander"}) as process:
        yield process
        process.kill()


def environment_of(pid: int) -> str:
    """The environment of a process, seen from outside."""
    return Path(f"/proc/{pid}/environ").read_text().replace("\0", "\n")


def closed_to_others(names: Iterable[str]) -> list[str]:
    """Which files of /etc only their owner or group may read."""
    files = [path for name in names if (path := Path("/etc", name)).is_file()]
    return [path.name for path in files if not path.stat().st_mode & 0o004]


async def told(root: Path, spec: SandboxSpec, source: str, *arguments: object) -> list[str]:
    """Run a few lines of Python inside; the lines that they print."""
    words = ("python3", "-c", source, *map(str, arguments))
    result = await sandboxes(root / "root").exec(spec.ref, Exec(words))
    assert result.exit_code == 0, result.stderr.decode()
    return result.stdout.decode().splitlines()


WRITE = """
import os, sys
for place in sys.argv[1:]:
    path = os.path.join(place, "escaped") if os.path.isdir(place) else place
    try:
        # Without truncating: if it does work, nothing of the machine is spoilt.
        os.close(os.open(path, os.O_WRONLY | (0 if os.path.exists(path) else os.O_CREAT)))
        print(place)
    except OSError:
        pass
"""


MACHINE = (
    *(
        "/",
        "/usr",
        "/usr/bin/env",
        "/bin",
        "/lib",
        "/etc",
        "/etc/passwd",
        "/etc/ssl/certs",
        "/run",
        "/run/taskdock",
    ),
    *("/run/taskdock/inside.py", "/run/taskdock/lock", "/var", "/dev", "/home", "/root", "/sys"),
    *(
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/drop_caches",
    ),
)
_OURS = (Path(sys.base_prefix), Path(sys.executable).resolve(), Path.home())
# Below /tmp everything is the sandbox's own, whatever its name.
OURS = [path for path in _OURS if not path.is_relative_to("/tmp")]  # noqa: S108 - looked at only


def seen_from_outside(folder: Path, *, but: Path) -> dict[Path, bytes | None]:
    """Every path below the folder, with what is in a file, without the home and the notes of single commands."""
    hidden = (but, but.with_name("runs"))
    found = [
        path for path in [folder, *folder.rglob("*")] if not any(path.is_relative_to(one) for one in hidden)
    ]
    return {path: path.read_bytes() if path.is_file() else None for path in found}


async def test_writing_outside_checkout_and_home(tmp_path: Path, spec: SandboxSpec) -> None:
    """Nothing of the machine can be written, nor what we keep of the sandbox, nor a program that was lent to it."""
    adapter, own = sandboxes(tmp_path / "root"), tmp_path / "root" / spec.ref.name
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    await adapter.put_files(spec.ref, [ProgramFile("bin/program", host_path=program)])
    await told(tmp_path, spec, "")
    before = seen_from_outside(tmp_path, but=own / "home")
    assert await told(tmp_path, spec, WRITE, *MACHINE, *OURS, own / "home/bin/program") == []
    # What lies under /tmp is a folder in memory of the sandbox's own; there is no way from it to ours.
    await told(tmp_path, spec, WRITE, *before, program)
    assert seen_from_outside(tmp_path, but=own / "home") == before
    assert await told(tmp_path, spec, WRITE, own / "home", own / "home/checkout") != []


MOUNTS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
REMOUNT_BIND, DETACH, NEW_USER_AND_MOUNTS = 0x20 | 0x1000, 2, 0x10000000 | 0x20000
def attempt():
    for path in (b"/", b"/usr", b"/etc/passwd", b"/run/taskdock/inside.py", b"/run/taskdock/lock", b"/proc/sys"):
        if libc.mount(None, path, None, REMOUNT_BIND, None) == 0: print("remounted", path)
        if libc.umount2(path, DETACH) == 0: print("took away", path)
attempt()
if libc.unshare(NEW_USER_AND_MOUNTS) == 0:
    attempt()
    print("own namespace", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
"""


async def test_making_the_machine_writable(tmp_path: Path, spec: SandboxSpec) -> None:
    """Neither directly nor as root of a namespace of its own can the inside mount anything anew, or take it away."""
    assert await told(tmp_path, spec, MOUNTS) == ["own namespace 0"]


PROCESSES = """
import ctypes, os, signal, sys
host = [int(pid) for pid in sys.argv[1:]]
libc = ctypes.CDLL(None, use_errno=True)
print(*(pid for pid in host if os.path.exists(f"/proc/{pid}")))
reached = []
for pid in host:
    try:
        os.kill(pid, 0)
        reached.append(pid)
    except ProcessLookupError:
        pass
    if libc.ptrace(16, pid, 0, 0) == 0:
        reached.append(pid)
print(*reached)
print(len([entry for entry in os.listdir("/proc") if entry.isdigit()]))
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
# "Everybody I may signal", and "my group": both end at the namespace's edge.
for whom in (-1, 0):
    for number in (signal.SIGTERM, signal.SIGUSR1):
        try:
            os.kill(whom, number)
        except ProcessLookupError:
            pass
"""


async def test_seeing_and_signalling_processes_outside(
    tmp_path: Path, spec: SandboxSpec, bystander: subprocess.Popen[bytes]
) -> None:
    """The processes of the machine are neither seen nor reached, by number or as everybody; bwrap itself is not either."""
    seen, reached, count = await told(tmp_path, spec, PROCESSES, bystander.pid, os.getpid(), os.getppid())
    assert (seen, reached) == ("", "")
    # The first process of the namespace, and the program.
    assert int(count) == 2
    assert bystander.poll() is None


READ = """
import glob, sys
wanted = sys.argv[1].encode()
paths = list(sys.argv[2:])
paths += [root + path for root in glob.glob("/proc/*/root") + glob.glob("/proc/*/cwd") for path in sys.argv[2:]]
for path in paths:
    try:
        with open(path, "rb") as file:
            if wanted in file.read(1 << 20):
                print(path)
    except OSError:
        pass
"""


async def test_reading_another_tasks_files(tmp_path: Path, spec: SandboxSpec) -> None:
    """Another task's files, a file of the user, and what we keep of sandboxes are not there, by no way through /proc either."""
    async with running_sandbox(tmp_path / "root") as other:
        await sandboxes(tmp_path / "root").put_files(
            other.ref, [ProgramFile("checkout/file", content=b"a secret")]
        )
        private = tmp_path / "private"
        private.write_text("a secret")
        link = ProgramFile("planted.sh", content=f"#!/bin/sh\nln -s {private} link\n".encode(), mode=0o755)
        await sandboxes(tmp_path / "root").put_files(spec.ref, [link])
        await sandboxes(tmp_path / "root").exec(spec.ref, Exec(("./planted.sh",)))
        theirs = tmp_path / "root" / other.ref.name / "home/checkout/file"
        assert await told(tmp_path, spec, READ, "a secret", theirs, private, "link") == []
        names = await told(
            tmp_path, spec, "import os, sys; print(*os.listdir(sys.argv[1]))", tmp_path / "root"
        )
        assert names == [spec.ref.name]
        # The same lines do read what is the sandbox's own.
        assert str(theirs) in await told(tmp_path, other, READ, "a secret", theirs)


TOKENS = """
import glob, os, sys
print(os.getpid(), flush=True)
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline") + glob.glob("/proc/*/task/*/environ"):
    try:
        with open(path, "rb") as file:
            print(file.read().replace(b"\\0", b" ").decode())
    except OSError:
        pass
"""


async def test_reading_tokens_and_environments(
    tmp_path: Path, spec: SandboxSpec, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No environment or command line of the machine can be read, ours least; a command does not even see the server's token."""
    monkeypatch.setenv("TASKDOCK_API_TOKEN", "of-the-server")
    adapter = sandboxes(tmp_path / "root")
    endpoint = await adapter.ensure_service(spec.ref, service())
    token = endpoint.headers["Authorization"].split()[1]
    assert "SECRET=of-the-bystander" in environment_of(bystander.pid)
    text = "\n".join(await told(tmp_path, spec, TOKENS))
    assert "TASKDOCK_MARKER" in text
    for secret in ("of-the-server", "of-the-bystander", token):
        assert secret not in text


async def test_token_of_the_agents_server_opens_nothing_else(tmp_path: Path, spec: SandboxSpec) -> None:
    """What sees the token of its own server has nothing of another's: neither its token nor an answer to its own."""
    adapter = sandboxes(tmp_path / "root")
    # The server writes down what it can see of all processes, before it serves.
    source = TOKENS.replace("print(file", "print(file").encode()
    spy = ServiceSpec(
        "server",
        "1",
        ("sh", "-c", 'python3 spy.py > seen; exec python3 server.py "$0" "$1"', "{token}", "{port}"),
        {},
        (ProgramFile("spy.py", content=source), ProgramFile("server.py", content=service().files[0].content)),
        "/health",
    )
    async with running_sandbox(tmp_path / "root") as other:
        theirs = await adapter.ensure_service(other.ref, service())
        ours = await adapter.ensure_service(spec.ref, spy)
        seen = (await adapter.get_file(spec.ref, "seen")).decode()
        assert ours.headers["Authorization"].split()[1] in seen
        assert theirs.headers["Authorization"].split()[1] not in seen


async def test_etc_holds_no_secret(tmp_path: Path, spec: SandboxSpec) -> None:
    """Of /etc there is what is listed and nothing else: no shadow, no key."""
    source = """
import os
for top, _, files in os.walk("/etc"):
    for name in files:
        print(os.path.join(top, name)[5:])
print("alternatives/end")
for name in ("shadow", "gshadow", "ssl/private", "sudoers", "ssh"):
    if os.path.lexists("/etc/" + name): print("FOUND", name)
"""
    lines = await told(tmp_path, spec, source)
    assert [line for line in lines if not any(line == one or line.startswith(f"{one}/") for one in ETC)] == []
    # Whoever reads this list may be root outside: what only root may read must not be on it.
    assert closed_to_others(ETC) == []


NETWORK = """
import socket, sys
def reached(family, address):
    with socket.socket(family) as one:
        one.settimeout(5)
        try:
            one.connect(address)
            return "reached"
        except OSError:
            return "refused"
print(reached(socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))), reached(socket.AF_UNIX, "\\0" + sys.argv[2]))
print(reached(socket.AF_UNIX, sys.argv[3]))
"""


async def test_reaching_what_listens_on_the_machine(tmp_path: Path, spec: SandboxSpec, level: Level) -> None:
    """Sockets with a path are out of reach; ports and abstract sockets are as the capabilities say."""
    abstract = f"taskdock-{secrets.token_hex(8)}"
    with (
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as nameless,
        socket.socket(socket.AF_UNIX) as named,
        TemporaryDirectory(prefix="td-") as folder,
    ):
        nameless.bind(f"\0{abstract}")
        nameless.listen()
        path = f"{folder}/s"
        named.bind(path)
        named.listen()
        lines = await told(tmp_path, spec, NETWORK, port.getsockname()[1], abstract, path)
    is_open = level is Level.BUBBLEWRAP
    assert lines == ["reached reached" if is_open else "refused refused", "refused"]
    said = " ".join(sandboxes(tmp_path / "root").capabilities.not_enforced)
    assert ("reaches the network, every port of this machine" in said) == is_open


OUTLIVE = """
import ctypes, os, signal, subprocess, sys
figure = sys.argv[1]
for environment in ({}, dict(os.environ)):
    subprocess.Popen(["setsid", "-f", "sleep", figure], env={**environment, "PATH": os.environ["PATH"]})
subprocess.Popen(["nohup", "setsid", "-f", "sh", "-c", f"trap '' TERM HUP INT; while :; do sleep {figure}; done"], env={"PATH": os.environ["PATH"]})
subprocess.run(["setsid", "-f", "unshare", "-Upf", "sh", "-c", f"sleep {figure}; :"], env={"PATH": os.environ["PATH"]})
# Stop the namespace's first process, as a debugger would, and let go of the lock that it holds if that can be done.
libc = ctypes.CDLL(None, use_errno=True)
if len(sys.argv) > 2 and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        libc.ptrace(16, 1, 0, 0)
        os.execvp("sleep", ["sleep", figure])
    os._exit(0)
import fcntl
lock = os.open("/run/taskdock/lock", os.O_RDONLY)
fcntl.lockf(lock, fcntl.LOCK_UN)
os.close(lock)
"""


@pytest.mark.parametrize("verb", ["destroy", "stop"])
async def test_outliving_the_sandbox(tmp_path: Path, spec: SandboxSpec, verb: str) -> None:
    """Double forks, sessions, empty environments, ignored signals, inner namespaces, a first process held by a debugger: all end."""
    root, figure = tmp_path / "root", a_figure()
    adapter = sandboxes(root)
    script = f"python3 outlive.py {figure} hold; exec python3 server.py $0 $1"
    files = (
        ProgramFile("outlive.py", content=OUTLIVE.encode()),
        ProgramFile("server.py", content=service().files[0].content),
    )
    argv = ("sh", "-c", script, "{token}", "{port}")
    await adapter.ensure_service(spec.ref, ServiceSpec("server", "1", argv, {}, files, "/"))
    await adapter.exec(spec.ref, Exec(("python3", "outlive.py", figure)))
    with pytest.raises(Transient, match="did not end"):
        await adapter.exec(spec.ref, Exec(("python3", "outlive.py", figure, "hold"), timeout_seconds=2))
    # Of the service five, one of them as the debugger; of the command that ended four, of the one that did not none.
    await until(lambda: len(sleepers(figure)) == 9)
    assert holder(root / spec.ref.name / "lock") is not None
    with anyio.fail_after(30):
        await (adapter.destroy if verb == "destroy" else adapter.stop)(spec.ref, OWNER)
    assert not sleepers(figure)
    assert not processes(root, spec.ref.name)
    assert holder(root / spec.ref.name / "lock") is None


async def test_namespace_that_nobody_wrote_down_is_found_by_its_lock(
    tmp_path: Path, spec: SandboxSpec
) -> None:
    """Even when every record is lost and the environment is no help, the lock tells what runs, and it ends."""
    root, figure = tmp_path / "root", a_figure()
    adapter, own = sandboxes(root), root / spec.ref.name
    await adapter.exec(spec.ref, Exec(("setsid", "-f", "sleep", figure)))
    await until(lambda: sleepers(figure))
    for run in (own / "runs").iterdir():
        run.unlink()
    record = json.loads((own / "record.json").read_text())
    (own / "record.json").write_text(json.dumps(record | {"marker": "another"}))
    await adapter.stop(spec.ref, OWNER)
    assert not sleepers(figure)


HOOKS = """
import os, subprocess, sys
ran = sys.argv[1]
script = f"#!/bin/sh\\necho $0 >> {ran} 2>/dev/null; echo $0 >> $HOME/ran\\n"
git = lambda *words: subprocess.run(["git", *words], check=True, stdout=subprocess.DEVNULL)
os.makedirs(".git/hooks", exist_ok=True)
names = ("pre-commit post-commit post-checkout post-merge pre-push post-update update pre-receive post-receive"
         " reference-transaction post-rewrite pre-auto-gc proc-receive fsmonitor-watchman post-index-change").split()
for name in [*names, "monitor", "filter", "pager"]:
    path = os.path.join(".git/hooks", name)
    with open(path, "w") as file:
        file.write(script)
    os.chmod(path, 0o755)
hook = os.path.abspath(".git/hooks/")
for key, value in {
    "core.fsmonitor": hook + "/monitor", "core.hooksPath": hook, "core.sshCommand": hook + "/monitor",
    "core.pager": hook + "/pager", "core.gitProxy": hook + "/monitor", "uploadpack.packObjectsHook": hook + "/monitor",
    "filter.own.clean": hook + "/filter", "filter.own.smudge": hook + "/filter", "diff.external": hook + "/monitor",
}.items():
    git("config", key, value)
with open(".gitattributes", "w") as file:
    file.write("* filter=own\\n")
with open("work.txt", "w") as file:
    file.write("work\\n")
subprocess.run(["git", "-c", "filter.own.clean=cat", "add", "."], check=True)
git("commit", "-m", "work")
"""


async def test_planting_hooks_for_the_hosts_git(tmp_path: Path, spec: SandboxSpec) -> None:
    """Hooks, monitors, filters and commands planted in the checkout run inside at most: the host's git only takes the work."""
    ran = tmp_path / "ran"
    ran.touch()
    adapter = sandboxes(tmp_path / "root")
    remote = make_remote(tmp_path / "remote.git", {"README.md": "# Demo\n"}, commits=2)
    clones = GitClones(tmp_path / "clones")

    async def silent(_: str) -> None:
        """Take progress."""

    await clones.clone("repo-1", str(remote), silent)
    checkout = await clones.checkout("repo-1", "task-1", "main")
    await check_out(adapter, spec.ref, checkout, "topic", Identity("T", "t@example.org"))
    checkout.bundle.unlink()
    result = await adapter.exec(spec.ref, Exec(("python3", "-c", HOOKS, str(ran)), cwd="checkout"))
    assert result.exit_code == 0, result.stderr.decode()
    # They do run where they were planted, so this test could fail.
    assert await adapter.get_file(spec.ref, "ran")
    known = await clones.known_heads("repo-1", "task-1")
    bundle = await bundle_out(adapter, spec.ref, known, into=tmp_path)
    taken = await clones.take_in("repo-1", "task-1", 1, "topic", bundle)
    assert taken is not None
    assert head_of(clones.path("repo-1"), "topic") == taken.head
    assert git(clones.path("repo-1"), "show", "topic:work.txt")
    assert ran.read_text() == ""

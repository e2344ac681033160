"""Inside checks: commands run and files carried in a running sandbox.

Owns: `INSIDE_CHECKS`.
Never: a service (sandbox_service.py), nor the life of a sandbox (sandbox_life.py).
Reads as: sandbox.py -> these -> `SandboxAccess`.
"""

import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from attrs import field, mutable

from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.ports.sandbox import Exec, ProgramFile, SandboxRef, ServiceSpec
from taskdock.testing.conformance.promises import refused, require, told
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

_MIB = 1024 * 1024
_FOREVER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session={session}); print('begun', flush=True); time.sleep(600)"


async def check_absent_sandbox_is_unreachable(sut: SandboxUnderTest) -> None:
    """Every way into a sandbox that is not there is Unreachable, and makes nothing."""
    ref = sut.new_spec().ref
    mend = "raise Unreachable: nothing was sent, so it may be tried again"
    with refused(Unreachable, "exec in an absent sandbox is Unreachable", mend):
        await sut.access.exec(ref, Exec(("true",)))
    with refused(Unreachable, "put_files into an absent sandbox is Unreachable", mend):
        await sut.access.put_files(ref, [ProgramFile("file", content=b"")])
    with refused(Unreachable, "get_file from an absent sandbox is Unreachable", mend):
        await sut.access.get_file(ref, "file")
    with refused(Unreachable, "ensure_service in an absent sandbox is Unreachable", mend):
        await sut.access.ensure_service(ref, ServiceSpec("any", "1", ("true",), {}, (), "/"))
    with refused(Unreachable, "endpoint in an absent sandbox is Unreachable", mend):
        await sut.access.endpoint(ref, "any")
    with refused(Unreachable, "stop_service in an absent sandbox is Unreachable", mend):
        await sut.access.stop_service(ref, "any")
    left = await sut.files(ref)
    require(
        not left,
        "A call into an absent sandbox makes nothing",
        f"there is {list(left)[:3]}",
        "look before you write",
    )


async def check_exec_tells_what_became(sut: SandboxUnderTest) -> None:
    """A command's exit code, both outputs and stdin arrive; a non-zero exit is a result."""
    source = "import sys; data = sys.stdin.read(); print(data[::-1]); print('to stderr', file=sys.stderr); sys.exit(7)"
    async with sut.sandbox() as spec:
        result = await sut.run_python(spec.ref, source, stdin=b"abc")
        require(
            result.exit_code == 7,  # noqa: PLR2004
            "exec gives the exit code of the command, whatever it is",
            f"for 7 it gave {result.exit_code}",
            "take the code of the command itself, not of what starts it",
        )
        require(
            result.stdout == b"cba\n",
            "stdin reaches the command whole, and its stdout comes back alone",
            f"of 'abc', turned round inside, came back {result.stdout[-200:]!r}",
            "pipe stdin in, close it, and keep the two outputs apart",
        )
        require(
            result.stderr == b"to stderr\n",
            "The command's stderr comes back apart from its stdout",
            f"it is {result.stderr[-200:]!r}",
            "keep the two outputs apart",
        )
        large = bytes(range(256)) * (3 * _MIB // 256)
        counted = await sut.run_python(
            spec.ref, "import sys; print(len(sys.stdin.buffer.read()))", stdin=large
        )
        require(
            counted.stdout == b"%d\n" % len(large),
            "All of a large stdin arrives",
            f"of {len(large)} bytes came {counted.stdout[-50:]!r}",
            "write stdin while you read the outputs, to its end",
        )
        deaf = await sut.run_python(spec.ref, "print('never reads')", stdin=large)
        require(
            deaf.stdout == b"never reads\n",
            "A command that does not read its stdin runs all the same",
            f"it gave {deaf.exit_code} and {deaf.stdout!r}",
            "take a closed stdin for an end, not for an error",
        )


async def check_exec_environment_is_clean(sut: SandboxUnderTest) -> None:
    """A command sees the sandbox's environment and its own additions, nothing of ours."""
    canary = "TASKDOCK_CONFORMANCE_CANARY"
    os.environ[canary] = "secret"
    try:
        async with sut.sandbox() as spec:
            source = "import os; print(*sorted(os.environ), sep='\\n'); print(os.environ['ADDED'], os.getcwd(), os.environ['HOME'])"
            command = Exec((sut.python, "-c", source), cwd="checkout", env={"ADDED": "added value"})
            lines = (await sut.access.exec(spec.ref, command)).stdout.decode().splitlines()
            require(
                canary not in lines,
                "Our own environment does not reach into a sandbox",
                f"{canary}, set in this process, is set inside",
                "make the environment inside from an allow-list, not from os.environ",
            )
            require(
                "PATH" in lines and "HOME" in lines,
                "PATH and HOME are set inside",
                f"there are only {lines[:-1]}",
                "give both to every command",
            )
            added, _, folders = lines[-1].partition("value ")
            require(
                added == "added ",
                "`env` is added to the environment",
                f"inside is {lines[-1]!r}",
                "pass Exec.env on",
            )
            cwd, home = folders.split()
            require(
                cwd == f"{home}/checkout",
                "`cwd` is taken from the home, and home/checkout is there from the start",
                f"the command ran in {cwd}, with the home {home}",
                "make checkout with the sandbox, and join cwd to the home",
            )
    finally:
        del os.environ[canary]


async def check_exec_keeps_the_end_of_much_output(sut: SandboxUnderTest) -> None:
    """Output beyond 1 MiB is cut to its last MiB on both channels, and a full pipe blocks nobody."""
    source = (
        "import sys\n"
        "for number in range(3 * 1024):\n"
        "    sys.stdout.write(f'{number:0>1023}\\n'); sys.stderr.write(f'{number:e>1023}\\n')\n"
    )
    async with sut.sandbox() as spec:
        result = await sut.run_python(spec.ref, source)
        for name, output in (("stdout", result.stdout), ("stderr", result.stderr)):
            require(
                len(output) == _MIB and output.endswith(b"3071\n"),
                f"Of 3 MiB of {name} exec gives the last MiB",
                f"it gave {len(output)} bytes that end in {output[-10:]!r}",
                "keep the end, drop the beginning, and read both outputs all the while",
            )


async def check_exec_ends_with_its_process(sut: SandboxUnderTest) -> None:
    """A process left in the background that holds the output open does not hold up the answer."""
    source = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('said')"
    async with sut.sandbox() as spec:
        with anyio.move_on_after(15) as waited:
            result = await sut.run_python(spec.ref, source)
            require(
                result.stdout == b"said\n",
                "What a command wrote before its end arrives",
                f"there is {result.stdout!r}",
                "read what lies in the pipe when the process has ended",
            )
        require(
            not waited.cancelled_caught,
            "exec answers when its process ends",
            "it waited for a process in the background that holds the output open",
            "wait for the process, not for the end of its output",
        )


async def check_exec_timeout_kills(sut: SandboxUnderTest) -> None:
    """On timeout the command and what it started are killed, also in a session of its own, and it is Transient."""
    async with sut.sandbox() as spec:
        for session in (False, True):
            command = Exec((sut.python, "-c", _FOREVER.format(session=session)), timeout_seconds=1.0)
            with refused(Transient, "A command that does not end in time is Transient"):
                await sut.access.exec(spec.ref, command)
            await sut.until_no_process(spec.ref, "A command that timed out leaves no process")


async def check_exec_cancelled_kills(sut: SandboxUnderTest) -> None:
    """Cancelling exec kills the command and what it started."""
    async with sut.sandbox() as spec:
        async with anyio.create_task_group() as group:
            group.start_soon(
                sut.access.exec, spec.ref, Exec((sut.python, "-c", _FOREVER.format(session=True)))
            )
            await sut.until_processes(spec.ref, 2)
            group.cancel_scope.cancel()
        await sut.until_no_process(spec.ref, "A cancelled command leaves no process")


async def check_exec_of_nothing_is_permanent(sut: SandboxUnderTest) -> None:
    """A program that is not there will not be there the next time."""
    async with sut.sandbox() as spec:
        mend = "raise Permanent, which is not tried again"
        with refused(Permanent, "A program that is not there cannot be run, however often", mend):
            await sut.access.exec(spec.ref, Exec(("taskdock-no-such-program",)))
        with refused(Permanent, "A cwd outside the home is refused", mend):
            await sut.access.exec(spec.ref, Exec((sut.python, "-c", ""), cwd="../.."))


async def check_files_arrive(sut: SandboxUnderTest) -> None:
    """Files arrive with content and mode, in new folders too; putting again replaces, also by less."""
    async with sut.sandbox() as spec:
        script = ProgramFile("deep/er/run.sh", content=b"#!/bin/sh\necho ran\n", mode=0o755)
        data = bytes(range(256)) * 1024
        for content in (data, b"", data):
            await sut.access.put_files(spec.ref, [script, ProgramFile("data", content=content)])
            found = await sut.access.get_file(spec.ref, "data")
            require(
                found == content,
                "get_file gives back what put_files wrote, byte by byte, also when it became less",
                f"of {len(content)} bytes came back {len(found)}, {'others' if found else 'none'}",
                "carry bytes, not text, and replace the whole file",
            )
        seen = await sut.must_run(
            spec.ref, "import os, sys; print(oct(os.stat(sys.argv[1]).st_mode & 0o777))", script.path
        )
        require(
            seen == b"0o755\n",
            "A file arrives with its mode, so that a script can be run",
            f"one of mode 0o755 has {seen.decode().strip()}",
            "set the mode before the file is moved into place",
        )


async def check_host_program_runs(sut: SandboxUnderTest) -> None:
    """A program of the host can be run inside under its new path, and read-only by content."""
    with TemporaryDirectory() as folder:
        program = Path(folder) / "program"
        program.write_text("#!/bin/sh\necho from the host\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        async with sut.sandbox() as spec:
            file = ProgramFile("bin/program", host_path=program, mode=0o755)
            for _ in range(2):
                await sut.access.put_files(spec.ref, [file])
            result = await sut.access.exec(spec.ref, Exec(("bin/program",)))
            require(
                result.stdout == b"from the host\n",
                "A program of the host can be run inside under its new path",
                f"it gave {result.exit_code}, {result.stdout[-100:]!r} and {result.stderr[-200:]!r}",
                "carry host_path in, by content or by a link that leads inside too",
            )
            with refused(Permanent, "A program that is not on the host cannot be carried in"):
                await sut.access.put_files(spec.ref, [ProgramFile("x", host_path=program.with_name("none"))])


async def check_put_is_atomic(sut: SandboxUnderTest) -> None:
    """A reader inside sees the old file or the new one, never a part."""
    reader = (
        "import sys\n"
        "print('begun', flush=True)\n"
        "for _ in range(50):\n"
        "    seen = open('file', 'rb').read()\n"
        "    if len(seen) != 1 << 20 or len(set(seen)) != 1: sys.exit(f'half a file: {len(seen)} bytes')\n"
    )
    old, new = (ProgramFile("file", content=letter * _MIB) for letter in (b"o", b"n"))
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [old])
        done = _Done()
        async with anyio.create_task_group() as group:
            group.start_soon(_read_until_done, sut, spec.ref, reader, done)
            while not done.messages:
                await sut.access.put_files(spec.ref, [new])
                await sut.access.put_files(spec.ref, [old])
        require(
            not done.messages[0],
            "put_files replaces a file in one step",
            f"a reader met {done.messages[0]}",
            "write beside it, then rename over it",
        )


async def check_paths_stay_in_the_home(sut: SandboxUnderTest) -> None:
    """No path leads out of the home: not upwards, not absolute, not through a link planted inside."""
    # A folder of its own: an adapter that does follow the link must find nothing there to spoil.
    plant = (
        "import os, tempfile\n"
        "out = tempfile.mkdtemp(dir='/tmp'); open(out + '/file', 'w').close(); print(out)\n"
        "os.symlink(out, 'out'); os.symlink(out + '/file', 'link'); os.symlink('..', 'up')\n"
    )
    clear = (
        "import os, shutil, sys\n"
        "out = sys.argv[1]\n"
        # Outside the home nothing has to last, so the folder may be gone.
        "written = os.path.lexists('../new') or (os.path.isdir(out) and os.listdir(out) != ['file'])\n"
        "shutil.rmtree(out, ignore_errors=True)\n"
        "sys.exit('something was written' if written else 0)\n"
    )
    async with sut.sandbox() as spec:
        out = (await sut.must_run(spec.ref, plant)).decode().strip()
        mend = "resolve the path inside, links too, and refuse what leaves the home"
        for path in ["../new", "a/../../new", f"{out}/new", "out/new", "out/a/new", "up/new"]:
            with refused(Permanent, f"No file is written outside the home, as {path!r} would be", mend):
                await sut.access.put_files(spec.ref, [ProgramFile(path, content=b"escaped")])
        for path in ["../new", f"{out}/file", "link", "out/file", "up/new"]:
            with refused(Permanent, f"No file is read outside the home, as {path!r} would be", mend):
                await sut.access.get_file(spec.ref, path)
        cleared = await sut.run_python(spec.ref, clear, out)
        require(
            cleared.exit_code == 0,
            "A path that leaves the home writes nothing",
            f"outside is: {cleared.stderr.decode(errors='replace').strip()}",
            "look at the whole path before you make the first folder of it",
        )


async def check_missing_file_is_permanent(sut: SandboxUnderTest) -> None:
    """A file that is not there, or is no file, is Permanent."""
    async with sut.sandbox() as spec:
        for path in ("nothing", "no/folder/either", "checkout", "."):
            with refused(Permanent, f"Reading {path!r}, which is no file, is Permanent"):
                await sut.access.get_file(spec.ref, path)


@mutable
class _Done:
    messages: list[str] = field(factory=list)


async def _read_until_done(sut: SandboxUnderTest, ref: SandboxRef, reader: str, done: _Done) -> None:
    message = "the reader could not be run"
    try:
        message = (await sut.run_python(ref, reader)).stderr.decode().strip()
    finally:
        done.messages.append(message)


INSIDE_CHECKS: tuple[SandboxCheck, ...] = told(
    check_absent_sandbox_is_unreachable,
    check_exec_tells_what_became,
    check_exec_environment_is_clean,
    check_exec_keeps_the_end_of_much_output,
    check_exec_ends_with_its_process,
    check_exec_timeout_kills,
    check_exec_cancelled_kills,
    check_exec_of_nothing_is_permanent,
    check_files_arrive,
    check_host_program_runs,
    check_put_is_atomic,
    check_paths_stay_in_the_home,
    check_missing_file_is_permanent,
)

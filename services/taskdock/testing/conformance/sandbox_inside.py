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
from taskdock.testing.conformance.sandbox_under_test import (
    SandboxCheck,
    SandboxUnderTest,
    refused,
    require,
)

_MIB = 1024 * 1024
_FOREVER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session={session}); print('begun', flush=True); time.sleep(600)"


async def check_absent_sandbox_is_unreachable(sut: SandboxUnderTest) -> None:
    """Every way into a sandbox that is not there is Unreachable, and makes nothing."""
    ref = sut.new_spec().ref
    promise = "There is no such sandbox, so nothing was sent."
    with refused(Unreachable, promise):
        await sut.access.exec(ref, Exec(("true",)))
    with refused(Unreachable, promise):
        await sut.access.put_files(ref, [ProgramFile("file", content=b"")])
    with refused(Unreachable, promise):
        await sut.access.get_file(ref, "file")
    with refused(Unreachable, promise):
        await sut.access.ensure_service(ref, ServiceSpec("any", "1", ("true",), {}, (), "/"))
    with refused(Unreachable, promise):
        await sut.access.endpoint(ref, "any")
    with refused(Unreachable, promise):
        await sut.access.stop_service(ref, "any")
    require(not await sut.leftovers(ref), "A refused call must make no file.")


async def check_exec_tells_what_became(sut: SandboxUnderTest) -> None:
    """A command's exit code, both outputs and stdin arrive; a non-zero exit is a result."""
    source = "import sys; data = sys.stdin.read(); print(data[::-1]); print('to stderr', file=sys.stderr); sys.exit(7)"
    async with sut.sandbox() as spec:
        result = await sut.run_python(spec.ref, source, stdin=b"abc")
        require(result.exit_code == 7, f"The exit code was 7, exec says {result.exit_code}.")  # noqa: PLR2004
        require(
            result.stdout == b"cba\n",
            f"stdin must reach the command and stdout come back: {result.stdout!r}.",
        )
        require(
            result.stderr == b"to stderr\n", f"stderr must come back apart from stdout: {result.stderr!r}."
        )
        large = bytes(range(256)) * (3 * _MIB // 256)
        counted = await sut.run_python(
            spec.ref, "import sys; print(len(sys.stdin.buffer.read()))", stdin=large
        )
        require(
            counted.stdout == b"%d\n" % len(large), f"All of a large stdin must arrive: {counted.stdout!r}."
        )
        deaf = await sut.run_python(spec.ref, "print('never reads')", stdin=large)
        require(deaf.stdout == b"never reads\n", "A command that does not read its stdin must not fail.")


async def check_exec_environment_is_clean(sut: SandboxUnderTest) -> None:
    """A command sees the sandbox's environment and its own additions, nothing of ours."""
    canary = "TASKDOCK_CONFORMANCE_CANARY"
    os.environ[canary] = "secret"
    try:
        async with sut.sandbox() as spec:
            source = "import os; print(*sorted(os.environ), sep='\\n'); print(os.environ['ADDED'], os.getcwd(), os.environ['HOME'])"
            command = Exec((sut.python, "-c", source), cwd="checkout", env={"ADDED": "added value"})
            lines = (await sut.access.exec(spec.ref, command)).stdout.decode().splitlines()
            require(canary not in lines, "Our own environment must not reach into a sandbox: allow-list it.")
            require("PATH" in lines and "HOME" in lines, f"PATH and HOME must be set inside: {lines}.")
            added, _, folders = lines[-1].partition("value ")
            require(added == "added ", f"Exec.env must be added to the environment: {lines[-1]}.")
            cwd, home = folders.split()
            require(
                cwd == f"{home}/checkout",
                f"cwd must be taken from the home, and home/checkout must exist from the start; it was {cwd}.",
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
            require(len(output) == _MIB, f"{name} must be cut to its last MiB, this is {len(output)} bytes.")
            require(output.endswith(b"3071\n"), f"{name} must keep its end, this ends in {output[-10:]!r}.")


async def check_exec_ends_with_its_process(sut: SandboxUnderTest) -> None:
    """A process left in the background that holds the output open does not hold up the answer."""
    source = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('said')"
    async with sut.sandbox() as spec:
        with anyio.move_on_after(30) as waited:
            result = await sut.run_python(spec.ref, source)
            require(
                result.stdout == b"said\n", f"What was written before the end must arrive: {result.stdout!r}."
            )
        require(
            not waited.cancelled_caught, "exec must end when its process ends, not when its output is closed."
        )


async def check_exec_timeout_kills(sut: SandboxUnderTest) -> None:
    """On timeout the command and what it started are killed, also in a session of its own, and it is Transient."""
    async with sut.sandbox() as spec:
        for session in (False, True):
            command = Exec((sut.python, "-c", _FOREVER.format(session=session)), timeout_seconds=1.0)
            with refused(Transient, "A command that does not end in time may do so another time."):
                await sut.access.exec(spec.ref, command)
            await sut.until_no_process(spec.ref, "A command that timed out must leave no process.")


async def check_exec_cancelled_kills(sut: SandboxUnderTest) -> None:
    """Cancelling exec kills the command and what it started."""
    async with sut.sandbox() as spec:
        async with anyio.create_task_group() as group:
            group.start_soon(
                sut.access.exec, spec.ref, Exec((sut.python, "-c", _FOREVER.format(session=True)))
            )
            await sut.until_processes(spec.ref, 2)
            group.cancel_scope.cancel()
        await sut.until_no_process(spec.ref, "A cancelled command must leave no process.")


async def check_exec_of_nothing_is_permanent(sut: SandboxUnderTest) -> None:
    """A program that is not there will not be there the next time."""
    async with sut.sandbox() as spec:
        with refused(Permanent, "A program that does not exist cannot be run, however often."):
            await sut.access.exec(spec.ref, Exec(("taskdock-no-such-program",)))
        with refused(Permanent, "A cwd must lie below the home."):
            await sut.access.exec(spec.ref, Exec((sut.python, "-c", ""), cwd="../.."))


async def check_files_arrive(sut: SandboxUnderTest) -> None:
    """Files arrive with content and mode, in new folders too; putting again replaces, also by less."""
    async with sut.sandbox() as spec:
        script = ProgramFile("deep/er/run.sh", content=b"#!/bin/sh\necho ran\n", mode=0o755)
        data = bytes(range(256)) * 1024
        for content in (data, b"", data):
            await sut.access.put_files(spec.ref, [script, ProgramFile("data", content=content)])
            found = await sut.access.get_file(spec.ref, "data")
            require(found == content, "get_file must give back what put_files wrote, byte by byte.")
        result = await sut.access.exec(spec.ref, Exec(("./run.sh",), cwd="deep/er"))
        require(
            result.stdout == b"ran\n", f"A file must get its mode, so that a script can be run: {result}."
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
            require(result.stdout == b"from the host\n", f"A program of the host must run inside: {result}.")
            with refused(Permanent, "A program that is not on the host cannot be carried in."):
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
        require(not done.messages[0], f"put_files must replace a file in one step: {done.messages[0]}.")


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
        planted = await sut.run_python(spec.ref, plant)
        require(planted.exit_code == 0, f"The links could not be planted: {planted.stderr!r}.")
        out = planted.stdout.decode().strip()
        for path in ["../new", "a/../../new", f"{out}/new", "out/new", "out/a/new", "up/new"]:
            with refused(Permanent, f"Writing {path!r} would leave the home."):
                await sut.access.put_files(spec.ref, [ProgramFile(path, content=b"escaped")])
        for path in ["../new", f"{out}/file", "link", "out/file", "up/new"]:
            with refused(Permanent, f"Reading {path!r} would leave the home."):
                await sut.access.get_file(spec.ref, path)
        cleared = await sut.run_python(spec.ref, clear, out)
        require(cleared.exit_code == 0, f"A refused path must write nothing: {cleared.stderr!r}.")


async def check_missing_file_is_permanent(sut: SandboxUnderTest) -> None:
    """A file that is not there, or is no file, is Permanent."""
    async with sut.sandbox() as spec:
        for path in ("nothing", "no/folder/either", "checkout", "."):
            with refused(Permanent, f"{path!r} is no file."):
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


INSIDE_CHECKS: tuple[SandboxCheck, ...] = (
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

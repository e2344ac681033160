"""Toolbox: the daemon in a running box, as our program inside is called through it.

Owns: `Toolbox`: shell commands, files up and down, and the program of ours that is brought there when it is missing.
Never: what a user's command is, or means: that is `inside`'s; a secret in a command line.
Reads as: provider.py, commands.py, services.py -> `Toolbox.call` -> wire.py -> inside/main.py in the box.
"""

import base64
import hashlib
import io
import json
import secrets
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Any

import anyio
from attrs import field, frozen

from taskdock.adapters.sandbox.daytona.box import Box
from taskdock.adapters.sandbox.daytona.wire import Call, Wire
from taskdock.core.errors import OutcomeUnknown, Permanent, PortError, Transient, Unreachable

ANSWER = "taskdock-answers:"
"""What the line of an answer begins with; a shell may print lines of its own before it."""
_MISSING = 86
"""The exit code of a box that does not have our program yet."""
_TRIES = 3
_PAUSE_SECONDS = 0.3
_INLINE_BYTES_MAX = 32 * 1024
_MARGIN_SECONDS = 20
_CARRY_SECONDS_MAX = 600.0

Source = bytes | Path


@frozen
class _Ask:
    """What our program is to do, as it is sent."""

    verb: str
    request: bytes = field(repr=False)
    seconds: float
    is_private: bool = field(kw_only=True)


@cache
def _program() -> tuple[bytes, str]:
    """Our program as a zip, and the folder in which it lies inside: another one for each version."""
    packed = io.BytesIO()
    package = "taskdock.adapters.sandbox.daytona.inside"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in sorted(resources.files(package).iterdir(), key=lambda one: one.name):
            if module.name.endswith(".py"):
                path = f"{package.replace('.', '/')}/{module.name}"
                archive.writestr(zipfile.ZipInfo(path), module.read_bytes())
        archive.writestr(zipfile.ZipInfo("__main__.py"), f"from {package}.main import main\n\nmain()\n")
    content = packed.getvalue()
    return content, f".taskdock/provider/inside-{hashlib.sha256(content).hexdigest()[:12]}"


@frozen
class Toolbox:
    """The toolbox of one box, as it was when it was looked at."""

    wire: Wire
    box: Box
    python: str = "python3"
    url: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.box.toolbox_url is None:
            raise Transient(f"Daytona does not tell where the toolbox of {self.box.name} is.")
        object.__setattr__(self, "url", f"{self.box.toolbox_url.rstrip('/')}/{self.box.key_id}")

    async def call(
        self, verb: str, request: Mapping[str, Any], *, is_private: bool = False, seconds: float = 30.0
    ) -> dict[str, Any]:
        """Have our program do something, and give its answer. Every verb may be asked for again, so a lost answer is.

        What `is_private` travels as a file, not in a command line. Raises Permanent for what the program refuses.
        """
        answer = await self._until_answered(
            _Ask(verb, json.dumps(request).encode(), seconds, is_private=is_private)
        )
        if "refused" in answer:
            raise Permanent(str(answer["refused"]))
        if "broke" in answer:
            raise Transient(f"Something broke in the sandbox {self.box.name}: {answer['broke']}.")
        return answer

    async def upload(self, files: Sequence[tuple[str, Source]]) -> None:
        """Bring files, each to an absolute path; one there already is overwritten."""
        if not files:
            return
        with ExitStack() as stack:
            call = Call(
                f"bring files into {self.box.name}",
                "POST",
                f"{self.url}/files/bulk-upload",
                changes=True,
                data={f"files[{number}].path": path for number, (path, _) in enumerate(files)},
                files={
                    f"files[{number}].file": (path, _opened(source, stack))
                    for number, (path, source) in enumerate(files)
                },
                seconds_max=_CARRY_SECONDS_MAX,
            )
            await self.wire.send(call)

    async def download(self, path: str) -> bytes:
        """Fetch a file by its absolute path."""
        call = Call(
            f"fetch a file from {self.box.name}",
            "GET",
            f"{self.url}/files/download",
            params={"path": path},
            seconds_max=_CARRY_SECONDS_MAX,
        )
        return (await self.wire.send(call)).content

    def staged(self) -> str:
        """A path for a file on its way in, that nobody else has."""
        return f"/tmp/taskdock-{secrets.token_hex(12)}"  # noqa: S108 - in the box, and nobody knows it before

    async def _until_answered(self, ask: _Ask) -> dict[str, Any]:
        """Ask again when a connection broke; nothing is done twice by that."""
        broken: PortError | None = None
        for _ in range(_TRIES):
            try:
                return await self._answer(ask)
            except (Unreachable, Permanent) as error:
                # Of what was sent before, nobody can say any more what became.
                raise broken or error from None
            except (Transient, OutcomeUnknown) as error:
                if getattr(error, "retry_after_seconds", None):
                    raise
                broken = error
            await anyio.sleep(_PAUSE_SECONDS)
        assert broken is not None
        raise broken

    async def _answer(self, ask: _Ask) -> dict[str, Any]:
        argument = base64.b64encode(ask.request).decode()
        if ask.is_private or len(ask.request) > _INLINE_BYTES_MAX:
            argument = self.staged()
            await self.upload([(argument, ask.request)])
            argument = f"@{argument}"
        program, name = _program()
        run = f'exec {self.python} -I -S "$d" {ask.verb} {argument}'
        place = f'd="$HOME/{name}"'
        code, said = await self._shell(f'{place}; [ -d "$d" ] || exit {_MISSING}; {run}', ask.seconds)
        if code == _MISSING:
            code, said = await self._shell(f"{place}; {await self._bring(program)}; {run}", ask.seconds)
        for line in reversed(said.splitlines()):
            if line.startswith(ANSWER):
                answer = json.loads(line.removeprefix(ANSWER))
                if isinstance(answer, dict):
                    return answer
        raise self._silent(code, said)

    async def _bring(self, program: bytes) -> str:
        """Bring our program, and give the commands that unpack it in one step, whoever else does at the same time."""
        packed, fresh = self.staged(), f'"$d.{secrets.token_hex(6)}"'
        await self.upload([(packed, program)])
        # Beside its place, since /tmp may be another file system, from which nothing moves in one step.
        unpack = (
            f'mkdir -p "${{d%/*}}" && chmod 700 "${{d%/*}}" && {self.python} -m zipfile -e {packed} {fresh}'
        )
        return f'{unpack} && {{ mv -T {fresh} "$d" 2>/dev/null || [ -d "$d" ]; }} || exit; rm -rf {packed} {fresh}'

    def _silent(self, code: int, said: str) -> PortError:
        """Our program did not answer: it could not be run, or was ended on its way."""
        tail = said[-2000:].strip() or None
        if code in (126, 127):
            needs = f"There is no {self.python} that can be run in the sandbox: choose an image that has one"
            return Permanent(f"{needs}.", log_tail=tail)
        return Transient(f"A command in the sandbox {self.box.name} ended with {code}.", log_tail=tail)

    async def _shell(self, command: str, seconds: float) -> tuple[int, str]:
        whole = int(seconds) + _MARGIN_SECONDS
        call = Call(
            f"run a command in {self.box.name}",
            "POST",
            f"{self.url}/process/execute",
            changes=True,
            json={"command": command, "timeout": whole},
            seconds_max=whole + _MARGIN_SECONDS,
        )
        told = await self.wire.ask(call)
        if not isinstance(told, dict):
            raise Transient(f"The toolbox of {self.box.name} did not answer.")
        code, said = told.get("exitCode"), told.get("result")
        return code if isinstance(code, int) else 0, said if isinstance(said, str) else ""


def _opened(source: Source, stack: ExitStack) -> bytes | IO[bytes]:
    if isinstance(source, bytes):
        return source
    try:
        return stack.enter_context(source.open("rb"))
    except OSError as error:
        raise Permanent(f"{source} cannot be read: {error.strerror}.") from error

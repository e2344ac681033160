"""Daytona provider: both sandbox ports over Daytona's REST API.

Owns: `DaytonaSandboxes`: how a request becomes one of theirs, and what is asked again.
Never: adoption from a list; a box of somebody else touched; `absent` said because a look failed.
Reads as: services/executors -> this -> control.py (life and death), commands.py and services.py (inside).

Rule 1. The name is the identity. It is looked for before a create, and again after whatever a create was refused with.
Rule 2. What is found is adopted when its labels are ours to the letter, else it is Foreign and stays as it is.
Rule 3. A destroy goes to the id that was looked at, never to the name: that may be another box's by then.
Rule 4. A box that is being destroyed has lost its name. It is followed by its id, which this process remembers and
        others find in the list, and is absent only when its id is.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import anyio

from taskdock.adapters.sandbox.daytona import commands, services
from taskdock.adapters.sandbox.daytona.box import NAME, OWNER, Box, labels_of
from taskdock.adapters.sandbox.daytona.control import Control
from taskdock.adapters.sandbox.daytona.failures import Busy
from taskdock.adapters.sandbox.daytona.settings import DaytonaConfig
from taskdock.adapters.sandbox.daytona.toolbox import Toolbox
from taskdock.adapters.sandbox.daytona.wire import Wire
from taskdock.core.errors import Foreign, OutcomeUnknown, Permanent, PortError, Transient, Unreachable
from taskdock.ports.sandbox import (
    Capabilities,
    Endpoint,
    Exec,
    ExecResult,
    Observation,
    Phase,
    ProgramFile,
    SandboxRef,
    SandboxSpec,
    ServiceSpec,
)

_CREATES_MAX = 5
_PAUSE_SECONDS = 0.1
_PAUSE_SECONDS_MAX = 3.0
_GONE = (Phase.ABSENT, Phase.DESTROYING)
_ABOUT = (
    "Taskdock was tried against a stand-in of Daytona, never against the real cloud.",
    "What a command prints lies on the sandbox's disk until it ends.",
    "A process that leaves the supervisor above it and changes its environment is found only when the sandbox stops.",
)


class DaytonaSandboxes:
    """`SandboxProvider` and `SandboxAccess` over the sandboxes of one Daytona account.

    Nothing is kept but connections, and which ids this process asked to be destroyed. Raises only `PortError`s.
    """

    id = "daytona"

    def __init__(self, config: DaytonaConfig, key: str, now: Callable[[], datetime]) -> None:
        self._config = config
        self._now = now
        self._wire = Wire(config.api_url, key, config.request_seconds)
        self._control = Control(self._wire, config.create_seconds)
        self._ending: dict[str, set[str]] = {}
        self.capabilities = Capabilities(
            place=None,
            isolation="Daytona",
            create_window_seconds=config.create_window_seconds,
            stop_keeps_files=True,
            limits=_limits(config),
            not_enforced=_ABOUT,
        )

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Look for the name, make it, and look again whatever that was refused with."""
        self._own(spec.ref)
        refusal: PortError | None = None
        for _ in range(_CREATES_MAX):
            read_at = self._now()
            box = await self._control.find(spec.ref.name)
            if box is not None:
                _refuse_others(box, spec)
                return self._observed(spec.ref, box, read_at)
            if refusal is not None and not isinstance(refusal, Busy):
                raise refusal
            try:
                # What is answered is how it was at first, which may be half a minute ago: the next look tells.
                await self._control.create(self._config.body(spec.ref.name, labels_of(spec)))
                refusal = None
            except Unreachable:
                raise
            except (Transient, Permanent, OutcomeUnknown) as error:
                refusal = error
                await anyio.sleep(_PAUSE_SECONDS)
        raise refusal or Transient(f"The sandbox {spec.ref.name} comes and goes.")

    async def observe(self, ref: SandboxRef) -> Observation:
        """Ask for the name; where there is none, for what was made under it and is being destroyed."""
        self._own(ref)
        read_at = self._now()
        box = await self._control.find(ref.name)
        if box is None or box.phase in _GONE:
            box = await self._leaving(ref, box)
        if box is None:
            return Observation(ref, Phase.ABSENT, read_at)
        return self._observed(ref, box, read_at)

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        """Ask for a stopped one to run; every other is left alone."""
        return await self._change(ref, owner, self._control.start, (Phase.STOPPED, Phase.STOPPING))

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        """Ask for its stop, again and again while Daytona is busy with it, for as long as `busy_seconds`."""
        return await self._change(
            ref, owner, self._control.stop, (Phase.RUNNING, Phase.PENDING, Phase.UNKNOWN)
        )

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """Ask for the end of the box that has this name now, as `stop` does, and remember its id."""

        async def end(box: Box) -> None:
            self._ending.setdefault(ref.name, set()).add(box.key_id)
            await self._control.delete(box)

        present = tuple(phase for phase in Phase if phase not in _GONE)
        return await self._change(ref, owner, end, present)

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """List by label, and look at each by its id: a list lags behind."""
        told: set[str] = set()
        async for hint in self._control.listed({OWNER: owner}):
            read_at = self._now()
            box = await self._control.find(hint.key_id)
            if box is None or box.phase is Phase.ABSENT or box.key_id in told:
                continue
            told.add(box.key_id)
            if box.own_labels.get("owner") == owner:
                yield self._observed(SandboxRef(self.id, box.given_name), box, read_at)

    async def aclose(self) -> None:
        """Close the connections; sandboxes stay as they are."""
        await self._wire.aclose()

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        """Start or adopt the server, and open the way to its port."""
        with _asked_again():
            return await services.ensure(await self._toolbox(ref), self._control, service)

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        """Where it answers now; the token of the way there is fresh."""
        with _asked_again():
            return await services.endpoint_of(await self._toolbox(ref), self._control, service)

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        """SIGTERM, SIGKILL two seconds later to what is left, and wait."""
        with _asked_again():
            await services.stop(await self._toolbox(ref), service)

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        """Run a program without a shell; one that cannot be run at all is Permanent."""
        with _read():
            return await commands.run(await self._toolbox(ref), command)

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        """Bring files below the home. Permanent for a path that leads out of it."""
        with _asked_again():
            await services.carry(await self._toolbox(ref), files)

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        """Fetch a regular file of at most 512 MiB below the home."""
        with _asked_again():
            toolbox = await self._toolbox(ref)
            told = await toolbox.call("get", {"path": path})
            if "at" in told:
                return await toolbox.download(str(told["at"]))
            return base64.b64decode(told["content"])

    async def _change(
        self,
        ref: SandboxRef,
        owner: str,
        request: Callable[[Box], Awaitable[None]],
        phases: Sequence[Phase],
    ) -> Observation:
        """Ask for a change of the box while it is in one of the phases, until Daytona takes it.

        A refusal counts only when the box is still so at the next look: another call may just have done the same.
        """
        self._own(ref)
        give_up_at = anyio.current_time() + self._config.busy_seconds
        pause = _PAUSE_SECONDS
        refusal: PortError | None = None
        while True:
            box = await self._control.find(ref.name)
            if box is not None and box.own_labels.get("owner") != owner:
                raise Foreign(f"The sandbox {ref.name} belongs to somebody else.")
            if box is None or box.phase not in phases:
                break
            if refusal is not None and (not isinstance(refusal, Busy) or anyio.current_time() > give_up_at):
                raise refusal
            try:
                await request(box)
                break
            except (Busy, Permanent) as error:
                refusal = error
            await anyio.sleep(getattr(refusal, "retry_after_seconds", None) or pause)
            pause = min(pause * 1.5, _PAUSE_SECONDS_MAX)
        return await self.observe(ref)

    async def _leaving(self, ref: SandboxRef, found: Box | None) -> Box | None:
        """A box that was made under this name and is not gone yet."""
        ids = dict.fromkeys(self._ending.get(ref.name, ()))
        if found is not None:
            ids[found.key_id] = None
        if not ids:
            ids = dict.fromkeys([hint.key_id async for hint in self._control.listed({NAME: ref.name})])
        for key_id in ids:
            box = await self._control.find(key_id)
            if box is not None and box.phase is not Phase.ABSENT:
                return box
            self._ending.get(ref.name, set()).discard(key_id)
        self._ending.pop(ref.name, None)
        return None

    async def _toolbox(self, ref: SandboxRef) -> Toolbox:
        """The way into a box that runs. Unreachable when it does not; nothing is started by that."""
        self._own(ref)
        box = await self._control.find(ref.name)
        if box is None or box.phase is not Phase.RUNNING:
            phase = Phase.ABSENT if box is None else box.phase
            raise Unreachable(f"The sandbox {ref.name} does not run: it is {phase.value}.")
        return Toolbox(self._wire, box, self._config.python)

    def _own(self, ref: SandboxRef) -> None:
        if ref.provider != self.id:
            raise Permanent(f"The sandbox {ref.name} belongs to the provider {ref.provider}.")

    def _observed(self, ref: SandboxRef, box: Box, read_at: datetime) -> Observation:
        takes = box.takes
        return Observation(
            ref,
            box.phase,
            read_at,
            reason=box.reason,
            labels=box.own_labels,
            created_at=box.created_at,
            takes=takes,
            cost_hourly=self._config.cost_hourly(takes),
        )


@contextmanager
def _asked_again() -> Iterator[None]:
    """What is done inside may be done again without harm, so an unknown outcome is no more than a failure that may pass."""
    try:
        with _read():
            yield
    except OutcomeUnknown as error:
        raise Transient(error.reason, log_tail=error.log_tail) from error


@contextmanager
def _read() -> Iterator[None]:
    """What is answered inside may be anything: whatever runs there can change our program."""
    try:
        yield
    except (LookupError, TypeError, ValueError) as error:
        raise OutcomeUnknown(f"The sandbox answers what cannot be read: {error!r}.") from error


def _refuse_others(box: Box, spec: SandboxSpec) -> None:
    if box.own_labels != spec.labels:
        raise Foreign(f"The sandbox {box.name} belongs to somebody else; it was left as it is.")


def _limits(config: DaytonaConfig) -> tuple[str, ...]:
    """What its size is, where the configuration says so."""
    sizes = {"vCPU": config.cpu, "GiB of memory": config.memory_gib, "GiB of disk": config.disk_gib}
    return tuple(f"{size} {unit}." for unit, size in sizes.items() if size is not None)

"""Broken services: the faults in how servers inside are started, found and stopped.

Owns: `SERVICE_FAULTS`, a part of `ACCESS_FAULTS`.
Never: a fault of commands or files (broken_access.py).
Reads as: broken_access.py -> a fault -> honest_provider.py.
"""

# ruff: noqa: ARG002 - a fault has the arguments of what it breaks, and forgetting one is often the fault

import itertools
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from attrs import evolve, frozen

from conformance.honest_provider import Honest
from taskdock.core.errors import Permanent, PortError, Transient, Unreachable
from taskdock.ports.sandbox import Endpoint, Observation, SandboxRef, ServiceSpec


class ServiceStartedTwice(Honest):
    """Whoever ensures a service that another caller is starting starts one too."""

    found_by = "check_service_is_started_once"
    says = "However many ensure a service, one server is started"
    numbers: ClassVar["itertools.count[int]"] = itertools.count()

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        return await self.real.ensure_service(ref, evolve(service, name=f"probe-{next(self.numbers)}"))


class ServicesKeptInMemory(Honest):
    """Which services run is kept in memory; the next process starts them anew."""

    found_by = "check_service_is_adopted"
    says = "An adapter that did not start a service finds it"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.known: set[str] = set()

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        if service.name not in self.known:
            await self.real.stop_service(ref, service.name)
        self.known.add(service.name)
        return await self.real.ensure_service(ref, service)


class EndpointOfTheStopped(Honest):
    """endpoint gives the last address, whether the service runs or not."""

    found_by = "check_stop_ends_the_service"
    says = "endpoint of a stopped service is Unreachable"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.last: dict[SandboxRef, Endpoint] = {}

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        self.last[ref] = await self.real.ensure_service(ref, service)
        return self.last[ref]

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        return self.last.get(ref) or await self.real.endpoint(ref, service)


class StopServiceLeavesDaemons(Honest):
    """stop_service ends the one process that it started."""

    found_by = "check_stop_ends_the_service"
    says = "stop_service waits until the service and every process that it started are gone"

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        await self.real.stop_service(ref, service)
        await self.leave_one(ref)


class StopServiceEndsAll(Honest):
    """stop_service ends whatever runs in the box."""

    found_by = "check_stop_spares_what_else_runs"
    says = "stop_service ends the service, and nothing else of the sandbox"

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        owner = (await self.real.observe(ref)).labels["owner"]
        await self.real.stop(ref, owner)
        await self.real.start(ref, owner)


class IncarnationStays(Honest):
    """The incarnation is the name of the box."""

    found_by = "check_new_start_is_a_new_incarnation"
    says = "Every start of a service has an incarnation of its own"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        return evolve(await self.real.ensure_service(ref, service), incarnation=ref.name)


class RecordOutlivesTheStop(Honest):
    """A stop of the box leaves what was written down of its services, and ensure_service believes it."""

    found_by = "check_service_comes_back"
    says = "A service is ensured again after its sandbox was stopped and started, and answers"
    written: ClassVar[dict[tuple[SandboxRef, str, str], Endpoint]] = {}

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        key = (ref, service.name, service.version)
        if key not in self.written:
            self.written[key] = await self.real.ensure_service(ref, service)
        return self.written[key]


class StartIsTakenForUnderWay(Honest):
    """A stop of the box leaves the mark of a service that starts, so that everybody waits for somebody else."""

    found_by = "check_service_comes_back"
    says = "A service is ensured again after its sandbox was stopped and started, and answers"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        mark = self.root / f".starts-{ref.name}-{service.name}"
        if mark.exists():
            with suppress(Unreachable):
                return await self.real.endpoint(ref, service.name)
            raise Transient(f"{service.name} is being started already.")
        mark.touch()
        return await self.real.ensure_service(ref, service)


class StartBringsServicesBack(Honest):
    """start of the box starts again what ran in it, as many services do by themselves."""

    found_by = "check_service_comes_back"
    says = "No service runs in a sandbox that was stopped and started, until it is ensured anew"
    ran: ClassVar[dict[SandboxRef, ServiceSpec]] = {}

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        self.ran[ref] = service
        return await self.real.ensure_service(ref, service)

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        observation = await self.real.start(ref, owner)
        if ref in self.ran:
            await self.real.ensure_service(ref, self.ran[ref])
        return observation


class OldVersionKept(Honest):
    """A service that runs is good enough, whatever its version."""

    found_by = "check_new_version_replaces"
    says = "A service that is ensured in another version is started anew in it"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        try:
            return await self.real.endpoint(ref, service.name)
        except PortError:
            return await self.real.ensure_service(ref, service)


class HealthIsNotAwaited(Honest):
    """A server that was started counts as up; where it will answer is guessed."""

    found_by = "check_silence_is_transient"
    says = "A server that does not answer its health path in time is Transient"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        try:
            return await self.real.ensure_service(ref, service)
        except Transient:
            token = {"Authorization": f"Bearer {'0' * 32}"}
            return Endpoint("http://127.0.0.1:1", token, "guessed", os.fspath(self.home(ref) / "checkout"))


class SilentServerLeftRunning(Honest):
    """A server that never answered is told of, and goes on."""

    found_by = "check_silence_is_transient"
    says = "A server that never answered is stopped"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        try:
            return await self.real.ensure_service(ref, service)
        except Transient:
            await self.leave_one(ref)
            raise


class LogTailMissing(Honest):
    """A server that ends says why, and nobody reads it."""

    found_by = "check_crash_tells_the_log"
    says = "carries the end of its output as `log_tail`"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        try:
            return await self.real.ensure_service(ref, service)
        except Transient as error:
            raise Transient(error.reason) from error


class TokenInTheLogTail(Honest):
    """The log tail is shown as the server wrote it."""

    found_by = "check_crash_tells_the_log"
    says = "Neither the log tail nor the reason of an error shows the token"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        try:
            return await self.real.ensure_service(ref, service)
        except Transient as error:
            token = (await self.real.get_file(ref, "shown")).decode()
            tail = (error.log_tail or "").replace("[token]", token)
            raise Transient(error.reason, log_tail=tail) from error


@frozen
class LoudEndpoint(Endpoint):
    """An endpoint whose repr shows everything."""

    def __repr__(self) -> str:
        return f"LoudEndpoint({self.url}, {dict(self.headers)})"


class TokenInTheRepr(Honest):
    """The endpoint is a type of the adapter's own, and its repr shows the headers."""

    found_by = "check_token_is_secret"
    says = "The token stands in the headers and in no repr"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        found = await self.real.ensure_service(ref, service)
        return LoudEndpoint(found.url, found.headers, found.incarnation, found.checkout, found.uds)


class CheckoutElsewhere(Honest):
    """The endpoint tells another checkout than the one that commands run in."""

    found_by = "check_service_answers"
    says = "`{checkout}` is filled with the checkout that the endpoint tells"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        return evolve(await self.real.ensure_service(ref, service), checkout="/workspace")


class DestroyForgetsServices(Honest):
    """destroy ends what runs in the box, and the servers beside it go on."""

    found_by = "check_destroy_ends_services"
    says = "`absent` means that no process of a service is left"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        if list((self.root / ref.name / "services").glob("*.json")):
            shutil.rmtree(self.root / ref.name)
        return await self.real.destroy(ref, owner)


class StopServiceByNameAlone(Honest):
    """stop_service ends what has the service's name, in whichever box."""

    found_by = "check_services_do_not_meet"
    says = "The same service in two sandboxes runs twice"

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        for folder in sorted(self.root.glob("taskdock-*")):
            await self.real.stop_service(evolve(ref, name=folder.name), service)


class EndpointStarts(Honest):
    """endpoint starts what it does not find, and says that it was not there."""

    found_by = "check_endpoint_starts_nothing"
    says = "endpoint starts nothing"

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        try:
            return await self.real.endpoint(ref, service)
        except Unreachable:
            await self.leave_one(ref)
            raise


class AnyAnswerIsHealth(HealthIsNotAwaited):
    """A server that answers at all counts as the service, also with a refusal."""

    found_by = "check_stranger_is_not_ours"
    says = "A server that answers 401 to the token is not the service"


class NoServerIsTransient(Honest):
    """A server that cannot be started at all is started again and again."""

    found_by = "check_missing_program_is_permanent"
    says = "A program that is not there cannot be started, however often"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        try:
            return await self.real.ensure_service(ref, service)
        except Permanent as error:
            raise Transient(error.reason) from error


class ReportOutlivesTheBox(Honest):
    """A start that fails keeps a report of the box, also when there is none any more."""

    found_by = "check_destroy_beside_a_start"
    says = "A service that starts beside a destroy ends with the sandbox, and brings nothing of it back"

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        try:
            return await self.real.ensure_service(ref, service)
        except Transient:
            (self.root / f".reports-{ref.name}").touch()
            raise


SERVICE_FAULTS: tuple[type[Honest], ...] = (
    ServiceStartedTwice,
    ServicesKeptInMemory,
    EndpointOfTheStopped,
    StopServiceLeavesDaemons,
    StopServiceEndsAll,
    IncarnationStays,
    RecordOutlivesTheStop,
    StartIsTakenForUnderWay,
    StartBringsServicesBack,
    OldVersionKept,
    HealthIsNotAwaited,
    SilentServerLeftRunning,
    LogTailMissing,
    TokenInTheLogTail,
    TokenInTheRepr,
    CheckoutElsewhere,
    DestroyForgetsServices,
    StopServiceByNameAlone,
    EndpointStarts,
    AnyAnswerIsHealth,
    NoServerIsTransient,
    ReportOutlivesTheBox,
)

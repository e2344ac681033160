"""Service checks: one server per name in a sandbox, whoever asks for it and however often.

Owns: `SERVICE_CHECKS`, and the little server that they run.
Never: a real agent server; what it needs of a provider is what this one needs.
Reads as: sandbox.py -> these -> `SandboxAccess`.
"""

from functools import partial

import anyio
import httpx
from attrs import evolve

from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.ports.sandbox import Endpoint, ProgramFile, SandboxRef, ServiceSpec
from taskdock.testing.conformance.sandbox_under_test import (
    SandboxCheck,
    SandboxUnderTest,
    all_succeed,
    refused,
    require,
)

# Appends a line to `starts` at each start, then does as its third argument says.
_SERVER = b"""
import http.server, os, sys, time
token, port, mode = sys.argv[1:4]
with open(os.path.join(os.environ["HOME"], "starts"), "a") as starts:
    starts.write(f"{os.getpid()} {os.environ['CHECKOUT']}\\n")
if mode == "crash":
    print("the frobnicator is missing", token, file=sys.stderr, flush=True)
    sys.exit(3)
if mode == "silent":
    print("thinking", flush=True)
    time.sleep(600)
if mode == "daemon" and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
if mode == "stranger":
    token = "of somebody else"

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ours = self.headers.get("Authorization") == f"Bearer {token}"
        self.send_response(401 if not ours else 200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Answer).serve_forever()
"""


def _service(sut: SandboxUnderTest, mode: str = "serve", version: str = "1") -> ServiceSpec:
    return ServiceSpec(
        name="probe",
        version=version,
        argv=(sut.python, "{home}/.taskdock/probe.py", "{token}", "{port}", mode),
        env={"CHECKOUT": "{checkout}"},
        files=(ProgramFile(".taskdock/probe.py", content=_SERVER),),
        health_path="/health",
    )


async def check_service_answers(sut: SandboxUnderTest) -> None:
    """A started service answers at its endpoint to its token only, and its placeholders are filled."""
    async with sut.sandbox() as spec:
        endpoint = await sut.access.ensure_service(spec.ref, _service(sut))
        require(
            await _answer(endpoint, with_token=True) == httpx.codes.OK,
            "The endpoint must answer to its headers.",
        )
        refused_status = await _answer(endpoint, with_token=False)
        require(
            refused_status != httpx.codes.OK,
            "The token must be enforced: without the endpoint's headers nothing may answer 200.",
        )
        starts = (await sut.access.get_file(spec.ref, "starts")).decode()
        require(
            endpoint.checkout in starts,
            f"{{checkout}} must be filled with the endpoint's checkout: {starts!r}.",
        )
        token = endpoint.headers.get("Authorization", "")
        require(
            bool(token) and token not in repr(endpoint), "The token must be in the headers and in no repr."
        )


async def check_service_is_started_once(sut: SandboxUnderTest) -> None:
    """Callers that race, from two adapters, get one server; so does whoever asks again."""
    async with sut.sandbox() as spec:
        async with sut.another() as (_, other):
            racers = [
                partial(access.ensure_service, spec.ref, _service(sut)) for access in (sut.access, other)
            ] * 3
            found = await all_succeed("Callers at once must all be served.", racers)
        found.append(await sut.access.ensure_service(spec.ref, _service(sut)))
        incarnations = {endpoint.incarnation for endpoint in found}
        require(len(incarnations) == 1, f"All callers must be led to one server, not to {len(incarnations)}.")
        await _has_started(sut, spec.ref, 1, "Callers at once must start one server")


async def check_service_is_adopted(sut: SandboxUnderTest) -> None:
    """An adapter that did not start the service finds it running."""
    async with sut.sandbox() as spec:
        first = await sut.access.ensure_service(spec.ref, _service(sut))
        async with sut.another() as (_, other):
            adopted = [
                await other.endpoint(spec.ref, "probe"),
                await other.ensure_service(spec.ref, _service(sut)),
            ]
        for found in adopted:
            require(
                found.incarnation == first.incarnation and dict(found.headers) == dict(first.headers),
                "A fresh adapter must adopt the running service, with its token and incarnation.",
            )
        await _has_started(sut, spec.ref, 1, "Adopting must start nothing")


async def check_services_do_not_meet(sut: SandboxUnderTest) -> None:
    """The same service in two sandboxes runs twice, each at an address and with a token of its own."""
    async with sut.sandbox() as one, sut.sandbox() as two:
        starts = [partial(sut.access.ensure_service, spec.ref, _service(sut)) for spec in (one, two)]
        first, second = await all_succeed("Services of two sandboxes must not hinder each other.", starts)
        crossed = evolve(first, headers=second.headers)
        require(
            await _answer(crossed, with_token=True) != httpx.codes.OK,
            "A service must not answer to the token of another sandbox's.",
        )
        await sut.access.stop_service(one.ref, "probe")
        await sut.access.endpoint(two.ref, "probe")


async def check_endpoint_starts_nothing(sut: SandboxUnderTest) -> None:
    """Asking for the endpoint of a service that does not run is Unreachable and starts nothing."""
    async with sut.sandbox() as spec:
        with refused(Unreachable, "No service was started yet."):
            await sut.access.endpoint(spec.ref, "probe")
        require(await sut.count_processes(spec.ref) == 0, "endpoint must start nothing.")


async def check_stop_ends_the_service(sut: SandboxUnderTest) -> None:
    """Stopping ends the service and its daemonised children, spares what else runs, and may be asked again."""
    async with sut.sandbox() as spec:
        await sut.access.stop_service(spec.ref, "probe")
        endpoint = await sut.access.ensure_service(spec.ref, _service(sut, "daemon"))
        await sut.until_processes(spec.ref, 2)
        await sut.access.stop_service(spec.ref, "probe")
        require(
            await sut.count_processes(spec.ref) == 0,
            "stop_service must wait until the service and every process it started are gone.",
        )
        with refused(Unreachable, "A stopped service does not run."):
            await sut.access.endpoint(spec.ref, "probe")
        require(await _answer(endpoint, with_token=True) is None, "A stopped service must not answer.")
        await sut.access.stop_service(spec.ref, "probe")


async def check_new_start_is_a_new_incarnation(sut: SandboxUnderTest) -> None:
    """After a stop the service starts with another token and incarnation; the old token is worth nothing."""
    async with sut.sandbox() as spec:
        first = await sut.access.ensure_service(spec.ref, _service(sut))
        await sut.access.stop_service(spec.ref, "probe")
        second = await sut.access.ensure_service(spec.ref, _service(sut))
        require(first.incarnation != second.incarnation, "Every start must have an incarnation of its own.")
        require(dict(first.headers) != dict(second.headers), "Every start must have a fresh random token.")
        stale = evolve(second, headers=first.headers)
        require(
            await _answer(stale, with_token=True) != httpx.codes.OK,
            "The token of an earlier start must be void.",
        )


async def check_new_version_replaces(sut: SandboxUnderTest) -> None:
    """A running service of another version is stopped, and the new one started in its place."""
    async with sut.sandbox() as spec:
        first = await sut.access.ensure_service(spec.ref, _service(sut, "daemon"))
        second = await sut.access.ensure_service(spec.ref, _service(sut, version="2"))
        require(first.incarnation != second.incarnation, "Another version is another start.")
        await _has_started(sut, spec.ref, 2, "Another version must be started anew")
        require(await _answer(second, with_token=True) == httpx.codes.OK, "The new version must answer.")
        require(
            await sut.count_processes(spec.ref) == 1,
            "Of the version before no process may be left, its daemons included.",
        )


async def check_crash_tells_the_log(sut: SandboxUnderTest) -> None:
    """A server that ends before it answers is Transient with the end of its output, without the token."""
    async with sut.sandbox() as spec:
        try:
            await sut.access.ensure_service(spec.ref, _service(sut, "crash"))
        except Transient as error:
            tail = error.log_tail or ""
            require(
                "frobnicator" in tail, f"The error must carry the end of the server's output, not {tail!r}."
            )
            secrets = [word for word in tail.split() if len(word) >= 32]  # noqa: PLR2004 - a token is long
            require(not secrets, "The log tail must not show the token.")
        else:
            raise AssertionError("A server that ends before it answers is Transient.")
        await sut.access.ensure_service(spec.ref, _service(sut))


async def check_silence_is_transient(sut: SandboxUnderTest) -> None:
    """A server that does not answer in time is Transient with its log, is stopped, and can be started again."""
    async with sut.sandbox() as spec:
        silent = evolve(_service(sut, "silent"), start_seconds_max=1.0)
        try:
            await sut.access.ensure_service(spec.ref, silent)
        except Transient as error:
            require(
                "thinking" in (error.log_tail or ""), f"The error must carry the log, not {error.log_tail!r}."
            )
        else:
            raise AssertionError("A server that does not answer its health path is Transient.")
        await sut.until_no_process(
            spec.ref, "A server that never answered must be stopped, or it bars the next try."
        )
        with refused(Unreachable, "A service that never answered does not run."):
            await sut.access.endpoint(spec.ref, "probe")
        await sut.access.ensure_service(spec.ref, _service(sut))


async def check_stranger_is_not_ours(sut: SandboxUnderTest) -> None:
    """A server that does not know the token is not taken for the service."""
    async with sut.sandbox() as spec:
        stranger = evolve(_service(sut, "stranger"), start_seconds_max=1.0)
        with refused(Transient, "An answer of 401 comes from a server that is not ours."):
            await sut.access.ensure_service(spec.ref, stranger)


async def check_missing_program_is_permanent(sut: SandboxUnderTest) -> None:
    """A program that cannot be run at all is Permanent, and leaves no trace that bars a right one."""
    async with sut.sandbox() as spec:
        missing = evolve(_service(sut), argv=("{home}/no/such/program",))
        with refused(Permanent, "A program that does not exist cannot be started, however often."):
            await sut.access.ensure_service(spec.ref, missing)
        await sut.access.ensure_service(spec.ref, _service(sut))


async def check_destroy_ends_services(sut: SandboxUnderTest) -> None:
    """Destroying the sandbox ends its services; one that starts meanwhile fails and leaves nothing either."""
    async with sut.sandbox() as spec:
        await sut.access.ensure_service(spec.ref, _service(sut, "daemon"))
        await sut.destroyed(spec)
        require(
            await sut.count_processes(spec.ref) == 0, "absent must mean that no process of a service is left."
        )
        await sut.provider.ensure(spec)
        async with anyio.create_task_group() as group:
            group.start_soon(_ensure_or_fail, sut, spec.ref)
            await sut.until_processes(spec.ref, 1)
            await sut.destroyed(spec)
        require(
            await sut.count_processes(spec.ref) == 0, "A service must not outlive a destroy while it starts."
        )
        require(
            not await sut.leftovers(spec.ref),
            "A service that starts must not bring back a destroyed sandbox.",
        )


async def _ensure_or_fail(sut: SandboxUnderTest, ref: SandboxRef) -> None:
    with refused(Transient, "The sandbox of a service that starts was destroyed."):
        await sut.access.ensure_service(ref, _service(sut, "silent"))


async def _answer(endpoint: Endpoint, *, with_token: bool) -> int | None:
    """The status that the health path answers with, None when nothing answers."""
    uds = None if endpoint.uds is None else str(endpoint.uds)
    transport = httpx.AsyncHTTPTransport(verify=False, uds=uds)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        try:
            headers = dict(endpoint.headers) if with_token else {}
            return (await client.get(f"{endpoint.url}/health", headers=headers)).status_code
        except httpx.TransportError:
            return None


async def _has_started(sut: SandboxUnderTest, ref: SandboxRef, times: int, promise: str) -> None:
    starts = (await sut.access.get_file(ref, "starts")).decode().splitlines()
    require(len(starts) == times, f"{promise}; it was started {len(starts)} times, not {times}.")


SERVICE_CHECKS: tuple[SandboxCheck, ...] = (
    check_service_answers,
    check_service_is_started_once,
    check_service_is_adopted,
    check_services_do_not_meet,
    check_endpoint_starts_nothing,
    check_stop_ends_the_service,
    check_new_start_is_a_new_incarnation,
    check_new_version_replaces,
    check_crash_tells_the_log,
    check_silence_is_transient,
    check_stranger_is_not_ours,
    check_missing_program_is_permanent,
    check_destroy_ends_services,
)

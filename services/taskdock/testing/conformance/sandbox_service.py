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
from taskdock.testing.conformance.promises import PromiseBroken, all_succeed, refused, require, told
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

_TOKEN_LENGTH_MIN = 22  # 128 random bits in base 64

# Appends a line to `starts` at each start, then does as its third argument says.
_SERVER = b"""
import http.server, os, sys, time
token, port, mode = sys.argv[1:4]
with open(os.path.join(os.environ["HOME"], "starts"), "a") as starts:
    starts.write(f"{os.getpid()} {os.environ['CHECKOUT']}\\n")
if mode == "crash":
    with open(os.path.join(os.environ["HOME"], "shown"), "w") as shown:
        shown.write(token)
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
        await _require_answer(endpoint, "A service that ensure_service gives answers at its endpoint")
        refused_status = await _answer(endpoint, with_token=False)
        require(
            refused_status != httpx.codes.OK,
            "Nothing answers without the token of the endpoint's headers",
            f"the health path said {refused_status} without them",
            "add the token in the headers only, not on the way",
        )
        starts = (await sut.access.get_file(spec.ref, "starts")).decode()
        require(
            endpoint.checkout in starts,
            "`{checkout}` is filled with the checkout that the endpoint tells",
            f"inside it was {starts[-100:]!r}, the endpoint says {endpoint.checkout!r}",
            "fill the placeholders in argv and env, and tell the same path",
        )


async def check_token_is_secret(sut: SandboxUnderTest) -> None:
    """The token is long, stands in the headers, and is shown by no repr."""
    async with sut.sandbox() as spec:
        endpoint = await sut.access.ensure_service(spec.ref, _service(sut))
        token = endpoint.headers.get("Authorization", "").removeprefix("Bearer ")
        require(
            len(token) >= _TOKEN_LENGTH_MIN,
            "The endpoint's headers hold a bearer token that nobody guesses",
            f"that of `Authorization` has {len(token)} characters",
            "give `Authorization: Bearer <token>` with at least 128 random bits",
        )
        require(
            token not in repr(endpoint) and token not in str(endpoint),
            "The token stands in the headers and in no repr",
            "repr(endpoint) shows it",
            "leave headers out of the repr",
        )


async def check_service_is_started_once(sut: SandboxUnderTest) -> None:
    """Callers that race, from two adapters, get one server; so does whoever asks again."""
    async with sut.sandbox() as spec:
        async with sut.another() as (_, other):
            racers = [
                partial(access.ensure_service, spec.ref, _service(sut)) for access in (sut.access, other)
            ] * 3
            found = await all_succeed("Callers of ensure_service at once are all served", racers)
        found.append(await sut.access.ensure_service(spec.ref, _service(sut)))
        promise = "However many ensure a service, one server is started"
        await _require_starts(sut, spec.ref, 1, promise)
        incarnations = {endpoint.incarnation for endpoint in found}
        require(
            len(incarnations) == 1,
            promise,
            f"callers were told {len(incarnations)} incarnations",
            "give the incarnation of the start, the same to all",
        )


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
                "An adapter that did not start a service finds it, with its token and incarnation",
                "it was told others",
                "keep both where the next process finds them, outside of the home",
            )
        await _require_starts(sut, spec.ref, 1, "Adopting a service starts nothing")


async def check_services_do_not_meet(sut: SandboxUnderTest) -> None:
    """The same service in two sandboxes runs twice, each at an address and with a token of its own."""
    async with sut.sandbox() as one, sut.sandbox() as two:
        starts = [partial(sut.access.ensure_service, spec.ref, _service(sut)) for spec in (one, two)]
        first, second = await all_succeed("Services of two sandboxes do not hinder each other", starts)
        crossed = evolve(first, headers=second.headers)
        require(
            await _answer(crossed, with_token=True) != httpx.codes.OK,
            "A service does not answer to the token of another sandbox's",
            "it did",
            "make a random token for every start",
        )
        await sut.access.stop_service(one.ref, "probe")
        await _require_answer(
            await sut.access.endpoint(two.ref, "probe"),
            "Stopping a service leaves its like in other sandboxes alone",
        )


async def check_endpoint_starts_nothing(sut: SandboxUnderTest) -> None:
    """Asking for the endpoint of a service that does not run is Unreachable and starts nothing."""
    async with sut.sandbox() as spec:
        with refused(Unreachable, "endpoint of a service that was never started is Unreachable"):
            await sut.access.endpoint(spec.ref, "probe")
        running = await sut.processes(spec.ref)
        mend = "start services in ensure_service alone"
        require(running == 0, "endpoint starts nothing", f"{running} processes run", mend)


async def check_stop_ends_the_service(sut: SandboxUnderTest) -> None:
    """Stopping ends the service and its daemonised children, and may be asked again."""
    async with sut.sandbox() as spec:
        await sut.access.stop_service(spec.ref, "probe")
        endpoint = await sut.access.ensure_service(spec.ref, _service(sut, "daemon"))
        await sut.access.stop_service(spec.ref, "probe")
        with refused(
            Unreachable, "endpoint of a stopped service is Unreachable", "look whether it still runs"
        ):
            await sut.access.endpoint(spec.ref, "probe")
        status = await _answer(endpoint, with_token=True)
        mend = "wait for the end of the server before you answer"
        require(status is None, "A stopped service does not answer", f"it answers {status}", mend)
        await sut.access.stop_service(spec.ref, "probe")
        running = await sut.processes(spec.ref)
        require(
            running == 0,
            "stop_service waits until the service and every process that it started are gone",
            f"{running} of them run",
            "end them all, daemons too, and wait for their end",
        )


async def check_stop_spares_what_else_runs(sut: SandboxUnderTest) -> None:
    """Stopping a service leaves every other process of its sandbox alone."""
    async with sut.sandbox() as spec:
        await sut.leave_running(spec.ref)
        await sut.access.ensure_service(spec.ref, _service(sut))
        await sut.access.stop_service(spec.ref, "probe")
        running = await sut.processes(spec.ref)
        require(
            running == 1,
            "stop_service ends the service, and nothing else of the sandbox",
            f"of the service and one process beside it run {running}",
            "tell the processes of a service from the others before you end any",
        )


async def check_new_start_is_a_new_incarnation(sut: SandboxUnderTest) -> None:
    """After a stop the service starts with another token and incarnation; the old token is worth nothing."""
    mend = "make a fresh one whenever you start it"
    async with sut.sandbox() as spec:
        first = await sut.access.ensure_service(spec.ref, _service(sut))
        await sut.access.stop_service(spec.ref, "probe")
        second = await sut.access.ensure_service(spec.ref, _service(sut))
        require(
            first.incarnation != second.incarnation,
            "Every start of a service has an incarnation of its own",
            f"two starts are both {first.incarnation!r}",
            mend,
        )
        require(
            dict(first.headers) != dict(second.headers),
            "Every start of a service has a fresh random token",
            "two starts have the same",
            mend,
        )
        stale = evolve(second, headers=first.headers)
        require(
            await _answer(stale, with_token=True) != httpx.codes.OK,
            "The token of an earlier start is void",
            "the service answers to it",
            "give each start its own token, and take no other",
        )


async def check_new_version_replaces(sut: SandboxUnderTest) -> None:
    """A running service of another version is stopped, and the new one started in its place."""
    promise = "A service that is ensured in another version is started anew in it"
    async with sut.sandbox() as spec:
        first = await sut.access.ensure_service(spec.ref, _service(sut, "daemon"))
        second = await sut.access.ensure_service(spec.ref, _service(sut, version="2"))
        await _require_starts(
            sut, spec.ref, 2, promise, "compare the version of what runs with the one ordered"
        )
        require(
            first.incarnation != second.incarnation,
            promise,
            "its incarnation is the one of the version before",
            "make a fresh one whenever you start it",
        )
        await _require_answer(second, "The new version of a service answers at its endpoint")
        running = await sut.processes(spec.ref)
        require(
            running == 1,
            "Of the version before no process is left, its daemons included",
            f"beside the new server run {running - 1}",
            "stop the version before with all it started, then start the new one",
        )


async def check_crash_tells_the_log(sut: SandboxUnderTest) -> None:
    """A server that ends before it answers is Transient with the end of its output, without the token."""
    async with sut.sandbox() as spec:
        try:
            await sut.access.ensure_service(spec.ref, _service(sut, "crash"))
        except Transient as error:
            _require_tail(error, "frobnicator")
            token = (await sut.access.get_file(spec.ref, "shown")).decode()
            require(
                token not in f"{error.log_tail} {error!r}",
                "Neither the log tail nor the reason of an error shows the token",
                "the server printed it, and there it is",
                "replace the token in what you show",
            )
        else:
            raise PromiseBroken(
                "A server that ends before it answers is Transient",
                "ensure_service gave an endpoint",
                "wait for the health path, and look whether the server still runs",
            )
        await sut.access.ensure_service(spec.ref, _service(sut))


async def check_silence_is_transient(sut: SandboxUnderTest) -> None:
    """A server that does not answer in time is Transient with its log, is stopped, and can be started again."""
    async with sut.sandbox() as spec:
        silent = evolve(_service(sut, "silent"), start_seconds_max=1.0)
        try:
            await sut.access.ensure_service(spec.ref, silent)
        except Transient as error:
            _require_tail(error, "thinking")
        else:
            raise PromiseBroken(
                "A server that does not answer its health path in time is Transient",
                "ensure_service gave an endpoint",
                "wait for a 200 of the health path, and give up after start_seconds_max",
            )
        await sut.until_no_process(
            spec.ref, "A server that never answered is stopped, so that the next try is free"
        )
        with refused(Unreachable, "endpoint of a service that never answered is Unreachable"):
            await sut.access.endpoint(spec.ref, "probe")
        await sut.access.ensure_service(spec.ref, _service(sut))


async def check_stranger_is_not_ours(sut: SandboxUnderTest) -> None:
    """A server that does not know the token is not taken for the service."""
    mend = "take only a 200 to the token for the service, and raise Transient after start_seconds_max"
    async with sut.sandbox() as spec:
        stranger = evolve(_service(sut, "stranger"), start_seconds_max=1.0)
        with refused(Transient, "A server that answers 401 to the token is not the service", mend):
            await sut.access.ensure_service(spec.ref, stranger)


async def check_missing_program_is_permanent(sut: SandboxUnderTest) -> None:
    """A program that cannot be run at all is Permanent, and leaves no trace that bars a right one."""
    mend = "raise Permanent, which is not tried again"
    async with sut.sandbox() as spec:
        missing = evolve(_service(sut), argv=("{home}/no/such/program",))
        with refused(Permanent, "A program that is not there cannot be started, however often", mend):
            await sut.access.ensure_service(spec.ref, missing)
        await sut.access.ensure_service(spec.ref, _service(sut))


async def check_destroy_ends_services(sut: SandboxUnderTest) -> None:
    """Destroying the sandbox ends its services, daemons included."""
    async with sut.sandbox() as spec:
        await sut.access.ensure_service(spec.ref, _service(sut, "daemon"))
        await sut.destroyed(spec)
        running = await sut.processes(spec.ref)
        require(
            running == 0,
            "`absent` means that no process of a service is left",
            f"{running} run",
            "end services with their sandbox, daemons too",
        )


async def check_destroy_beside_a_start(sut: SandboxUnderTest) -> None:
    """A service that starts while its sandbox is destroyed fails, and leaves nothing either."""
    async with sut.sandbox() as spec:
        async with anyio.create_task_group() as group:
            group.start_soon(_ensure_or_fail, sut, spec.ref)
            await sut.until_processes(spec.ref, 1)
            await sut.destroyed(spec)
        running, left = await sut.processes(spec.ref), await sut.files(spec.ref)
        require(
            running == 0 and not left,
            "A service that starts beside a destroy ends with the sandbox, and brings nothing of it back",
            f"{running} processes run, and there is {list(left)[:3]}",
            "have both wait for each other, and look again whether the sandbox is there before you start",
        )


async def _ensure_or_fail(sut: SandboxUnderTest, ref: SandboxRef) -> None:
    with refused(Transient, "A service whose sandbox is destroyed while it starts is Transient"):
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


async def _require_answer(endpoint: Endpoint, promise: str) -> None:
    status = await _answer(endpoint, with_token=True)
    mend = "wait for a 200 of the health path, and give the address at which it came"
    require(status == httpx.codes.OK, promise, f"there answers {status or 'nothing'}", mend)


async def _require_starts(
    sut: SandboxUnderTest,
    ref: SandboxRef,
    times: int,
    promise: str,
    mend: str = "look for the running server under a lock that all processes share, then start or adopt",
) -> None:
    starts = (await sut.access.get_file(ref, "starts")).decode().splitlines()
    require(len(starts) == times, promise, f"it was started {len(starts)} times, not {times}", mend)


def _require_tail(error: Transient, word: str) -> None:
    tail = error.log_tail or ""
    require(
        word in tail,
        "The error of a server that does not come up carries the end of its output as `log_tail`",
        f"that is {tail[-200:]!r}",
        "keep stdout and stderr of every service, and give their last lines",
    )


SERVICE_CHECKS: tuple[SandboxCheck, ...] = told(
    check_service_answers,
    check_token_is_secret,
    check_service_is_started_once,
    check_service_is_adopted,
    check_services_do_not_meet,
    check_endpoint_starts_nothing,
    check_stop_ends_the_service,
    check_stop_spares_what_else_runs,
    check_new_start_is_a_new_incarnation,
    check_new_version_replaces,
    check_crash_tells_the_log,
    check_silence_is_transient,
    check_stranger_is_not_ours,
    check_missing_program_is_permanent,
    check_destroy_ends_services,
    check_destroy_beside_a_start,
)

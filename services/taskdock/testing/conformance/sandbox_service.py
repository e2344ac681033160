"""Service checks: one server per name in a sandbox, whoever asks for it and however often.

Owns: `SERVICE_CHECKS`.
Never: a server that does not come up (sandbox_service_failures.py).
Reads as: sandbox.py -> these -> sandbox_probe.py -> `SandboxAccess`.
"""

from functools import partial

import anyio
import httpx
from attrs import evolve

from taskdock.core.errors import PortError, Transient, Unreachable
from taskdock.ports.sandbox import Endpoint, Phase, SandboxAccess, SandboxRef
from taskdock.testing.conformance.promises import PromiseBroken, all_succeed, refused, require, told
from taskdock.testing.conformance.sandbox_probe import answer, probe, require_answer, require_starts
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

_TOKEN_LENGTH_MIN = 22  # 128 random bits in base 64
_PROXY_SAYS_GONE = (502, 503, 504)
"""What a proxy on the way answers where nobody else does any more."""


async def check_service_answers(sut: SandboxUnderTest) -> None:
    """A started service answers at its endpoint to its token only, and its placeholders are filled."""
    async with sut.sandbox() as spec:
        endpoint = await sut.access.ensure_service(spec.ref, probe(sut))
        await require_answer(endpoint, "A service that ensure_service gives answers at its endpoint")
        refused_status = await answer(endpoint, with_token=False)
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
        endpoint = await sut.access.ensure_service(spec.ref, probe(sut))
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
                partial(access.ensure_service, spec.ref, probe(sut)) for access in (sut.access, other)
            ] * 3
            found = await all_succeed("Callers of ensure_service at once are all served", racers)
        found.append(await sut.access.ensure_service(spec.ref, probe(sut)))
        promise = "However many ensure a service, one server is started"
        await require_starts(sut, spec.ref, 1, promise)
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
        first = await sut.access.ensure_service(spec.ref, probe(sut))
        async with sut.another() as (_, other):
            adopted = [
                await other.endpoint(spec.ref, "probe"),
                await other.ensure_service(spec.ref, probe(sut)),
            ]
        for found in adopted:
            require(
                found.incarnation == first.incarnation and dict(found.headers) == dict(first.headers),
                "An adapter that did not start a service finds it, with its token and incarnation",
                "it was told others",
                "keep both where the next process finds them, outside of the home",
            )
        await require_starts(sut, spec.ref, 1, "Adopting a service starts nothing")


async def check_services_do_not_meet(sut: SandboxUnderTest) -> None:
    """The same service in two sandboxes runs twice, each at an address and with a token of its own."""
    async with sut.sandbox() as one, sut.sandbox() as two:
        starts = [partial(sut.access.ensure_service, spec.ref, probe(sut)) for spec in (one, two)]
        first, second = await all_succeed("Services of two sandboxes do not hinder each other", starts)
        crossed = evolve(first, headers=second.headers)
        require(
            await answer(crossed, with_token=True) != httpx.codes.OK,
            "A service does not answer to the token of another sandbox's",
            "it did",
            "make a random token for every start",
        )
        await sut.access.stop_service(one.ref, "probe")
        await require_answer(
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
        endpoint = await sut.access.ensure_service(spec.ref, probe(sut, "daemon"))
        await sut.access.stop_service(spec.ref, "probe")
        with refused(
            Unreachable, "endpoint of a stopped service is Unreachable", "look whether it still runs"
        ):
            await sut.access.endpoint(spec.ref, "probe")
        status = await answer(endpoint, with_token=True)
        mend = "wait for the end of the server before you answer"
        is_silent = status is None or status in _PROXY_SAYS_GONE
        require(is_silent, "A stopped service does not answer", f"it answers {status}", mend)
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
        await sut.access.ensure_service(spec.ref, probe(sut))
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
        first = await sut.access.ensure_service(spec.ref, probe(sut))
        await sut.access.stop_service(spec.ref, "probe")
        second = await sut.access.ensure_service(spec.ref, probe(sut))
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
            await answer(stale, with_token=True) != httpx.codes.OK,
            "The token of an earlier start is void",
            "the service answers to it",
            "give each start its own token, and take no other",
        )


async def check_service_comes_back(sut: SandboxUnderTest) -> None:
    """A service that ran before its sandbox was stopped and started is started anew by ensure_service, and answers."""
    async with sut.sandbox() as spec, sut.another() as (_, other):
        before = await sut.access.ensure_service(spec.ref, probe(sut))
        # The second rest is seen by an adapter that knows nothing of it, as after a restart of ours.
        for access in (sut.access, other):
            await sut.stopped(spec)
            await sut.provider.start(spec.ref, spec.owner)
            await sut.until(spec, Phase.RUNNING)
            with refused(
                Unreachable,
                "No service runs in a sandbox that was stopped and started, until it is ensured anew",
                "believe what is written down of a service only while its process runs",
            ):
                await access.endpoint(spec.ref, "probe")
            before = await _ensured_anew(sut, access, spec.ref, before)


async def _ensured_anew(
    sut: SandboxUnderTest, access: SandboxAccess, ref: SandboxRef, before: Endpoint
) -> Endpoint:
    promise = "A service is ensured again after its sandbox was stopped and started, and answers"
    mend = "take what is written down of the start before the stop for ended, and start the service anew"
    try:
        found = await access.ensure_service(ref, probe(sut))
    except PortError as error:
        raise PromiseBroken(promise, f"ensure_service raised {error!r}", mend) from error
    status = await answer(found, with_token=True)
    require(
        status == httpx.codes.OK, promise, f"at the endpoint given there answers {status or 'nothing'}", mend
    )
    seen = f"its incarnation is still {before.incarnation!r}"
    require(
        found.incarnation != before.incarnation,
        "Every start of a service has an incarnation of its own",
        seen,
        mend,
    )
    return found


async def check_new_version_replaces(sut: SandboxUnderTest) -> None:
    """A running service of another version is stopped, and the new one started in its place."""
    promise = "A service that is ensured in another version is started anew in it"
    async with sut.sandbox() as spec:
        first = await sut.access.ensure_service(spec.ref, probe(sut, "daemon"))
        second = await sut.access.ensure_service(spec.ref, probe(sut, version="2"))
        await require_starts(
            sut, spec.ref, 2, promise, "compare the version of what runs with the one ordered"
        )
        require(
            first.incarnation != second.incarnation,
            promise,
            "its incarnation is the one of the version before",
            "make a fresh one whenever you start it",
        )
        await require_answer(second, "The new version of a service answers at its endpoint")
        running = await sut.processes(spec.ref)
        require(
            running == 1,
            "Of the version before no process is left, its daemons included",
            f"beside the new server run {running - 1}",
            "stop the version before with all it started, then start the new one",
        )


async def check_destroy_ends_services(sut: SandboxUnderTest) -> None:
    """Destroying the sandbox ends its services, daemons included."""
    async with sut.sandbox() as spec:
        await sut.access.ensure_service(spec.ref, probe(sut, "daemon"))
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
        await sut.access.ensure_service(ref, probe(sut, "silent"))


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
    check_service_comes_back,
    check_new_version_replaces,
    check_destroy_ends_services,
    check_destroy_beside_a_start,
)

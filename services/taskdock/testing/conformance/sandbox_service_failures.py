"""Service failure checks: servers that end, stay silent, are not ours, or cannot be started.

Owns: `SERVICE_FAILURE_CHECKS`, a part of `ACCESS_CHECKS`.
Never: a server that comes up (sandbox_service.py).
Reads as: sandbox.py -> these -> `SandboxAccess.ensure_service`.
"""

from attrs import evolve

from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.ports.sandbox import SandboxRef
from taskdock.testing.conformance.promises import PromiseBroken, refused, require, told
from taskdock.testing.conformance.sandbox_probe import probe
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

_PATIENCE_SECONDS = (1.0, 5.0, 25.0)


async def check_crash_tells_the_log(sut: SandboxUnderTest) -> None:
    """A server that ends before it answers is Transient with the end of its output, without the token."""
    async with sut.sandbox() as spec:
        try:
            await sut.access.ensure_service(spec.ref, probe(sut, "crash"))
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
        await sut.access.ensure_service(spec.ref, probe(sut))


async def check_silence_is_transient(sut: SandboxUnderTest) -> None:
    """A server that does not answer in time is Transient with its log, is stopped, and can be started again."""
    async with sut.sandbox() as spec:
        _require_tail(await _silence(sut, spec.ref), "thinking")
        await sut.until_no_process(
            spec.ref, "A server that never answered is stopped, so that the next try is free"
        )
        with refused(Unreachable, "endpoint of a service that never answered is Unreachable"):
            await sut.access.endpoint(spec.ref, "probe")
        await sut.access.ensure_service(spec.ref, probe(sut))


async def check_stranger_is_not_ours(sut: SandboxUnderTest) -> None:
    """A server that does not know the token is not taken for the service."""
    mend = "take only a 200 to the token for the service, and raise Transient after start_seconds_max"
    async with sut.sandbox() as spec:
        stranger = evolve(probe(sut, "stranger"), start_seconds_max=1.0)
        with refused(Transient, "A server that answers 401 to the token is not the service", mend):
            await sut.access.ensure_service(spec.ref, stranger)


async def check_missing_program_is_permanent(sut: SandboxUnderTest) -> None:
    """A program that cannot be run at all is Permanent, and leaves no trace that bars a right one."""
    mend = "raise Permanent, which is not tried again"
    async with sut.sandbox() as spec:
        missing = evolve(probe(sut), argv=("{home}/no/such/program",))
        with refused(Permanent, "A program that is not there cannot be started, however often", mend):
            await sut.access.ensure_service(spec.ref, missing)
        await sut.access.ensure_service(spec.ref, probe(sut))


async def _silence(sut: SandboxUnderTest, ref: SandboxRef) -> Transient:
    """The error over a server that said something and then nothing; on a slow machine it gets the time to say it."""
    failure = None
    for seconds in _PATIENCE_SECONDS:
        silent = evolve(probe(sut, "silent"), start_seconds_max=seconds)
        try:
            await sut.access.ensure_service(ref, silent)
        except Transient as error:
            failure = error
        else:
            raise PromiseBroken(
                "A server that does not answer its health path in time is Transient",
                "ensure_service gave an endpoint",
                "wait for a 200 of the health path, and give up after start_seconds_max",
            )
        said = "import os; print(os.path.exists('said'))"
        if await sut.must_run(ref, said) == b"True\n":
            return failure
    raise PromiseBroken(
        "A server gets `start_seconds_max` to come up",
        f"in {_PATIENCE_SECONDS[-1]:g} s one did not even begin: {failure!r}",
        "start it at once, and count the time from there",
    )


def _require_tail(error: Transient, word: str) -> None:
    tail = error.log_tail or ""
    require(
        word in tail,
        "The error of a server that does not come up carries the end of its output as `log_tail`",
        f"that is {tail[-200:]!r}",
        "keep stdout and stderr of every service, and give their last lines",
    )


SERVICE_FAILURE_CHECKS: tuple[SandboxCheck, ...] = told(
    check_crash_tells_the_log,
    check_silence_is_transient,
    check_stranger_is_not_ours,
    check_missing_program_is_permanent,
)

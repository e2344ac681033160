"""Truth checks: what a provider says of sandboxes is what is so, read now.

Owns: `TRUTH_CHECKS`.
Never: whether a verb did its work (sandbox_life.py, sandbox_rest.py), only whether that is told.
Reads as: sandbox.py -> these -> `SandboxProvider.observe` and `list_owned`.
"""

import datetime as dt
import math

import anyio

from taskdock.ports.sandbox import Observation, Phase
from taskdock.testing.conformance.promises import require, told
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

_CLOCKS_APART_MAX = dt.timedelta(minutes=5)
_LATE_SECONDS = 2.0
"""How long after the window a create that lands late is watched for."""


async def check_capabilities_are_said(sut: SandboxUnderTest) -> None:
    """A provider says what it is called, how it keeps sandboxes apart, and how long a create may land."""
    capabilities, ref = sut.provider.capabilities, sut.new_spec().ref
    require(
        bool(sut.provider.id) and sut.provider.id == ref.provider,
        "A provider's id is the `provider` of the sandboxes that are asked of it",
        f"its id is {sut.provider.id!r} and new_spec names {ref.provider!r}",
        "give both the same name",
    )
    require(
        bool(capabilities.isolation),
        "`isolation` says in a word how sandboxes are kept apart",
        "it is empty",
        "name what keeps them apart, or say `none`",
    )
    window = capabilities.create_window_seconds
    require(
        math.isfinite(window) and window >= 0,
        "`create_window_seconds` is how long a create may still land",
        f"it is {window!r}",
        "give the seconds after which the provider no longer carries a lost create out, 0 where it never does",
    )


async def check_absent_before_ensure(sut: SandboxUnderTest) -> None:
    """A name that was never used is absent, and looking at it makes nothing."""
    spec = sut.new_spec()
    for _ in range(2):
        observation = await sut.provider.observe(spec.ref)
        require(
            observation.phase is Phase.ABSENT,
            "A name that was never used is absent",
            f"observe says {observation.phase.value}",
            "answer absent where the provider has no such name",
        )
    left = await sut.files(spec.ref)
    require(
        not left, "Observing changes nothing", f"there is {list(left)[:3]}", "take out what observe creates"
    )


async def check_observation_tells_whose(sut: SandboxUnderTest) -> None:
    """A running sandbox is observed under its name, with the labels of its spec."""
    async with sut.sandbox() as spec:
        observation = await sut.provider.observe(spec.ref)
        require(
            observation.ref == spec.ref,
            "An observation names the sandbox it is about",
            f"that of {spec.ref} names {observation.ref}",
            "give the ref that was asked for",
        )
        _require_labels(observation, spec.labels, "An observation")


async def check_observation_tells_when(sut: SandboxUnderTest) -> None:
    """`read_at` is the time at which the provider was read, and `created_at`, where it is told, lies before it."""
    async with sut.sandbox() as spec:
        observation = await sut.provider.observe(spec.ref)
        for name, moment in (("read_at", observation.read_at), ("created_at", observation.created_at)):
            require(
                moment is None or moment.tzinfo is not None,
                f"`{name}` is aware of its time zone",
                f"it is {moment!r}",
                "give it in UTC, with tzinfo",
            )
        age = dt.datetime.now(dt.UTC) - observation.read_at
        require(
            abs(age) < _CLOCKS_APART_MAX,
            "`read_at` is the time at which the provider was read",
            f"it lies {age} before now",
            "take the time right before the provider is asked",
        )
        created_at = observation.created_at
        require(
            created_at is None or created_at <= observation.read_at + _CLOCKS_APART_MAX,
            "`created_at` is when the sandbox was made",
            f"it is {created_at}, after it was read at {observation.read_at}",
            "give what the provider says, or None",
        )


async def check_observe_is_never_cached(sut: SandboxUnderTest) -> None:
    """Each observe reads the provider anew: what another process did since is seen, with a later time of reading."""
    async with sut.sandbox() as spec, sut.another() as (other, _):
        earlier = await sut.provider.observe(spec.ref)
        await other.stop(spec.ref, spec.owner)
        await sut.until(spec, Phase.STOPPED, other)
        later = await sut.provider.observe(spec.ref)
        require(
            later.phase is not Phase.RUNNING,
            "observe is never cached",
            "it says running of a sandbox that another adapter has stopped since the last look",
            "ask the provider in every observe, and keep no answer",
        )
        require(
            later.read_at > earlier.read_at,
            "`read_at` is the time of this very reading",
            f"a later observe tells {later.read_at}, an earlier one {earlier.read_at}",
            "take the time anew in every observe",
        )


async def check_list_names_only_ours(sut: SandboxUnderTest) -> None:
    """list_owned names every sandbox of this owner once, with its labels, and none of another's."""
    async with sut.sandbox() as one, sut.sandbox() as two:
        listed = await _listed(sut, one.owner)
        for spec in (one, two):
            found = [observation for observation in listed if observation.ref == spec.ref]
            require(
                len(found) == 1,
                "list_owned names every sandbox of its owner once",
                f"it names {spec.ref.name} {len(found)} times among {len(listed)}",
                "list by the owner label, page by page to the end",
            )
            _require_labels(found[0], spec.labels, "An observation of list_owned")
        others = [found.ref.name for found in await _listed(sut, one.owner + "-other")]
        require(
            not others,
            "list_owned names only sandboxes whose owner label is the one asked for",
            f"it named {others[:3]} to an owner who has none",
            "compare the owner label, all of it",
        )


async def check_list_shows_what_is_stopped(sut: SandboxUnderTest) -> None:
    """list_owned names a sandbox whatever its phase, a stopped one too, and one that is gone no more."""
    async with sut.sandbox() as spec:
        await sut.stopped(spec)
        found = [one.phase for one in await _listed(sut, spec.owner) if one.ref == spec.ref]
        require(
            found == [Phase.STOPPED],
            "list_owned names every sandbox whatever its phase",
            f"of a stopped one it says {[phase.value for phase in found] or 'nothing'}",
            "leave the phase out of what is asked of the provider, and tell it as observe does",
        )
        await sut.destroyed(spec)
        found = [one.phase for one in await _listed(sut, spec.owner) if one.ref == spec.ref]
        require(
            not set(found) - {Phase.ABSENT},
            "list_owned tells of each sandbox what observe would",
            f"of one that is absent it says {[phase.value for phase in found]}",
            "read the truth about each before it is told",
        )


async def check_nothing_lands_after_the_window(sut: SandboxUnderTest) -> None:
    """What is absent once `create_window_seconds` have passed since its create began stays absent."""
    spec = sut.new_spec()
    window = sut.provider.capabilities.create_window_seconds
    async with sut.taken_away(spec):
        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(sut.provider.ensure, spec)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        await sut.destroyed(spec)
        await anyio.sleep_until(begun + window)
        await sut.destroyed(spec)
        # Nothing tells of a create that is still on its way: only time does.
        await anyio.sleep(_LATE_SECONDS)
        observation = await sut.provider.observe(spec.ref)
        require(
            observation.phase is Phase.ABSENT,
            "No create lands later than `create_window_seconds` after it began",
            f"a sandbox that was destroyed after {window:g} s is {observation.phase.value} again",
            "raise create_window_seconds to what the provider needs, or cancel what you have begun",
        )


def _require_labels(observation: Observation, labels: dict[str, str], which: str) -> None:
    require(
        dict(observation.labels) == labels,
        f"{which} carries exactly the labels of the spec",
        f"there is {dict(observation.labels)} for {labels}",
        "store owner, task and generation with the sandbox when it is made, and read them back",
    )


async def _listed(sut: SandboxUnderTest, owner: str) -> list[Observation]:
    return [found async for found in sut.provider.list_owned(owner)]


TRUTH_CHECKS: tuple[SandboxCheck, ...] = told(
    check_capabilities_are_said,
    check_absent_before_ensure,
    check_observation_tells_whose,
    check_observation_tells_when,
    check_observe_is_never_cached,
    check_list_names_only_ours,
    check_list_shows_what_is_stopped,
    check_nothing_lands_after_the_window,
)

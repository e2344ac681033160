"""The Daytona provider when Daytona, or the way to it, fails: each trap that others fell into, against the stand-in."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from stand_in import OWNER, StandIn
from taskdock.adapters.sandbox.daytona import control
from taskdock.adapters.sandbox.daytona.provider import DaytonaSandboxes
from taskdock.core.errors import AuthFailed, OutcomeUnknown, Permanent, QuotaExceeded, Transient, Unreachable
from taskdock.ports.sandbox import Exec, Observation, Phase, ProgramFile, SandboxSpec, ServiceSpec

pytestmark = pytest.mark.anyio

SECRET = "sk-only-for-the-agent"


@pytest.fixture
async def boxes(stand_in: StandIn) -> AsyncIterator[DaytonaSandboxes]:
    """The provider under test."""
    adapter = stand_in.sandboxes()
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def spec(stand_in: StandIn, boxes: DaytonaSandboxes) -> AsyncIterator[SandboxSpec]:
    """A name that nobody has used; whatever came of it is removed afterwards."""
    one = stand_in.new_spec()
    yield one
    stand_in.clear()
    await boxes.destroy(one.ref, OWNER)


async def until(boxes: DaytonaSandboxes, spec: SandboxSpec, phase: Phase) -> Observation:
    """Observe until it is so."""
    with anyio.fail_after(30):
        while (seen := await boxes.observe(spec.ref)).phase is not phase:  # noqa: ASYNC110 - only asking tells
            await anyio.sleep(0.02)
    return seen


def there(stand_in: StandIn, spec: SandboxSpec) -> list[dict[str, Any]]:
    """The boxes that were made under the name of a spec."""
    return [one for one in stand_in.seen()["boxes"] if one["labels"].get("taskdock.name") == spec.ref.name]


async def test_an_answer_that_is_lost_is_looked_for(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """The create was carried out and its answer lost, by a broken connection or by a proxy: the box is adopted."""
    stand_in.order({"op": "create", "kind": "drop-after"})
    assert (await boxes.ensure(spec)).phase is Phase.RUNNING
    other = stand_in.new_spec()
    stand_in.order({"op": "create", "kind": "refuse-after", "status": 504})
    assert (await boxes.ensure(other)).phase is Phase.RUNNING
    assert (len(there(stand_in, spec)), len(there(stand_in, other))) == (1, 1)
    await boxes.destroy(other.ref, OWNER)


async def test_a_create_that_never_arrived_is_an_unknown_outcome(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """Nobody can say whether it will land, so that is what is said; asked for again it is made, once."""
    stand_in.order({"op": "create", "kind": "drop"})
    with pytest.raises(OutcomeUnknown):
        await boxes.ensure(spec)
    await boxes.ensure(spec)
    assert len(there(stand_in, spec)) == 1


async def test_a_create_that_lands_late_is_adopted(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """It lands after we gave up, and is the one that the next ensure finds: there is never a second."""
    stand_in.order({"op": "create", "kind": "late", "name": spec.ref.name, "seconds": 0.5})
    with pytest.raises(OutcomeUnknown):
        await boxes.ensure(spec)
    assert (await boxes.observe(spec.ref)).phase is Phase.ABSENT
    await until(boxes, spec, Phase.RUNNING)
    assert (await boxes.ensure(spec)).phase is Phase.RUNNING
    assert len(there(stand_in, spec)) == 1


async def test_a_create_that_takes_longer_than_we_wait_is_adopted(
    stand_in: StandIn, spec: SandboxSpec
) -> None:
    """The read timeout is ours alone: the box is on its way, which is what is seen then."""
    hasty = stand_in.sandboxes(create_seconds=1.0)
    stand_in.order(create_seconds=3.0)
    assert (await hasty.ensure(spec)).phase is Phase.PENDING
    await until(hasty, spec, Phase.RUNNING)
    await hasty.aclose()
    assert len(there(stand_in, spec)) == 1


async def test_too_many_requests_tell_when_to_come_back(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """Each of Daytona's throttles has a header of its own; the longest pause counts."""
    headers = {"Retry-After-sandbox-create": "7", "Retry-After-anonymous": "2"}
    stand_in.order({"op": "create", "kind": "refuse", "status": 429, "headers": headers})
    with pytest.raises(Transient) as caught:
        await boxes.ensure(spec)
    assert caught.value.retry_after_seconds == 7.0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_look_that_fails_is_no_absence(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec, status: int
) -> None:
    """Of a box that may be there nothing is said but that it could not be seen, and it is not made again."""
    await boxes.ensure(spec)
    stand_in.order({"op": "get", "kind": "refuse", "status": status, "times": 3})
    for look in (boxes.observe(spec.ref), boxes.ensure(spec), boxes.destroy(spec.ref, OWNER)):
        with pytest.raises(Transient):
            await look
    assert len(there(stand_in, spec)) == 1


async def test_a_key_that_is_refused_is_no_absence(stand_in: StandIn, spec: SandboxSpec) -> None:
    """AuthFailed from every call, with no word of the key in it, and nothing is taken for gone."""
    stranger = DaytonaSandboxes(stand_in.config, SECRET, stand_in.sandboxes()._now)
    for call in (stranger.observe(spec.ref), stranger.ensure(spec), stranger.destroy(spec.ref, OWNER)):
        with pytest.raises(AuthFailed) as caught:
            await call
        assert SECRET not in repr(caught.value) + repr(caught.value.__cause__)
    await stranger.aclose()


async def test_nothing_that_listens_is_unreachable(stand_in: StandIn, spec: SandboxSpec) -> None:
    """Nothing was sent, and that is said: such a call may be made again at once."""
    nowhere = stand_in.sandboxes(api_url="http://127.0.0.1:9/api")
    with pytest.raises(Unreachable):
        await nowhere.ensure(spec)
    await nowhere.aclose()


async def test_a_quota_is_told_as_one(stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec) -> None:
    """Daytona words it as a bad request; a user can mend it, so it has its name."""
    message = "Total disk limit exceeded. Maximum allowed: 30GiB"
    stand_in.order({"op": "create", "kind": "refuse", "status": 400, "message": message})
    with pytest.raises(QuotaExceeded, match="Total disk limit"):
        await boxes.ensure(spec)


async def test_a_failed_start_is_seen_and_can_be_removed(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """The create is refused and leaves a box that failed: it is told with its reason, and its name is free after a destroy."""
    stand_in.order({"op": "create", "kind": "failed"})
    seen = await boxes.ensure(spec)
    assert (seen.phase, "no runner" in (seen.reason or "")) == (Phase.FAILED, True)
    await boxes.destroy(spec.ref, OWNER)
    await until(boxes, spec, Phase.ABSENT)
    assert (await boxes.ensure(spec)).phase is Phase.RUNNING


async def test_one_that_is_stuck_is_pending_and_can_be_removed(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """Daytona refuses to remove what is on its way; it is asked again until it takes it, or the time is up."""
    stand_in.order({"op": "create", "kind": "stuck", "name": spec.ref.name, "seconds": 60.0})
    assert (await boxes.ensure(spec)).phase is Phase.PENDING
    hasty = stand_in.sandboxes(busy_seconds=0.3)
    with pytest.raises(Transient):
        await hasty.destroy(spec.ref, OWNER)
    await hasty.aclose()
    async with anyio.create_task_group() as group:
        group.start_soon(boxes.destroy, spec.ref, OWNER)
        await anyio.sleep(0.3)
        stand_in.act(spec.ref.name, "release")
    await until(boxes, spec, Phase.ABSENT)


async def test_a_word_that_is_new_is_unknown(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """Neither an error nor a guess: it is asked again, and the word is in the reason."""
    await boxes.ensure(spec)
    stand_in.order({"op": "get", "kind": "mutate", "set": {"state": "quarantined"}})
    seen = await boxes.observe(spec.ref)
    assert (seen.phase, "'quarantined'" in (seen.reason or "")) == (Phase.UNKNOWN, True)
    assert (await boxes.observe(spec.ref)).phase is Phase.RUNNING


async def test_fields_come_and_go(stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec) -> None:
    """An older server lacks some and a newer one has more; strict clients lose the box that they just made."""
    cut = ["kvm", "cpu", "networkBlockAll", "createdAt"]
    stand_in.order({"op": "create", "kind": "mutate", "cut": cut, "set": {"mood": {"good": True}}})
    assert (await boxes.ensure(spec)).phase is Phase.RUNNING


async def test_a_name_is_free_while_its_box_still_goes(boxes: DaytonaSandboxes, spec: SandboxSpec) -> None:
    """What has the name now is seen under it; the one that goes is never taken for it, nor destroyed twice."""
    first = await boxes.ensure(spec)
    going = await boxes.destroy(spec.ref, OWNER)
    again = await boxes.ensure(spec)
    assert going.phase in (Phase.DESTROYING, Phase.ABSENT)
    assert again.phase is Phase.RUNNING
    assert again.created_at != first.created_at
    assert (await boxes.observe(spec.ref)).created_at == again.created_at


@pytest.mark.parametrize("lag_seconds", [0.0, 5.0])
async def test_another_process_follows_an_end(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec, lag_seconds: float
) -> None:
    """It never says absent while anything of the box runs, though it did not ask for the end, nor when the list lags."""
    await boxes.ensure(spec)
    await until(boxes, spec, Phase.RUNNING)
    stand_in.order(list_lag_seconds=lag_seconds)
    if lag_seconds:
        await anyio.sleep(lag_seconds)
    await boxes.destroy(spec.ref, OWNER)
    other = stand_in.sandboxes()
    await until(other, spec, Phase.ABSENT)
    seen = stand_in.seen(spec.ref.name)
    await other.aclose()
    assert (seen["processes"], seen["files"]) == ([], [])


async def test_a_list_that_lags_names_nothing_that_is_gone(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """Each box of a list is looked at by its id, page by page."""
    others = [stand_in.new_spec() for _ in range(2)]
    for one in (spec, *others):
        await boxes.ensure(one)
    paged = pytest.MonkeyPatch()
    paged.setattr(control, "_PAGE", 2)
    stand_in.order(list_lag_seconds=2.0)
    await anyio.sleep(2.0)
    for one in others:
        await boxes.destroy(one.ref, OWNER)
        await until(boxes, one, Phase.ABSENT)
    names = [one.ref.name async for one in boxes.list_owned(OWNER)]
    paged.undo()
    assert names == [spec.ref.name]


async def test_a_command_whose_answer_is_lost_runs_once(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """It is known by an id, so asking again finds what became of it."""
    await boxes.ensure(spec)
    await until(boxes, spec, Phase.RUNNING)
    await boxes.exec(spec.ref, Exec(("true",)))
    stand_in.order({"op": "execute", "kind": "drop-after", "times": 2})
    done = await boxes.exec(spec.ref, Exec(("sh", "-c", "echo x >> ran; wc -l < ran")))
    assert done.stdout.strip() == b"1"
    assert (await boxes.get_file(spec.ref, "ran")) == b"x\n"


async def test_a_program_that_was_changed_inside_breaks_no_promise(
    boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """What runs in a sandbox can change what we brought there: its answers are errors of the port, and no more than that."""
    await boxes.ensure(spec)
    await until(boxes, spec, Phase.RUNNING)
    await boxes.exec(spec.ref, Exec(("true",)))
    spoil = """cd ~/.taskdock/provider/inside-* && echo 'print("taskdock-answers:{\\"how\\": 1}")' > __main__.py"""
    await boxes.exec(spec.ref, Exec(("sh", "-c", spoil)))
    with pytest.raises(OutcomeUnknown):
        await boxes.exec(spec.ref, Exec(("true",)))
    with pytest.raises(Transient):
        await boxes.get_file(spec.ref, "any")


async def test_secrets_are_in_no_request_but_the_start_of_the_agent(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec
) -> None:
    """Daytona gives the environment of a box back in clear, and a command line is seen by all: neither holds a secret."""
    await boxes.ensure(spec)
    await until(boxes, spec, Phase.RUNNING)
    service = ServiceSpec(
        "probe",
        "1",
        ("python3", "-c", "import time; time.sleep(600)"),
        {"AGENT_KEY": SECRET},
        (ProgramFile("secret.txt", content=SECRET.encode()),),
        "/health",
        start_seconds_max=0.5,
    )
    with pytest.raises(Transient):
        await boxes.ensure_service(spec.ref, service)
    seen: dict[str, Any] = {}
    async with anyio.create_task_group() as group:
        group.start_soon(
            boxes.exec, spec.ref, Exec(("sleep", "600"), env={"A": SECRET}, stdin=SECRET.encode())
        )
        with anyio.fail_after(30):
            while "sleep 600 " not in (seen := stand_in.seen(spec.ref.name))["processes"]:  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    (box,) = there(stand_in, spec)
    assert SECRET not in repr(seen["processes"])
    assert box["env"] == {}
    assert stand_in.key not in repr(boxes.__dict__) + repr(seen)


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_is_refused_for_good_is_permanent(
    stand_in: StandIn, boxes: DaytonaSandboxes, spec: SandboxSpec, status: int
) -> None:
    """With Daytona's own words, on one line."""
    message = "Snapshot ubuntu not found.\nDid you add it?"
    stand_in.order({"op": "create", "kind": "refuse", "status": status, "message": message})
    with pytest.raises(Permanent, match=r"Snapshot ubuntu not found\. Did you add it"):
        await boxes.ensure(spec)


async def test_sandboxes_are_asked_for_as_configured(stand_in: StandIn, spec: SandboxSpec) -> None:
    """Every interval is said, since Daytona's own would stop an agent at work; sizes and networks as well."""
    sized = stand_in.sandboxes(
        image="python:3.12", cpu=2, memory_gib=4, disk_gib=8, network_allow=("10.0.0.0/8",), ttl_minutes=600
    )
    await sized.ensure(spec)
    await sized.aclose()
    (box,) = there(stand_in, spec)
    assert {key: box[key] for key in ("cpu", "memory", "disk", "public")} == {
        "cpu": 2,
        "memory": 4,
        "disk": 8,
        "public": False,
    }
    assert [box[f"auto{word}Interval"] for word in ("Stop", "Archive", "Delete")] == [1440, 10080, -1]

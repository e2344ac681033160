"""Links: what they tell of what an agent's stream says, however it breaks, repeats itself or makes no sense."""

from typing import Any

import anyio
import pytest

from taskdock.core import inputs
from taskdock.core.errors import InvariantViolated, LeaseLost, OutcomeUnknown, Transient
from taskdock.core.inputs import PermissionOption, SessionLost
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    ItemKind,
    PermissionAnswered,
    PermissionAsked,
    Received,
    Replied,
    StopReason,
    Update,
)
from taskdock.ports.sandbox import Phase
from unit.services.scripted import Script, followed, scripted_links

pytestmark = pytest.mark.anyio

OPTIONS = (PermissionOption("once", "Allow once", "allow_once"),)
EXIT = AgentExited(99, "code 3")
BROKEN = Transient("the line broke")


def asked(event_id: int, permission_id: str = "g1-s1-1", message: str = "msg-1") -> PermissionAsked:
    """A question of a turn."""
    return PermissionAsked(event_id, permission_id, message, "Dig", OPTIONS)


def the_fact(permission_id: str = "g1-s1-1", message: str = "msg-1") -> inputs.PermissionAsked:
    """The same as a fact of the core."""
    return inputs.PermissionAsked("tab-1", message, permission_id, "Dig", OPTIONS)


def text(event_id: int, words: str = "x") -> Update:
    """A word of the agent."""
    return Update(event_id, ItemKind.TEXT, {"text": words})


def lost(reason: str, *, session: int = 1) -> SessionLost:
    """The loss of the one session."""
    return SessionLost("tab-1", 1, session, reason)


async def facts_of(*scripts: Script, count: int = 1) -> list[Any]:
    """Follow one session through these connections; the facts that were told, so many at least."""
    async with scripted_links({"tab-1": list(scripts)}) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(count)
        return scripted.stepper.facts


async def test_question_is_told_once() -> None:
    """A question is told when it comes, and not again when its stream is replayed."""
    begun: list[AgentEvent] = [Received(1, "msg-1"), asked(2)]
    facts = await facts_of([*begun, BROKEN], [*begun, text(3), EXIT], count=2)
    assert facts == [the_fact(), lost("code 3")]


@pytest.mark.parametrize(
    "settled",
    [
        PermissionAnswered(3, "g1-s1-1", "msg-1", "once"),
        Replied(3, "msg-1", StopReason.COMPLETED, "end_turn"),
    ],
)
async def test_settled_question_is_no_news(settled: PermissionAnswered | Replied) -> None:
    """A replay that holds a question and its answer, or its turn's end, tells nothing of it."""
    facts = await facts_of([Received(1, "msg-1"), asked(2), settled, EXIT])
    assert facts == [lost("code 3")]


async def test_question_of_an_ended_turn_is_no_news() -> None:
    """Once the end of a turn was seen, its question is not told by a later replay that has not come so far yet."""
    ended = Replied(3, "msg-1", StopReason.COMPLETED, "end_turn")
    async with scripted_links(
        {"tab-1": [[asked(2), ended, BROKEN], [asked(2), asked(5, "g1-s1-2", "msg-2")]]}
    ) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert scripted.stepper.facts == [the_fact("g1-s1-2", "msg-2")]


async def test_question_is_told_until_the_store_takes_it() -> None:
    """A store that fails many times over is told of the question after all, also when the stream holds it no more."""
    async with scripted_links({"tab-1": [[asked(2)], *([[text(3)]] * 9)]}) as scripted:
        scripted.stepper.failures += [LeaseLost("busy")] * 7
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert scripted.stepper.facts == [the_fact()]
        assert len(scripted.gateway.attached) == 8


async def test_connection_that_brought_something_counts_anew() -> None:
    """A session whose connection breaks again and again, each time after it brought something, is not lost by that."""
    broken: list[Script] = [[text(number), BROKEN] for number in range(1, 9)]
    async with scripted_links({"tab-1": [*broken, [EXIT]]}) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert scripted.stepper.facts == [lost("code 3")]
        assert len(scripted.gateway.attached) == 9


async def test_connection_that_brings_nothing_is_tried_four_times() -> None:
    """A session is lost when four connections in a row bring nothing, a growing pause between them."""
    async with scripted_links({"tab-1": [[text(1), BROKEN], [BROKEN], [BROKEN], [BROKEN]]}) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert scripted.stepper.facts == [lost("the line broke")]
        assert scripted.gateway.attached_at == pytest.approx([0, 0.2, 0.6, 1.4])


async def test_connection_that_breaks_each_hour_is_followed_for_days() -> None:
    """A session is followed for as long as its connections bring something, and each break costs a fifth of a second."""
    hours: list[Script] = [[text(number), 3_600.0, BROKEN] for number in range(1, 50)]
    async with scripted_links({"tab-1": [*hours, [EXIT]]}) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(1, within=100 * 3_600)
        assert scripted.stepper.facts == [lost("code 3")]
        assert anyio.current_time() == pytest.approx(49 * (3_600 + 0.2))


async def test_loss_is_told_until_the_store_takes_it() -> None:
    """A store that is away while a session is lost is told when it is back, and asked every five seconds until then."""
    async with scripted_links({"tab-1": [[EXIT]]}) as scripted:
        scripted.stepper.failures += [LeaseLost("busy")] * 30
        scripted.links.follow(followed())
        await scripted.stepper.until(1, within=3_600)
        assert scripted.stepper.facts == [lost("code 3")]
        growing = 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2
        assert anyio.current_time() == pytest.approx(growing + 24 * 5)


async def test_store_that_refuses_items_loses_no_session() -> None:
    """However often the store refuses, the session is followed, and its words are written when the store takes them."""
    async with scripted_links({"tab-1": [[text(1)]] * 8 + [[text(1), EXIT]]}) as scripted:
        scripted.writing.failures += [LeaseLost("busy")] * 8
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert scripted.stepper.facts == [lost("code 3")]
        assert await scripted.said() == [
            ("text", {"text": "x"}),
            ("error", {"text": "The agent stopped: code 3"}),
        ]


async def test_odd_event_costs_its_session_only() -> None:
    """An event that cannot be taken loses its own session, which is told; who waits learns it, and other tabs go on."""
    odd: Any = Update(1, ItemKind.TEXT, 5)  # type: ignore[arg-type]
    scripts: dict[str, list[Script]] = {"tab-1": [[odd]], "tab-2": [[Received(1, "msg-2")], []]}
    async with scripted_links(scripts) as scripted:
        link = scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert scripted.stepper.facts == [lost("what its agent sent could not be taken")]
        with pytest.raises(OutcomeUnknown, match="could not be taken"):
            await link.until_seen("msg-1")
        with anyio.fail_after(5):
            await scripted.links.follow(followed("tab-2")).until_seen("msg-2")


@pytest.mark.parametrize("where", ["before the stream", "in the stream"])
async def test_broken_invariant_is_not_caught(where: str) -> None:
    """What must never be caught is not, wherever in a link it is found."""

    async def follow() -> None:
        async with scripted_links({"tab-1": [[asked(1)]]}) as scripted:
            broken = InvariantViolated("a row is missing")
            if where == "in the stream":
                scripted.stepper.failures.append(broken)
            else:
                scripted.sandbox.no_way_in = broken
            scripted.links.follow(followed())
            await anyio.sleep(10)

    with pytest.raises(ExceptionGroup) as caught:
        await follow()
    assert caught.value.subgroup(InvariantViolated) is not None


async def test_loss_is_told_although_the_provider_has_a_bug() -> None:
    """A provider that cannot be asked, even by a bug of its adapter, keeps nothing from being told."""
    async with scripted_links({"tab-1": [[EXIT]]}) as scripted:
        scripted.sandbox.failure = ZeroDivisionError("a bug")
        scripted.stepper.failures.append(LeaseLost("busy"))
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert scripted.stepper.facts == [lost("code 3; its provider could not be asked: a bug")]


async def test_loss_is_told_although_the_provider_says_nothing() -> None:
    """A provider that never answers is given thirty seconds, then the loss is told without it."""
    async with scripted_links({"tab-1": [[EXIT]]}) as scripted:
        scripted.sandbox.hangs = True
        scripted.links.follow(followed())
        await scripted.stepper.until(1, within=60)
        (fact,) = scripted.stepper.facts
        assert fact == lost(
            "code 3; its provider could not be asked: its provider says nothing of td-1, after 30 s"
        )
        assert anyio.current_time() == pytest.approx(30)


@pytest.mark.parametrize("phase", [Phase.ABSENT, Phase.FAILED])
async def test_lost_sandbox_keeps_no_lost_session_back(phase: Phase) -> None:
    """A provider may be wrong about its sandbox: the session is told as lost too, after it, so that its tab gets another."""
    async with scripted_links({"tab-1": [[EXIT]]}) as scripted:
        scripted.sandbox.phase = phase
        scripted.links.follow(followed())
        await scripted.stepper.until(2)
        sandbox = inputs.SandboxLost("td-1", f"The sandbox is {phase.value}, says its provider.")
        assert scripted.stepper.facts == [sandbox, lost("code 3")]


async def test_next_session_has_a_link_of_its_own() -> None:
    """The link of a resumed session takes the place of the one before, although the agent's id is the same."""
    async with scripted_links({"tab-1": [[], [Received(1, "msg-2")]]}) as scripted:
        first = scripted.links.follow(followed())
        await first.attached.wait()
        second = scripted.links.follow(followed(session=2))
        with anyio.fail_after(5):
            await second.until_seen("msg-2")
        assert first is not second
        assert first.over is not None

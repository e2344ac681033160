"""Queue: what users do with their messages and turns while agents work, on the real sandbox-agent and demo agent.

One loop is enough here: the requests, the scheduler and the links are tested on both in other files.
"""

from pathlib import Path

import pytest
from attrs import evolve

from agent_server import CACHE
from e2e.installation import QUICK, Installation, ended, rest, see, told
from e2e.work import checkout_of
from e2e.world import World
from taskdock.adapters.agent.catalogue import DEMO, AgentSpec
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.app import Dock, TaskView
from taskdock.core.errors import Conflict
from taskdock.core.message import MessageStatus
from taskdock.ports.sandbox import ProgramFile

pytestmark = pytest.mark.anyio

ODD_AGENT = Path(__file__).parents[1] / "odd_agent.py"
DELIVERED, QUEUED = MessageStatus.DELIVERED, MessageStatus.QUEUED
WITHDRAWN, FAILED = MessageStatus.WITHDRAWN, MessageStatus.FAILED


@pytest.fixture
def anyio_backend() -> str:
    """One loop, see above."""
    return "asyncio"


@pytest.fixture
def gated(place: Installation) -> Installation:
    """An installation behind gates."""
    place.gates.mkdir()
    return place


async def statuses(dock: Dock, tab_id: str) -> list[MessageStatus]:
    """The statuses of a tab's messages, in order."""
    return [message.status for message in await dock.messages(tab_id)]


async def items(dock: Dock, tab_id: str, kind: str) -> list[str]:
    """The texts of one kind in the transcript, in order."""
    return [str(item.body["text"]) for item in await dock.transcript(tab_id) if item.kind == kind]


def open_gate(gate: Path) -> None:
    """Let what stands at a gate go on."""
    gate.unlink(missing_ok=True)


def is_up(view: TaskView) -> bool:
    """Whether the task runs with a ready and idle first tab."""
    tab = view.tabs[0]
    return view.task.at == "running" and tab.status.value == "ready" and tab.turn.at == "none"


async def test_queued_messages_are_edited_and_withdrawn(gated: Installation, remote: Path) -> None:
    """Only what is still queued can be changed; the agent hears the edited text in its place, and nothing withdrawn."""
    gate = gated.gate("gateway.prompt.before")
    async with gated.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        tab_id = receipt.tab_id or ""
        sent = [await dock.send(tab_id, f"demo: echo {text}") for text in ("two", "three", "four")]
        two, three, _ = (one.message_id or "" for one in sent)
        await gated.reached(gate)
        with pytest.raises(Conflict, match="sending"):
            await dock.edit_message(receipt.message_id or "", "demo: echo never")
        await dock.edit_message(two, "demo: echo better")
        await dock.withdraw_message(three)
        with pytest.raises(Conflict, match="withdrawn"):
            await dock.edit_message(three, "demo: echo never")
        gate.unlink()
        await ended(dock, receipt.task_id, 3)
        with pytest.raises(Conflict, match="delivered"):
            await dock.withdraw_message(two)
        heard, final = await items(dock, tab_id, "user"), await statuses(dock, tab_id)
    assert heard == ["demo: echo one", "demo: echo better", "demo: echo four"]
    assert final == [DELIVERED, DELIVERED, WITHDRAWN, DELIVERED]


async def test_the_order_outlives_restarts(world: World, remote: Path) -> None:
    """Queued while nobody schedules, and over two kills in the middle of them: each is seen once, in order."""
    texts = [f"demo: echo {number}" for number in range(5)]
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=texts[0])
        for text in texts[1:]:
            await dock.send(receipt.tab_id or "", text)
        for name in ("gateway.open_session.before", "gateway.prompt.before", "gateway.prompt.after"):
            gate = world.gate(name)
            world.start()
            await world.reached(gate)
            world.kill()
            world.open_gate(gate)
        world.start()
        await ended(dock, receipt.task_id, 5)
    assert [prompt["text"] for prompt in world.prompts_seen()] == texts


@pytest.mark.parametrize("gate_name", ["gateway.prompt.before", "gateway.prompt.after"])
async def test_a_cancelled_turn_holds_the_queue(gated: Installation, remote: Path, gate_name: str) -> None:
    """The turn ends as cancelled, also when the cancel was there before the prompt; what is behind it waits for the user."""
    gate = gated.gate(gate_name)
    async with gated.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: hang")
        tab_id = receipt.tab_id or ""
        await dock.send(tab_id, "demo: echo two")
        await dock.send(tab_id, "demo: echo three")
        await gated.reached(gate)
        await dock.cancel_turn(tab_id)
        await dock.cancel_turn(tab_id)
        open_gate(gate)
        view = await ended(dock, receipt.task_id, 1)
        with pytest.raises(Conflict, match="No turn is running"):
            await dock.cancel_turn(tab_id)
        waiting = await statuses(dock, tab_id)
        await dock.resume_queue(tab_id)
        await ended(dock, receipt.task_id, 3)
        heard = await items(dock, tab_id, "user")
    tab = view.tabs[0]
    assert tab.last_end is not None
    assert (tab.last_end.value, tab.held, tab.session) == ("cancelled", True, 1)
    assert waiting == [DELIVERED, QUEUED, QUEUED]
    assert heard == ["demo: hang", "demo: echo two", "demo: echo three"]


async def test_an_agent_that_ignores_a_cancel_is_replaced(place: Installation, remote: Path) -> None:
    """After its time the turn is interrupted and another process takes the same session up; the queue waits, then goes on."""
    hasty = evolve(place, figures=evolve(QUICK, cancel_seconds=1.0))
    odd = ProgramFile(".taskdock/bin/odd_agent.py", content=ODD_AGENT.read_bytes())
    argv = ("{python}", "-S", "-E", "{bin}/odd_agent.py", "deaf-until-loaded")
    gateway = SandboxAgentGateway(CACHE, agents=(AgentSpec("demo", "mock", argv, (odd, *DEMO.files)),))
    async with hasty.open({"gateway": gateway}) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Say nothing")
        tab_id = receipt.tab_id or ""
        await dock.send(tab_id, "And now?")
        before = await see(
            dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a running turn"
        )
        await dock.cancel_turn(tab_id)
        view = await see(
            dock, receipt.task_id, lambda view: is_up(view) and view.tabs[0].session == 2, "ready"
        )
        waiting = await statuses(dock, tab_id)
        await dock.resume_queue(tab_id)
        after = await ended(dock, receipt.task_id, 2)
        said = await items(dock, tab_id, "text")
        history = told(await dock.history(receipt.task_id), "end")
    await gateway.aclose()
    assert [entry for entry in history if entry[0] == "turn.ended"] == [
        ("turn.ended", "interrupted"),
        ("turn.ended", "completed"),
    ]
    assert view.tabs[0].held
    assert waiting == [DELIVERED, QUEUED]
    assert before.tabs[0].session_id == after.tabs[0].session_id
    assert (after.task.generation, said) == (1, ["I am back"])


async def test_model_and_permission_mode_reach_the_agent(place: Installation, remote: Path) -> None:
    """What the task was created with and what is chosen later is what the session is set to; an unknown model burns nothing."""
    async with place.open() as dock:
        receipt = await dock.create_task(
            repo=str(remote), prompt="demo: settings", model="demo-thorough", permission_mode="auto"
        )
        tab_id = receipt.tab_id or ""
        await ended(dock, receipt.task_id, 1)
        await dock.set_model(tab_id, "demo-quick")
        await dock.send(tab_id, "demo: settings")
        await ended(dock, receipt.task_id, 2)
        await dock.set_model(tab_id, "demo-psychic")
        refused = await dock.send(tab_id, "demo: settings")
        await dock.send(tab_id, "demo: echo behind it")
        await see(dock, receipt.task_id, lambda view: bool(view.held), "a held queue")
        messages = await dock.messages(tab_id)
        await dock.set_model(tab_id, "demo-thorough")
        await dock.resume_queue(tab_id)
        view = await ended(dock, receipt.task_id, 4)
        said = "".join(await items(dock, tab_id, "text"))
        final = await statuses(dock, tab_id)
    assert said.startswith("model demo-thorough, mode auto" + "model demo-quick, mode auto")
    assert [message.status for message in messages[2:]] == [FAILED, QUEUED]
    assert messages[2].id == refused.message_id
    assert "demo-quick" in (messages[2].reason or "")
    assert said.endswith("behind it")
    assert final == [DELIVERED, DELIVERED, FAILED, DELIVERED]
    assert view.task.status.value == "running"


async def test_a_crash_of_the_agent_alone_costs_no_sandbox(place: Installation, remote: Path) -> None:
    """Another process goes on with the same session in the same sandbox; nothing of the past is told twice."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo remember me")
        tab_id = receipt.tab_id or ""
        before = await ended(dock, receipt.task_id, 1)
        await dock.send(tab_id, "demo: crash")
        await see(dock, receipt.task_id, lambda view: view.tabs[0].session == 2 and is_up(view), "ready")
        await dock.send(tab_id, "demo: echo still here")
        after = await ended(dock, receipt.task_id, 3)
        said = "".join(await items(dock, tab_id, "text"))
        home = checkout_of(dock.home, receipt.task_id, 1).parent
        record = (home / ".taskdock" / "demo-sessions" / f"{after.tabs[0].session_id}.jsonl").read_text()
        kinds = [one.event.kind.value for one in await dock.history(receipt.task_id)]
    assert before.tabs[0].session_id == after.tabs[0].session_id
    assert before.tabs[0].agent_process != after.tabs[0].agent_process
    assert (after.task.generation, after.task.heals) == (1, ())
    assert kinds.count("sandbox.created") == 1
    assert (said.count("remember me"), said.count("still here")) == (1, 1)
    assert "remember me" in record
    assert "still here" in record


@pytest.mark.parametrize("what", ["send", "open_tab", "resume"])
@pytest.mark.parametrize("is_stopped", [True, False])
async def test_a_stopped_or_stopping_task_is_resumed(
    place: Installation, remote: Path, what: str, is_stopped: bool
) -> None:
    """By a message, a new tab or a resume, as soon as it is stopped; what was queued goes out in order."""
    place.gates.mkdir()
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        tab_id = receipt.tab_id or ""
        before = await ended(dock, receipt.task_id, 1)
        stopping = place.gate("provider.stop.before")
        await dock.stop_task(receipt.task_id)
        await place.reached(stopping)
        if is_stopped:
            open_gate(stopping)
            await rest(dock, receipt.task_id, "stopped")
        if what == "send":
            await dock.send(tab_id, "demo: echo two")
        elif what == "open_tab":
            await dock.open_tab(receipt.task_id, prompt="demo: echo other")
        else:
            await dock.resume_task(receipt.task_id)
        if what != "open_tab":
            await dock.send(tab_id, "demo: echo three")
        open_gate(stopping)
        turns = {"send": 3, "open_tab": 1, "resume": 2}[what]
        after = await ended(dock, receipt.task_id, turns, tab=1 if what == "open_tab" else 0)
        heard = await items(dock, after.tabs[-1].id, "user")
        kinds = [one.event.kind.value for one in await dock.history(receipt.task_id)]
    assert (
        heard
        == {
            "send": ["demo: echo one", "demo: echo two", "demo: echo three"],
            "open_tab": ["demo: echo other"],
            "resume": ["demo: echo one", "demo: echo three"],
        }[what]
    )
    assert (kinds.count("task.stopped"), kinds.count("task.resumed")) == (1, 1)
    assert (after.task.generation, after.tabs[0].session_id) == (1, before.tabs[0].session_id)

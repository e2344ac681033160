"""Close session: when the silence of a server proves that it holds no session, and when it does not."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import field, frozen, mutable

from taskdock.core.errors import Unreachable
from taskdock.core.inputs import SessionClosed
from taskdock.core.intents import CloseSession, Intent
from taskdock.ports.agent import Conversation
from taskdock.ports.sandbox import Endpoint, Phase
from taskdock.services.execution import Execution
from taskdock.services.executors.close_session import RUNS_THAT_PROVE, close_session
from taskdock.services.sandboxes import conversation_of
from taskdock.services.sites import Site, Sites
from unit.services.scripted import BOX, ScriptedSandbox

if TYPE_CHECKING:
    from taskdock.services.tools import Tools

pytestmark = pytest.mark.anyio

BODY = CloseSession(BOX, "demo", "tab-1", 2)
SILENT = Unreachable("nobody answers")


@mutable
class Closings:
    """A gateway that ends what it is asked to."""

    closed: list[Conversation] = field(factory=list)

    async def close(self, _endpoint: Endpoint, conversation: Conversation) -> None:
        """End it."""
        self.closed.append(conversation)


@frozen
class Outside:
    """What the executor needs of its tools."""

    sites: Sites
    gateway: Closings


async def closed(sandbox: ScriptedSandbox, attempt: int) -> list[Conversation]:
    """Carry out this attempt; which conversations it ended."""
    gateway, now = Closings(), datetime.now(UTC)
    sites = Sites({"local": Site(cast("Any", sandbox), cast("Any", sandbox))})
    intent = Intent("task-1#1", "task-1", "default", "tab:tab-1", "session", BODY, attempt, now)
    execution = Execution(intent, cast("Any", None), lambda: 0.0)
    assert await close_session(BODY, execution, cast("Tools", Outside(sites, gateway))) == SessionClosed()
    return gateway.closed


async def test_every_session_is_ended() -> None:
    """Each conversation that the tab has had in this sandbox is ended, at the first attempt."""
    expected = [conversation_of(BOX, "tab-1", session, "demo") for session in (1, 2)]
    assert await closed(ScriptedSandbox(), 1) == expected


@pytest.mark.parametrize("attempt", range(1, RUNS_THAT_PROVE))
async def test_silent_server_may_still_hold_a_session(attempt: int) -> None:
    """One that cannot be reached for a moment is asked again: its agent may go on."""
    with pytest.raises(Unreachable):
        await closed(ScriptedSandbox(no_way_in=SILENT), attempt)


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.ABSENT])
async def test_server_that_stays_silent_holds_none(phase: Phase) -> None:
    """One that was silent often enough does not run, whatever its provider says of the sandbox."""
    assert await closed(ScriptedSandbox(no_way_in=SILENT, phase=phase), RUNS_THAT_PROVE) == []


async def test_silent_provider_proves_nothing() -> None:
    """Where the provider does not answer either, it is the way there that is broken."""
    with pytest.raises(Unreachable, match="no network"):
        await closed(ScriptedSandbox(no_way_in=SILENT, failure=Unreachable("no network")), RUNS_THAT_PROVE)

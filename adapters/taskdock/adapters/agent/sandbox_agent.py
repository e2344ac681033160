"""SandboxAgentGateway: the agent port on a real sandbox-agent.

Owns: the order of calls that makes opening, prompting, deciding on delivery and closing safe to repeat.
Never: a turn's end taken from the answer to its POST, which can overtake the turn's last words; the stream cannot.
Reads as: services -> the agent port -> this -> exchange.py (questions), stream.py (events), server.py (HTTP).

A conversation is a server id, `<tab>-g<generation>-s<session>`; behind it one process, our relay with the agent, and in
that one session. The process has a name, `<incarnation of the server>/<when the server made it, in ms>`, which is
another one whenever the ring of events began anew.

Traps of the server, and what answers each:
- A POST to an agent that dies stays open for ever: what waits for one watches the ring for the agent's exit as well.
- A client that is cut off while the server writes for it leaves half a line, which swallows the next message: a fence
  goes before everything that must arrive.
- A JSON-RPC id used twice hangs both requests: our own ids carry a random part, a prompt's id is the caller's, and the
  relay passes the first prompt of an id and no second.
- `session/new` and `session/load` are not idempotent at the agent: the relay lets one through and gives its answer to
  everybody who asks, so an answer that was lost, to us or from the ring, is had by asking again.
- A question of the agent stands in the ring without an answer: the relay keeps it, numbers it, and takes one answer.
- DELETE of a live agent never answers: the relay is asked to end it first, and then the DELETE of a dead one does.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
import httpx
from anyio import to_thread

from taskdock.adapters.agent import acp
from taskdock.adapters.agent.beginning import Beginning, loaded_session, new_session
from taskdock.adapters.agent.catalogue import AGENTS, AgentSpec, Catalogue
from taskdock.adapters.agent.exchange import FENCE_SECONDS_MAX, Line, first, last_words, next_entry, within
from taskdock.adapters.agent.fetch import ProgramCache
from taskdock.adapters.agent.server import AgentGone, AgentServer
from taskdock.adapters.agent.settings import apply
from taskdock.adapters.agent.stream import ConversationStream, Ring, open_ring
from taskdock.adapters.unix_socket import UnixTransport
from taskdock.core.errors import OutcomeUnknown, Permanent, Transient, Unreachable
from taskdock.core.intents import SessionSettings
from taskdock.ports.agent import AgentStream, Conversation, Delivery, Progress, SessionOpened
from taskdock.ports.sandbox import Endpoint, ServiceSpec

OPEN_ATTEMPTS_MAX = 3
START_SECONDS_MAX = 10.0
RECEIPT_SECONDS_MAX = 60.0
EVIDENCE_SECONDS_MAX = 30.0
END_SECONDS_MAX = 6.0
CLOSE_SECONDS_MAX = 9.5


class SandboxAgentGateway:
    """The agent port (`AgentGateway`) over HTTP and server-sent events; keeps connections, nothing else.

    `cache_dir` holds the fetched program, unless `programs` says otherwise. `python` is the interpreter that launchers
    try first in a sandbox (this process's own by default), before `python3` on the sandbox's PATH.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        agents: Sequence[AgentSpec] = AGENTS,
        programs: ProgramCache | None = None,
        python: str | None = None,
    ) -> None:
        self._programs = programs or ProgramCache(cache_dir)
        self._catalogue = Catalogue(tuple(agents)) if python is None else Catalogue(tuple(agents), python)
        self._clients: dict[tuple[str, Path | None], httpx.AsyncClient] = {}
        self._making_client = anyio.Lock()
        self._removing = anyio.Lock()
        self._sending: dict[str, set[anyio.CancelScope]] = {}

    async def aclose(self) -> None:
        """Close the connections; conversations stay as they are."""
        while self._clients:
            await self._clients.popitem()[1].aclose()

    async def service(self, agent: str, progress: Progress) -> ServiceSpec:
        """Describe the server to run in the sandbox; it can run every agent of the catalogue, `agent` is checked."""
        self._catalogue.agent(agent)
        return self._catalogue.service(await self._programs.fetch(progress))

    async def open_session(self, endpoint: Endpoint, conversation: Conversation, cwd: str) -> SessionOpened:
        """Make or find the conversation's session; what is dead is removed and begun anew, at most three times."""
        return await self._begin(endpoint, conversation, new_session(cwd))

    async def resume_session(
        self, endpoint: Endpoint, conversation: Conversation, cwd: str, session_id: str
    ) -> SessionOpened:
        """Load the session in the conversation's process, begun anew when it is dead, at most three times.

        The relay loads it once and drops what the agent repeats of the past meanwhile.
        """
        return await self._begin(endpoint, conversation, loaded_session(cwd, session_id))

    async def _begin(
        self, endpoint: Endpoint, conversation: Conversation, beginning: Beginning
    ) -> SessionOpened:
        spec = self._catalogue.agent(conversation.agent)
        line = await self._line(endpoint, conversation)
        reason = ""
        for _ in range(OPEN_ATTEMPTS_MAX):
            try:
                return await self._begin_once(line, spec, beginning)
            except AgentGone as gone:
                reason = gone.reason
            await self._remove_dead(line)
        raise Transient(f"The agent {spec.id} does not stay alive. {reason}")

    async def _remove_dead(self, line: Line) -> None:
        """Make room for a new agent; one that was begun anew by another caller meanwhile answers, and stays."""
        async with self._removing:
            try:
                with anyio.move_on_after(FENCE_SECONDS_MAX):
                    await line.ask("fence", acp.FENCE, {})
            except AgentGone:
                await line.server.delete(line.server_id)
            except Unreachable:
                return

    async def _begin_once(self, line: Line, spec: AgentSpec, beginning: Beginning) -> SessionOpened:
        is_running = await self._process(line) is not None
        seconds_max = FENCE_SECONDS_MAX if is_running else START_SECONDS_MAX
        await line.fence(agent=spec.server_agent, seconds_max=seconds_max)
        process = await self._process(line)
        session_id = await beginning(line, spec)
        if process is None or process != await self._process(line):
            raise AgentGone("The agent was replaced meanwhile")
        return SessionOpened(session_id, process)

    async def _process(self, line: Line) -> str | None:
        created_at_ms = await line.server.created_at_ms(line.server_id)
        return None if created_at_ms is None else line.server.process_name(created_at_ms)

    @asynccontextmanager
    async def attach(self, endpoint: Endpoint, conversation: Conversation) -> AsyncIterator[AgentStream]:
        """Follow the conversation from the start of its ring. A cancelled `receive` ends the stream: attach again."""
        line = await self._line(endpoint, conversation)
        async with open_ring(line.server, line.server_id) as ring:
            reader = acp.Reader(line.own_prefix, _ask_prefix(conversation))
            yield ConversationStream(ring.agent_process, ring, reader)

    async def prompt(
        self, endpoint: Endpoint, conversation: Conversation, session_id: str, request_id: str, text: str
    ) -> None:
        """Send one prompt; returns at the relay's receipt, or at once when the ring has that receipt already.

        The POST would stay open for the whole turn and is dropped at the receipt: then the relay has the whole line,
        and nothing can be cut off any more. `Permanent` for more than 2 MiB, encoded.
        """
        body = acp.prompt(request_id, session_id, text)
        if len(body) > acp.BODY_BYTES_MAX:
            raise Permanent(
                f"The message takes {len(body)} bytes when encoded; the agent server takes {acp.BODY_BYTES_MAX}"
            )
        line = await self._line(endpoint, conversation)
        with self._cut_by_close(line.server_id):
            async with AsyncExitStack() as stack:
                try:
                    ring = await stack.enter_async_context(open_ring(line.server, line.server_id))
                    if await self._was_sent(line, ring, request_id):
                        return
                except Transient as error:
                    raise Unreachable(f"{error.reason}; nothing was sent") from error
                await self._send(line, ring, request_id, body)

    async def _was_sent(self, line: Line, ring: Ring, request_id: str) -> bool:
        """Read the ring up to now; `Transient` when the agent takes no input."""
        deaf = "The agent's process does not read its input"
        with within(EVIDENCE_SECONDS_MAX, deaf):
            evidence = await line.evidence(ring, request_id)
        if not evidence.is_seen and not evidence.is_fenced:
            raise Transient(evidence.last_words or deaf)
        return evidence.is_seen

    async def _send(self, line: Line, ring: Ring, request_id: str, body: bytes) -> None:
        async def post() -> bool:
            await line.server.post(line.server_id, body, otherwise=OutcomeUnknown)
            return True

        async def receipt() -> bool:
            while True:
                entry = await next_entry(ring)
                if acp.is_exit(entry.message):
                    raise AgentGone("The agent exited while it was given the message")
                if request_id in {acp.received_id(entry.message), acp.replied_id(entry.message)}:
                    return True

        try:
            with within(RECEIPT_SECONDS_MAX, "The agent did not confirm the message"):
                await first(post, receipt)
        except Unreachable:
            raise
        except Transient as error:
            raise OutcomeUnknown(error.reason) from error

    async def delivery(
        self, endpoint: Endpoint, conversation: Conversation, request_id: str, agent_process: str
    ) -> Delivery:
        """Decide whether the agent saw `request_id`: at most three fences, no prompt."""
        line = await self._line(endpoint, conversation)
        if await self._process(line) != agent_process:
            return Delivery.UNKNOWN
        with within(EVIDENCE_SECONDS_MAX, "The agent's events could not be read in time"):
            async with open_ring(line.server, line.server_id) as ring:
                evidence = await line.evidence(ring, request_id)
                if ring.agent_process != agent_process:
                    return Delivery.UNKNOWN
        if evidence.is_seen:
            return Delivery.SEEN
        return Delivery.NOT_SEEN if evidence.proves_absence else Delivery.UNKNOWN

    async def cancel(self, endpoint: Endpoint, conversation: Conversation, session_id: str) -> None:
        """Ask the agent to end the running turn; succeeds also when the agent is gone, since its turn is too."""
        line = await self._line(endpoint, conversation)
        with suppress(AgentGone):
            await line.fence()
            await line.server.post(
                line.server_id, acp.notification("session/cancel", {"sessionId": session_id})
            )

    async def answer_permission(
        self, endpoint: Endpoint, conversation: Conversation, permission_id: str, option_id: str | None
    ) -> None:
        """Have the relay answer, which takes the first answer; with the agent gone there is nothing to answer."""
        number = permission_id.removeprefix(_ask_prefix(conversation))
        if not number.isdecimal():
            raise Permanent(f"The permission {permission_id!r} was not asked for in this session")
        line = await self._line(endpoint, conversation)
        with suppress(AgentGone):
            await line.fence()
            await line.agree("answer", acp.ANSWER, {"number": int(number), "option": option_id})

    async def settle(
        self, endpoint: Endpoint, conversation: Conversation, session_id: str, settings: SessionSettings
    ) -> None:
        """Apply what is set, each time anew: the agent may have changed it by itself."""
        if settings != SessionSettings():
            line = await self._line(endpoint, conversation)
            await line.fence()
            await apply(line, session_id, settings)

    async def close(self, endpoint: Endpoint, conversation: Conversation) -> None:
        """End the conversation's agent process and remove the conversation, within 10 seconds."""
        line = await self._line(endpoint, conversation)
        with within(CLOSE_SECONDS_MAX, "The agent server did not close the conversation in time"):
            process = await self._process(line)
            if process is None:
                return
            # A request of ours in flight would keep the agent alive after the DELETE.
            for scope in tuple(self._sending.get(line.server_id, ())):
                scope.cancel()
            with anyio.move_on_after(END_SECONDS_MAX), suppress(Transient):
                await self._end(line)
            await line.server.delete(line.server_id)
            if process == await self._process(line):
                raise Transient("The agent server keeps the conversation although it was asked to remove it")

    async def _end(self, line: Line) -> None:
        """Have the relay end the agent, and see it gone. Whoever is no relay answers otherwise, and stays for the DELETE."""

        async def ask() -> bool | None:
            await line.fence()
            return True if acp.error_of(await line.ask("close", acp.CLOSE, {})) else None

        async with open_ring(line.server, line.server_id) as ring:

            async def gone() -> bool:
                return bool(await last_words(ring))

            await first(ask, gone)

    @contextmanager
    def _cut_by_close(self, server_id: str) -> Iterator[None]:
        """Let `close` cut off what is inside."""
        with anyio.CancelScope() as scope:
            self._sending.setdefault(server_id, set()).add(scope)
            try:
                yield
            finally:
                self._sending[server_id].discard(scope)
                if not self._sending[server_id]:
                    del self._sending[server_id]
        if scope.cancelled_caught:
            raise OutcomeUnknown("The conversation was closed while it was given a message")

    async def _line(self, endpoint: Endpoint, conversation: Conversation) -> Line:
        server_id = f"{conversation.tab_id}-g{conversation.generation}-s{conversation.session}"
        return Line(AgentServer(await self._client(endpoint), endpoint), server_id)

    async def _client(self, endpoint: Endpoint) -> httpx.AsyncClient:
        """Share one client per kind of endpoint: loopback ones need no certificates, which take 200 ms to load.

        Each unix socket has a client of its own, forgotten once the socket is gone.
        """
        key = (httpx.URL(endpoint.url).scheme, endpoint.uds)
        async with self._making_client:
            if key not in self._clients:
                self._clients[key] = await to_thread.run_sync(_make_client, *key)
                for scheme, uds in list(self._clients):
                    if uds is not None and not uds.exists():
                        del self._clients[scheme, uds]
            return self._clients[key]


def _ask_prefix(conversation: Conversation) -> str:
    """Begin the ids of what is asked in this conversation: with the relay's number they are used once in a tab."""
    return f"g{conversation.generation}-s{conversation.session}-"


def _make_client(scheme: str, uds: Path | None) -> httpx.AsyncClient:
    is_plain = scheme == "http"
    # As many connections as conversations: each stream holds one, so a limit would be a deadlock. Over a unix socket none
    # is kept idle: a new one costs nothing, and the client can be forgotten without closing it under a request.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20 if uds is None else 0)
    if uds is not None:
        return httpx.AsyncClient(transport=UnixTransport(uds, limits), trust_env=False)
    # A proxy of the environment leads out, never to a sandbox on this host.
    return httpx.AsyncClient(verify=not is_plain, trust_env=not is_plain, limits=limits)

"""Agent: the port to the agent that works inside a sandbox, session by session.

Owns: `AgentGateway`, `AgentStream` and the events of a stream.
Never: a sandbox adapter; how the server is started crosses as a `ServiceSpec`, where it answers as an `Endpoint`.
Reads as: services/executors and services/links.py -> these Protocols -> adapters/agent/sandbox_agent.py.

One *conversation* (tab id and generation) is one agent process with one session. Request ids are ours, deterministic
and never reused within a conversation: that is what makes delivery provable.

An item of a transcript is made of one event; (`event_id`, `part`) is unique in an agent process and grows.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Protocol

from attrs import field, frozen

from taskdock.core.inputs import PermissionOption
from taskdock.core.intents import SessionSettings
from taskdock.ports.sandbox import Endpoint, ServiceSpec

Progress = Callable[[str], Awaitable[None]]
"""Called with one sentence for people while a program is being fetched. Lossy."""


@frozen
class Conversation:
    """Which conversation: the tab and the generation of its sandbox; `agent` is the id in the agent catalogue."""

    tab_id: str
    generation: int
    agent: str
    session: int = 1
    """Which session of this tab in this generation, counted from 1: a new one after a session was lost."""


@frozen
class SessionOpened:
    """The agent's own session id, and the agent process that holds it (changes when the agent is started again)."""

    session_id: str
    agent_process: str


class ItemKind(Enum):
    """What a transcript item is."""

    USER = "user"
    TEXT = "text"
    THOUGHT = "thought"
    PLAN = "plan"
    TOOL_CALL = "tool_call"
    TOOL_CALL_UPDATE = "tool_call_update"
    DIFF = "diff"
    PERMISSION = "permission"
    ERROR = "error"
    GAP = "gap"


@frozen
class Received:
    """The relay saw our request `request_id` and passed it to the agent."""

    event_id: int
    request_id: str


@frozen
class Update:
    """Something to show.

    `body` is JSON: `{"text"}` for text, thought and error, `{"entries": [{"content","status"}]}` for a plan,
    `{"id","title","kind","status","content"}` for tool calls and their updates (an update has the fields that changed),
    `{"text","id","path","old","new","is_cut"}` for a diff: `id` is its tool call's, `old` is null for a new file,
    `is_cut` says that old or new was too long to be kept whole.
    """

    event_id: int
    kind: ItemKind
    body: Mapping[str, Any]
    part: int = 0
    """Which of several things that came in one message, from 0."""


@frozen
class PermissionAsked:
    """The agent asks before it goes on with the turn of `request_id`.

    `permission_id` is unique in the tab for ever, and the same in every replay. `call` is what it wants to do, shaped
    like the body of a tool call.
    """

    event_id: int
    permission_id: str
    request_id: str
    title: str
    options: Sequence[PermissionOption]
    call: Mapping[str, Any] = field(factory=dict)


@frozen
class PermissionAnswered:
    """What was asked is settled: `option_id` was chosen, or None when it was cancelled or its turn ended without it."""

    event_id: int
    permission_id: str
    request_id: str
    option_id: str | None


class StopReason(Enum):
    """How a turn ended, in the words of the record."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@frozen
class Replied:
    """The agent ended the turn that `request_id` began; `detail` is its stop reason or its error, for people."""

    event_id: int
    request_id: str
    stop: StopReason
    detail: str


@frozen
class AgentExited:
    """The agent process ended by itself; `detail` says how, with the tail of its output where known."""

    event_id: int
    detail: str


@frozen
class Gap:
    """Events between `after` and `event_id` were lost to us (the agent's ring ran over)."""

    event_id: int
    after: int


AgentEvent = Received | Update | PermissionAsked | PermissionAnswered | Replied | AgentExited | Gap


class Delivery(Enum):
    """Whether a prompt reached the agent, decided by evidence."""

    SEEN = "seen"
    NOT_SEEN = "not_seen"
    UNKNOWN = "unknown"


class AgentStream(Protocol):
    """The events of one conversation, in order, replayed from the start of the agent's ring on every attach."""

    agent_process: str

    async def receive(self) -> AgentEvent | None:
        """The next event; None when the server closed the stream. Raises `Transient` when the connection broke."""
        ...


class AgentGateway(Protocol):
    """Talks to agents. Raises only `PortError`s; `Unreachable` only where nothing can have been sent."""

    async def service(self, agent: str, progress: Progress) -> ServiceSpec:
        """The server to run in the sandbox for this agent; fetches and checks programs into the cache first.

        Idempotent, safe from several processes at once. `Permanent` for an unknown agent, a platform without a build,
        or a digest that does not match.
        """
        ...

    async def open_session(self, endpoint: Endpoint, conversation: Conversation, cwd: str) -> SessionOpened:
        """Make or find the conversation's session; idempotent by conversation: a second call adopts the first's.

        `cwd` is absolute inside the sandbox. A conversation whose agent process died is begun anew. `Permanent` when
        the agent refuses (login needed, bad config), with its words in the reason.
        """
        ...

    async def resume_session(
        self, endpoint: Endpoint, conversation: Conversation, cwd: str, session_id: str
    ) -> SessionOpened:
        """Go on with the agent's session `session_id` in a new agent process, that of this conversation.

        Idempotent by conversation, as `open_session` is. What the agent repeats of the past is not told again.
        `Permanent` when the agent cannot load sessions, or refuses this one, with its words in the reason.
        """
        ...

    async def settle(
        self, endpoint: Endpoint, conversation: Conversation, session_id: str, settings: SessionSettings
    ) -> None:
        """Apply a model and a permission mode; what is None stays as it is. Idempotent; sends no prompt.

        `Permanent` for one that the agent does not offer (the reason lists what it does), or that it refuses.
        """
        ...

    def attach(
        self, endpoint: Endpoint, conversation: Conversation
    ) -> AbstractAsyncContextManager[AgentStream]:
        """Follow the conversation's events; several readers may. `Unreachable` when it does not exist there.

        Opens, or raises `Transient`, within minutes: nobody else bounds it.
        """
        ...

    async def prompt(
        self, endpoint: Endpoint, conversation: Conversation, session_id: str, request_id: str, text: str
    ) -> None:
        """Send one prompt and return when the server took it over or answered; the end comes through the stream.

        Never sends twice by itself. `Unreachable`: nothing was sent. `OutcomeUnknown`: ask `delivery`.
        """
        ...

    async def delivery(
        self, endpoint: Endpoint, conversation: Conversation, request_id: str, agent_process: str
    ) -> Delivery:
        """Decide whether the agent saw `request_id`, from receipts and one fence request; sends no prompt.

        NOT_SEEN only with proof: the same agent process, no gap, and a fence receipted with our id not before it.
        """
        ...

    async def cancel(self, endpoint: Endpoint, conversation: Conversation, session_id: str) -> None:
        """Ask the agent to end the running turn; its end comes through the stream. Idempotent.

        What the agent has asked and nobody answered is cancelled with it.
        """
        ...

    async def answer_permission(
        self, endpoint: Endpoint, conversation: Conversation, permission_id: str, option_id: str | None
    ) -> None:
        """Answer what the agent asked; None cancels the request, which allows nothing.

        Idempotent: the first answer counts, and later ones, also after its turn or its agent ended, change nothing.
        `Permanent` for what was never asked here or an option that was not offered. The stream tells of the answer.
        """
        ...

    async def close(self, endpoint: Endpoint, conversation: Conversation) -> None:
        """End the conversation's agent process; idempotent, also when it never existed. Returns within 10 seconds."""
        ...

"""Intents: the effects that the core wants carried out, each with its figures.

Owns: one class per kind of intent, `Intent` (a body with its id, subject, lane and attempt) and `Figures`.
Never: an id used twice; a retry is a new run with a new id.
Reads as: an order in a room -> `Draft.order` -> the outbox -> services/executors/<kind>.py -> an outcome.

What an intent makes outside is found again by the names it carries (sandbox name, tab and generation, message id),
never by its own id. `subject` is what may have only one execution at a time: a destroy waits until the create that it
supersedes has really ended.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2s

from attrs import field, frozen

from taskdock.core.inputs import TellInput
from taskdock.core.job_record import JobKind


@frozen
class Sandbox:
    """Which sandbox an intent means: its name is the identity at its provider."""

    provider: str
    name: str
    owner: str
    task_id: str
    generation: int


@frozen
class EnsureName:
    """Settle title, branch and base: what the user gave stays; the rest is proposed from the first message."""

    task_id: str
    repo_id: str
    message_id: str
    title: str | None
    branch: str | None
    base: str | None
    attempt: int
    is_kept: bool = False
    """The name was settled before and its branch may exist already: it is only confirmed."""
    is_there: bool = False
    """The task works on a branch that has to be there."""


@frozen
class CreateSandbox:
    """Ensure that the sandbox runs and that the task's branch is checked out in it."""

    sandbox: Sandbox
    repo_id: str
    branch: str
    base: str


@frozen
class EnsureAgent:
    """Ensure that the agent's server runs in the sandbox."""

    sandbox: Sandbox
    agent: str


@frozen
class SessionSettings:
    """What a session is told before it works: the agent's names of a model and of a permission mode, None for its own."""

    model: str | None = None
    permission_mode: str | None = None


@frozen
class CreateSession:
    """Ensure the tab's session, the `session`-th of this tab in this generation; earlier ones are ended first."""

    sandbox: Sandbox
    agent: str
    tab_id: str
    session: int
    settings: SessionSettings = SessionSettings()


@frozen
class ResumeSession:
    """Go on with the agent's session `session_id` in a new agent process, the `session`-th of this tab in this generation."""

    sandbox: Sandbox
    agent: str
    tab_id: str
    session: int
    session_id: str
    settings: SessionSettings = SessionSettings()


@frozen
class SendPrompt:
    """Send one message to its session, once, and stay until its turn has ended."""

    sandbox: Sandbox
    agent: str
    tab_id: str
    session: int
    session_id: str
    agent_process: str
    message_id: str
    settings: SessionSettings = SessionSettings()


@frozen
class CancelTurn:
    """Ask the agent to end the running turn; only the turn's end proves that it did."""

    sandbox: Sandbox
    agent: str
    tab_id: str
    session: int
    session_id: str


@frozen
class AnswerPermission:
    """Give the agent the answer to what it asked; `option_id` None cancels the request, which is never an allowance."""

    sandbox: Sandbox
    agent: str
    tab_id: str
    session: int
    session_id: str
    permission_id: str
    option_id: str | None


@frozen
class CloseSession:
    """End every session of the tab in this generation, also one that appears late."""

    sandbox: Sandbox
    agent: str
    tab_id: str
    sessions: int


@frozen
class CollectWork:
    """Bring the task's commits into the service clone; `quiesce` stops the agent first, so nothing can follow.

    `mark` is that of the sandbox which has the work; another one of its name has none of it. Empty where nothing tells.
    """

    sandbox: Sandbox
    repo_id: str
    branch: str
    quiesce: bool
    mark: str = ""


@frozen
class ObserveSandbox:
    """Look at the sandbox; nothing is changed."""

    sandbox: Sandbox


@frozen
class StopSandbox:
    """Ensure that nothing runs in the sandbox any more; its files stay where its provider keeps them."""

    sandbox: Sandbox


@frozen
class DestroySandbox:
    """Ensure that the sandbox is gone: no process and no file of it is left."""

    sandbox: Sandbox


@frozen
class CloneRepo:
    """Make or finish the service-owned clone of the remote."""

    repo_id: str
    remote: str


@frozen
class RemoveClone:
    """Remove the clone of a repo that was removed, unless something in it is nowhere else; then it stays."""

    repo_id: str


@frozen
class RunRepoJob:
    """Do one job in the repo's clone; the same job again goes on from what a crash left.

    With `settles` nothing of it is begun any more: the clone is made clean, and what the job changed is told.
    """

    repo_id: str
    job_id: str
    kind: JobKind
    branch: str | None = None
    parent: str | None = None
    push: bool = False
    undo_of: str | None = None
    settles: bool = False
    if_stacked: bool = False


@frozen
class Tell:
    """Give an input to another boundary; idempotent there, and repeated until it is committed."""

    target: str
    input: TellInput


@frozen
class Wake:
    """Come back at `not_before`; `reason` says what for."""

    reason: str


Body = (
    EnsureName | CreateSandbox | ObserveSandbox | EnsureAgent | CreateSession | ResumeSession | SendPrompt
    | CancelTurn | AnswerPermission | CloseSession | CollectWork | StopSandbox | DestroySandbox | CloneRepo
    | RemoveClone | RunRepoJob | Tell | Wake
)  # fmt: skip


@frozen
class Figure:
    """Limits of one kind of intent: `deadline_seconds` over all runs, from the first claim; attempts in all."""

    deadline_seconds: float
    attempts_max: int


def _default_figures() -> dict[str, Figure]:
    return {
        "EnsureName": Figure(30, 3),
        "CreateSandbox": Figure(600, 5),
        "ObserveSandbox": Figure(600, 1_000),
        "EnsureAgent": Figure(300, 5),
        "CreateSession": Figure(120, 5),
        "ResumeSession": Figure(120, 5),
        "SendPrompt": Figure(6 * 3600, 1),
        "CancelTurn": Figure(10, 1),
        "AnswerPermission": Figure(30, 3),
        "CloseSession": Figure(600, 10),
        "CollectWork": Figure(300, 3),
        "StopSandbox": Figure(300, 5),
        "DestroySandbox": Figure(600, 10),
        "CloneRepo": Figure(3600, 5),
        "RemoveClone": Figure(600, 5),
        "RunRepoJob": Figure(3600, 3),
        "Tell": Figure(365 * 24 * 3600, 1_000_000),
        "Wake": Figure(365 * 24 * 3600, 1_000_000),
    }


@frozen
class Figures:
    """Every limit the core decides by; one record per dock, from its config."""

    intents: Mapping[str, Figure] = field(factory=_default_figures)
    backoff_seconds: float = 1.0
    backoff_seconds_max: float = 60.0
    settle_seconds: float = 10.0
    """How long a stop, an archive and a kill wait for running turns to end."""
    closing_seconds: float = 5.0
    """How long a closing tab waits for its session to end."""
    cancel_seconds: float = 10.0
    """How long a turn that was asked to end may go on before its agent process is replaced."""
    permission_seconds: float = 3600.0
    """How long a permission request waits for its answer before it is cancelled."""
    call_seconds: float = 10.0
    """How long after its Started an attempt may still make its first call outside."""
    absent_seconds: float = 5.0
    """Between two looks at a sandbox that is absent; one alone proves nothing."""
    heals_max: int = 3
    """How many times a sandbox is replaced or started again within `heals_seconds` before its task is unstable."""
    heals_seconds: float = 1800.0
    branch_fresh_seconds: float = 300.0
    """How old a look at a repo's branches may be for a task to start on one of them without another look."""
    waiting_max: int = 1_000
    """How many messages may wait in one tab; all of them are loaded with their task."""
    losses_max: int = 5
    """How many agent processes of a tab may be lost within `heals_seconds` before it fails."""

    def of(self, body: Body) -> Figure:
        """The limits of this kind of intent."""
        return self.intents[type(body).__name__]

    def backoff(self, intent_id: str, attempt: int) -> timedelta:
        """The pause before the attempt after `attempt`: doubling, capped, with up to 25 % taken off by a hash.

        The jitter is a hash of the id and not a random number, so the same step gives the same bytes.
        """
        full = min(self.backoff_seconds * 2 ** min(attempt - 1, 30), self.backoff_seconds_max)
        share = (
            int.from_bytes(blake2s(f"{intent_id}/{attempt}".encode(), digest_size=2).digest(), "big") / 0xFFFF
        )
        return timedelta(seconds=full * (1 - share / 4))


@frozen
class Intent:
    """One run of an effect, as it lies in the outbox until its outcome is accepted."""

    id: str
    boundary: str
    workspace: str
    subject: str
    lane: str
    body: Body
    attempt: int
    created_at: datetime
    not_before: datetime | None = None
    deadline_at: datetime | None = None
    """Set when the first run is claimed, and handed on to later runs."""
    issue: int = 0
    """How often it was claimed; an outcome of an earlier issue is stale."""
    started: bool = False
    """Whether a `Started` of any issue was accepted: from then on something may have been sent."""

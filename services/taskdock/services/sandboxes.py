"""Sandboxes: the core's sandbox in the words of the ports, and how to wait for a phase.

Owns: `ref_of`, `spec_of`, `mark_of`, `conversation_of`, `look`, `until`.
Never: a retry; a phase that cannot lead where it should is an error for the core to decide on.
Reads as: executors, links, reaper -> these -> ports.
"""

from collections.abc import Awaitable, Callable, Container

import anyio

from taskdock.core.errors import Permanent, Transient
from taskdock.core.intents import Sandbox
from taskdock.ports.agent import Conversation
from taskdock.ports.sandbox import Observation, Phase, SandboxProvider, SandboxRef, SandboxSpec

_LOOK_SECONDS_MAX = 30.0
_PAUSE_SECONDS = 0.1
_PAUSE_SECONDS_MAX = 5.0


def ref_of(sandbox: Sandbox) -> SandboxRef:
    """Which sandbox, for its provider."""
    return SandboxRef(sandbox.provider, sandbox.name)


def spec_of(sandbox: Sandbox) -> SandboxSpec:
    """What to make: the labels say whose it is."""
    return SandboxSpec(ref_of(sandbox), sandbox.owner, sandbox.task_id, sandbox.generation)


def mark_of(seen: Observation) -> str:
    """What tells it from another sandbox of its name: when its provider made it; empty where that is not said."""
    return "" if seen.created_at is None else seen.created_at.isoformat()


def conversation_of(sandbox: Sandbox, tab_id: str, session: int, agent: str) -> Conversation:
    """Which conversation of which tab."""
    return Conversation(tab_id, sandbox.generation, agent, session)


async def look(provider: SandboxProvider, ref: SandboxRef) -> Observation:
    """One observation outside of a step, whose deadline would bound it; Transient after 30 s without an answer."""
    try:
        with anyio.fail_after(_LOOK_SECONDS_MAX):
            return await provider.observe(ref)
    except TimeoutError as error:
        raise Transient(f"its provider says nothing of {ref.name}, after {_LOOK_SECONDS_MAX:g} s") from error


async def until(
    provider: SandboxProvider,
    seen: Observation,
    wanted: Container[Phase],
    on_wait: Callable[[str], Awaitable[None]],
) -> Observation:
    """Look, with a growing pause, until one of the wanted phases is seen; the caller's deadline bounds it.

    A provider can only be asked: its own events are hints at best. `failed`, and a phase that leads away, are errors.
    """
    pause = _PAUSE_SECONDS
    while seen.phase not in wanted:
        if seen.phase is Phase.FAILED and (Phase.RUNNING in wanted or Phase.STOPPED in wanted):
            raise Permanent(f"The sandbox failed: {seen.reason or 'its provider gives no reason'}")
        if Phase.RUNNING in wanted and seen.phase in (Phase.ABSENT, Phase.DESTROYING):
            raise Transient(f"The sandbox is {seen.phase.value} while it should come up.")
        await on_wait(f"the sandbox is {seen.phase.value}")
        await anyio.sleep(seen.retry_after_seconds or pause)
        pause = min(pause * 1.5, _PAUSE_SECONDS_MAX)
        seen = await provider.observe(seen.ref)
    return seen

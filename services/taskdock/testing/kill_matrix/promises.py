"""Promises: what a kill must not break, and a finding where it did.

Owns: `Promise`, `Finding`.
Never: a promise that no port, invariant or law makes; each sentence names where it stands.
Reads as: judge.py, trial.py -> `Finding` -> verdicts.py prints it.
"""

from enum import Enum

from attrs import frozen


class Promise(Enum):
    """One sentence each, with the place where it is made."""

    ONE_SANDBOX = "ensuring one name makes one sandbox, also when a process dies and the next one ensures again (SandboxProvider.ensure)"
    NOTHING_LEFT = "when destroy or observe says absent, no process and no file of the sandbox is left (SandboxProvider.destroy)"
    STOPPED = "a stopped sandbox is there, and nothing of it runs (SandboxProvider.stop)"
    THERE = "a sandbox that was said to run goes on running, whoever asks (SandboxProvider.observe)"
    FILES_STAY = "what is in a sandbox stays there as long as there is one of its name: nothing makes it anew, and a stop keeps what it says (SandboxProvider.ensure, stop)"
    LISTED = "every sandbox of an owner is listed, also by an adapter that did not make it, and no other (SandboxProvider.list_owned)"
    LABELLED = "a sandbox carries owner, task and generation as its spec has them (SandboxSpec.labels)"
    ONE_SESSION = (
        "a ready tab has exactly one session, and a closed one none (AgentGateway.open_session, close)"
    )
    ONCE = "a message reaches its agent at most once, and is delivered, or failed with a reason (AgentGateway.prompt, delivery)"
    KEPT = "every commit that an agent told of is in the service clone, and in the next sandbox (CloneStore.take_in, checkout)"
    JOBS = "a job is done or ends as it was asked to, tells what it moved, read from the heads, and leaves its clone in order (StackJobs.run, settle)"
    TOLD = "history and feed tell each change once, in order, and as the records have it (Store.commit)"
    GOES_ON = "what was asked for comes about after a restart, and nobody has to ask again"
    RESTS = "nothing stays in between"
    REACHED = "the call is made on this journey"
    CLEARED = "what a trial made can be taken away again (SandboxProvider.destroy)"
    KEEPS_FAITH = "a port raises nothing but a PortError, and answers what it can answer"
    WITNESSED = "what the witness counts is as it should be"


@frozen
class Finding:
    """A promise that was broken, and what was seen instead."""

    promise: Promise
    seen: str

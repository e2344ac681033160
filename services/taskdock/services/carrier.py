"""Carrier: a task's code on its way into a sandbox, and its work on the way out, as the executors see it.

Owns: `Carrier`, and `BundleCarrier`, which does it with git bundles.
Never: a bundle left behind; a decision about what is missing.
Reads as: executors/{create_sandbox,collect_work}.py -> this -> clone port, checkout.py -> SandboxAccess.

It is cut here so that a simulated world (`taskdock.testing.simulation`), which has neither git nor files, can carry in its
own way, while everything above it is the real thing.
"""

from typing import Protocol

from attrs import frozen

from taskdock.core.inputs import WorkCollected
from taskdock.core.intents import CollectWork, CreateSandbox
from taskdock.ports.clone import CloneStore
from taskdock.ports.sandbox import SandboxAccess
from taskdock.services.checkout import bundle_out, check_out, files_kept, uncommitted_files
from taskdock.services.sandboxes import ref_of


class Carrier(Protocol):
    """Carries between the service clone and a running sandbox. Raises only `PortError`s."""

    async def carry_in(self, access: SandboxAccess, body: CreateSandbox) -> None:
        """Make the checkout stand where the task stands; a finished one is left alone, a half-made one begun anew."""
        ...

    async def carry_out(self, access: SandboxAccess, body: CollectWork) -> WorkCollected:
        """Bring out what the clone does not have; idempotent. With `quiesce` what stays inside is named."""
        ...


@frozen
class BundleCarrier:
    """Carries git bundles."""

    clones: CloneStore

    async def carry_in(self, access: SandboxAccess, body: CreateSandbox) -> None:
        """Bundle where the task stands, and check it out inside."""
        checkout = await self.clones.checkout(body.repo_id, body.sandbox.task_id, body.base)
        try:
            await check_out(access, ref_of(body.sandbox), checkout, body.branch)
        finally:
            checkout.bundle.unlink(missing_ok=True)

    async def carry_out(self, access: SandboxAccess, body: CollectWork) -> WorkCollected:
        """Bundle inside, and take it into the clone."""
        ref, task_id = ref_of(body.sandbox), body.sandbox.task_id
        known = await self.clones.known_heads(body.repo_id, task_id)
        bundle = await bundle_out(access, ref, known)
        try:
            taken = await self.clones.take_in(
                body.repo_id, task_id, body.sandbox.generation, body.branch, bundle
            )
        finally:
            if bundle is not None:
                bundle.unlink(missing_ok=True)
        left = await uncommitted_files(access, ref) if body.quiesce else ()
        kept = await files_kept(access, ref)
        return WorkCollected(taken.head, taken.branch_moved, left, kept)

"""Carrier: clones, and what is carried between them and checkouts, as one simulated process does it.

Owns: `SimulatedClones`, `SimulatedCarrier`, `SimulatedNamer`.
Never: a carrying in one instant: bundling and taking in are two calls, and a process can die between them.
Reads as: executors -> this -> Calls -> code.py, boxes.py.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import mutable

from taskdock.core.errors import Permanent
from taskdock.core.inputs import WorkCollected
from taskdock.core.intents import CollectWork, CreateSandbox
from taskdock.ports.clone import Checkout, Cloned, TakenIn
from taskdock.ports.naming import NameProposal, NameRequest
from taskdock.ports.sandbox import SandboxAccess
from taskdock.services.sandboxes import ref_of
from taskdock.testing.simulation.boxes import Boxes
from taskdock.testing.simulation.calls import Calls
from taskdock.testing.simulation.code import TRUNK, Clones, State, Tree
from taskdock.testing.simulation.gits import Gits
from taskdock.testing.simulation.moves import Moves


@mutable(eq=False)
class SimulatedClones:
    """Implements `CloneStore` as far as the services above the carrier use it. There are no bundles."""

    moves: Moves
    gits: Gits
    calls: Calls

    @property
    def clones(self) -> Clones:
        """What git keeps."""
        return self.moves.clones

    async def clone(self, repo_id: str, remote: str, progress: Callable[[str], Awaitable[None]]) -> Cloned:
        """Make the clone."""
        await progress("Receiving objects")
        return Cloned(
            TRUNK, await self.calls.make("clones.clone", lambda: self.clones.clone(repo_id, remote))
        )

    async def branch_heads(self, repo_id: str) -> dict[str, str]:
        """What it knows."""
        return await self.calls.make(
            "clones.branch_heads", lambda: dict(self.clones.branches.get(repo_id, {}))
        )

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        """Nothing is bundled here."""
        raise NotImplementedError(f"the simulated carrier needs no bundle of {repo_id} {task_id} {base}")

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        """Nothing is bundled here."""
        raise NotImplementedError(f"there are no bundles: {repo_id} {task_id} {generation} {branch} {bundle}")

    async def known_heads(self, repo_id: str, task_id: str) -> tuple[str, ...]:
        """Nothing is bundled here."""
        raise NotImplementedError(f"the simulated carrier needs no heads of {repo_id} {task_id}")

    async def tasks_with_work(self, repo_id: str) -> tuple[str, ...]:
        """Every task of which it keeps work."""
        return await self.calls.make("clones.tasks_with_work", lambda: self.clones.tasks_with_work(repo_id))

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        """Remove it, if nothing in it is nowhere else."""
        async with self.gits.hold(repo_id, self.calls):
            await self.calls.make("clones.remove.look", lambda: self.clones.demand_all_elsewhere(repo_id))
            await begin()
            await self.calls.make("clones.remove", lambda: self._take_away(repo_id))

    def _take_away(self, repo_id: str) -> None:
        with self.gits.at_once(repo_id, "remove"):
            self.clones.remove(repo_id)
            self.moves.forget(repo_id)

    def path(self, repo_id: str) -> Path:
        """Where it would be."""
        return Path("/simulated") / repo_id


@mutable(eq=False)
class SimulatedCarrier:
    """Implements `Carrier` on simulated checkouts."""

    boxes: Boxes
    moves: Moves
    gits: Gits
    calls: Calls

    async def carry_in(self, access: SandboxAccess, body: CreateSandbox) -> None:
        """Make the checkout, unless it is there."""
        del access
        ref = ref_of(body.sandbox)
        start = await self.calls.make(
            "clones.checkout",
            lambda: self.moves.clones.start_of(body.repo_id, body.sandbox.task_id, body.base),
        )

        def fill() -> None:
            box = self.boxes.running(ref)
            if box.tree is None:
                box.tree = Tree(start, body.branch)

        await self.calls.make("access.exec", fill)

    async def carry_out(self, access: SandboxAccess, body: CollectWork) -> WorkCollected:
        """Bundle how the checkout stands, and take it in."""
        del access
        ref = ref_of(body.sandbox)

        def bundle() -> State:
            tree = self.boxes.running(ref).tree
            if tree is None:
                raise Permanent("the checkout in the sandbox has no git repository any more")
            return tree.state

        state = await self.calls.make("access.get_file", bundle)
        async with self.gits.hold(body.repo_id, self.calls):
            followed = await self.calls.make("clones.take_in", lambda: self._take_in(body, state))
        start = self.moves.clones.kept[body.sandbox.task_id].start
        head = None if state.head == start else state.head
        return WorkCollected(head, branch_moved=followed, kept=len(state.uncommitted))

    def _take_in(self, body: CollectWork, state: State) -> bool:
        """Take it in at one instant; False when the branch stays where a job put it."""
        clones, repo_id = self.moves.clones, body.repo_id
        with self.gits.at_once(repo_id, "take_in"):
            before = clones.branches.get(repo_id, {}).get(body.branch)
            followed = clones.take_in(repo_id, body.sandbox.task_id, body.branch, state)
        if clones.branches[repo_id].get(body.branch) != before:
            self.moves.collected(repo_id, body.branch)
        return followed


@mutable(eq=False)
class SimulatedNamer:
    """Implements `Namer`: names everything after the first word of its prompt."""

    calls: Calls
    id: str = "simulated"

    async def propose(self, request: NameRequest) -> NameProposal:
        """A title and a slug, the same for many tasks."""
        word = next((one for one in request.prompt.lower().split() if one.isalpha()), "task")
        return await self.calls.make(f"namer.{self.id}", lambda: NameProposal(word.title(), word))

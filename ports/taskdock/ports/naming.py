"""Naming: the port that turns a prompt into a title and a branch slug.

Owns: `Namer` and its shapes.
Never: a reservation; uniqueness is the store's, the suffix is the core's.
Reads as: services/executors/ensure_name.py -> this Protocol -> adapters/naming/.
"""

from typing import Protocol

from attrs import frozen


@frozen
class NameRequest:
    """What there is to name: the beginning of the prompt (at most 4,000 characters)."""

    prompt: str


@frozen
class NameProposal:
    """A title (1 to 80 characters, one line) and a slug (1 to 50 of a-z, 0-9 and single dashes inside)."""

    title: str
    slug: str


class Namer(Protocol):
    """Proposes names. Raises only `PortError`s; then the heuristic namer takes over and the task says so."""

    id: str

    async def propose(self, request: NameRequest) -> NameProposal:
        """Propose a name; may be asked again with the same request and may then answer differently."""
        ...

"""Listing: the branches that git-spice tracks, and what is stacked on what.

Owns: the reading of `log short --json`, and questions about the shape of the stacks.
Never: a head (git tells those), or trust in `needsRestack` beyond its own edge: above a stale branch it says nothing.
Reads as: acting.py, sync.py, projection.py -> this -> tool.py. Reading writes the stack's own data: only under the lock.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Listed:
    """One tracked branch."""

    name: str
    parent: str
    needs_restack: bool = False
    worktree: str | None = None
    """Where else it is checked out."""
    pull_request: str | None = None
    pull_request_status: str | None = None


@frozen
class Stacks:
    """All tracked branches above one trunk."""

    trunk: str
    branches: Mapping[str, Listed] = field(factory=dict)

    def __contains__(self, name: str) -> bool:
        """Tell whether the branch is tracked; trunk is not."""
        return name in self.branches

    def children(self, name: str) -> list[str]:
        """Name what is stacked directly on a branch, or on trunk."""
        return [one.name for one in self.branches.values() if one.parent == name]

    def upstack(self, name: str) -> list[str]:
        """Name the branch and all above it, each after its parent."""
        found = [name]
        for one in found:
            found += [child for child in self.children(one) if child not in found]
        return found

    def depth(self, name: str) -> int:
        """Count the steps down to trunk; 0 for what is not tracked."""
        return len(list(self._down(name)))

    def order(self) -> list[str]:
        """Name every tracked branch, stack by stack, each directly below those that are stacked on it."""
        found: list[str] = []
        waiting = sorted(self.children(self.trunk), reverse=True)
        while waiting:
            name = waiting.pop()
            found.append(name)
            waiting += sorted(set(self.children(name)) - set(found), reverse=True)
        return found

    def stale(self, names: Iterable[str]) -> list[str]:
        """Name those of the branches that do not stand on their parent's head."""
        return [name for name in names if name in self.branches and self.branches[name].needs_restack]

    def stale_roots(self) -> list[str]:
        """Name the stacks, by their lowest branch, in which anything is stale."""
        return [root for root in sorted(self.children(self.trunk)) if self.stale(self.upstack(root))]

    def _down(self, name: str) -> Iterator[str]:
        seen: set[str] = set()
        while name in self.branches and name not in seen:
            seen.add(name)
            yield name
            name = self.branches[name].parent


def parse(text: str, trunk: str) -> Stacks:
    """Read the lines of `log short --all --json`; unknown keys are left alone, an untracked branch is left out."""
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    listed = (_listed(row) for row in rows if row.get("down"))
    return Stacks(trunk=trunk, branches={one.name: one for one in listed})


def trunk_of(text: str) -> str | None:
    """Give the branch that stands on nothing: what git-spice takes for trunk."""
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return next((str(row["name"]) for row in reversed(rows) if not row.get("down")), None)


def _listed(row: Mapping[str, Any]) -> Listed:
    change = row.get("change") or {}
    return Listed(
        name=row["name"],
        parent=row["down"]["name"],
        needs_restack=bool(row["down"].get("needsRestack")),
        worktree=row.get("worktree"),
        pull_request=change.get("url") or change.get("id"),
        pull_request_status=change.get("status"),
    )

"""Faults: what the stand-in does wrong, because a test asked for it or because chance is let loose.

Owns: `Fault`, `Faults`.
Never: a fault that nobody ordered.
Reads as: a test -> `/_standin/faults` -> this -> service.py, before and after each operation.
"""

import random
from typing import Any

from attrs import define, field

CHAOS = ("refuse", "refuse-after", "drop", "drop-after", "late", "slow", "busy", "limited", "failed")


@define
class Fault:
    """One thing that goes wrong, `times` times, with an operation on a sandbox whose name holds `name`.

    `kind` is one of: `slow` (by `seconds`), `refuse` and `drop` (nothing is done; a status, or no answer at all),
    `refuse-after` and `drop-after` (it is done, and the answer is lost), `late` (a create that lands after `seconds`,
    without an answer), `failed` (a create that fails), `stuck` (a create that stays on its way for `seconds`),
    `mutate` (fields of the answer are `set` or `cut`; told to the referee unless `quiet`).
    """

    op: str
    kind: str
    name: str = ""
    times: int = 1
    seconds: float = 0.0
    status: int = 500
    headers: dict[str, str] = field(factory=dict)
    message: str = "Internal server error"
    set: dict[str, Any] = field(factory=dict)
    cut: list[str] = field(factory=list)
    quiet: bool = True


@define
class Faults:
    """All that were ordered, and the dice of chaos."""

    ordered: list[Fault] = field(factory=list)
    happened: dict[str, int] = field(factory=dict)
    list_lag_seconds: float = 0.0
    create_seconds: float = 0.0
    rate: float = 0.0
    dice: random.Random = field(factory=random.Random)

    def let_loose(self, seed: str, rate: float) -> None:
        """From now on each operation goes wrong so often."""
        self.dice, self.rate = random.Random(seed), rate  # noqa: S311 - dice

    def clear(self) -> None:
        """Do everything right from now on."""
        self.ordered.clear()
        self.rate = self.list_lag_seconds = self.create_seconds = 0.0

    def take(self, op: str, name: str) -> Fault | None:
        """What goes wrong now."""
        for fault in self.ordered:
            if fault.op in (op, "any") and fault.name in name and fault.times > 0:
                fault.times -= 1
                return self._noted(fault)
        if self.rate and self.dice.random() < self.rate:
            return self._noted(self._thrown(op))
        return None

    def _noted(self, fault: Fault | None) -> Fault | None:
        if fault is not None:
            key = f"{fault.op} {fault.kind}"
            self.happened[key] = self.happened.get(key, 0) + 1
        return fault

    def _thrown(self, op: str) -> Fault | None:
        kind = self.dice.choice(CHAOS)
        if kind in ("late", "failed") and op != "create":
            return None
        if kind == "busy":
            return Fault(op, "refuse", status=409, message="Sandbox state change in progress")
        if kind == "limited":
            return Fault(
                op, "refuse", status=429, headers={"Retry-After-anonymous": "1"}, message="Too many requests"
            )
        seconds = self.dice.uniform(0.1, 1.0) if kind in ("slow", "late") else 0.0
        return Fault(op, kind, seconds=seconds, status=self.dice.choice([500, 502, 503, 504]))

"""Machine: a table that cannot be right is refused when it is imported, and a right one does what its rows say."""

import importlib.util
import sys
from pathlib import Path

import pytest
from attrs import field, mutable

from taskdock.core.errors import InvariantViolated
from taskdock.core.machine import (
    NEW,
    SAME,
    Fired,
    Row,
    TableError,
    build,
    fire,
    guard,
    may,
    must_fire,
    order,
)


@mutable
class Door:
    """A cursor as small as one can be: it notes what it was asked to do."""

    state: str = NEW
    locked: bool = False
    done: list[str] = field(factory=list)

    @guard
    def is_unlocked(self) -> bool:
        """Nobody has locked it."""
        return not self.locked

    @guard
    def is_dry(self) -> bool:
        """It always is."""
        return True

    @order
    def squeak(self) -> None:
        """Note it, and where it happened."""
        self.done.append(f"squeak in {self.state}")

    @order
    def let_in(self) -> None:
        """Note it, and where it happened."""
        self.done.append(f"let in, in {self.state}")

    def unmarked(self) -> bool:
        """Neither guard nor order."""
        return True


STATES: dict[str, tuple[str, ...]] = {NEW: (), "open": ("let_in",), "shut": ()}
HANG = Row("hang", NEW, "shut")
OPEN = Row("open", "shut", "open", when="is_unlocked", then="squeak")
SHUT = Row("shut", "open", "shut")


def test_right_table_is_taken() -> None:
    """The table that the refused ones are variations of is refused by nothing."""
    build(STATES, (HANG, OPEN, SHUT), Door)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        pytest.param(Row("knock", "shut", "open", when="is_purple"), "'is_purple'", id="unknown guard"),
        pytest.param(Row("knock", "shut", "open", then="sing"), "'sing'", id="unknown order"),
        pytest.param(Row("knock", "shut", "open", then="is_dry"), "no order", id="guard used as order"),
        pytest.param(Row("knock", "shut", "open", when="squeak"), "no guard", id="order used as guard"),
        pytest.param(Row("knock", "shut", "open", when="unmarked"), "no guard", id="unmarked method"),
        pytest.param(Row("knock", "shut", "open", when=("is_dry", "is_purple")), "'is_purple'", id="second guard"),
        pytest.param(Row("knock", "shut", "ajar"), "ajar", id="unknown destination"),
        pytest.param(Row("knock", "ajar", "open"), "ajar", id="unknown source"),
        pytest.param(Row("knock", ("shut", "ajar"), "open"), "ajar", id="unknown second source"),
        pytest.param(OPEN, "hidden", id="hidden by its double"),
        pytest.param(Row("open", "shut", "shut", when=("is_unlocked", "is_dry")), "hidden", id="hidden by a wider row"),
        pytest.param(Row("open", ("open", "shut"), "shut", when="is_unlocked"), "hidden", id="hidden in one source"),
    ],
)  # fmt: skip
def test_wrong_row_is_refused(row: Row, complaint: str) -> None:
    """A row with an unknown name, a name in the wrong role, or no chance to be taken is a TableError that says so."""
    with pytest.raises(TableError, match=complaint):
        build(STATES, (HANG, OPEN, SHUT, row), Door)


def test_row_after_a_narrower_one_is_no_shadow() -> None:
    """A row that asks for less may follow one that asks for more: that is what row order is for."""
    build(STATES, (HANG, OPEN, Row("open", "shut", "shut"), SHUT), Door)


def test_row_behind_another_guard_is_no_shadow() -> None:
    """A row is hidden only by one whose guards all stand in its own."""
    build(STATES, (HANG, OPEN, Row("open", "shut", "shut", when="is_dry"), SHUT), Door)


def test_unreachable_state_is_refused() -> None:
    """A state that no row leads to is a TableError that names it."""
    with pytest.raises(TableError, match="ajar"):
        build({**STATES, "ajar": ()}, (HANG, OPEN, SHUT), Door)


def test_states_that_lead_only_to_each_other_are_refused() -> None:
    """A way that begins nowhere reaches nothing: what only such a row leads to is unreachable, and so is its source."""
    island = (Row("go", "ajar", "off"), Row("come", "off", "ajar"))
    with pytest.raises(TableError, match=r"\['ajar', 'off'\]"):
        build({**STATES, "ajar": (), "off": ()}, (HANG, OPEN, SHUT, *island), Door)


def test_entering_again_makes_nothing_reachable() -> None:
    """A row that only enters its source again leads nowhere new."""
    with pytest.raises(TableError, match="ajar"):
        build({**STATES, "ajar": ()}, (HANG, OPEN, SHUT, Row("creak", "ajar", SAME)), Door)


@pytest.mark.parametrize("name", ["sing", "is_dry", "unmarked"])
def test_state_may_only_order_orders(name: str) -> None:
    """What a state orders on entering must be marked as an order."""
    with pytest.raises(TableError, match=name):
        build({**STATES, "open": (name,)}, (HANG, OPEN, SHUT), Door)


def test_wrong_table_stops_the_import(tmp_path: Path) -> None:
    """A module with a wrong table cannot be imported at all, so a test run never gets as far as using it."""
    module = tmp_path / "wrong_table.py"
    module.write_text(
        "from taskdock.core.machine import NEW, Row, build\n"
        "MACHINE = build({NEW: (), 'there': ()}, [Row('go', NEW, 'their')], object)\n"
    )
    spec = importlib.util.spec_from_file_location("wrong_table", module)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(TableError, match="their"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert "wrong_table" not in sys.modules


def test_machine_is_its_table_and_nothing_else() -> None:
    """It has the states and triggers that were written down, none beside them, and no record of its own."""
    machine = build(STATES, (HANG, OPEN, SHUT), Door)
    assert list(machine.states) == list(STATES)
    assert sorted(machine.events) == ["hang", "open", "shut"]
    assert machine.models == []


def test_fire_moves_and_orders_in_order() -> None:
    """What the row orders runs before the move, what the state orders after it."""
    door = Door("shut")
    assert fire(build(STATES, (HANG, OPEN, SHUT), Door), door, "open") is Fired.MOVED
    assert door.state == "open"
    assert door.done == ["squeak in shut", "let in, in open"]


def test_fire_tells_guarded_from_undefined() -> None:
    """A trigger that its guards hold back is guarded, one without a row here is undefined; both change nothing."""
    machine = build(STATES, (HANG, OPEN, SHUT), Door)
    door = Door("shut", locked=True)
    assert fire(machine, door, "open") is Fired.GUARDED
    assert fire(machine, door, "shut") is Fired.UNDEFINED
    assert fire(machine, door, "paint") is Fired.UNDEFINED
    assert door == Door("shut", locked=True)


def test_must_fire_tells_why_no_row_took_it() -> None:
    """Where a row must take the trigger and none does, that is a fault of ours, which names trigger, state and why."""
    machine = build(STATES, (HANG, OPEN, SHUT), Door)
    door = Door("shut", locked=True)
    with pytest.raises(InvariantViolated, match=r"'open' from 'shut' \(guarded\)"):
        must_fire(machine, door, "open")
    with pytest.raises(InvariantViolated, match=r"'shut' from 'shut' \(undefined\)"):
        must_fire(machine, door, "shut")


def test_first_row_whose_guards_hold_wins() -> None:
    """Of two rows for one trigger the second is taken only when the first is held back."""
    machine = build(STATES, (HANG, OPEN, Row("open", "shut", SAME), SHUT), Door)
    free, locked = Door("shut"), Door("shut", locked=True)
    assert fire(machine, free, "open") is fire(machine, locked, "open") is Fired.MOVED
    assert (free.state, locked.state) == ("open", "shut")


def test_entering_again_orders_again() -> None:
    """The destination `=` stays, and orders what the state orders once more."""
    door = Door("open")
    machine = build(STATES, (HANG, OPEN, SHUT, Row("knock", "open", SAME)), Door)
    assert fire(machine, door, "knock") is Fired.MOVED
    assert door == Door("open", done=["let in, in open"])


def test_may_answers_as_fire_would_and_changes_nothing() -> None:
    """The question whether a trigger would move gets fire's answer, with every guard asked and no order run."""
    machine = build(STATES, (HANG, OPEN, SHUT), Door)
    for door in (Door("shut"), Door("shut", locked=True), Door("open")):
        before = Door(door.state, door.locked)
        answers = {trigger: may(machine, door, trigger) for trigger in ("hang", "open", "shut", "paint")}
        assert door == before
        for trigger, answer in answers.items():
            assert (fire(machine, Door(door.state, door.locked), trigger) is Fired.MOVED) is answer

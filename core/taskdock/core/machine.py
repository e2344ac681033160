"""Machine: the bridge to `transitions`, so that a table of rows is the engine itself.

Owns: `Row`, `guard`, `order`, `Cursor`, `build`, `fire` and `must_fire`; every check that a table gets at import.
Never: a status assigned anywhere but in `Cursor.state` (tests/architecture reads the syntax tree for it).
Reads as: a room (task.py, tab.py, ...) writes rows -> `build` -> its boundary calls `fire(MACHINE, cursor, trigger)`.

A row says: on this trigger, from these states, when these guards hold, go there; `then` runs before the move, and what
the state entered orders stands beside the state. The first row whose guards hold wins, so order is meaning, and a row
that an earlier one always hides is refused at import. `dest="="` enters the same state again, and so orders again.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Protocol, TypeVar

from attrs import field, frozen
from transitions import Event, Machine, Transition

from taskdock.core.errors import InvariantViolated

NEW = "new"
"""The pseudo-state of a record that does not exist yet."""

SAME = "="
"""The destination that enters the source again."""

_Method = TypeVar("_Method", bound=Callable[..., Any])


def guard(method: _Method) -> _Method:
    """Mark a cursor method that answers a question and changes nothing."""
    method.__taskdock_role__ = "guard"  # type: ignore[attr-defined]
    return method


def order(method: _Method) -> _Method:
    """Mark a cursor method that changes the draft: takes a value over, orders an intent, records history."""
    method.__taskdock_role__ = "order"  # type: ignore[attr-defined]
    return method


class Cursor(Protocol):
    """A throw-away view of one record in a draft; `transitions` reads and writes `state` and calls guards and orders."""

    @property
    def state(self) -> str:
        """The machine state of the record."""
        ...

    @state.setter
    def state(self, entered: str) -> None:
        """Written by `transitions` alone."""
        ...


def _tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@frozen
class Row:
    """One row of a table."""

    trigger: str
    source: tuple[str, ...] = field(converter=_tuple)
    dest: str
    when: tuple[str, ...] = field(default=(), converter=_tuple)
    then: tuple[str, ...] = field(default=(), converter=_tuple)


class Fired(Enum):
    """What a trigger did."""

    MOVED = "moved"
    GUARDED = "guarded"
    """There are rows for it here, and no guard let it through."""
    UNDEFINED = "undefined"
    """There is no row for it here."""


class TableError(TypeError):
    """A table that cannot be right; raised at import."""


class _Arc(Transition):
    """A row from one of its sources."""

    def allows(self, cursor: Cursor) -> bool:
        """Whether its guards hold; changes nothing, since guards change nothing."""
        return all(getattr(cursor, str(check.func))() for check in self.conditions)

    def take(self, machine: Machine, cursor: Cursor) -> None:
        """Do what the row says, move, and order what the state entered orders."""
        assert self.dest is not None, "a row leads somewhere"
        _call(self.before, cursor)
        machine.set_state(self.dest, cursor)
        _call(machine.states[self.dest].on_enter, cursor)


class _Trigger(Event):
    """All rows of one trigger. The first that is allowed is taken.

    That is all that a table can say. What `transitions` does around it for others (queues, callbacks of the machine, four
    log lines for each of them) costs five times as much as the move.
    """

    def trigger(self, model: Any, *_args: Any, **_kwargs: Any) -> bool:  # noqa: ANN401 - as `transitions` types it
        """Take the first row that is allowed; whether there was one."""
        for arc in self.transitions[model.state]:
            assert isinstance(arc, _Arc)
            if arc.allows(model):
                arc.take(self.machine, model)
                return True
        return False


class _Table(Machine):
    """A machine of `transitions`, made of the two."""

    transition_cls = _Arc
    event_cls = _Trigger


def _call(callbacks: Iterable[Any], cursor: Cursor) -> None:
    for callback in callbacks:
        getattr(cursor, callback)() if isinstance(callback, str) else callback()


def build(
    states: Mapping[str, tuple[str, ...]], rows: Iterable[Row], cursor: type, start: str = NEW
) -> Machine:
    """Make the machine of one room: `states` maps each state to what is ordered on entering it."""
    rows = tuple(rows)
    _check_names(states, rows, cursor)
    _check_shadows(rows)
    _check_reachable(states, rows, start)
    return _Table(
        model=None,
        states=[{"name": name, "on_enter": list(orders)} for name, orders in states.items()],
        transitions=[
            {
                "trigger": row.trigger,
                "source": list(row.source),
                "dest": row.dest,
                "conditions": list(row.when),
                "before": list(row.then),
            }
            for row in rows
        ],
        initial=start,
        auto_transitions=False,
    )


def fire(machine: Machine, cursor: Cursor, trigger: str) -> Fired:
    """Pull a trigger; tells moved from guarded from undefined, where transitions would raise or answer False."""
    event = machine.events.get(trigger)
    if event is None or cursor.state not in event.transitions:
        return Fired.UNDEFINED
    return Fired.MOVED if event.trigger(cursor) else Fired.GUARDED


def must_fire(machine: Machine, cursor: Cursor, trigger: str) -> None:
    """Pull a trigger that has a row wherever it is pulled; InvariantViolated when it has none after all."""
    fired = fire(machine, cursor, trigger)
    if fired is not Fired.MOVED:
        raise InvariantViolated(f"no row took {trigger!r} from {cursor.state!r} ({fired.value})")


def may(machine: Machine, cursor: Cursor, trigger: str) -> bool:
    """Whether a row would take this trigger now; changes nothing, since guards change nothing."""
    event = machine.events.get(trigger)
    arcs = [] if event is None else event.transitions.get(cursor.state, [])
    return any(isinstance(arc, _Arc) and arc.allows(cursor) for arc in arcs)


def _check_names(states: Mapping[str, tuple[str, ...]], rows: tuple[Row, ...], cursor: type) -> None:
    """Every name must be known: transitions looks guards and orders up only when they are needed."""
    for row in rows:
        _check_methods(cursor, row.when, "guard", f"row {row.trigger!r}")
        _check_methods(cursor, row.then, "order", f"row {row.trigger!r}")
        unknown = {*row.source, *({row.dest} - {SAME})} - states.keys()
        if unknown:
            raise TableError(f"row {row.trigger!r} names unknown states: {sorted(unknown)}")
    for name, orders in states.items():
        _check_methods(cursor, orders, "order", f"state {name!r}")


def _check_methods(cursor: type, names: Iterable[str], role: str, where: str) -> None:
    for name in names:
        if getattr(getattr(cursor, name, None), "__taskdock_role__", None) != role:
            raise TableError(f"{where} names {name!r}, which is no {role} of {cursor.__name__}")


def _check_shadows(rows: tuple[Row, ...]) -> None:
    """A later row is dead when an earlier one for the same trigger and source asks for no more than it does."""
    seen: dict[tuple[str, str], list[frozenset[str]]] = {}
    for row in rows:
        for source in row.source:
            earlier = seen.setdefault((row.trigger, source), [])
            if any(guards <= frozenset(row.when) for guards in earlier):
                raise TableError(
                    f"row {row.trigger!r} from {source!r} to {row.dest!r} is hidden by an earlier row"
                )
            earlier.append(frozenset(row.when))


def _check_reachable(states: Mapping[str, tuple[str, ...]], rows: tuple[Row, ...], start: str) -> None:
    """Every state must be reached from the start by some way of rows."""
    reached, before = {start}, 0
    while len(reached) != before:
        before = len(reached)
        reached |= {row.dest for row in rows if reached.intersection(row.source)}
    if states.keys() - reached:
        raise TableError(f"no row leads to {sorted(states.keys() - reached)}")

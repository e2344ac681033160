"""Diagrams: the committed pages show the machines as they are."""

from pathlib import Path

import pytest
from transitions import Machine

import diagrams

DOOR = Machine(
    model=None,
    states=[
        {"name": "new"},
        {"name": "shut/latched", "on_enter": ["order_oil"]},
        "shut/locked",
        "open",
        "gone",
    ],
    transitions=[
        {"trigger": "hang", "source": "new", "dest": "shut/latched"},
        {"trigger": "turn", "source": "shut/latched", "dest": "shut/locked", "conditions": ["has_key"]},
        {"trigger": "push", "source": "shut/latched", "dest": "open", "before": ["note_push"]},
        {"trigger": "push", "source": ["shut/locked", "open"], "dest": "=", "unless": ["is_strong"]},
        {"trigger": "push", "source": "shut/locked", "dest": "open"},
        {"trigger": "burn", "source": ["shut/locked", "open"], "dest": "gone"},
    ],
    initial="new",
    auto_transitions=False,
)


def test_committed_pages_are_current() -> None:
    """Each machine of the core has its page, drawn from the rows of today; `make diagrams` draws them anew."""
    assert [path.name for path in diagrams.differing()] == []


def test_rows_come_in_the_order_they_are_tried() -> None:
    """A table is read from the machine itself: source by source, the first row first."""
    from_locked = [row for row in diagrams.rows(DOOR) if row.source == "shut/locked"]
    assert [(row.trigger, row.dest, row.when) for row in from_locked] == [
        ("push", "shut/locked", ("not is_strong",)),
        ("push", "open", ()),
        ("burn", "gone", ()),
    ]


def test_steps_of_one_status_are_drawn_as_one() -> None:
    """The picture for clients has one box per status, an arrow in and out, and no arrow within."""
    assert diagrams.draw(DOOR, diagrams.status).splitlines()[1:-1] == [
        "stateDiagram-v2",
        "    [*] --> shut: hang",
        "    shut --> open: push",
        "    shut --> gone: burn",
        "    open --> gone: burn",
        "    gone --> [*]",
    ]


def test_page_holds_guards_and_orders() -> None:
    """The page names each guard, what runs before a move, and what entering a state orders."""
    page = diagrams.page("door", DOOR)
    assert '    state "shut/locked" as shut_locked' in page
    assert "| `shut/latched` | `turn` | `has_key` | `shut/locked` |  |" in page
    assert "| `shut/latched` | `push` |  | `open` | `note_push` |" in page
    assert "| `shut/latched` | `order_oil` |" in page


def test_stale_and_left_over_pages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that changed and the page of a machine that is no more are both found, and written right again."""
    monkeypatch.setattr(diagrams, "FOLDER", tmp_path)
    monkeypatch.setattr(diagrams, "machines", lambda: {"door": DOOR})
    monkeypatch.setattr("sys.argv", ["diagrams.py"])
    (tmp_path / "door.md").write_text("old")
    (tmp_path / "window.md").touch()
    assert [path.name for path in diagrams.differing()] == ["door.md", "window.md"]
    diagrams.main()
    assert list(diagrams.differing()) == []

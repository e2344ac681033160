"""The screen: rows that move, then stand still; what is said below them; and rows that are not shown twice."""

import io

import pytest
from attrs import evolve

from taskdock.adapters.entry.cli.following import Shown
from taskdock.adapters.entry.cli.live import Line, Live, take
from taskdock.adapters.entry.cli.screen import Screen
from taskdock.core.history import HistoryKind
from taskdock.core.step import Step
from taskdock.ports.store import Versioned
from taskdock.services.feed import RecordChanged
from unit.cli.processes import screen_of
from unit.cli.story import TASK, UP, Event, at, happened, item, told


class Stream(io.TextIOWrapper):
    """A terminal's stream that keeps what was written."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="replace", newline="\r\n")

    def isatty(self) -> bool:
        """It says that it is one."""
        return True

    @property
    def written(self) -> str:
        """Everything so far."""
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(self.encoding)

    @property
    def lines(self) -> list[str]:
        """What a person sees."""
        return screen_of(self.written)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of a size that every test knows."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_rows_move_while_a_step_is_under_way() -> None:
    """Done steps have their durations, the one under way counts, the others wait; no row is there twice."""
    stream = Stream()
    screen = Screen(stream)
    live, _ = told(UP[:5])
    screen.show(Shown(live, at(2)))
    screen.show(Shown(live, at(3)))
    rows = [line.split()[1:] for line in stream.lines if line]
    assert rows == [
        ["init_enqueue_provision", "1.0", "s"],
        ["init_ensure_name", "0.5", "s", "branch", "fix-it", "from", "main"],
        ["init_create_sandbox", "1.5", "s"],
        ["init_ensure_agent"],
        ["init_create_session"],
    ]
    assert stream.written.rfind("\x1b[?25l") > stream.written.rfind("\x1b[?25h")
    screen.close()
    screen.close()
    assert stream.written.rfind("\x1b[?25h") > stream.written.rfind("\x1b[?25l")


def test_rows_stand_still_when_all_is_done() -> None:
    """Then the conversation goes on below, and the cursor is back before anybody closes anything."""
    stream = Stream()
    screen = Screen(stream)
    live = Live("task-1")
    for number, event in enumerate(UP, start=1):
        taken = take(live, happened(number, event))
        live = taken.live
        screen.show(Shown(live, at(event[0]), lines=taken.lines))
    screen.show(Shown(live, at(6), items=(item("text", text="Bon"), item("text", text="jour"))))
    screen.show(Shown(live, at(9), lines=(Line("commit 1a2b3c4 on fix-it"),)))
    assert [line[:1] for line in stream.lines] == ["✓"] * 5 + ["B", "c", ""]
    assert stream.lines[5:] == ["Bonjour", "commit 1a2b3c4 on fix-it", ""]
    assert stream.written.rfind("\x1b[?25h") > stream.written.rfind("\x1b[?25l")


def test_without_rows_there_is_no_table() -> None:
    """A command whose steps are of no interest shows only what is said."""
    stream = Stream()
    screen = Screen(stream)
    screen.show(Shown(Live("task-1"), at(0)))
    screen.show(Shown(Live("task-1"), at(0), items=(item("text", text="x"),)))
    screen.close()
    assert stream.written == "x\r\n"


def test_a_row_says_its_attempt_and_why() -> None:
    """Under way: the attempt, and why the last one failed; failed: why; done: what it brought."""
    failed: Event = (
        2.0,
        HistoryKind.TASK_STEP_FAILED,
        {"step": "init_create_sandbox/create", "attempt": 1, "class": "transient", "reason": "no room"},
    )
    stream = Stream()
    screen = Screen(stream)
    step = Step("init_create_sandbox/create", 2, at(1.5))
    record = RecordChanged(1, "task", Versioned(evolve(TASK, step=step), 1))
    live = take(told([*UP[:5], failed])[0], record).live
    screen.show(Shown(live, at(3)))
    assert stream.lines[2].split(maxsplit=4)[4] == "attempt 2: attempt 1 failed (transient): no room"
    live, _ = told(UP[5:7], live)
    screen.show(Shown(live, at(5)))
    assert stream.lines[2].split(maxsplit=4)[4] == "sandbox td-1"


def test_what_is_said_meanwhile_stands_above_the_rows() -> None:
    """A sentence that is no step's comes out whole, and the rows go on below it."""
    stream = Stream()
    screen = Screen(stream)
    live, _ = told(UP[:5])
    screen.show(Shown(live, at(2)))
    screen.show(
        Shown(live, at(3), lines=(Line("retried from init_create_session"), Line("no", of_step=True)))
    )
    screen.show(Shown(live, at(4)))
    assert stream.lines[0] == "retried from init_create_session"
    assert stream.lines[1].split()[1] == "init_enqueue_provision"
    assert sum("init_ensure_name" in line for line in stream.lines) == 1


def test_a_terminal_without_utf_8_gets_marks_it_knows() -> None:
    """No row begins with a question mark there."""
    stream = Stream("ascii")
    screen = Screen(stream)
    screen.show(Shown(told(UP[:5])[0], at(2)))
    assert [line[:1] for line in stream.lines[:5]] == ["+", "+", stream.lines[2][:1], " ", " "]
    assert stream.lines[2][:1] in "-\\|/"


def test_a_long_note_is_cut_and_the_rows_keep_their_height() -> None:
    """A note that is longer than the terminal does not break the row in two."""
    stream = Stream()
    screen = Screen(stream)
    step = Step("init_create_sandbox/create", 1, at(1.5), progress="a very long way " * 20)
    record = RecordChanged(1, "task", Versioned(evolve(TASK, step=step), 1))
    live = take(told(UP[:5])[0], record).live
    for seconds in (2, 3, 4):
        screen.show(Shown(live, at(seconds)))
    assert len([line for line in stream.lines if line]) == 5
    assert all(len(line) <= 100 for line in stream.lines)

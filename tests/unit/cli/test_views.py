"""What a log gets: lines once, and a sign of life of a step that takes long."""

import io
import json

from attrs import evolve

from taskdock.adapters.entry.cli.following import Shown
from taskdock.adapters.entry.cli.live import Line, Live, take
from taskdock.adapters.entry.cli.views import JsonLines, Lines, Quiet
from taskdock.core.step import Step
from taskdock.ports.store import Snapshot, Versioned
from taskdock.services.feed import RecordChanged, Spoken
from unit.cli.story import T0, TAB, TASK, UP, at, happened, item, told


def creating(progress: str | None) -> Live:
    """A task whose sandbox has been in the making since 1.5 seconds."""
    step = Step("init_create_sandbox/create", 1, at(1.5), progress=progress)
    record = RecordChanged(1, "task", Versioned(evolve(TASK, step=step), 1))
    return take(told(UP[:5])[0], record).live


def test_a_step_that_takes_long_is_heard_of_now_and_then() -> None:
    """After ten seconds its progress is said, then again after ten more when it has changed."""
    stream = io.StringIO()
    view = Lines(stream)
    for seconds, progress in [
        (2, "fetching, 1 %"),
        (11, "fetching, 30 %"),
        (12, "fetching, 40 %"),
        (20, "fetching, 50 %"),
        (23, "fetching, 60 %"),
        (40, "fetching, 60 %"),
    ]:
        view.show(Shown(creating(progress), at(seconds)))
    said = [line.split(maxsplit=1) for line in stream.getvalue().splitlines()]
    assert said == [["init_create_sandbox", "fetching, 40 %"], ["init_create_sandbox", "fetching, 60 %"]]


def test_a_step_without_progress_is_not_made_up() -> None:
    """Nothing is said where nothing is known."""
    stream = io.StringIO()
    Lines(stream).show(Shown(creating(None), at(60)))
    assert stream.getvalue() == ""


def test_a_line_never_runs_into_a_text() -> None:
    """A sentence ends the text before it, and a text after it begins anew."""
    stream = io.StringIO()
    view = Lines(stream)
    live = Live("task-1")
    view.show(Shown(live, T0, items=(item("text", text="Half a"),)))
    view.show(Shown(live, T0, lines=(Line("commit 1a2b3c4\x1b[2J on x"),)))
    view.show(Shown(live, T0, items=(item("text", text="More"),)))
    view.close()
    view.close()
    assert stream.getvalue() == "Half a\ncommit 1a2b3c4�[2J on x\nMore\n"


def test_every_change_is_one_line_of_json() -> None:
    """A snapshot is one line, a page of items is one line an item, and the past and ticks are none."""
    stream = io.StringIO()
    view = JsonLines(stream)
    live = Live("task-1")
    view.show(Shown(live, T0))
    view.show(Shown(live, T0, seen=Snapshot(7, (Versioned(TASK, 1), Versioned(TAB, 2)))))
    view.show(Shown(live, T0, seen=happened(8, UP[0])))
    view.show(Shown(live, T0, seen=Spoken(9, "tab-1", (item("text", text="a"), item("text", text="b")))))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["position"], line["type"]) for line in lines] == [
        (7, "snapshot"),
        (8, "history"),
        (9, "transcript"),
        (9, "transcript"),
    ]
    assert [one["type"] for one in lines[0]["snapshot"]] == ["task", "tab"]


def test_quiet_is_quiet() -> None:
    """Where stdout has its one document, nothing else is written."""
    view = Quiet()
    view.show(Shown(Live("task-1"), T0, lines=(Line("x"),)))
    view.close()
    assert not view.ticks

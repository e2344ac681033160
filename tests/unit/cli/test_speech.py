"""Transcript items as text: what is joined, where lines end, and what a terminal must not obey."""

from taskdock.adapters.entry.cli.speech import Speech
from taskdock.ports.store import Item
from unit.cli.story import item


def spoken(*items: Item, speech: Speech | None = None) -> str:
    """All of it, as it would stand on the terminal."""
    speech = speech or Speech()
    return "".join(speech.of(one) for one in items) + speech.end()


def test_pieces_of_one_text_are_joined() -> None:
    """Text that comes in pieces is one text, and its last line is ended."""
    assert spoken(item("text", text="Bon"), item("text", text="jour,\nle monde")) == "Bonjour,\nle monde\n"


def test_kinds_stand_apart() -> None:
    """A thought is told from a text, each prompt line is marked, and none runs into the next."""
    said = spoken(
        item("user", text="Do it\nnow"),
        item("thought", text="Let me"),
        item("thought", text=" see"),
        item("text", text="Done."),
        item("error", text="The agent stopped"),
    )
    assert said == "> Do it\n> now\n· Let me see\nDone.\nerror: The agent stopped\n"


def test_text_after_something_else_begins_a_line() -> None:
    """Two texts with a tool call between them are two texts."""
    said = spoken(
        item("text", text="First"), item("tool_call", id="1", title="Edit"), item("text", text="Then")
    )
    assert said == "First\n* Edit\nThen\n"


def test_a_tool_call_is_told_when_it_begins_and_when_it_ends() -> None:
    """Updates between say nothing; the end names the call, though the update does not."""
    said = spoken(
        item("tool_call", id="1", title="Edit a file", status="pending"),
        item("tool_call_update", id="1", status="in_progress"),
        item("tool_call_update", id="1", status="completed"),
    )
    assert said == "* Edit a file\n* Edit a file: completed\n"


def plan(*statuses: str) -> Item:
    """A plan whose entries have these statuses."""
    entries = [{"content": f"Step {n}", "status": status} for n, status in enumerate(statuses, start=1)]
    return item("plan", entries=entries)


def test_a_plan_shows_how_far_it_is() -> None:
    """Each entry is a line with a mark; later only those are said again that have moved on."""
    said = spoken(plan("in_progress", "pending", "pending"), plan("completed", "in_progress", "pending"))
    assert said == "[>] Step 1\n[ ] Step 2\n[ ] Step 3\n[x] Step 1\n[>] Step 2\n"


def test_a_plan_that_says_nothing_new_is_silent() -> None:
    """The same plan again is no line, and breaks no text in two."""
    said = spoken(plan("pending"), item("text", text="Be"), plan("pending"), item("text", text="gin"))
    assert said == "[ ] Step 1\nBegin\n"


def test_a_diff_names_its_file_as_the_repository_does() -> None:
    """Where the checkout is, nobody needs to know; a path that is in none is shown as it is."""
    path = "/srv/td-1/home/checkout/notes/a.md"
    assert spoken(item("diff", text=path, path=path, old=None, new="x")) == "± notes/a.md\n"
    assert spoken(item("diff", text="b.md", path="b.md", old="", new="x")) == "± b.md\n"


def test_a_gap_is_told() -> None:
    """What was lost is said to be lost."""
    assert spoken(item("gap", after=1, before=9)) == "(something was said here that could not be kept)\n"


def test_several_tabs_are_told_apart() -> None:
    """Where two tabs speak, a change of the speaker is named; where one speaks, it needs no name."""
    speech = Speech({"tab-1": "First", "tab-2": "Second"})
    said = spoken(
        item("text", text="a"), item("text", text="b"), item("text", tab="tab-2", text="c"), speech=speech
    )
    assert said == "-- First --\nab\n-- Second --\nc\n"


def test_an_agent_cannot_steer_the_terminal() -> None:
    """Escapes, carriage returns and turned directions come out as what they are not."""
    said = spoken(
        item("text", text="a\x1b[2Jb\rc\u202ed"), item("tool_call", id="1", title="x\x1b]0;y\x07\nz")
    )
    assert said == "a�[2Jbc�d\n* x�]0;y� z\n"


def test_empty_lines_before_a_text_are_left_out() -> None:
    """Where something else stood before, a text needs no empty lines to be apart."""
    said = spoken(
        item("tool_call", id="1", title="Edit"), item("text", text="\n\nDone"), item("text", text="\n\n!")
    )
    assert said == "* Edit\nDone\n\n!\n"


def test_an_empty_piece_begins_nothing() -> None:
    """A piece without text leaves the line as it is."""
    assert spoken(item("text", text=""), item("text", text="x"), item("thought", text="")) == "x\n"

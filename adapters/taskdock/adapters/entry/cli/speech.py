"""Speech: transcript items as text that can be read while it comes.

Owns: `Speech`, which knows what was written last and so where a line ends.
Never: the items' order or their joining in the store; contiguous text is joined as it is printed.
Reads as: plain.py, screen.py, transcript.py -> `Speech.of(item)` -> text to write.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, mutable

from taskdock.adapters.entry.cli.output import one_line, printable
from taskdock.ports.store import Item

_FLOWING = {"text": "", "thought": "· "}
"""Kinds that come in pieces, with what stands before the first of them."""

_PLAN_MARKS = {"completed": "[x]", "in_progress": "[>]"}


@mutable
class Speech:
    """What was written last, of which tab."""

    names: Mapping[str, str] = field(factory=dict)
    """By tab id; where several tabs speak, a change of the speaker is said."""
    _kind: str | None = field(default=None, init=False)
    _tab_id: str | None = field(default=None, init=False)
    _at_line_start: bool = field(default=True, init=False)
    _planned: list[str] = field(factory=list, init=False)
    _tools: dict[str, str] = field(factory=dict, init=False)
    """By id: the title of a tool call, since its updates need not repeat it."""

    def of(self, item: Item) -> str:
        """The text that this item adds, with line ends before it where it begins something new."""
        begins = item.kind != self._kind or item.tab_id != self._tab_id
        text = self._speaker(item.tab_id)
        if item.kind in _FLOWING:
            piece = printable(str(item.body.get("text", "")))
            # An agent sets its texts apart with empty lines; here what stood between them does.
            piece = piece.lstrip("\n") if begins else piece
            text += (self._line_end() + _FLOWING[item.kind] if begins and piece else "") + piece
            self._note(item, text)
            return text
        line = self._line(item)
        if line:
            text += f"{self._line_end()}{line}\n"
            self._note(item, text)
        return text

    def end(self) -> str:
        """What brings the cursor to the start of a line; the next item begins anew."""
        text = self._line_end()
        self._kind = None
        self._at_line_start = True
        return text

    def _speaker(self, tab_id: str) -> str:
        if len(self.names) < 2 or tab_id == self._tab_id:  # noqa: PLR2004 - one speaker needs no name
            return ""
        text = f"{self._line_end()}-- {one_line(self.names.get(tab_id, tab_id))} --\n"
        self._at_line_start = True
        return text

    def _line_end(self) -> str:
        return "" if self._at_line_start else "\n"

    def _note(self, item: Item, text: str) -> None:
        self._kind, self._tab_id = item.kind, item.tab_id
        if text:
            self._at_line_start = text.endswith("\n")

    def _line(self, item: Item) -> str:
        """An item that is whole when it comes."""
        body = item.body
        if item.kind == "user":
            return "\n".join(f"> {line}" for line in printable(str(body.get("text", ""))).splitlines())
        if item.kind == "plan":
            return self._plan(body)
        if item.kind in ("tool_call", "tool_call_update"):
            return self._tool(body)
        if item.kind == "diff":
            path = str(body.get("path") or body.get("text", ""))
            # As the repository names it: where a checkout is, is the sandbox's own affair.
            return f"± {one_line(path.rpartition('/checkout/')[2] or path)}"
        if item.kind == "gap":
            return "(something was said here that could not be kept)"
        return f"{item.kind}: {one_line(str(body.get('text', '')))}"

    def _plan(self, body: Mapping[str, Any]) -> str:
        """The entries that are new or have moved on."""
        lines = [_plan_entry(entry) for entry in body.get("entries") or ()]
        new = [line for line in lines if line not in self._planned]
        self._planned = lines
        return "\n".join(new)

    def _tool(self, body: Mapping[str, Any]) -> str:
        """A tool call when it begins and when it ends; what is between says nothing new."""
        call, status = str(body.get("id", "")), str(body.get("status") or "pending")
        known = call in self._tools
        title = one_line(str(body.get("title") or self._tools.get(call) or call))
        self._tools[call] = title
        if known and status in ("pending", "in_progress"):
            return ""
        return f"* {title}{'' if status in ('pending', 'in_progress') else f': {one_line(status)}'}"


def _plan_entry(entry: Mapping[str, Any]) -> str:
    mark = _PLAN_MARKS.get(str(entry.get("status")), "[ ]")
    return f"{mark} {one_line(str(entry.get('content', '')))}"

"""Demo directives: what a line `demo: NAME ARGUMENT` of a prompt asks for; demo_agent.py lists them.

Owns: `carry_out` and `DIRECTIVES`, from the usual work to a crash.
Never: more than the standard library (see demo_agent.py).
Reads as: demo_turn.py -> one of these -> turn, checkout.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from taskdock.adapters.agent.inside import demo_checkout as checkout
from taskdock.adapters.agent.inside.demo_sessions import LOGGED_OUT, MODES
from taskdock.adapters.agent.inside.demo_wire import INTERNAL_ERROR, LOGIN_REQUIRED, Cancelled, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskdock.adapters.agent.inside.demo_turn import Turn
    from taskdock.adapters.agent.inside.demo_wire import Message

CRAWL_PACE_SECONDS = 0.1

OPTIONS: list[Message] = [
    {"optionId": "once", "name": "Allow once", "kind": "allow_once"},
    {"optionId": "always", "name": "Always allow", "kind": "allow_always"},
    {"optionId": "never", "name": "Reject", "kind": "reject_once"},
]


def carry_out(turn: Turn) -> str:
    """Do what the prompt asks for; returns the stop reason."""
    found = checkout.DIRECTIVE.search(turn.prompt)
    name, argument = (found[1], found[2].strip()) if found else ("work", "")
    return DIRECTIVES.get(name, unknown)(turn, argument)


def work(turn: Turn, _: str, *, commits: bool = True) -> str:
    """Do the usual work: a thought, a plan, a file, a commit."""
    steps = ["Look at the checkout", "Write a note about the request", "Commit the note"][
        : 3 if commits else 2
    ]
    title, path = checkout.title_of(turn.prompt), note_path(turn)
    turn.say(
        f"The request is: {title}. A note in {path} shows where an edit would go.", "agent_thought_chunk"
    )
    turn.plan(steps, 0)
    turn.say("I look at the checkout first.")
    turn.call("List files", "read", lambda: checkout.list_files(turn.session.cwd))
    turn.plan(steps, 1)
    turn.call(f"Write {path}", "edit", lambda: checkout.write_note(turn.session.cwd, path, turn.prompt))
    turn.plan(steps, 2)
    if not commits:
        turn.say(f"\n\nI wrote {path} and left it uncommitted.")
        return "end_turn"
    commit: list[str] = []
    turn.call(
        "git commit",
        "execute",
        lambda: checkout.commit_note(turn.session.cwd, path, f"Note: {title}", commit),
    )
    turn.plan(steps, 3)
    turn.say(f"\n\nI wrote {path} and committed it as {commit[0]}.")
    return "end_turn"


def echo(turn: Turn, argument: str) -> str:
    """Stream the argument."""
    turn.say(argument)
    return "end_turn"


def dirty(turn: Turn, argument: str) -> str:
    """Work without a commit."""
    return work(turn, argument, commits=False)


def crawl(turn: Turn, argument: str) -> str:
    """Stream slowly."""
    for count in range(round(number_of(argument) / CRAWL_PACE_SECONDS)):
        turn.chunk(f"word {count} ")
        turn.pause(CRAWL_PACE_SECONDS)
    return "end_turn"


def flood(turn: Turn, argument: str) -> str:
    """Stream as fast as it goes."""
    for count in range(round(number_of(argument))):
        turn.chunk(f"{count} ")
        turn.pause(0)
    return "end_turn"


def ask(turn: Turn, argument: str) -> str:
    """Ask before an edit, unless the mode or an earlier answer allows it; obey the answer and say so."""
    path = note_path(turn)
    if turn.session.settings["mode"] == "auto":
        answer = "Not asked (mode auto)"
    else:
        option = asked(turn, argument or f"Write {path}", path)
        if option is None:
            turn.say("Cancelled: I changed nothing.")
            return "end_turn"
        if option == "never":
            turn.say("Rejected (never): I changed nothing.")
            return "end_turn"
        answer = f"Allowed ({option})"
        if option == "always":
            turn.session.choose("mode", "auto", MODES)
    turn.call(f"Write {path}", "edit", lambda: checkout.write_note(turn.session.cwd, path, turn.prompt))
    turn.say(f"{answer}: I wrote {path} and left it uncommitted.")
    return "end_turn"


def asked(turn: Turn, title: str, path: Path) -> str | None:
    """Ask for a permission; the option that was chosen, None when the question was cancelled."""
    difference = checkout.note_difference(turn.session.cwd, path, turn.prompt)
    call = {
        "toolCallId": f"ask-{uuid.uuid4().hex[:12]}",
        "title": title,
        "kind": "edit",
        "content": [difference],
    }
    params = {"sessionId": turn.session.id, "toolCall": call, "options": OPTIONS}
    result = turn.client.ask("session/request_permission", params, lambda: turn.pause(0)).get("result") or {}
    return (result.get("outcome") or {}).get("optionId")


def settings(turn: Turn, _: str) -> str:
    """Say what the session is set to."""
    turn.say(f"model {turn.session.settings['model']}, mode {turn.session.settings['mode']}")
    return "end_turn"


def login(_turn: Turn, argument: str) -> str:
    """Fail the turn as an agent does whose login ran out."""
    raise Refused(LOGIN_REQUIRED, "Authentication required", argument or "the demo login has run out")


def logout(turn: Turn, _: str) -> str:
    """Want a login from the next request on."""
    LOGGED_OUT.touch()
    turn.say("I am logged out.")
    return "end_turn"


def error(turn: Turn, argument: str) -> str:
    """Fail the turn."""
    turn.say("This turn is going to fail.")
    raise Refused(INTERNAL_ERROR, argument or "The demo agent was asked to fail")


def refuse(turn: Turn, _: str) -> str:
    """Refuse the prompt."""
    turn.say("I would rather not.")
    return "refusal"


def hang(turn: Turn, _: str) -> str:
    """Wait for the cancel."""
    turn.cancelled.wait()
    raise Cancelled


def crash(turn: Turn, _: str) -> str:
    """Die in the middle of a turn."""
    turn.say("This is the last you hear of me.")
    sys.stderr.write("demo agent: exiting with code 3, as asked\n")
    sys.stderr.flush()
    os._exit(3)


def unknown(turn: Turn, _: str) -> str:
    """Say what there is."""
    turn.say(f"I know these directives: {', '.join(sorted(DIRECTIVES))}.")
    return "end_turn"


DIRECTIVES: dict[str, Callable[[Turn, str], str]] = {
    name.__name__: name
    for name in (
        *(work, echo, dirty, crawl, flood, ask, settings, login, logout, error, refuse, hang, crash),
    )
}


def note_path(turn: Turn) -> Path:
    """Name the note of a prompt."""
    return Path("notes", f"{checkout.slug_of(turn.prompt)}.md")


def number_of(argument: str) -> float:
    """Read a number; a JSON-RPC error when there is none."""
    try:
        return float(argument)
    except ValueError:
        raise Refused(-32602, f"A number is needed, not {argument!r}") from None

"""Settings: a session's model and permission mode, as far as its agent offers a choice.

Owns: what is offered (read from the session's own beginning), and the calls that choose.
Never: a setting passed over in silence; what the agent does not offer is refused with the list of what it does.
Reads as: sandbox_agent.py -> `apply` -> exchange.py.

ACP has two forms. Agents offer `models` and `modes`, chosen by `session/set_model` and `session/set_mode`; newer ones
offer `configOptions`, of which one has the category `model` and one `mode`, chosen by `session/set_config_option`.
"""

from collections.abc import Sequence

from attrs import frozen

from taskdock.adapters.agent import acp
from taskdock.adapters.agent.exchange import Line
from taskdock.adapters.agent.shapes import Message, mapping, objects, text
from taskdock.core.errors import Permanent
from taskdock.core.intents import SessionSettings


@frozen
class _Choice:
    """One thing that can be chosen: by which method, under which name of a parameter, out of what."""

    method: str
    parameter: str
    offered: Sequence[str]
    fixed: Message


async def apply(line: Line, session_id: str, settings: SessionSettings) -> None:
    """Choose the model first, since some agents fall back to their own mode with it."""
    begun = await line.agree("session", acp.SESSION, {})
    offer = {**mapping(begun.get("session/new")), **mapping(begun.get("session/load"))}
    for what, wanted in (("model", settings.model), ("mode", settings.permission_mode)):
        if wanted is not None:
            await _choose(line, session_id, (what, wanted), _choice(what, offer))


async def _choose(line: Line, session_id: str, wanted: tuple[str, str], choice: _Choice | None) -> None:
    what, value = wanted
    if choice is None:
        raise Permanent(f"The agent offers no choice of a {what}, so {value!r} cannot be had")
    if value not in choice.offered:
        raise Permanent(
            f"The agent does not offer the {what} {value!r}; there is: {', '.join(choice.offered)}"
        )
    params = {"sessionId": session_id, choice.parameter: value, **choice.fixed}
    await line.agree(f"set-{what}", choice.method, params)


def _choice(what: str, offer: Message) -> _Choice | None:
    """Find the form in which the agent offers it; None when it does not."""
    parameter = f"{what}Id"
    key = "id" if what == "mode" else parameter
    listed = objects(mapping(offer.get(f"{what}s")).get(f"available{what.capitalize()}s"))
    if listed:
        return _Choice(f"session/set_{what}", parameter, _names(listed, key), {})
    for option in objects(offer.get("configOptions")):
        config_id = text(option.get("id"))
        if option.get("category") == what and config_id is not None:
            return _Choice("session/set_config_option", "value", _values(option), {"configId": config_id})
    return None


def _values(option: Message) -> list[str]:
    """Read the values of a config option; they may stand in groups."""
    found = objects(option.get("options"))
    grouped = [one for group in found for one in objects(group.get("options"))]
    return _names([*found, *grouped], "value")


def _names(listed: Sequence[Message], key: str) -> list[str]:
    return [name for one in listed if (name := text(one.get(key))) is not None]

"""Referee: holds every exchange of the stand-in against the official client's own operations and models.

Owns: `Referee`: which operations there are, what was checked how often, and every violation.
Never: a model of our own; a change of an exchange.
Reads as: service.py after each answer -> this -> the installed `daytona_api_client` and `daytona_toolbox_api_client`.

Operations are read from the source of the generated clients: method, path, parameters, models. Their number is asserted by a
test, so that a client that is generated in another way does not pass by not being read.
"""

import importlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from pydantic import BaseModel, ValidationError

CLIENTS = {"/api": "daytona_api_client", "/toolbox/{sandbox}": "daytona_toolbox_api_client"}
_UNKNOWN = "UNKNOWN_DEFAULT_OPEN_API"
_PLAIN = {"str": str, "bool": bool, "int": int, "float": float, "object": object}
_ERROR_KEYS = {"statusCode", "message"}


@frozen
class Operation:
    """One operation of a client."""

    name: str
    method: str
    path: str
    pattern: re.Pattern[str]
    client: str
    body: str | None
    answers: Mapping[int, str | None]
    query: frozenset[str]


@frozen
class Exchange:
    """What was asked and answered; bodies are None where they are no JSON."""

    method: str
    path: str
    query: Mapping[str, str]
    asked: Any
    status: int
    answered: Any
    is_json: bool


@define
class Referee:
    """The judgement so far."""

    operations: list[Operation] = field(factory=lambda: list(_operations()))
    checked: Counter[str] = field(factory=Counter)
    violations: list[str] = field(factory=list)
    injected: int = 0

    def check(self, exchange: Exchange) -> None:
        """Judge one exchange."""
        operation = self._operation(exchange)
        if operation is None:
            self.violations.append(f"{exchange.method} {exchange.path}: no client knows such an operation")
            return
        self.checked[operation.name] += 1
        where = f"{operation.name} {exchange.status}"
        self.violations += [f"{where}: {one}" for one in self._judged(operation, exchange)]

    def report(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {
            "operations": len(self.operations),
            "checked": dict(self.checked),
            "violations": self.violations,
            "injected": self.injected,
        }

    def _operation(self, exchange: Exchange) -> Operation | None:
        found = [
            one
            for one in self.operations
            if one.method == exchange.method and one.pattern.fullmatch(exchange.path)
        ]
        # A path without parameters wins over one with them: /sandbox/paginated is no sandbox of that name.
        return min(found, key=lambda one: one.path.count("{"), default=None)

    def _judged(self, operation: Operation, exchange: Exchange) -> Iterable[str]:
        for name in exchange.query.keys() - operation.query:
            yield f"the query parameter {name} is not declared"
        if operation.body is not None and exchange.asked is not None:
            yield from _fits(operation.client, operation.body, exchange.asked, "request")
        if exchange.status >= 400:
            if not isinstance(exchange.answered, dict) or not exchange.answered.keys() >= _ERROR_KEYS:
                yield "an error without statusCode and message"
            return
        declared = {code for code in operation.answers if code < 400}
        if exchange.status not in declared:
            yield f"this status is not declared, only {sorted(declared)}"
            return
        model = operation.answers[exchange.status]
        if exchange.is_json and model is not None:
            yield from _fits(operation.client, model, exchange.answered, "answer")


def _fits(client: str, model: str, value: Any, which: str) -> Iterable[str]:  # noqa: ANN401 - JSON
    """What of a value does not fit the model: wrong types, missing and undeclared fields, unknown words."""
    listed = re.fullmatch(r"List\[(\w+)\]", model)
    if listed is not None:
        if not isinstance(value, list):
            yield f"the {which} is no list"
            return
        for one in value:
            yield from _fits(client, listed[1], one, which)
        return
    if model in _PLAIN or model.startswith("Dict"):
        return
    kind = getattr(importlib.import_module(client), model, None)
    if kind is None or not issubclass(kind, BaseModel):
        return
    for name in _lacking(kind, value):
        yield f"the {which}'s {model} lacks {name}"
    try:
        read = getattr(kind, "from_dict")(value)  # noqa: B009 - what every generated model has, and no base of theirs
    except (ValidationError, TypeError, ValueError, AttributeError) as error:
        yield f"the {which} is no {model}: {' '.join(str(error).split())[:300]}"
        return
    yield from _odd(read, f"the {which}'s {model}")


def _lacking(kind: type[BaseModel], value: Any) -> Iterable[str]:  # noqa: ANN401 - JSON
    """Required fields that are not there: the client reads one that may be null as null."""
    if isinstance(value, dict):
        for name, one in kind.model_fields.items():
            key = one.serialization_alias or name
            if one.is_required() and key not in value:
                yield key


def _odd(value: Any, where: str) -> Iterable[str]:  # noqa: ANN401 - whatever a model holds
    """What the tolerant reading of the client let through."""
    if isinstance(value, Enum) and value.name == _UNKNOWN:
        yield f"{where} is a word that the client does not know"
    elif isinstance(value, list):
        for one in value:
            yield from _odd(one, where)
    elif isinstance(value, BaseModel):
        for name in getattr(value, "additional_properties", None) or ():
            yield f"{where}.{name} is not declared"
        for name in type(value).model_fields:
            if name != "additional_properties":
                yield from _odd(getattr(value, name), f"{where}.{name}")


def _operations() -> Iterable[Operation]:
    for prefix, client in CLIENTS.items():
        folder = Path(importlib.import_module(client).__path__[0]) / "api"
        for source in sorted(folder.glob("*_api.py")):
            yield from _read(source.read_text(), prefix, client)


def _read(text: str, prefix: str, client: str) -> Iterable[Operation]:
    """The operations in one generated file."""
    chunks = re.split(r"\n    def (?=\w)", text)
    by_name = {chunk.partition("(")[0]: chunk for chunk in chunks[1:]}
    for name, chunk in by_name.items():
        shown = by_name.get(name.removeprefix("_").removesuffix("_serialize"))
        method, path = re.search(r"method='(\w+)'", chunk), re.search(r"resource_path='([^']+)'", chunk)
        if not name.endswith("_serialize") or shown is None or method is None or path is None:
            continue
        body = re.search(r"_body_params = (\w+)\n", chunk)
        answers = re.findall(r"'(\d+)': (?:\"([^\"]+)\"|None)", shown.partition("_response_types_map")[2])
        full = re.sub(r"\{\w+\}", "{}", prefix + path[1])
        yield Operation(
            name=f"{client.removeprefix('daytona_').removesuffix('_client')}.{name.strip('_').removesuffix('_serialize')}",
            method=method[1],
            path=full,
            pattern=re.compile(re.escape(full).replace(re.escape("{}"), "[^/]+")),
            client=client,
            body=_type_of(body[1], shown) if body else None,
            answers={int(code): model or None for code, model in answers},
            query=frozenset(re.findall(r"_query_params.append\(\('([^']+)'", chunk)),
        )


def _type_of(parameter: str, shown: str) -> str | None:
    """The model of a parameter, in whatever it is wrapped."""
    declared = re.search(rf"\n        {parameter}: ([^\n]+)", shown)
    if declared is None:
        return None
    words = [word for word in re.findall(r"\w+", declared[1]) if word not in ("Annotated", "Optional")]
    return f"List[{words[1]}]" if words[0] == "List" else words[0]

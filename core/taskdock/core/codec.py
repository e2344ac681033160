"""Codec: how records and intents are written down, and read back exactly as they were.

Owns: the store's converter, the version each kind of document carries, the upcasters, and `encode` / `decode`.
Never: a coercion; a document that does not say what its type says is refused (cattrs alone would turn None into 'None').
Reads as: adapters/store/* -> `encode(record)` -> text -> `decode(Kind, text)`.

A value that is its field's default is left out, which halves most documents and the time for them. So a default is part
of the format: one that changes is a new version, with an upcaster that writes the old one in.
"""

import json
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from taskdock.core.errors import SchemaMismatch
from taskdock.core.history import Json
from taskdock.core.inputs import TellInput
from taskdock.core.intents import Body
from taskdock.core.upcasters import UPCASTERS

VERSION = 2
"""Of every document written by this code; raised together with an upcaster for the documents before."""

_T = TypeVar("_T")

_WRITE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_WRITE_ASCII = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def _exact(kind: type[_T]) -> Any:  # noqa: ANN401 - cattrs types a structure hook this loosely
    def structure(value: object, _: type[_T]) -> _T:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return kind(value)  # type: ignore[call-arg]
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")

    return structure


def _plain(value: object) -> object:
    """A plain JSON value as it is; anything else is none of ours."""
    if value is not None and type(value) not in (str, int, float, bool):
        raise TypeError(f"expected a plain value, got {type(value).__name__}")
    return value


def _converter() -> Converter:
    converter = Converter(detailed_validation=False, omit_if_default=True)
    for kind in (str, int, bool, float):
        converter.register_structure_hook(kind, _exact(kind))
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook_func(lambda kind: kind == Json, lambda value, _: _plain(value))
    configure_tagged_union(TellInput, converter, tag_name="type")
    configure_tagged_union(Body, converter, tag_name="type")
    return converter


_CONVERTER = _converter()


def encode(record: object) -> str:
    """Write a record as JSON with its document version."""
    return _dump(_CONVERTER.unstructure(record))


def decode(kind: type[_T], text: str) -> _T:
    """Read a record back; SchemaMismatch for a document that a newer Taskdock wrote, or that is none of ours."""
    record: _T = _structure(text, kind)
    return record


def encode_body(body: Body) -> str:
    """Write the body of an intent, tagged with its kind."""
    return _dump(_CONVERTER.unstructure(body, unstructure_as=Body))


def decode_body(text: str) -> Body:
    """Read the body of an intent back."""
    body: Body = _structure(text, Body)
    return body


def _dump(document: dict[str, Any]) -> str:
    return plain_json({"v": VERSION, **document})


def plain_json(document: object) -> str:
    """Write JSON as UTF-8 text; what holds half a surrogate pair (a file name, a log) is escaped, so nothing is refused."""
    text = _WRITE(document)
    try:
        text.encode()
    except UnicodeEncodeError:
        return _WRITE_ASCII(document)
    return text


def _structure(text: str, kind: Any) -> Any:  # noqa: ANN401 - a union is no type[T] to a type checker
    document = _document(text, kind)
    version = document.pop("v", None)
    if version != VERSION:
        document = _upcast(document, version, kind)
    try:
        return _CONVERTER.structure(document, kind)
    except Exception as error:  # noqa: BLE001 - cattrs groups every cause below one base that depends on its mode
        _refuse(kind, repr(error), error)


def _upcast(document: dict[str, Any], version: object, kind: object) -> dict[str, Any]:
    """The document as this code would have written it, step by step from the version it has."""
    if not isinstance(version, int) or isinstance(version, bool) or version > VERSION:
        _refuse(kind, f"version {version}, this code reads up to {VERSION}")
    for step in range(version, VERSION):
        if step not in UPCASTERS:
            _refuse(kind, f"version {version}, and nothing here reads version {step}")
        document = UPCASTERS[step](getattr(kind, "__name__", "Body"), document)
    return document


def _document(text: str, kind: object) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, TypeError) as error:
        _refuse(kind, "it is no JSON", error)
    if not isinstance(document, dict):
        _refuse(kind, "it is no JSON object")
    return document


def _refuse(kind: object, why: str, cause: BaseException | None = None) -> NoReturn:
    raise SchemaMismatch(f"A stored {getattr(kind, '__name__', kind)} cannot be read: {why}") from cause

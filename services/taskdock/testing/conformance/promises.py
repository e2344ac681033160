"""Promises: how a check says in one sentence which promise was broken and how to mend it.

Owns: `PromiseBroken`, `NotExamined`, `told`, and the verbs with which the checks speak.
Never: a port; what a suite needs of an adapter stands in its own under-test record.
Reads as: the suites -> this -> examination.py, or a test runner of yours.
"""

import functools
import inspect
import traceback
import unittest
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import CodeType, TracebackType
from typing import TypeVar

import anyio

from taskdock.core.errors import PortError, TaskdockError

_Answer = TypeVar("_Answer")
_UnderTest = TypeVar("_UnderTest")

Check = Callable[[_UnderTest], Awaitable[None]]
"""One check: it takes the record of its port, and raises AssertionError when a promise is broken."""

CHECK_SECONDS_MAX = 600.0
"""After so long a check is given up: what waits without a bound is a broken promise too."""

_HERE = str(Path(__file__).parent)
_BETWEEN = frozenset({"anyio", "asyncio", "contextlib", "functools", "trio"})
"""Modules that stand between a check and the adapter it calls."""


class PromiseBroken(AssertionError):
    """An adapter does not keep a promise of its port: which one, what was seen instead, and how to mend it."""

    def __init__(self, promise: str, seen: str | None = None, mend: str | None = None) -> None:
        super().__init__(_sentence(promise, seen, mend))
        self.promise = promise
        self.seen = seen
        self.mend = mend


class NotExamined(unittest.SkipTest):
    """The rest of a check needs something that the under-test record does not give; test runners take it as a skip."""


def require(
    holds: bool,  # noqa: FBT001 - as `assert` has it
    promise: str,
    seen: str | None = None,
    mend: str | None = None,
) -> None:
    """Raise `PromiseBroken` unless it holds. Not `assert`, which an optimised Python leaves out."""
    if not holds:
        raise PromiseBroken(promise, seen, mend)


@contextmanager
def refused(kind: type[PortError], promise: str, mend: str | None = None) -> Iterator[None]:
    """Require that what is done inside raises exactly this kind of error (or a finer one)."""
    what = mend or f"raise {kind.__name__}"
    try:
        yield
    except PortError as error:
        if not isinstance(error, kind):
            raise PromiseBroken(promise, f"it was refused with {error!r}", what) from error
    else:
        raise PromiseBroken(promise, "it went through", what)


async def all_succeed(
    promise: str, calls: Sequence[Callable[[], Awaitable[_Answer]]], mend: str | None = None
) -> list[_Answer]:
    """Make all calls at once and return their answers; a `PortError` of any of them breaks the promise."""
    answers: list[_Answer] = []
    errors: list[PortError] = []

    async def make(call: Callable[[], Awaitable[_Answer]]) -> None:
        try:
            answers.append(await call())
        except PortError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(make, call)
    seen = f"{len(errors)} of {len(calls)} calls at once failed, first with {errors[:1]}"
    require(not errors, promise, seen, mend or "have them wait for each other, or let the later ones adopt")
    return answers


@asynccontextmanager
async def cleared(
    clear: Callable[[], Awaitable[None]],
    seconds_max: float,
    insist: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[None]:
    """Clear away afterwards whatever happens; when something did happen, that is told, and what clearing met is its note.

    `insist` is how to clear away after something did happen, also in clearing itself; without it that is `clear` once.
    """
    is_over = False
    try:
        yield
        is_over = insist is None
        with anyio.CancelScope(shield=True):
            await clear()
    except BaseException as error:
        if not is_over:
            await _cleared_after(error, insist or clear, seconds_max)
        raise


async def _cleared_after(
    error: BaseException, clear: Callable[[], Awaitable[None]], seconds_max: float
) -> None:
    with anyio.move_on_after(seconds_max, shield=True) as waited:
        try:
            await clear()
        except Exception as left:  # noqa: BLE001 - it is told beside the error that came first
            error.add_note(f"Nor could it be cleared away: {left!r}")
    if waited.cancelled_caught:
        error.add_note(f"Nor could it be cleared away within {seconds_max:g} s.")


def told(
    *checks: Check[_UnderTest], errors: type[TaskdockError] = PortError, is_bounded: bool = True
) -> tuple[Check[_UnderTest], ...]:
    """Give checks that end in time and fail by one `PromiseBroken`, also over what the adapter raises unasked.

    `errors` is the family that the port's adapters raise. Without `is_bounded` nobody watches the time: needed where the
    record under test opens what outlives its check, such as a task group, since then no scope may stand around the check.
    """
    return tuple(_bounded(_told(check, errors)) if is_bounded else _told(check, errors) for check in checks)


def promise_of(check: Check[_UnderTest]) -> str:
    """What a check is about: the first line of its docstring, as a part of a sentence."""
    return (inspect.getdoc(check) or check.__name__).splitlines()[0].rstrip(".")


def _told(check: Check[_UnderTest], errors: type[TaskdockError]) -> Check[_UnderTest]:
    @functools.wraps(check)
    async def examined(under_test: _UnderTest) -> None:
        try:
            await check(under_test)
        except (Exception, BaseExceptionGroup) as error:
            first = _first(error)
            if not isinstance(first, Exception):
                raise
            if isinstance(first, AssertionError | NotExamined):
                raise first from None
            raise _broken(first, check, errors) from error

    return examined


def _bounded(check: Check[_UnderTest]) -> Check[_UnderTest]:
    @functools.wraps(check)
    async def examined(under_test: _UnderTest) -> None:
        with anyio.move_on_after(CHECK_SECONDS_MAX) as waited:
            await check(under_test)
        if waited.cancelled_caught:
            seen = f"a call had not come back after {CHECK_SECONDS_MAX:g} s"
            raise PromiseBroken(promise_of(check), seen, "give every wait of the adapter a deadline")

    return examined


def _first(error: BaseException) -> BaseException:
    """The one that matters most among errors that came at once: what is no error at all, then a broken promise."""
    leaves = list(_leaves(error))
    strange = [leaf for leaf in leaves if not isinstance(leaf, Exception)]
    told_already = [leaf for leaf in leaves if isinstance(leaf, AssertionError | NotExamined)]
    return [*strange, *told_already, *leaves][0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _broken(error: Exception, check: Check[_UnderTest], errors: type[TaskdockError]) -> PromiseBroken:
    """What an error means that no check asked for: a refusal of what is allowed, a foreign error, a strange answer."""
    code: CodeType = inspect.unwrap(check).__code__
    where = _adapter_call(error.__traceback__, code)
    if where is None:
        mend = "give the shapes that the docstrings of the port name"
        broken = PromiseBroken(promise_of(check), f"an answer could not be read: {error!r}", mend)
    elif isinstance(error, errors):
        mend = f"let it succeed, or raise only what the port's docstring of {where.rpartition('.')[2]} allows"
        broken = PromiseBroken(promise_of(check), f"{where} raised {error!r}", mend)
    else:
        mend = f"turn {type(error).__name__} into one of them, in a table of the adapter's own"
        broken = PromiseBroken(
            f"An adapter raises {errors.__name__}s only", f"{where} raised {error!r}", mend
        )
    for note in getattr(error, "__notes__", ()):
        broken.add_note(note)
    return broken


def _adapter_call(trace: TracebackType | None, check: CodeType) -> str | None:
    """Which call of the adapter an error came from: the first frame below the last one of the checks."""
    found = None
    for frame, _ in traceback.walk_tb(trace):
        code = frame.f_code
        if code is check or code.co_filename.startswith(_HERE):
            found = None
        elif found is None and frame.f_globals.get("__name__", "").partition(".")[0] not in _BETWEEN:
            found = code.co_qualname
    return found


def _sentence(promise: str, seen: str | None, mend: str | None) -> str:
    if seen is None:
        return promise
    return f"{promise.rstrip('.')}, but {seen}{'' if mend is None else f': {mend}'}."

"""What a check's failure says, and how checks are run without a test runner."""

import unittest
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from taskdock.core.errors import Permanent, StoreError, Transient
from taskdock.testing.conformance import promises
from taskdock.testing.conformance.agent import AGENT_CHECKS
from taskdock.testing.conformance.clock import CLOCK_CHECKS
from taskdock.testing.conformance.clone import CLONE_CHECKS
from taskdock.testing.conformance.examination import Finding, Verdict, command, examine
from taskdock.testing.conformance.intent_queue import QUEUE_CHECKS
from taskdock.testing.conformance.naming import NAMER_CHECKS
from taskdock.testing.conformance.promises import (
    NotExamined,
    PromiseBroken,
    all_succeed,
    cleared,
    refused,
    require,
    told,
)
from taskdock.testing.conformance.sandbox import SANDBOX_CHECKS
from taskdock.testing.conformance.store import STORE_CHECKS

KINDS = (AGENT_CHECKS, CLOCK_CHECKS, CLONE_CHECKS, NAMER_CHECKS, QUEUE_CHECKS, SANDBOX_CHECKS, STORE_CHECKS)


class Adapter:
    """An adapter whose one call raises what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def call(self) -> None:
        """Raise it."""
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error


async def check_it_works(adapter: Adapter) -> None:
    """It works."""
    await adapter.call()


async def check_many_work_at_once(adapter: Adapter) -> None:
    """Many work at once."""
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(adapter.call)


async def check_nothing_hangs(_: Adapter) -> None:
    """Nothing hangs."""
    await anyio.sleep_forever()


async def check_answer_can_be_read(_: Adapter) -> None:
    """The answer can be read."""
    require(bool(dict[str, str]()["missing"]), "never")


async def check_needs_eyes(_: Adapter) -> None:
    """What needs eyes is not examined without them."""
    raise NotExamined("give eyes")


@pytest.mark.anyio
@pytest.mark.parametrize("check", [check_it_works, check_many_work_at_once])
async def test_refusal_of_what_is_allowed_breaks_the_promise(check: promises.Check[Adapter]) -> None:
    """A PortError that no check asked for is a broken promise that names the call, also out of a task group."""
    (bounded,) = told(check)
    await bounded(Adapter())
    with pytest.raises(PromiseBroken) as found:
        await bounded(Adapter(Transient("no")))
    assert found.value.promise in {"It works", "Many work at once"}
    assert found.value.seen == "Adapter.call raised Transient('no')"
    assert "docstring of call" in (found.value.mend or "")


@pytest.mark.anyio
async def test_foreign_error_is_named_as_one() -> None:
    """What is no error of the port's family is told with its call, whatever the check is about."""
    for error in (KeyError("x"), StoreError("x")):
        (bounded,) = told(check_many_work_at_once)
        with pytest.raises(
            PromiseBroken, match=r"An adapter raises PortErrors only, but Adapter.call raised"
        ):
            await bounded(Adapter(error))
    (bounded,) = told(check_it_works, errors=StoreError)
    with pytest.raises(PromiseBroken, match=r"It works, but Adapter.call raised StoreError"):
        await bounded(Adapter(StoreError("x")))


@pytest.mark.anyio
async def test_call_that_never_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that does not end is given up, and says so."""
    monkeypatch.setattr(promises, "CHECK_SECONDS_MAX", 0.05)
    (bounded,) = told(check_nothing_hangs)
    with pytest.raises(PromiseBroken, match="Nothing hangs, but a call had not come back"):
        await bounded(Adapter())


@pytest.mark.anyio
async def test_strange_end_is_no_finding() -> None:
    """What is no error at all, as a KeyboardInterrupt, comes out as it is."""

    async def check_interrupted(_: Adapter) -> None:
        """Interrupted."""
        raise KeyboardInterrupt

    (bounded,) = told(check_interrupted)
    with pytest.raises(KeyboardInterrupt):
        await bounded(Adapter())


@pytest.mark.anyio
async def test_one_sentence() -> None:
    """A broken promise is one sentence: the promise, what was seen, how to mend it."""
    with pytest.raises(PromiseBroken) as found:
        require(False, "It is so.", "it is not", "make it so")
    assert str(found.value) == "It is so, but it is not: make it so."
    with (
        pytest.raises(PromiseBroken, match=r"A promise, but it went through: raise Permanent."),
        refused(Permanent, "A promise"),
    ):
        pass
    with (
        pytest.raises(PromiseBroken, match=r"it was refused with Transient\('x'\): raise Permanent."),
        refused(Permanent, "A promise"),
    ):
        raise Transient("x")
    with pytest.raises(
        PromiseBroken, match=r"All work, but 1 of 2 calls at once failed, first with \[Transient"
    ):
        await all_succeed("All work", [Adapter().call, Adapter(Transient("x")).call])


@pytest.mark.anyio
async def test_clearing_away_hides_nothing() -> None:
    """When a check failed, what clearing met is its note; when it did not, it is the failure."""
    with pytest.raises(LookupError) as found:
        async with cleared(Adapter(Transient("left")).call, 1.0):
            raise LookupError
    assert found.value.__notes__ == ["Nor could it be cleared away: Transient('left')"]
    with pytest.raises(LookupError) as found:
        async with cleared(anyio.sleep_forever, 0.05):
            raise LookupError
    assert found.value.__notes__ == ["Nor could it be cleared away within 0.05 s."]
    with pytest.raises(Transient):
        async with cleared(Adapter(Transient("left")).call, 1.0):
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("error", [None, LookupError("first")], ids=["clearing fails", "the check fails"])
async def test_what_failed_is_cleared_away_by_more(error: Exception | None) -> None:
    """After a failure, also one of clearing itself, what insists has its turn; after none it has not."""
    insisted: list[str] = []

    async def insist() -> None:
        insisted.append("insisted")

    with pytest.raises(LookupError if error else Transient):
        async with cleared(Adapter(Transient("left")).call, 1.0, insist):
            await Adapter(error).call()
    assert insisted == ["insisted"]
    async with cleared(Adapter().call, 1.0, insist):
        pass
    assert insisted == ["insisted"]


@pytest.mark.anyio
async def test_examination_goes_through_all_checks() -> None:
    """Each check gets an adapter of its own, and one that fails stops none of the others."""
    made: list[Adapter] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Adapter]:
        made.append(Adapter(Transient("no") if not made else None))
        yield made[-1]

    heard: list[Finding] = []
    checks = told(check_it_works, check_it_works, check_answer_can_be_read, check_needs_eyes)
    report = await examine(checks, opened, heard.append)
    assert tuple(heard) == report.findings
    assert [finding.verdict for finding in heard] == [
        Verdict.BROKEN,
        Verdict.KEPT,
        Verdict.BROKEN,
        Verdict.NOT_EXAMINED,
    ]
    assert len(made) == 4
    assert report.total == "1 kept, 2 broken, 1 not examined"
    assert "The answer can be read, but an answer could not be read: KeyError('missing')" in str(report)
    with pytest.raises(AssertionError, match=r"check_it_works: It works, but Adapter.call raised"):
        report.require_kept()


def test_not_examined_is_a_skip_for_test_runners() -> None:
    """Test runners know it as the skip of the standard library."""
    assert issubclass(NotExamined, unittest.SkipTest)


@asynccontextmanager
async def opened_well() -> AsyncIterator[Adapter]:
    """An adapter that works."""
    yield Adapter()


@asynccontextmanager
async def opened_badly() -> AsyncIterator[Adapter]:
    """An adapter that does not."""
    yield Adapter(Transient("no"))


def test_command_examines_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints each finding and the sum, and its exit code says whether every promise was kept."""
    checks = told(check_it_works, check_many_work_at_once)
    for backend in ([], ["--trio"]):
        assert command(checks, opened_well, backend) == 0
        assert capsys.readouterr().out.endswith("2 kept\n")
    assert command(checks, opened_badly, ["--only", "check_it_works"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("broken        check_it_works\n    It works, but Adapter.call raised")
    assert out.endswith("1 broken\n")
    with pytest.raises(SystemExit) as ended:
        command(checks, opened_well, ["--only", "check_nothing"])
    assert ended.value.code == 2
    assert "check_many_work_at_once" in capsys.readouterr().err


def test_every_check_is_a_sentence_under_its_own_name() -> None:
    """Each check of each kind has a name that is found once and a docstring of one sentence, which is its promise."""
    for checks in KINDS:
        names = [check.__name__ for check in checks]
        assert len(names) == len(set(names))
        for check in checks:
            assert check.__name__.startswith("check_")
            assert (check.__doc__ or "").split("\n")[0].endswith("."), check.__name__

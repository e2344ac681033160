"""Wakes: what the core asked to be woken for happens at its moment, be it seconds or an hour later."""

from itertools import pairwise

import anyio
import pytest

from taskdock.core import inputs
from taskdock.core.errors import Transient
from taskdock.core.inputs import PermissionAsked, PermissionOption, Value
from taskdock.core.intents import (
    AnswerPermission,
    Body,
    CancelTurn,
    CloseSession,
    CollectWork,
    DestroySandbox,
    EnsureAgent,
    Figures,
    ObserveSandbox,
)
from taskdock.services.execution import Execution
from unit.services.bench import HOUR, MINUTE, Bench, hang

pytestmark = pytest.mark.anyio

OPTIONS = (PermissionOption("once", "Allow once", "allow_once"),)
SOON = 1e-3


async def ask(bench: Bench, task: str) -> str:
    """Let the agent ask in the turn of a task; the tab."""
    tab = bench.the_tab(task)
    assert tab.turn.message_id is not None
    await bench.stepper.apply(task, PermissionAsked(tab.id, tab.turn.message_id, "perm-1", "Dig?", OPTIONS))
    return tab.id


async def test_a_question_that_nobody_answers_is_cancelled_after_an_hour(bench: Bench) -> None:
    """A permission request is cancelled an hour after it was asked, never allowed, and not a moment before."""
    answers: list[str | None] = []

    async def answer(body: AnswerPermission, _execution: Execution) -> Value:
        answers.append(body.option_id)
        return inputs.Asked()

    bench.goes_well(AnswerPermission=answer)
    async with bench.in_turn() as task:
        await anyio.sleep(5 * MINUTE)
        await ask(bench, task)
        await anyio.sleep(HOUR - SOON)
        assert bench.ran(AnswerPermission) == []
        assert await bench.begun(AnswerPermission) == pytest.approx(HOUR + 5 * MINUTE, abs=SOON)
        await anyio.sleep(HOUR)
    assert answers == [None]


async def test_a_question_that_was_answered_is_left_alone(bench: Bench) -> None:
    """An answer in the last minute is given to the agent, and the hour's end changes nothing."""
    answers: list[str | None] = []

    async def answer(body: AnswerPermission, _execution: Execution) -> Value:
        answers.append(body.option_id)
        return inputs.Asked()

    bench.goes_well(AnswerPermission=answer)
    async with bench.in_turn() as task:
        tab = await ask(bench, task)
        await anyio.sleep(59 * MINUTE)
        await bench.workbench.answer_permission(tab, "perm-1", "once")
        await anyio.sleep(HOUR)
    assert answers == ["once"]
    assert bench.ran(AnswerPermission) == [59 * MINUTE]


async def test_an_hour_in_which_nobody_worked_counts_for_a_question(bench: Bench) -> None:
    """A question is about the user's time, not about ours: one that came due while we were away is cancelled at once."""
    bench.goes_well()
    async with bench.in_turn() as task:
        await ask(bench, task)
    await anyio.sleep(2 * HOUR)
    later = bench.next_process()
    async with later.running():
        assert await later.begun(AnswerPermission) == 2 * HOUR


async def test_a_stop_gives_a_turn_some_seconds() -> None:
    """A stop asks the turn to end at once, and collects the work that many seconds later if it did not."""
    bench = Bench(figures=Figures(settle_seconds=8))
    bench.goes_well()
    async with bench.in_turn() as task:
        await anyio.sleep(MINUTE)
        await bench.workbench.stop_task(task)
        assert await bench.begun(CollectWork) == MINUTE + 8
    assert bench.ran(CancelTurn) == [MINUTE]


async def test_a_turn_that_does_not_end_gets_another_agent(bench: Bench) -> None:
    """A turn that was cancelled and goes on is not waited for longer than ten seconds: its agent process is replaced."""
    bench.goes_well()
    async with bench.in_turn() as task:
        await anyio.sleep(MINUTE)
        tab = bench.the_tab(task)
        await bench.workbench.cancel_turn(tab.id)
        at = await bench.until(lambda: bench.the_tab(task).session == tab.session + 1)
    assert at == MINUTE + bench.figures.cancel_seconds


async def test_a_closing_tab_waits_five_seconds(bench: Bench) -> None:
    """A tab in a turn that does not end is cancelled at once and closed five seconds later; its session is ended then."""
    bench.goes_well(CloseSession=hang)
    async with bench.in_turn() as task:
        await anyio.sleep(MINUTE)
        await bench.workbench.close_tab(bench.the_tab(task).id, force=True)
        at = await bench.until(lambda: bench.the_tab(task).at == "closed")
        await bench.begun(CloseSession)
    assert bench.ran(CancelTurn) == [MINUTE]
    assert at == MINUTE + bench.figures.closing_seconds
    assert bench.ran(CloseSession) == [at]


async def test_an_absent_sandbox_is_looked_at_again(bench: Bench) -> None:
    """A sandbox that is absent once may be a slow list: it is looked at again five seconds later, and replaced then."""

    async def absent(_body: Body, _execution: Execution) -> Value:
        return inputs.Observed(inputs.SandboxPhase.ABSENT, bench.clock.now())

    bench.goes_well(ObserveSandbox=absent)
    async with bench.in_turn() as task:
        await anyio.sleep(MINUTE)
        await bench.stepper.apply(
            task, inputs.SandboxLost(bench.the_task(task).sandbox.name, "it was deleted")
        )
        at = await bench.begun(DestroySandbox)
    first, *_, last = bench.ran(ObserveSandbox)
    assert first == MINUTE
    assert at == last == pytest.approx(MINUTE + bench.figures.absent_seconds, abs=SOON)


async def test_a_destroy_that_may_be_too_early_is_asked_again(bench: Bench) -> None:
    """An absence counts once no create that began can land any more: its window, and the seconds a call may be late."""
    task = await bench.task()
    window = 5 * MINUTE

    async def begin(_body: Body, execution: Execution) -> Value:
        await execution.start()
        await anyio.sleep_forever()
        raise AssertionError

    async def gone(_body: Body, _execution: Execution) -> Value:
        return inputs.SandboxReleased(bench.clock.now(), window)

    bench.goes_well(CreateSandbox=begin, DestroySandbox=gone)
    async with bench.running():
        await anyio.sleep(MINUTE)
        await bench.workbench.kill_task(task, force=True)
        at = await bench.until(lambda: bench.at(task) == "killed")
    assert at == pytest.approx(window + bench.figures.call_seconds, abs=SOON)
    assert bench.ran(DestroySandbox) == [MINUTE, at]


async def test_a_message_that_could_not_be_sent_waits_longer_each_time(bench: Bench) -> None:
    """A message is taken back into its queue and sent again after the pauses of the figures, five times in all."""
    task = await bench.task()

    async def refuse(_body: Body, execution: Execution) -> Value:
        await execution.start()
        raise Transient("not_called: nobody is there")

    bench.goes_well(SendPrompt=refuse)
    async with bench.running():
        await bench.until(lambda: bench.the_message(task).at == "failed")
    sent = [run.at for run in bench.runs if run.kind.__name__ == "SendPrompt"]
    message = bench.the_message(task)
    pauses = [bench.figures.backoff(message.id, tries).total_seconds() for tries in range(1, 5)]
    assert [later - earlier for earlier, later in pairwise(sent)] == pytest.approx(pauses, abs=SOON)
    assert bench.ran(EnsureAgent) == [0]

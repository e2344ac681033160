"""End cases: one for each arc of a stop, an archive and a kill; the three are alike, so their cases come from one table.

Owns: `CASES`: what each of the three does from every state that it may be asked in, and then step by step.
Never: a look into the rows; arcs are known by their names alone.
Reads as: cases_task.py adds them to its own -> test_rows.py plays them.
"""

from collections.abc import Iterator
from datetime import timedelta

from attrs import frozen

from taskdock.core.inputs import (
    ArchiveTask,
    Input,
    KillTask,
    ResumeTask,
    RetryTask,
    SandboxReady,
    SandboxReleased,
    SandboxStopped,
    StopTask,
    TurnEnd,
    TurnEnded,
    WorkCollected,
)
from taskdock.core.intents import CollectWork, CreateSandbox, DestroySandbox, SendPrompt, StopSandbox
from unit.core import givens as g
from unit.core.cases import Asked, Case, done, fails
from unit.core.givens_end import ARCHIVE, ENDINGS, KILL, RESUMED, STOP, Ending
from unit.core.shelf import Given
from unit.core.story import PERMANENT, TRANSIENT, UNREACHABLE, WINDOW_SECONDS, Story, TaskStory

ENDED = TurnEnded(TurnEnd.COMPLETED, "end_turn")
ALL_IN = WorkCollected("c2", branch_moved=True)
UNCOMMITTED = WorkCollected("c2", branch_moved=True, uncommitted=("notes.txt",))
COMMANDS: dict[str, Input] = {"stop": StopTask(), "archive": ArchiveTask(), "kill": KillTask()}
FORCED: dict[str, Input] = {"archive": ArchiveTask(force=True), "kill": KillTask(force=True)}
RESTS = {"stop": "task.stopped", "archive": "task.archived", "kill": "task.killed"}


@frozen
class Source:
    """A state that a task may be ended in: what there is to do then, and whether a message is still queued."""

    state: str
    given: Given[TaskStory]
    leads_to: str
    """`rest`: no sandbox was ordered; `end`: there is nothing to bring out; `collect`: there is; `settle`: a turn runs."""
    queued: bool = False
    tab: str = "open"
    tells: str = ""
    """What it says to its repo beside."""


PROVISIONED_BY = (
    Source("init_enqueue_provision/wait_repo", g.waiting_for_repo, "rest", queued=True),
    Source("init_enqueue_provision", g.queued, "rest", queued=True),
    Source("init_ensure_name", g.naming, "rest", queued=True),
    Source("init_create_sandbox/create", g.creating, "end", queued=True),
    Source("init_create_sandbox/observe", g.observing, "end", queued=True),
    Source("init_create_sandbox/collect", g.rescuing, "collect"),
    Source("init_create_sandbox/destroy", g.replacing, "end"),
    Source("init_ensure_agent", g.starting_agent, "end", queued=True),
    Source("init_create_session", g.opening_session, "end", queued=True),
    Source("running", g.idle, "collect"),
    Source("running/observe", g.looking, "collect"),
    Source("error/init_enqueue_provision/wait_repo", g.failed_waiting, "rest", queued=True),
    Source("error/init_enqueue_provision", g.failed_queued, "rest", queued=True),
    Source("error/init_ensure_name", g.failed_naming, "rest", queued=True),
    Source("error/init_create_sandbox/create", g.failed_creating, "end", queued=True),
    Source("error/init_create_sandbox/observe", g.failed_observing, "end", queued=True),
    Source("error/init_create_sandbox/collect", g.failed_rescuing, "collect"),
    Source("error/init_create_sandbox/destroy", g.failed_replacing, "end"),
    Source("error/init_ensure_agent", g.failed_agent, "end", queued=True),
    Source("error/init_create_session", g.failed_session, "end", queued=True),
    Source("error/running/observe", g.failed_looking, "collect"),
    Source("init_attach_branch", g.attaching_by_job, "rest", queued=True, tells="Tell"),
    Source("error/init_attach_branch", g.failed_attaching, "rest", queued=True),
)


def _under_way(ending: Ending) -> tuple[Source, ...]:
    return (
        Source(ending.at("settle"), ending.settling, "settle"),
        Source(ending.at("collect"), ending.collecting, "collect"),
        Source(ending.at("wake"), ending.waking, "collect"),
        Source(ending.at("end"), ending.ending, "end"),
    )


def _failed(ending: Ending) -> tuple[Source, ...]:
    tab = "closed" if ending is KILL else "open"
    return (
        Source(f"error/{ending.at('collect')}", ending.failed_collecting, "collect", tab=tab),
        Source(f"error/{ending.at('wake')}", ending.failed_waking, "collect", tab=tab),
        Source(f"error/{ending.at('end')}", ending.failed_ending, "end", tab=tab),
    )


SOURCES: dict[str, tuple[Source, ...]] = {
    "stop": (*PROVISIONED_BY, *_failed(STOP)),
    "archive": (
        *PROVISIONED_BY, *_failed(STOP), *_under_way(STOP), Source("stopped", STOP.done, "end"), *_failed(ARCHIVE),
    ),
    "kill": (
        *PROVISIONED_BY, *_failed(STOP), *_under_way(STOP), Source("stopped", STOP.done, "end"), *_failed(ARCHIVE),
        *_under_way(ARCHIVE), *_failed(KILL),
    ),
}  # fmt: skip
"""Kill goes before archive, archive before stop, also through error: so each may be asked where the ones after it may."""


def _settled(ending: Ending, leads_to: str) -> tuple[str, ...]:
    """The arc that leaves `settle` at once, when no turn runs."""
    settle = ending.at("settle")
    return {
        "rest": (f"settled: {settle} -> {ending.rest}",),
        "end": (f"settled[box_ordered]: {settle} -> {ending.at('end')}",),
        "collect": (f"settled[work_is_owed]: {settle} -> {ending.at('collect')}",),
        "settle": (),
    }[leads_to]


def _asked(ending: Ending, source: Source) -> Case:
    """The ending is asked for: what it orders, and what becomes of the tab and its queue."""
    at = ending.rest if source.leads_to == "rest" else ending.at(source.leads_to)
    last = ending.last.__name__
    orders = {"rest": source.tells, "end": last, "collect": "CollectWork", "settle": "Wake"}[source.leads_to]
    words = ["task.step_started"]
    if ending is KILL and source.tab == "open":
        words += ["tab.closed", *(["message.withdrawn"] if source.queued else [])]
    if source.leads_to != "settle":
        words.append(RESTS[ending.verb] if source.leads_to == "rest" else "task.step_started")
    return Case(
        f"{ending.verb}: {source.state} -> {ending.at('settle')}", source.given, COMMANDS[ending.verb],
        at, orders, " ".join(words), also=_settled(ending, source.leads_to),
    )  # fmt: skip


def _settles(ending: Ending) -> Iterator[Case]:
    """Turns are settled: by their end, or because none runs."""
    settle = ending.at("settle")
    yield Case(
        f"settled[work_is_owed]: {settle} -> {ending.at('collect')}", ending.settling, done(SendPrompt, ENDED),
        ending.at("collect"), "CollectWork", "turn.ended task.step_started",
    )  # fmt: skip
    for source, arc in ((PROVISIONED_BY[7], "end"), (PROVISIONED_BY[1], "rest")):
        case = _asked(ending, source)
        yield Case(
            _settled(ending, arc)[0],
            case.given,
            case.input,
            case.at,
            case.orders,
            case.history,
            also=(case.arc,),
        )


def _collects(ending: Ending) -> Iterator[Case]:
    """The work is brought out, or not, or not yet."""
    collect, wake, end, last = (
        ending.at("collect"), ending.at("wake"), ending.at("end"), ending.last.__name__,
    )  # fmt: skip
    given_up = "work.given_up task.step_started"
    # The discarded stop has collected this head before.
    forced = given_up if ending is STOP else f"work.collected {given_up}"
    yield Case(f"work_collected[all_is_in]: {collect} -> {end}", ending.collecting, done(CollectWork, ALL_IN),
               end, last, "work.collected task.step_started")  # fmt: skip
    yield Case(f"work_collected[is_forced]: {collect} -> {end}", ending.forced, done(CollectWork, UNCOMMITTED),
               end, last, forced)  # fmt: skip
    yield Case(f"work_collected: {collect} -> error/{collect}", ending.collecting, done(CollectWork, UNCOMMITTED),
               f"error/{collect}", "", f"work.collected task.failed{_tab_fails(ending)}")  # fmt: skip
    yield Case(f"failed[must_be_woken]: {collect} -> {wake}", ending.collecting, fails(CollectWork, UNREACHABLE),
               wake, "CreateSandbox", "task.step_failed task.step_started")  # fmt: skip
    yield Case(f"failed[may_try_again]: {collect} -> =", ending.collecting, fails(CollectWork, TRANSIENT),
               collect, "CollectWork", "task.step_failed")  # fmt: skip
    yield Case(f"failed[is_forced]: {collect} -> {end}", ending.forced, fails(CollectWork, PERMANENT),
               end, last, given_up)  # fmt: skip
    yield Case(f"failed: {collect} -> error/{collect}", ending.collecting, fails(CollectWork, PERMANENT),
               f"error/{collect}", "", f"task.failed{_tab_fails(ending)}")  # fmt: skip


def _wakes(ending: Ending) -> Iterator[Case]:
    """The sandbox is started once more to bring the work out of it."""
    collect, wake, end, last = (
        ending.at("collect"), ending.at("wake"), ending.at("end"), ending.last.__name__,
    )  # fmt: skip
    yield Case(f"sandbox_ready[is_the_same]: {wake} -> {collect}", ending.waking,
               done(CreateSandbox, SandboxReady(adopted=True)), collect, "CollectWork", "task.step_started")  # fmt: skip
    yield Case(f"sandbox_ready: {wake} -> {end}", ending.waking,
               done(CreateSandbox, SandboxReady(adopted=False)), end, last, "sandbox.lost task.step_started")  # fmt: skip
    yield Case(f"failed[may_try_again]: {wake} -> =", ending.waking, fails(CreateSandbox, UNREACHABLE),
               wake, "CreateSandbox", "task.step_failed")  # fmt: skip
    yield Case(f"failed[is_forced]: {wake} -> {end}", ending.forced_waking, fails(CreateSandbox, PERMANENT),
               end, last, "work.given_up task.step_started")  # fmt: skip
    yield Case(f"failed: {wake} -> error/{wake}", ending.waking, fails(CreateSandbox, PERMANENT),
               f"error/{wake}", "", f"task.failed{_tab_fails(ending)}")  # fmt: skip


def _ends(ending: Ending) -> Iterator[Case]:
    """The sandbox is stopped or released; failures of every step, and their retries."""
    end, last = ending.at("end"), ending.last
    yield Case(f"failed[may_try_again]: {end} -> =", ending.ending, fails(last, TRANSIENT),
               end, last.__name__, "task.step_failed")  # fmt: skip
    yield Case(f"failed: {end} -> error/{end}", ending.ending, fails(last, PERMANENT),
               f"error/{end}", "", f"task.failed{_tab_fails(ending)}")  # fmt: skip
    for step, given, order in (
        ("collect", ending.failed_collecting, "CollectWork"),
        ("wake", ending.failed_waking, "CreateSandbox"),
        ("end", ending.failed_ending, last.__name__),
    ):
        at = ending.at(step)
        yield Case(
            f"retry: error/{at} -> {at}", given, RetryTask(), at, order, "task.retried task.step_started"
        )
    gone, told = ("SandboxStopped", "sandbox_stopped[stop_is_sure]") if ending is STOP else (
        "SandboxReleased", "sandbox_released[window_has_passed]",
    )  # fmt: skip
    rests = RESTS[ending.verb] if ending is STOP else f"sandbox.released {RESTS[ending.verb]}"
    yield Case(
        f"{told}: {end} -> {ending.rest}", ending.ending, _gone(gone, late=True), ending.rest, "", rests
    )
    yield Case(f"{told.partition('[')[0]}: {end} -> =", ending.ending_unused, _gone(gone, late=False),
               end, last.__name__)  # fmt: skip


def _gone(word: str, *, late: bool) -> Asked:
    """The sandbox is absent: before or after no create of it can land any more."""

    def asked(story: Story) -> Input:
        read_at = story.now + timedelta(seconds=60.0 if late else 1.0)
        if word == "SandboxStopped":
            return done(StopSandbox, SandboxStopped(read_at, WINDOW_SECONDS, is_absent=not late))(story)
        return done(DestroySandbox, SandboxReleased(read_at, WINDOW_SECONDS))(story)

    return asked


def _tab_fails(ending: Ending) -> str:
    """The tabs of a killed task are closed already; the others are told."""
    return "" if ending is KILL else " tab.failed"


def _upgraded(ending: Ending) -> Iterator[Case]:
    """Force is added to the one under way, wherever it stands."""
    for source in _under_way(ending):
        arc = f"{ending.verb}[asks_for_more_force]: {source.state} -> ="
        yield Case(arc, source.given, FORCED[ending.verb], source.state)


def _wanted() -> Iterator[Case]:
    """Somebody wants a task that is being stopped to go on, or to rest after all."""
    for source in _under_way(STOP):
        at = source.state
        yield Case(f"resume[is_not_resumed]: {at} -> =", source.given, ResumeTask(), at)
        yield Case(f"stop[is_resumed]: {at} -> =", RESUMED[at], StopTask(), at)


CASES = (
    *(_asked(ending, source) for ending in ENDINGS for source in SOURCES[ending.verb]),
    *(case for ending in ENDINGS for part in (_settles, _collects, _wakes, _ends) for case in part(ending)),
    *(case for ending in (ARCHIVE, KILL) for case in _upgraded(ending)),
    *_wanted(),
    Case("kill: archived -> killed", ARCHIVE.done, KillTask(), "killed", "", "task.killed tab.closed"),
)

"""Following a task over a real store, on either event loop: what a view is shown, and when it is over."""

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from attrs import field, mutable

from taskdock.adapters.entry.cli import names, rests
from taskdock.adapters.entry.cli.cloning import Cloning, follow_clone, take_clone
from taskdock.adapters.entry.cli.following import Shown, Wanted, follow
from taskdock.adapters.entry.cli.rests import Rest, Rule
from taskdock.core import intents
from taskdock.core.errors import NotFound
from taskdock.services.dock import Dock
from taskdock.services.feed import Happened
from unit.cli.installation import Stage

pytestmark = pytest.mark.anyio

REMOTE = "/srv/x.git"


@mutable(eq=False)
class Recording:
    """A view that keeps every moment."""

    ticks: bool = False
    moments: list[Shown] = field(factory=list)
    closed: int = 0
    loop_thread: int = field(factory=threading.get_ident)

    def show(self, shown: Shown) -> None:
        """Keep it."""
        assert threading.get_ident() != self.loop_thread
        self.moments.append(shown)

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    @property
    def lines(self) -> list[str]:
        """Every line that was new, by its first word."""
        return [line.text.split()[0] for shown in self.moments for line in shown.lines]

    @property
    def said(self) -> str:
        """Every text of the agent that was new."""
        items = [item for shown in self.moments for item in shown.items]
        return "".join(str(item.body["text"]) for item in items if item.kind == "text")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A home of its own."""
    return Stage(tmp_path / "home")


async def ran(stage: Stage, work: Callable[[Dock], Awaitable[None]]) -> None:
    """Do something on the stage, with the outside world played."""
    async with stage.open(stage.home, schedule=True) as dock:
        await work(dock)


async def created(dock: Dock, view: Recording | None = None) -> tuple[str, str]:
    """A task that was followed to its rest, and its tab."""
    receipt = await dock.create_task(prompt="Say hello", repo=REMOTE)
    rule = rests.of_message(receipt.message_id or "", receipt.tab_id or "")
    wanted = Wanted(receipt.task_id, rule, "default", until_collected=True)
    assert await follow(dock, wanted, view or Recording()) == Rest(ok=True)
    return receipt.task_id, receipt.tab_id or ""


async def test_everything_is_shown_once(stage: Stage) -> None:
    """From creation to commit: each step, each text and the commit, once; the view is closed in the end."""
    view = Recording()

    async def work(dock: Dock) -> None:
        await created(dock, view)

    await ran(stage, work)
    assert view.lines == [
        "init_enqueue_provision",
        "init_ensure_name",
        "init_create_sandbox",
        "init_ensure_agent",
        "init_create_session",
        "commit",
    ]
    assert view.said == "Bonjour."
    assert view.closed == 1


async def test_the_end_is_not_missed_by_who_looks_late(stage: Stage) -> None:
    """The same is shown to who begins to watch when all is over."""
    view = Recording()

    async def work(dock: Dock) -> None:
        task, _ = await created(dock)
        wanted = Wanted(task, rests.of_task, "default", until_collected=True)
        assert await follow(dock, wanted, view) == Rest(ok=True)

    await ran(stage, work)
    assert view.lines[-1] == "commit"
    assert len(view.lines) == 6
    assert view.said == "Bonjour."


async def test_a_later_command_shows_only_what_came_of_it(stage: Stage) -> None:
    """Neither rows, lines nor texts from before; all of its own turn."""
    view = Recording()

    async def work(dock: Dock) -> None:
        task, tab = await created(dock)
        since = dock.clock.now()
        receipt = await dock.send(tab, "And again")
        message = receipt.message_id or ""
        wanted = Wanted(task, rests.of_message(message, tab), "default", since=since, from_message=message)
        assert await follow(dock, wanted, view) == Rest(ok=True)

    await ran(stage, work)
    assert view.said == "Bonjour."
    assert view.lines == []
    assert [shown.live.rows for shown in view.moments if shown.live.rows] == []


async def test_a_silent_command_shows_no_conversation(stage: Stage) -> None:
    """While a tab is opened, what another one says is no part of it."""
    view = Recording()

    async def work(dock: Dock) -> None:
        task, tab = await created(dock)
        since = dock.clock.now()
        await dock.send(tab, "And again")
        wanted = Wanted(task, rests.of_task, "default", since=since, silent=True)
        await follow(dock, wanted, view)

    await ran(stage, work)
    assert view.said == ""


async def test_the_clone_that_a_task_waits_for_is_asked_for(stage: Stage) -> None:
    """While the repo is cloned, the picture has the repo, which is in no change of the task."""
    stage.played.holds.add(intents.CloneRepo)
    view = Recording(ticks=True)

    async def work(dock: Dock) -> None:
        receipt = await dock.create_task(prompt="Say hello", repo=REMOTE)
        await follow(dock, Wanted(receipt.task_id, until_repo_is_seen(), "default"), view)

    with anyio.fail_after(30):
        await ran(stage, work)
    assert view.moments[-1].live.repo is not None


def until_repo_is_seen() -> Rule:
    """A rule that waits for the repo to be in the picture."""
    return lambda live: Rest(ok=True) if live.repo is not None else None


async def test_a_full_lane_is_told(stage: Stage) -> None:
    """A step that nobody has claimed yet says which lane it waits in."""
    view = Recording(ticks=True)
    rule: Rule = lambda live: Rest(ok=True) if live.waits_for else None  # noqa: E731 - a rule is a value

    async def without_anybody(dock: Dock) -> None:
        receipt = await dock.create_task(prompt="And again", repo=REMOTE)
        await follow(dock, Wanted(receipt.task_id, rule, "default"), view)

    async def with_all(dock: Dock) -> None:
        await created(dock)

    await ran(stage, with_all)
    stage.plays = False
    with anyio.fail_after(30):
        await ran(stage, without_anybody)
    assert view.moments[-1].live.waits_for == "the scheduler to find a name (lane naming)"


async def test_a_task_of_another_workspace_is_not_found(stage: Stage) -> None:
    """Neither is one that does not exist; and nothing waits."""

    async def work(dock: Dock) -> None:
        task, _ = await created(dock)
        for task_id, workspace in ((task, "other"), ("task-nope", "default")):
            with pytest.raises(NotFound):
                await follow(dock, Wanted(task_id, rests.of_task, workspace), Recording())

    await ran(stage, work)


async def test_a_clone_is_followed_however_late(stage: Stage) -> None:
    """Its line is shown when it was over before the watch began, and not again to a later command."""
    views = [Recording(), Recording()]

    async def work(dock: Dock) -> None:
        since = dock.clock.now()
        repo = (await dock.add_repo(REMOTE)).repo_id
        async for _ in dock.watch(repo=repo):
            if (await dock.repo(repo)).status.value == "ready":
                break
        assert await follow_clone(dock, repo, "default", views[0], since) == Rest(ok=True)
        assert await follow_clone(dock, repo, "default", views[1], dock.clock.now()) == Rest(ok=True)

    with anyio.fail_after(30):
        await ran(stage, work)
    assert [view.lines for view in views] == [["clone"], []]
    assert views[1].moments[-1].live.rows == ()


async def test_an_event_of_a_clone_is_taken_once(stage: Stage) -> None:
    """History and feed may overlap: the same event again says nothing and moves nothing."""

    async def work(dock: Dock) -> None:
        repo = (await dock.add_repo(REMOTE)).repo_id
        await follow_clone(dock, repo, "default", Recording(), dock.clock.now())
        cloning = Cloning(repo)
        events = [Happened(0, event) for event in await dock.history(repo)]
        told = []
        for event in [*events, *events]:
            cloning, lines = take_clone(cloning, event)
            told += [line.text.split()[0] for line in lines]
        assert told == ["clone"]

    await ran(stage, work)


class Endless:
    """A stdin without an end."""

    def read(self, size: int = -1) -> str:
        """As much as was asked for; who asks for everything waits for ever."""
        assert size >= 0
        return "x" * size


def test_stdin_is_read_no_further_than_a_prompt_may_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless stdin is refused like any text that is too long."""
    monkeypatch.setattr("sys.stdin", Endless())
    assert len(names.text_of("-")) == 1024 * 1024 + 1

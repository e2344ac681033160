"""Request path: every command returns in milliseconds and touches no port, and bad input leaves no row."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from e2e.installation import QUICK
from taskdock import app
from taskdock.app import Config, Dock
from taskdock.core.errors import (
    BranchTaken,
    CommandRejected,
    Conflict,
    IdempotencyKeyReused,
    InvalidCommand,
    NotFound,
)
from taskdock.services.feed import Happened
from taskdock.services.receipts import RepoReceipt, TabReceipt, TaskReceipt
from taskdock.services.sites import Site, Sites
from taskdock.services.tools import Outside

pytestmark = pytest.mark.anyio

Receipt = TaskReceipt | TabReceipt | RepoReceipt
REMOTE = "https://git.example.org/acme/api.git"


class Untouchable:
    """Stands for any port; touching it is the failure that the test looks for."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"a port was touched: {name}")


class Hanging:
    """Stands for any port whose every call never ends."""

    id = "local"

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        async def hang(*_args: object, **_kwargs: object) -> None:
            await anyio.sleep_forever()

        return hang


def outside(port: object) -> Outside:
    """Every port of the outside is this one."""
    return Outside(Sites({"local": Site(port, port)}), port, port, port, port, port)  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An installation's config."""
    return Config(home=tmp_path / "home", figures=QUICK, drain_seconds=0.2)


async def test_every_command_is_accepted_without_touching_a_port(config: Config) -> None:
    """With ports that raise when touched and no scheduler, each command commits and returns its receipt, in this order."""
    async with app.open(config, schedule=False, outside=outside(Untouchable())) as dock:
        created = await dock.create_task(repo=REMOTE, prompt="Add a note", model="m", permission_mode="ask")
        task, tab = created.task_id, created.tab_id or ""
        opened = await dock.open_tab(task, prompt="And this", model="small")
        sent = await dock.send(opened.tab_id, "More")
        receipts: list[Receipt] = [
            created,
            opened,
            sent,
            await dock.edit_message(sent.message_id or "", "Even more"),
            await dock.withdraw_message(sent.message_id or ""),
            await dock.rename_tab(opened.tab_id, "Review"),
            await dock.set_model(opened.tab_id, "large"),
            await dock.set_draft(opened.tab_id, "ada", "Perhaps"),
            await dock.mark_read(opened.tab_id, "ada"),
            await dock.rename_task(task, "A note"),
            await dock.set_branch(task, "a-note"),
            await dock.close_tab(opened.tab_id, force=True),
            await dock.stop_task(task),
            await dock.resume_task(task),
            await dock.archive_task(task),
            await dock.unarchive_task(task),
            await dock.add_repo("https://git.example.org/acme/other"),
            await dock.remove_repo("https://git.example.org/acme/other"),
            await dock.kill_task(task),
        ]
        for rejected in (
            dock.retry_task(task, discard=True),
            dock.retry_tab(opened.tab_id),
            dock.retry_repo(REMOTE),
            dock.resume_queue(tab),
            dock.cancel_turn(tab),
        ):
            with pytest.raises(Conflict):
                await rejected
        with pytest.raises(NotFound):
            await dock.answer_permission(tab, "ask-1", "yes")
    assert [receipt.status for receipt in receipts] == [
        "init_enqueue_provision",
        *["pending_provision"] * 8,
        *["init_enqueue_provision"] * 2,
        "closed",
        "stopped",
        "init_enqueue_provision",
        "archived",
        "init_enqueue_provision",
        "cloning",
        "removed",
        "killed",
    ]
    positions = [receipt.position for receipt in receipts]
    assert positions == sorted(set(positions))


async def test_a_provider_that_hangs_for_ever_holds_no_request_up(config: Config) -> None:
    """With every port hanging, create returns in milliseconds with all that a client needs to go on."""
    async with app.open(config, outside=outside(Hanging())) as dock:
        began = time.perf_counter()
        receipts = [await dock.create_task(repo=REMOTE, prompt=f"Task {number}") for number in range(20)]
        mean_seconds = (time.perf_counter() - began) / len(receipts)
        statuses = {(await dock.task(receipt.task_id)).task.status.value for receipt in receipts}
    assert mean_seconds < 0.25
    assert statuses == {"init_enqueue_provision"}
    assert all(receipt.tab_id and receipt.position and receipt.message_id for receipt in receipts)


async def _rows(dock: Dock) -> tuple[int, int, int]:
    return len(await dock.tasks()), len(await dock.repos()), await dock.reads.position()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"prompt": ""}, InvalidCommand),
        ({"prompt": " \n\t"}, InvalidCommand),
        ({"prompt": "x" * 5 * 1024 * 1024}, InvalidCommand),
        ({"prompt": '"' * 600_000}, InvalidCommand),
        ({"prompt": "\ud800"}, InvalidCommand),
        ({"branch": "a b"}, InvalidCommand),
        ({"branch": "-x"}, InvalidCommand),
        ({"branch": "a..b"}, InvalidCommand),
        ({"branch": "x.lock"}, InvalidCommand),
        ({"title": ""}, InvalidCommand),
        ({"title": "two\nlines"}, InvalidCommand),
        ({"base": "no good"}, InvalidCommand),
        ({"provider": "nowhere"}, InvalidCommand),
        ({"agent": "nobody"}, InvalidCommand),
        ({"key": ""}, InvalidCommand),
        ({"repo": "repo-0123456789abcdef"}, NotFound),
        ({"repo": "acme/unknown"}, NotFound),
        ({"repo": "ext::sh -c date"}, NotFound),
        ({"repo": "https://me:secret@git.example.org/a/b"}, InvalidCommand),
        ({"repo": "ftp://git.example.org/a/b"}, InvalidCommand),
    ],
)
async def test_bad_input_is_refused_with_its_error_and_leaves_no_row(
    config: Config, wrong: dict[str, str], error: type[CommandRejected]
) -> None:
    """Each kind of bad input gives its typed error; no task, repo or feed entry comes of it."""
    async with app.open(config, schedule=False) as dock:
        before = await _rows(dock)
        with pytest.raises(error) as refused:
            await dock.create_task(**{"repo": REMOTE, "prompt": "Add a note", **wrong})
        assert await _rows(dock) == before
    assert "secret" not in str(refused.value)


async def test_a_key_repeats_its_first_answer_and_refuses_another_body(config: Config) -> None:
    """The same key with the same request is one task; with another request it is an error and no task."""
    async with app.open(config, schedule=False) as dock:
        first = await dock.create_task(repo=REMOTE, prompt="Add a note", key="click-1")
        second = await dock.create_task(repo=REMOTE, prompt="Add a note", key="click-1")
        with pytest.raises(IdempotencyKeyReused):
            await dock.create_task(repo=REMOTE, prompt="Something else", key="click-1")
        with pytest.raises(IdempotencyKeyReused):
            await dock.kill_task(first.task_id, key="click-1")
        tasks = await dock.tasks()
    assert (second.task_id, second.tab_id, second.position) == (first.task_id, first.tab_id, first.position)
    assert (first.replayed, second.replayed) == (False, True)
    assert len(tasks) == 1


async def test_racing_creates_with_one_key_make_one_task(config: Config) -> None:
    """Twenty creates at once with the same key end with one task and one answer."""
    answers: list[str] = []
    async with app.open(config, schedule=False) as dock:

        async def create() -> None:
            receipt = await dock.create_task(repo=REMOTE, prompt="Add a note", key="double-click")
            answers.append(receipt.task_id)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(create)
        tasks = await dock.tasks()
    assert len(tasks) == 1
    assert set(answers) == {tasks[0].id}


async def test_a_key_of_a_command_that_changes_nothing_is_kept_too(config: Config) -> None:
    """A second kill is a success that changes nothing, and its key repeats that answer."""
    async with app.open(config, schedule=False) as dock:
        task = await dock.create_task(repo=REMOTE, prompt="Add a note")
        await dock.kill_task(task.task_id)
        first = await dock.kill_task(task.task_id, key="again")
        second = await dock.kill_task(task.task_id, key="again")
    assert (first.status, first.replayed, second.status, second.replayed) == ("killed", False, "killed", True)


async def test_an_explicit_branch_is_held_by_one_task_until_it_is_killed(config: Config) -> None:
    """A second task on the same branch name is refused; once the first is killed the name is free."""
    async with app.open(config, schedule=False) as dock:
        first = await dock.create_task(repo=REMOTE, prompt="Add a note", branch="feature/x")
        with pytest.raises(BranchTaken):
            await dock.create_task(repo=REMOTE, prompt="Add a note", branch="feature/x")
        await dock.kill_task(first.task_id)
        await dock.create_task(repo=REMOTE, prompt="Add a note", branch="feature/x")
        tasks = await dock.tasks()
    assert len(tasks) == 2


async def test_an_unknown_remote_is_registered_with_the_task_or_not_at_all(config: Config) -> None:
    """One commit makes both; a create that is refused for its branch makes neither."""
    other = "https://git.example.org/acme/other"
    async with app.open(config, schedule=False) as dock:
        receipt = await dock.create_task(repo=REMOTE, prompt="Add a note", branch="one")
        repos = await dock.repos()
        with pytest.raises(InvalidCommand):
            await dock.create_task(repo=other, prompt="Add a note", branch="a b")
        same = await dock.create_task(repo="acme/api", prompt="By name")
        spelled = await dock.create_task(
            repo="https://git.example.org/acme/api/", prompt="By another spelling"
        )
        after = await dock.repos()
    assert [repo.id for repo in repos] == [receipt.repo_id] == [repo.id for repo in after]
    assert {same.repo_id, spelled.repo_id} == {receipt.repo_id}


async def test_a_watch_goes_on_from_a_receipt(config: Config) -> None:
    """From a receipt's position a watch brings what came after it, in order, and nothing from before."""
    async with app.open(config, schedule=False) as dock:
        created = await dock.create_task(repo=REMOTE, prompt="Add a note")
        await dock.send(created.tab_id or "", "And more")
        await dock.kill_task(created.task_id)
        happened = []
        async for seen in dock.watch(task=created.task_id, after=created.position):
            if isinstance(seen, Happened):
                happened.append(seen.happened.event.kind.value)
            if happened[-1:] == ["task.killed"]:
                break
    assert happened[0] == "message.sent"
    assert "task.created" not in happened


async def test_another_workspace_sees_and_changes_nothing(config: Config) -> None:
    """A task of one workspace is NotFound in another, and its repo is another repo."""
    async with app.open(config, schedule=False) as dock:
        task = await dock.create_task(repo=REMOTE, prompt="Add a note", workspace="one")
        for command in (
            dock.kill_task(task.task_id, workspace="two"),
            dock.open_tab(task.task_id, workspace="two"),
            dock.send(task.tab_id or "", "hello", workspace="two"),
            dock.task(task.task_id, workspace="two"),
            dock.transcript(task.tab_id or "", workspace="two"),
            dock.messages(task.tab_id or "", workspace="two"),
        ):
            with pytest.raises(NotFound):
                await command
        assert await dock.tasks(workspace="two") == []
        other = await dock.create_task(repo=REMOTE, prompt="Add a note", workspace="two")
    assert other.repo_id != task.repo_id

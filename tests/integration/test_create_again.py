"""Creating: a new task is decided on without a look, and the commit finds out if it was there."""

from pathlib import Path

import pytest

from taskdock.adapters.clock import SystemClock
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core.errors import Conflict
from taskdock.core.intents import Figures
from taskdock.services.stepping import Stepper
from taskdock.testing.conformance.store_under_test import create_task

pytestmark = pytest.mark.anyio


async def test_id_that_is_taken_is_a_conflict(tmp_path: Path) -> None:
    """A second create under one id changes nothing and is refused for what it is."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        stepper = Stepper(store, SystemClock(), Figures())
        first = create_task(1, prompt="The first.")
        applied = await stepper.submit([(first.task_id, first)], None)
        assert applied.change.version == 1
        with pytest.raises(Conflict, match="exists already"):
            await stepper.submit([(first.task_id, create_task(1, prompt="The second."))], None)
        assert await store.message_text(first.message_id) == "The first."
        assert (await store.load(first.task_id)).version == 1

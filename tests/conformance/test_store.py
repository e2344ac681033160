"""Every store of ours keeps every promise of the store port."""

from pathlib import Path

import pytest

from memory_under_test import memory_under_test
from sqlite_store import sqlite_under_test
from taskdock.testing.conformance.store import STORE_CHECKS, StoreCheck

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_sqlite(check: StoreCheck, tmp_path: Path) -> None:
    """The SQLite store keeps the promise."""
    async with sqlite_under_test(tmp_path / "taskdock.db") as under_test:
        await check(under_test)


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_memory(check: StoreCheck) -> None:
    """The store in memory keeps the promise."""
    await check(memory_under_test())

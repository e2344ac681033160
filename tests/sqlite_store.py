"""SQLite store under test: made in a folder of the test, and opened again where a test ends a process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.testing.conformance.store import StoreUnderTest


@asynccontextmanager
async def sqlite_under_test(path: Path) -> AsyncIterator[StoreUnderTest]:
    """Give a new store that the checks can close and open again."""
    async with AsyncExitStack() as opened:

        async def open_again() -> SqliteStore:
            await opened.aclose()
            return await opened.enter_async_context(SqliteStore.open(path))

        yield StoreUnderTest(await open_again(), open_again)

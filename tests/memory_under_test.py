"""Memory store under test: another store on the same data stands for the next process."""

from taskdock.testing.conformance.store import StoreUnderTest
from taskdock.testing.memory_store import MemoryStore


def memory_under_test() -> StoreUnderTest:
    """Give a new store that the checks can go on with as the next process would."""
    first = MemoryStore()

    async def open_again() -> MemoryStore:
        return MemoryStore(first.data)

    return StoreUnderTest(first, open_again)

"""Store conformance: what every store must keep, as checks without a test runner.

Owns: `STORE_CHECKS`; each check takes a `StoreUnderTest` and raises AssertionError with the broken promise.
Never: a promise that is not in `taskdock.ports.store` or `taskdock.ports.upkeep`; a look into the database.
Reads as: your test -> a check -> your adapter.

How to use it, with pytest and anyio's plugin:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
    async def test_my_store(check, tmp_path):
        async with my_store(tmp_path) as (store, open_again):
            await check(StoreUnderTest(store, open_again))

Every check needs a store of its own with nothing in it. The changes are decided by the core, so a check fails on what real
tasks do. What only a killed process shows (acknowledged and lost) is not here: kill one that commits in a loop.
"""

from taskdock.core.errors import StoreError
from taskdock.testing.conformance.promises import told
from taskdock.testing.conformance.store_fidelity import FIDELITY_CHECKS
from taskdock.testing.conformance.store_jobs import JOB_CHECKS
from taskdock.testing.conformance.store_readers import READER_CHECKS
from taskdock.testing.conformance.store_reads import READ_CHECKS
from taskdock.testing.conformance.store_removals import REMOVAL_CHECKS
from taskdock.testing.conformance.store_under_test import StoreAndQueue, StoreCheck, StoreUnderTest
from taskdock.testing.conformance.store_upkeep import UPKEEP_CHECKS
from taskdock.testing.conformance.store_writes import WRITE_CHECKS

STORE_CHECKS: tuple[StoreCheck, ...] = told(
    *FIDELITY_CHECKS,
    *WRITE_CHECKS,
    *READ_CHECKS,
    *READER_CHECKS,
    *JOB_CHECKS,
    *REMOVAL_CHECKS,
    *UPKEEP_CHECKS,
    errors=StoreError,
    is_bounded=False,
)

__all__ = ["STORE_CHECKS", "StoreAndQueue", "StoreCheck", "StoreUnderTest"]

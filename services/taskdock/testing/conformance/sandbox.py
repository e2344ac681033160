"""Sandbox conformance: what every sandbox provider must keep, as checks without a test runner.

Owns: `SANDBOX_CHECKS`; each check takes a `SandboxUnderTest` and raises AssertionError with the broken promise.
Never: a promise that is not in `taskdock.ports.sandbox`; a look into the adapter.
Reads as: your test -> a check -> your adapter, and your eyes from outside (`count_processes`, `leftovers`).

How to use it, with pytest and anyio's plugin:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.__name__)
    async def test_my_provider(check, tmp_path):
        await check(SandboxUnderTest(provider=..., access=..., ...))

Without a test runner: `examine` or `command` in examination.py.

Every check makes sandboxes of its own with fresh names and destroys them, also when it fails. Its failure is one sentence:
the promise, what was seen instead, and how to mend it.
"""

from taskdock.testing.conformance.sandbox_inside import INSIDE_CHECKS
from taskdock.testing.conformance.sandbox_life import LIFE_CHECKS
from taskdock.testing.conformance.sandbox_rest import REST_CHECKS
from taskdock.testing.conformance.sandbox_service import SERVICE_CHECKS
from taskdock.testing.conformance.sandbox_service_failures import SERVICE_FAILURE_CHECKS
from taskdock.testing.conformance.sandbox_truth import TRUTH_CHECKS
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

PROVIDER_CHECKS: tuple[SandboxCheck, ...] = (*TRUTH_CHECKS, *LIFE_CHECKS, *REST_CHECKS)
"""The half of `SandboxProvider`; its checks look inside through the access."""
ACCESS_CHECKS: tuple[SandboxCheck, ...] = (*INSIDE_CHECKS, *SERVICE_CHECKS, *SERVICE_FAILURE_CHECKS)
"""The half of `SandboxAccess`."""
SANDBOX_CHECKS: tuple[SandboxCheck, ...] = (*PROVIDER_CHECKS, *ACCESS_CHECKS)

__all__ = ["ACCESS_CHECKS", "PROVIDER_CHECKS", "SANDBOX_CHECKS", "SandboxCheck", "SandboxUnderTest"]

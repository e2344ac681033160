"""Every store of clones of ours keeps every promise of the clone port, and the checks find those that do not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from conformance.broken_clones import CLONE_FAULTS, HonestClones
from taskdock.adapters.clone.git import GitClones
from taskdock.testing.conformance.clone import CLONE_CHECKS, CloneCheck, CloneUnderTest
from taskdock.testing.conformance.promises import PromiseBroken

pytestmark = pytest.mark.anyio

CHECKS = {check.__name__: check for check in CLONE_CHECKS}


class Refusal(BaseHTTPRequestHandler):
    """Answers everybody that he has to log in, with any login too."""

    def do_GET(self) -> None:
        """Refuse."""
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing."""


@contextmanager
def refusing_host() -> Iterator[str]:
    """Give a remote on this machine that refuses every login."""
    with HTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://ada:wrong@127.0.0.1:{server.server_port}/demo.git"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("check", CLONE_CHECKS, ids=lambda check: check.__name__)
async def test_git(check: CloneCheck, tmp_path: Path) -> None:
    """The clones that the git of this host makes keep the promise."""

    def clones() -> GitClones:
        return GitClones(tmp_path / "clones")

    with refusing_host() as remote:
        await check(CloneUnderTest(clones(), clones, tmp_path, remote))


@pytest.mark.parametrize("fault", CLONE_FAULTS, ids=lambda fault: fault.__name__)
async def test_fault_is_found(fault: type[HonestClones], tmp_path: Path) -> None:
    """The check that is for it finds the fault, and says the promise, what was seen and how to mend it."""

    def clones() -> HonestClones:
        return fault(tmp_path / "clones")

    with refusing_host() as remote, pytest.raises(PromiseBroken) as found:
        await CHECKS[fault.found_by](CloneUnderTest(clones(), clones, tmp_path, remote))
    assert fault.says in found.value.promise
    assert found.value.seen
    assert found.value.mend


def test_no_check_is_idle() -> None:
    """Each check is the one that finds some fault; a check that finds none proves nothing."""
    assert CHECKS.keys() == {fault.found_by for fault in CLONE_FAULTS}

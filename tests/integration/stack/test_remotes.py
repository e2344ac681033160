"""Remotes that do not do what is asked: each with its kind of error and a sentence that helps."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from git_repos import git
from stack_fixture import StackRepo
from taskdock.adapters.clone.stack.run import JobLimits
from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobEnd

pytestmark = pytest.mark.anyio


class _Answer(http.server.BaseHTTPRequestHandler):
    """Answers everything with the server's one status; 0 never answers."""

    def do_GET(self) -> None:
        """Answer, or wait until the test is over."""
        server = self.server
        assert isinstance(server, _Server)
        if server.status == 0:
            server.over.wait()
            return
        self.send_response(server.status)
        self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    status = 500
    over: threading.Event


@contextmanager
def host(status: int) -> Iterator[str]:
    """Serve one answer to everything; gives the address."""
    server = _Server(("127.0.0.1", 0), _Answer)
    server.status, server.over = status, threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/repo.git"
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


async def sync_with(repo: StackRepo, address: str, *, limits: JobLimits | None = None) -> JobEnd:
    """Sync with a remote at another address, without git-spice."""
    git(repo.clone, "config", "remote.origin.url", address)
    return await repo.run(JobKind.SYNC_REPO, jobs=repo.jobs(None, limits=limits))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, JobErrorKind.AUTH),
        (403, JobErrorKind.AUTH),
        (404, JobErrorKind.CONFIG_ERROR),
        (429, JobErrorKind.UNREACHABLE),
        (503, JobErrorKind.UNREACHABLE),
    ],
)
async def test_answers_of_a_host(plain: StackRepo, status: int, kind: JobErrorKind) -> None:
    """Each refusal has its kind and says what to do; nothing moves, and the branches are shown as they were."""
    heads = plain.heads()
    with host(status) as address:
        end = await sync_with(plain, address)
    assert end.failure is not None
    assert end.failure.kind is kind
    assert end.failure.hint
    assert plain.heads() == heads
    assert end.branches is not None


async def test_host_that_is_down(plain: StackRepo) -> None:
    """Nobody at the address is `unreachable`."""
    with host(500) as address:
        pass
    end = await sync_with(plain, address)
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.UNREACHABLE
    assert "could not be reached" in end.failure.reason


async def test_host_that_never_answers(plain: StackRepo) -> None:
    """A remote that hangs is given up within the bound, and is `unreachable` too."""
    with host(0) as address:
        end = await sync_with(plain, address, limits=JobLimits(network_seconds=2.0))
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.UNREACHABLE
    assert "longer than 2 s" in end.failure.reason
    assert plain.disorder() == []


async def test_password_of_the_address(plain: StackRepo) -> None:
    """A password that somebody put into the clone's address is in no reason and no log."""
    with host(401) as address:
        end = await sync_with(plain, address.replace("://", "://ada:hunter22@"))
    assert end.failure is not None
    assert "hunter22" not in str(end)


async def test_restack_without_the_remote(stacks: StackRepo) -> None:
    """A restack does not go on with what it could not fetch, and says why."""
    stacks.remote.rename(stacks.root / "away")
    end = await stacks.run(JobKind.RESTACK_REPO)
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.CONFIG_ERROR
    assert "no such repository" in end.failure.reason
    missing = await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, job_id="job-2", branch="nowhere")
    assert missing.failure is not None
    assert missing.failure.kind is JobErrorKind.CONFIG_ERROR

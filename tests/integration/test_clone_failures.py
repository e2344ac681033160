"""What goes wrong between a clone and its remote: real refusals of real servers, in Taskdock's errors."""

import base64
import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from git_repos import git, head_of, make_remote
from taskdock.adapters.clone.disk import disk_failure
from taskdock.adapters.clone.failures import LOCAL, NETWORK, failure, log_tail
from taskdock.adapters.clone.git import Deadlines, GitClones
from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient, Unreachable

PASSWORD = "t0p/secret@word"
PASSWORD_QUOTED = "t0p%2Fsecret%40word"


async def ignore(sentence: str) -> None:
    """Take progress and do nothing with it."""


class GitHost(ThreadingHTTPServer):
    """A git host on loopback: `git http-backend` behind a login, with a few paths that misbehave."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), GitHostHandler)
        self.folder = folder
        self.logins: list[str] = []
        self.seen_in_argument_lists: list[bytes] = []

    def url(self, path: str, login: str = "") -> str:
        """Give the address of a path on this host, with a login in it if wanted."""
        return f"http://{login}127.0.0.1:{self.server_port}/{path}"


class GitHostHandler(BaseHTTPRequestHandler):
    """Answers one request of a git client."""

    @property
    def host(self) -> GitHost:
        """The host that this answers for."""
        if not isinstance(self.server, GitHost):
            raise TypeError("only a GitHost answers with this")
        return self.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Keep quiet."""

    def do_GET(self) -> None:
        """Serve what a clone asks first."""
        self._serve(b"")

    def do_POST(self) -> None:
        """Serve the pack."""
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        address = urlsplit(self.path)
        first = address.path.split("/")[1]
        if first.isdecimal():
            self._answer(int(first), b"")
        elif first == "private" and not self._is_logged_in():
            self._answer(401, b"", ("WWW-Authenticate", 'Basic realm="git"'))
        else:
            if first == "private":
                self._look_for_the_password()
            self._run_backend(address.path.removeprefix("/private"), address.query, body)

    def _is_logged_in(self) -> bool:
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        login = base64.b64decode(value).decode() if kind == "Basic" else ""
        self.host.logins.append(login)
        return login == f"ada:{PASSWORD}"

    def _look_for_the_password(self) -> None:
        """Read every argument list of the machine while git's own transport is at work."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:
                continue
            if any(form.encode() in line for form in (PASSWORD, PASSWORD_QUOTED)):
                self.host.seen_in_argument_lists.append(line)

    def _run_backend(self, path: str, query: str, body: bytes) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.host.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        answer = subprocess.run(
            ["git", "http-backend"],
            check=False,
            env=environment,
            input=body,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        head, _, content = answer.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200").split()[0])
        self._answer(status, content, *headers.items())

    def _answer(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    """Run a git host that holds one repository, demo.git."""
    make_remote(tmp_path / "served" / "demo.git", commits=2)
    with GitHost(tmp_path / "served") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def clones(tmp_path: Path) -> GitClones:
    """Give a store whose git knows no user config."""
    return GitClones(tmp_path / "clones", variables={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})


@pytest.mark.anyio
async def test_clone_over_http(clones: GitClones, host: GitHost) -> None:
    """A public repository of a git host is cloned without any login."""
    made = await clones.clone("repo-1", host.url("demo.git"), ignore)
    assert made.head == head_of(host.folder / "demo.git", "main")
    assert host.logins == []


@pytest.mark.anyio
async def test_password_of_an_address_is_used_and_hidden(clones: GitClones, host: GitHost) -> None:
    """A password in the address opens the remote, for later fetches too, and stands in no argument list or config."""
    address = host.url("private/demo.git", f"ada:{PASSWORD_QUOTED}@")
    await clones.clone("repo-1", address, ignore)
    folder = clones.path("repo-1")
    assert host.seen_in_argument_lists == []
    config = (folder / ".git" / "config").read_text()
    assert "secret" not in config
    assert git(folder, "config", "remote.origin.url") == host.url("private/demo.git")
    kept = folder.with_name("repo-1.credentials")
    assert kept.stat().st_mode & 0o777 == 0o600
    logins = len(host.logins)
    git(folder, "fetch", "--quiet", "origin")
    assert host.logins[logins:][-1] == f"ada:{PASSWORD}"


@pytest.mark.anyio
async def test_new_password_replaces_the_old_one(clones: GitClones, host: GitHost) -> None:
    """Cloning again with other credentials sets them on the finished clone; without any they are forgotten."""
    await clones.clone("repo-1", host.url("demo.git", "ada:old-password@"), ignore)
    folder = clones.path("repo-1")
    await clones.clone("repo-1", host.url("private/demo.git", f"ada:{PASSWORD_QUOTED}@"), ignore)
    git(folder, "fetch", "--quiet", "origin")
    await clones.clone("repo-1", host.url("demo.git"), ignore)
    assert not folder.with_name("repo-1.credentials").exists()
    assert "helper" not in (folder / ".git" / "config").read_text()


@pytest.mark.anyio
async def test_wrong_password(clones: GitClones, host: GitHost) -> None:
    """Refused credentials are AuthFailed, and neither reason nor log tail holds them; the right ones work next."""
    with pytest.raises(AuthFailed) as caught:
        await clones.clone("repo-1", host.url("private/demo.git", "ada:wrong-password@"), ignore)
    assert "wrong-password" not in f"{caught.value.reason}{caught.value.log_tail}"
    made = await clones.clone("repo-1", host.url("private/demo.git", f"ada:{PASSWORD_QUOTED}@"), ignore)
    assert made.trunk == "main"


@pytest.mark.anyio
async def test_no_password_and_nobody_to_ask(clones: GitClones, host: GitHost) -> None:
    """A private remote without credentials fails at once instead of waiting at a prompt."""
    with pytest.raises(AuthFailed):
        await clones.clone("repo-1", host.url("private/demo.git"), ignore)
    with pytest.raises(AuthFailed):
        await clones.clone("repo-1", host.url("private/demo.git", "ada@"), ignore)


@pytest.mark.anyio
async def test_credential_helper_of_the_user_is_asked(host: GitHost, tmp_path: Path) -> None:
    """A private remote opens with what the user's own credential helper knows."""
    (tmp_path / "logins").write_text(f"http://ada:{PASSWORD_QUOTED}@127.0.0.1:{host.server_port}\n")
    (tmp_path / ".gitconfig").write_text(f"[credential]\n\thelper = store --file={tmp_path}/logins\n")
    clones = GitClones(tmp_path / "clones", variables={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert (await clones.clone("repo-1", host.url("private/demo.git"), ignore)).trunk == "main"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("missing.git", Permanent, "no such repository"),
        ("403/x.git", AuthFailed, "credentials"),
        ("429/x.git", Transient, "slow down"),
        ("500/x.git", Transient, "trouble"),
        ("503/x.git", Transient, "trouble"),
    ],
)
async def test_answers_of_a_host(
    clones: GitClones, host: GitHost, path: str, error: type[PortError], words: str
) -> None:
    """What a git host answers decides between retrying and saying so, and nothing is left on disk."""
    with pytest.raises(error, match=words) as caught:
        await clones.clone("repo-1", host.url(path), ignore)
    assert type(caught.value) is error
    assert caught.value.log_tail
    assert not clones.path("repo-1").exists()
    assert not clones.path("repo-1").with_name("repo-1.partial").exists()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("remote", "error", "words"),
    [
        ("/nowhere/at/all.git", Permanent, "no such repository"),
        ("http://127.0.0.1:1/x.git", Unreachable, "could not be reached"),
        ("git://127.0.0.1:1/x.git", Unreachable, "could not be reached"),
        ("http://nowhere.invalid/x.git", Unreachable, "could not be reached"),
        ("ftp://127.0.0.1/x.git", Permanent, "not allowed"),
        ("ext::sh -c touch% ran", Permanent, "must be a URL"),
        ("--upload-pack=touch ran", Permanent, "dash"),
        ("relative/path", Permanent, "must be a URL"),
        ("", Permanent, "one line"),
        ("https://host/a\nb", Permanent, "one line"),
        ("https://ada:se/cret@host/x.git", Permanent, "percent-encode"),
        ("ssh://ada:secret@host/x.git", Permanent, "only http"),
    ],
)
async def test_remotes_that_lead_nowhere(
    clones: GitClones, remote: str, error: type[PortError], words: str
) -> None:
    """Addresses that are wrong, unreachable or dangerous each get their own error and run nothing."""
    with pytest.raises(error, match=words) as caught:
        await clones.clone("repo-1", remote, ignore)
    assert type(caught.value) is error
    assert "cret@" not in f"{caught.value.reason}{caught.value.log_tail}"


@pytest.mark.anyio
async def test_shallow_remote_is_refused(clones: GitClones, tmp_path: Path) -> None:
    """A remote without its history would make bundles that nobody can clone."""
    source = make_remote(tmp_path / "full.git", commits=3)
    git(tmp_path, "clone", "--quiet", "--bare", "--depth=1", f"file://{source}", "shallow.git")
    with pytest.raises(Permanent, match="unshallow"):
        await clones.clone("repo-1", str(tmp_path / "shallow.git"), ignore)


@pytest.mark.anyio
async def test_damaged_remote_is_no_success(clones: GitClones, tmp_path: Path) -> None:
    """A remote that loses an object on the way is an error with git's words, and no clone."""
    source = make_remote(tmp_path / "remote.git", commits=2)
    git(source, "repack", "-adq")
    pack = next((source / "objects" / "pack").glob("*.pack"))
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-60])
    with pytest.raises(PortError) as caught:
        await clones.clone("repo-1", str(source), ignore)
    assert caught.value.log_tail
    assert not clones.path("repo-1").exists()


@pytest.mark.anyio
async def test_root_that_cannot_be_used(tmp_path: Path) -> None:
    """A root where no folder can be is a sentence for people, not an error of the operating system."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Permanent, match="cannot be used"):
        await GitClones(tmp_path / "file" / "clones").clone("repo-1", "/x", ignore)


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, Permanent, "make room"),
        (errno.EROFS, Permanent, "Read-only"),
        (errno.EMFILE, Transient, "Too many open files"),
        (errno.EAGAIN, Transient, "temporarily unavailable"),
    ],
)
def test_errors_of_the_operating_system(number: int, error: type[PortError], words: str) -> None:
    """What passes by itself is Transient; what needs somebody is Permanent."""
    found = disk_failure(OSError(number, os.strerror(number)))
    assert type(found) is error
    assert words in found.reason


@pytest.mark.anyio
async def test_no_git_at_all(tmp_path: Path) -> None:
    """A host without git is told what to install."""
    clones = GitClones(tmp_path / "clones", variables={"PATH": str(tmp_path)})
    with pytest.raises(Permanent, match=r"install git 2\.38"):
        await clones.clone("repo-1", "/x", ignore)


@pytest.mark.anyio
async def test_git_that_is_too_old(tmp_path: Path) -> None:
    """A git older than 2.38 is refused by name before anything is done with it."""
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.37.9\n")
    old.chmod(0o755)
    clones = GitClones(tmp_path / "clones", variables={"PATH": f"{old.parent}:{os.environ['PATH']}"})
    with pytest.raises(Permanent, match=r"git 2\.37 is too old; install git 2\.38"):
        await clones.clone("repo-1", "/x", ignore)


@pytest.mark.anyio
async def test_deadline_of_a_clone(tmp_path: Path) -> None:
    """A clone that takes too long is ended and Transient."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nexec sleep 600\n")
    ssh.chmod(0o755)
    variables = {**os.environ, "GIT_SSH_COMMAND": str(ssh), "GIT_SSH_VARIANT": "simple"}
    clones = GitClones(tmp_path / "clones", deadlines=Deadlines(clone_seconds=0.5), variables=variables)
    begun = anyio.current_time()
    with pytest.raises(Transient, match=r"cloning host:x: git took longer than 0\.5 s"):
        await clones.clone("repo-1", "host:x", ignore)
    assert anyio.current_time() - begun < 10


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("fatal: write error: No space left on device\nfatal: early EOF", Permanent),
        ("fatal: early EOF\nfatal: fetch-pack: invalid index-pack output", Transient),
        ("error: RPC failed; curl 56 Recv failure: Connection reset by peer", Transient),
        ("fatal: the remote end hung up unexpectedly", Transient),
        (
            "git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            AuthFailed,
        ),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", Permanent),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", Permanent),
        (
            "ssh: connect to host h port 22: Connection timed out\nfatal: Could not read from remote",
            Unreachable,
        ),
        ("fatal: unable to access 'https://h/': SSL certificate problem: unable to get issuer", Permanent),
        ("fatal: detected dubious ownership in repository at '/x'", Permanent),
        ("fatal: something that no row knows", Transient),
    ],
)
def test_words_that_no_test_can_provoke_here(words: str, error: type[PortError]) -> None:
    """Disks, certificates and foreign ssh hosts are known by git's words alone."""
    found = failure(128, words, "cloning x", rows=NETWORK)
    assert type(found) is error
    assert found.reason.startswith("cloning x: ")
    assert found.log_tail == words


def test_a_git_that_was_killed_may_work_later() -> None:
    """An end by signal (memory ran out) is Transient, whatever was being done."""
    assert type(failure(-9, "", "bundling", rows=LOCAL)) is Transient
    assert type(failure(128, "fatal: odd", "bundling", rows=LOCAL)) is Permanent


def test_log_tail_is_bounded_and_without_progress() -> None:
    """Forty lines and 8,000 characters at most, and no repainted percentages."""
    painted = "Receiving objects:   1% (1/100)\rReceiving objects:   2% (2/100)\rremote: Counting objects: 5, done.\n"
    assert log_tail(f"{painted}fatal: early EOF\n") == "fatal: early EOF"
    long = log_tail("\n".join(f"line {n} " + "x" * 500 for n in range(100)))
    assert len(long) <= 8_000
    assert long.endswith("line 99 " + "x" * 500)
    assert len(log_tail("a\n" * 100).splitlines()) == 40

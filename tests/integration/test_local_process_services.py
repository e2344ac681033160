"""Services of local process sandboxes: whose process it is, where it listens, what it wrote, how it ends."""

import json
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from local_process import (
    OWNER,
    a_figure,
    bell,
    killed,
    new_spec,
    processes,
    running_sandbox,
    sandboxes,
    service,
    sleepers,
)
from taskdock.adapters.sandbox.local import provider, services
from taskdock.adapters.sandbox.local.health import Verdict, await_health
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.adapters.sandbox.local.process_table import ProcessTable
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.ports.sandbox import Endpoint, Exec, ProgramFile, SandboxSpec, ServiceSpec

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("level")]

LISTENER = """
import http.server, os, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.headers.get("Authorization") == "Bearer " + sys.argv[1] else 401)
        self.end_headers()
    def log_message(self, *arguments):
        pass
stranger = socket.create_server(("127.0.0.1", 0))
if sys.argv[4] == "child" and os.fork():
    os.wait()
Server((sys.argv[3], int(sys.argv[2])), Answer).serve_forever()
"""


at_process = pytest.mark.parametrize("level", [Level.PROCESS], indirect=True)


@pytest.fixture
async def spec(tmp_path: Path, level: Level) -> AsyncIterator[SandboxSpec]:
    """Give a running sandbox below tmp_path, and leave no process of it behind, even when a test fails."""
    async with running_sandbox(tmp_path, level) as one:
        yield one


def record(root: Path, spec: SandboxSpec) -> Path:
    """Where the start of the service is written down."""
    return root / spec.ref.name / "services" / "server.json"


def rewrite(path: Path, **changes: Any) -> None:
    """Change a record as a crash, a reboot or a pid that came round again would leave it."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


async def test_record_is_for_nobody_else(tmp_path: Path, spec: SandboxSpec) -> None:
    """What holds a token or a log has no permission for anybody but the owner, and the record names the process."""
    adapter = sandboxes(tmp_path)
    await adapter.ensure_service(spec.ref, service())
    folder = tmp_path / spec.ref.name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (record(tmp_path, spec), folder / "record.json", folder / "services/server.log"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = json.loads(record(tmp_path, spec).read_text())
    assert is_held_by(written["pid"], processes(tmp_path, spec.ref.name))
    assert written["token"] not in (folder / "record.json").read_text()


@pytest.mark.parametrize(
    "forged",
    [{"pid": os.getpid()}, {"start_ticks": 1}, {"boot_id": "another boot"}, {"pid": 2**22 + 1}],
    ids=["another pid", "another start", "another boot", "no such pid"],
)
async def test_process_that_is_not_the_recorded_one_is_not_trusted(
    tmp_path: Path, spec: SandboxSpec, forged: dict[str, Any]
) -> None:
    """A pid whose start or boot differs is another process: not adopted, not signalled, and one server runs after."""
    adapter = sandboxes(tmp_path)
    first = await adapter.ensure_service(spec.ref, service())
    rewrite(record(tmp_path, spec), **forged)
    with pytest.raises(Unreachable):
        await adapter.endpoint(spec.ref, "server")
    second = await adapter.ensure_service(spec.ref, service())
    assert second.incarnation != first.incarnation
    assert len(processes(tmp_path, spec.ref.name)) == 1
    await adapter.destroy(spec.ref, OWNER)
    assert not processes(tmp_path, spec.ref.name)


@at_process
async def test_intended_start_is_adopted_by_its_incarnation(tmp_path: Path, spec: SandboxSpec) -> None:
    """A start that was not written down afterwards is found by its incarnation and adopted with its token."""
    adapter = sandboxes(tmp_path)
    first = await adapter.ensure_service(spec.ref, service())
    rewrite(record(tmp_path, spec), boot_id=None, pid=None, start_ticks=None, host=None, port=None)
    with pytest.raises(Unreachable):
        await adapter.endpoint(spec.ref, "server")
    assert await adapter.ensure_service(spec.ref, service()) == first


async def test_unknown_fields_of_a_record_are_left_alone(tmp_path: Path, spec: SandboxSpec) -> None:
    """A record written by a newer version is understood as far as it goes; one that is none is Permanent."""
    adapter = sandboxes(tmp_path)
    first = await adapter.ensure_service(spec.ref, service())
    rewrite(record(tmp_path, spec), invented_later=[1, 2])
    assert await adapter.endpoint(spec.ref, "server") == first
    record(tmp_path, spec).write_text("{")
    with pytest.raises(Permanent, match="cannot be understood"):
        await adapter.endpoint(spec.ref, "server")
    await adapter.destroy(spec.ref, OWNER)
    assert not processes(tmp_path, spec.ref.name)


@pytest.mark.parametrize("family", ["itself", "child"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104 - in a test
async def test_port_is_found(tmp_path: Path, spec: SandboxSpec, host: str, family: str) -> None:
    """The port is found on every loopback address, in the process or its child, beside another that stays silent."""
    adapter = sandboxes(tmp_path)
    argv = ("python3", "-c", LISTENER, "{token}", "{port}", host, family)
    endpoint = await adapter.ensure_service(spec.ref, ServiceSpec("server", "1", argv, {}, (), "/"))
    if endpoint.uds is None:
        assert endpoint.url.startswith("http://[::1]:" if ":" in host else "http://127.0.0.1:")


async def test_service_that_no_longer_answers_is_started_anew(
    tmp_path: Path, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is up but stopped dead ends in Transient once, and the next call has a fresh one."""
    monkeypatch.setattr(services, "STOP_GRACE_SECONDS", 0.3)
    adapter = sandboxes(tmp_path)
    first = await adapter.ensure_service(spec.ref, service())
    (pid,) = processes(tmp_path, spec.ref.name)
    os.kill(pid, signal.SIGSTOP)
    hasty = evolve(service(), start_seconds_max=1.5)
    with pytest.raises(Transient, match="silent"):
        await adapter.ensure_service(spec.ref, hasty)
    assert not processes(tmp_path, spec.ref.name)
    assert (await adapter.ensure_service(spec.ref, service())).incarnation != first.incarnation


async def test_service_replaced_while_it_is_asked_is_not_confirmed(
    tmp_path: Path, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for a server that was replaced meanwhile gets no endpoint, and spoils none."""
    adapter, other, asked = sandboxes(tmp_path), sandboxes(tmp_path), await_health
    replaced: list[Endpoint] = []

    async def ask_then_replace(*arguments: Any) -> Verdict:
        verdict = await asked(*arguments)
        if not replaced:
            monkeypatch.setattr(provider, "await_health", asked)
            replaced.append(await other.ensure_service(spec.ref, service(version="2")))
        return verdict

    monkeypatch.setattr(provider, "await_health", ask_then_replace)
    with pytest.raises(Transient, match="was stopped while it started"):
        await adapter.ensure_service(spec.ref, service(version="1"))
    found, (other_found,) = await adapter.endpoint(spec.ref, "server"), replaced
    # Where the path of a socket is too long, each of the two reaches it through an open folder of its own.
    assert evolve(found, uds=None) == evolve(other_found, uds=None)
    assert found.uds is other_found.uds is None or (
        found.uds and other_found.uds and found.uds.samefile(other_found.uds)
    )
    assert len(processes(tmp_path, spec.ref.name)) == 1


@pytest.mark.parametrize(
    ("trap", "grace_seconds"),
    [("echo asked > asked; exit", 60.0), ("", 0.3)],
    ids=["polite", "deaf"],
)
async def test_deaf_service_is_killed_after_its_grace(
    tmp_path: Path, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch, trap: str, grace_seconds: float
) -> None:
    """SIGTERM comes first, so that a service can tidy up; what ignores it is killed when its grace is over."""
    monkeypatch.setattr(services, "STOP_GRACE_SECONDS", grace_seconds)
    adapter, home = sandboxes(tmp_path), tmp_path / spec.ref.name / "home"
    script = f"trap '{trap}' TERM; echo > trapped; while :; do sleep 0.05; done"
    one = ServiceSpec("server", "1", ("sh", "-c", script), {}, (), "/", start_seconds_max=60.0)

    async def in_vain() -> None:
        with pytest.raises(Transient):
            await adapter.ensure_service(spec.ref, one)

    with bell(home / "trapped") as rung:
        async with anyio.create_task_group() as group:
            group.start_soon(in_vain)
            await rung()
            await adapter.stop_service(spec.ref, "server")
    assert not processes(tmp_path, spec.ref.name)
    assert (home / "asked").exists() == bool(trap)


async def test_children_with_fresh_environments_are_ended(tmp_path: Path, spec: SandboxSpec) -> None:
    """A child that was started without our marker ends with its service, in its session or in one of its own."""
    figure = a_figure()
    script = f"env -i sleep {figure} & env -i setsid sleep {figure} & exec python3 server.py $0 $1"
    files = (ProgramFile("server.py", content=service().files[0].content),)
    argv = ("sh", "-c", script, "{token}", "{port}")
    adapter = sandboxes(tmp_path)
    await adapter.ensure_service(spec.ref, ServiceSpec("server", "1", argv, {}, files, "/"))
    assert len(sleepers(figure)) == 2
    await adapter.stop_service(spec.ref, "server")
    assert not sleepers(figure)


async def until_unreachable(adapter: LocalSandboxes, spec: SandboxSpec) -> None:
    """Ask until the server is known to be gone, for ten seconds at most."""
    with anyio.fail_after(10), suppress(Unreachable):
        while True:
            await adapter.endpoint(spec.ref, "server")
            await anyio.sleep(0.005)  # only asking tells


async def test_child_left_by_a_dead_leader_is_ended(tmp_path: Path, spec: SandboxSpec, level: Level) -> None:
    """What a service that died by itself left running is ended by the next start, before the new one begins."""
    figure = a_figure()
    script = f"setsid sleep {figure} & exec python3 server.py $0 $1"
    files = (ProgramFile("server.py", content=service().files[0].content),)
    argv = ("sh", "-c", script, "{token}", "{port}")
    left = ServiceSpec("server", "1", argv, {}, files, "/")
    adapter = sandboxes(tmp_path)
    await adapter.ensure_service(spec.ref, left)
    before = sleepers(figure)
    (server,) = processes(tmp_path, spec.ref.name) - before
    await killed(server)
    assert len(processes(tmp_path, spec.ref.name)) == 1
    if level is not Level.PROCESS:
        # bwrap, which we started, learns of the death inside a moment after the kernel does, and ends then.
        await until_unreachable(adapter, spec)
    with pytest.raises(Unreachable):
        await adapter.endpoint(spec.ref, "server")
    await adapter.ensure_service(spec.ref, left)
    after = sleepers(figure)
    assert len(before) == len(after) == 1
    assert before != after


async def test_stop_spares_other_services_and_commands(tmp_path: Path, spec: SandboxSpec) -> None:
    """Stopping one service ends its own processes only."""
    adapter = sandboxes(tmp_path)
    figure = a_figure()
    await adapter.exec(spec.ref, Exec(("sh", "-c", f"sleep {figure} >&- 2>&- &")))
    await adapter.ensure_service(spec.ref, service("server"))
    other = await adapter.ensure_service(spec.ref, service("other"))
    await adapter.stop_service(spec.ref, "server")
    assert await adapter.endpoint(spec.ref, "other") == other
    assert len(sleepers(figure)) == 1
    assert len(processes(tmp_path, spec.ref.name)) == 2
    await adapter.destroy(spec.ref, OWNER)
    assert not processes(tmp_path, spec.ref.name)


async def test_log_is_kept_short(tmp_path: Path, spec: SandboxSpec) -> None:
    """Output beyond eight MiB is cut to its last MiB when the service is asked for, and goes on behind it."""
    argv = (
        "sh",
        "-c",
        'yes 0123456 | head -c 9000000; echo "end"; exec python3 server.py $0 $1',
        "{token}",
        "{port}",
    )
    files = (ProgramFile("server.py", content=service().files[0].content),)
    adapter = sandboxes(tmp_path)
    loud = ServiceSpec("server", "1", argv, {}, files, "/")
    await adapter.ensure_service(spec.ref, loud)
    log = tmp_path / spec.ref.name / "services/server.log"
    assert log.stat().st_size > 8 * 1024 * 1024
    await adapter.endpoint(spec.ref, "server")
    assert log.stat().st_size == 1024 * 1024
    assert log.read_bytes().endswith(b"6\nend\n")
    (pid,) = processes(tmp_path, spec.ref.name)
    # As the service itself would: through the descriptor that it has open.
    append(Path(f"/proc/{pid}/fd/1"), b"later\n")
    assert log.read_bytes().endswith(b"end\nlater\n")


@pytest.mark.parametrize("log_path", ["own.log", "logs"])
async def test_log_tail_holds_both_logs_without_the_token(
    tmp_path: Path, spec: SandboxSpec, log_path: str
) -> None:
    """The tail of an error shows the output and the service's own log, a file or the newest of a folder."""
    script = 'echo "said $0"; mkdir logs; echo old > logs/1; touch -d 2001-01-01 logs/1; echo "noted $0" > logs/2; cp logs/2 own.log; exit 3'
    crashing = ServiceSpec("server", "1", ("sh", "-c", script, "{token}"), {}, (), "/", log_path=log_path)
    adapter = sandboxes(tmp_path)
    with pytest.raises(Transient, match="ended") as caught:
        await adapter.ensure_service(spec.ref, crashing)
    assert caught.value.log_tail == "said [token]\nnoted [token]"
    assert "token" not in caught.value.reason


async def test_log_path_leads_nowhere_else(tmp_path: Path, spec: SandboxSpec) -> None:
    """A log that leads out of the home is not shown."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "log").write_text("secret")
    adapter = sandboxes(tmp_path)
    script = f"ln -s {elsewhere}/log own.log; ln -s {elsewhere} logs; echo said; exit 1"
    for log_path in ("own.log", "logs", "logs/log", "../../elsewhere/log"):
        crashing = ServiceSpec("server", "1", ("sh", "-c", script), {}, (), "/", log_path=log_path)
        with pytest.raises(Transient) as caught:
            await adapter.ensure_service(spec.ref, crashing)
        assert "secret" not in (caught.value.log_tail or "")


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (("./no-such",), {}),
        (("text",), {}),
        ((), {}),
        (("a\0b",), {}),
        (("true",), {"A=B": "x"}),
        (("broken",), {}),
    ],
)
async def test_program_that_cannot_be_run_is_permanent(
    tmp_path: Path, spec: SandboxSpec, argv: tuple[str, ...], env: dict[str, str]
) -> None:
    """No file, no permission, no interpreter, no argument or an impossible one: Permanent, and nothing is left."""
    adapter = sandboxes(tmp_path)
    files = (
        ProgramFile("text", content=b"no program"),
        ProgramFile("broken", content=b"#!/no/such\n", mode=0o755),
    )
    argv = tuple(f"./{part}" if part in ("text", "broken") else part for part in argv)
    with pytest.raises(Permanent):
        await adapter.ensure_service(spec.ref, ServiceSpec("server", "1", argv, env, files, "/"))
    assert not record(tmp_path, spec).exists()
    with pytest.raises(Permanent):
        await adapter.exec(spec.ref, Exec(argv, env=env))


async def test_without_a_process_table_services_are_refused(tmp_path: Path) -> None:
    """Where there is no /proc, capabilities say what is missing, services are Permanent, the rest works."""
    lame = LocalSandboxes(
        tmp_path, "this-machine", lambda: datetime.now(UTC), table=ProcessTable(tmp_path / "no-proc")
    )
    spec = new_spec()
    await lame.ensure(spec)
    assert any("/proc" in sentence for sentence in lame.capabilities.not_enforced)
    assert not any("/proc" in sentence for sentence in sandboxes(tmp_path).capabilities.not_enforced)
    with pytest.raises(Permanent, match="Linux"):
        await lame.ensure_service(spec.ref, service())
    assert (await lame.exec(spec.ref, Exec(("echo", "works")))).stdout == b"works\n"
    with pytest.raises(Transient):
        await lame.exec(spec.ref, Exec(("sleep", "600"), timeout_seconds=0.1))
    assert not processes(tmp_path, spec.ref.name)
    await lame.destroy(spec.ref, OWNER)


def is_held_by(pid: int, inside: set[int]) -> bool:
    """Whether this is the one process inside, or the bwrap that started it (its parent's parent)."""
    (one,) = inside
    first = ProcessTable().read(one)
    above = None if first is None else ProcessTable().read(first.parent_pid)
    return pid == one or (above is not None and above.parent_pid == pid)


def append(path: Path, data: bytes) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(data)


async def test_the_last_words_of_a_silent_server_are_told(tmp_path: Path, spec: SandboxSpec) -> None:
    """What a server writes until its very end is in the log tail, also when it writes it while it is being ended."""
    source = (
        b"import signal, sys\n"
        b"def end(*_):\n"
        b"    print('last words', flush=True)\n"
        b"    sys.exit(0)\n"
        b"signal.signal(signal.SIGTERM, end)\n"
        b"while True: signal.pause()\n"
    )
    silent = evolve(
        service(),
        files=(ProgramFile(".taskdock/server.py", content=source),),
        argv=("python3", "{home}/.taskdock/server.py"),
        start_seconds_max=3.0,
    )
    with pytest.raises(Transient) as silence:
        await sandboxes(tmp_path).ensure_service(spec.ref, silent)
    assert "last words" in (silence.value.log_tail or "")

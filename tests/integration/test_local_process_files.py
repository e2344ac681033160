"""Folders and files of local process sandboxes: what is carried in and out, whose a folder is, how it is removed."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from local_process import OWNER, files, new_spec, running_sandbox, sandboxes
from taskdock.adapters.sandbox.local import files as files_module
from taskdock.adapters.sandbox.local.failures import as_port_error
from taskdock.core.errors import Foreign, Permanent, PortError, QuotaExceeded, Transient
from taskdock.ports.sandbox import Exec, Phase, ProgramFile, SandboxRef, SandboxSpec

pytestmark = pytest.mark.anyio


@pytest.fixture
async def spec(tmp_path: Path) -> AsyncIterator[SandboxSpec]:
    """Give a running sandbox below tmp_path, and leave no process of it behind, even when a test fails."""
    async with running_sandbox(tmp_path) as one:
        yield one


def home(root: Path, spec: SandboxSpec) -> Path:
    """Where the sandbox's home is."""
    return root / spec.ref.name / "home"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".trash", "a\0b", "-a", "a" * 101, "a~b"])
async def test_name_that_is_no_file_name_is_permanent(tmp_path: Path, name: str) -> None:
    """A name that could lead out of the root, or be taken for ours, is refused by every call that has one."""
    adapter, ref = sandboxes(tmp_path / "root"), SandboxRef("local", name)
    for call in (
        adapter.ensure(new_spec(name)),
        adapter.observe(ref),
        adapter.destroy(ref, OWNER),
        adapter.get_file(ref, "file"),
    ):
        with pytest.raises(Permanent):
            await call
    assert not files(tmp_path, "")


@pytest.mark.parametrize("service", ["../../record", "", "a/b", ".x"])
async def test_service_name_that_is_no_file_name_is_permanent(
    tmp_path: Path, spec: SandboxSpec, service: str
) -> None:
    """A service's name leads to no other file."""
    adapter = sandboxes(tmp_path)
    for call in (adapter.endpoint(spec.ref, service), adapter.stop_service(spec.ref, service)):
        with pytest.raises(Permanent):
            await call
    assert (await adapter.observe(spec.ref)).phase is Phase.RUNNING


async def test_other_providers_sandbox_is_permanent(tmp_path: Path, spec: SandboxSpec) -> None:
    """A reference to another provider's sandbox is not taken for ours of the same name."""
    with pytest.raises(Permanent, match="belongs to the provider"):
        await sandboxes(tmp_path).destroy(SandboxRef("remote", spec.ref.name), OWNER)


@pytest.mark.parametrize("thing", ["folder with a file", "file", "link", "guard and a file"])
async def test_what_we_did_not_make_stays_untouched(tmp_path: Path, thing: str) -> None:
    """A folder, file or link of somebody else under a sandbox's name is Foreign, and not as much as a lock is put in."""
    spec, treasure = new_spec(), tmp_path / "elsewhere" / "treasure"
    root = tmp_path / "root"
    path = root / spec.ref.name
    treasure.parent.mkdir()
    root.mkdir()
    if thing == "file":
        path.write_text("treasure")
    elif thing == "link":
        treasure.write_text("treasure")
        path.symlink_to(treasure.parent)
    else:
        path.mkdir()
        (path / "treasure").write_text("treasure")
        if thing.startswith("guard"):
            (path / "guard").touch()
    before = files(root, spec.ref.name)
    adapter = sandboxes(root)
    with pytest.raises(Foreign):
        await adapter.ensure(spec)
    with pytest.raises(Foreign):
        await adapter.destroy(spec.ref, OWNER)
    assert [one async for one in adapter.list_owned(OWNER)] == []
    assert files(root, spec.ref.name) == before


@pytest.mark.parametrize("record", ["", "{", "[]", '{"labels": 1}', '{"marker": "x"}'])
async def test_record_that_proves_nothing_stops_everything(
    tmp_path: Path, spec: SandboxSpec, record: str
) -> None:
    """A sandbox whose record cannot be understood is neither adopted nor destroyed, and hides no other."""
    adapter, other = sandboxes(tmp_path), new_spec()
    await adapter.ensure(other)
    path = tmp_path / spec.ref.name / "record.json"
    path.write_text(record)
    for call in (adapter.ensure(spec), adapter.destroy(spec.ref, OWNER), adapter.observe(spec.ref)):
        with pytest.raises(Permanent, match="cannot be understood"):
            await call
    assert [one.ref async for one in adapter.list_owned(OWNER)] == [other.ref]
    assert path.read_text() == record


async def test_lost_home_is_pending_and_mended(tmp_path: Path, spec: SandboxSpec) -> None:
    """A sandbox without its home does not run; the next ensure makes it whole again."""
    adapter = sandboxes(tmp_path)
    home(tmp_path, spec).rename(tmp_path / "away")
    observation = await adapter.observe(spec.ref)
    assert observation.phase is Phase.PENDING
    assert observation.reason
    await adapter.ensure(spec)
    await adapter.put_files(spec.ref, [ProgramFile("checkout/file", content=b"")])


async def test_lost_checkout_is_no_lost_sandbox(tmp_path: Path, spec: SandboxSpec) -> None:
    """Whoever makes the checkout anew removes it first; the sandbox runs all the same."""
    adapter = sandboxes(tmp_path)
    (home(tmp_path, spec) / "checkout").rmdir()
    assert (await adapter.observe(spec.ref)).phase is Phase.RUNNING


async def test_link_within_the_home_is_followed(tmp_path: Path, spec: SandboxSpec) -> None:
    """Links that stay inside are the sandbox's own business, for reading and for writing."""
    adapter, top = sandboxes(tmp_path), home(tmp_path, spec)
    (top / "real").mkdir()
    (top / "alias").symlink_to("real")
    await adapter.put_files(spec.ref, [ProgramFile("alias/file", content=b"there")])
    (top / "direct").symlink_to("alias/file")
    assert (top / "real/file").read_bytes() == b"there"
    assert await adapter.get_file(spec.ref, "direct") == b"there"


async def test_put_replaces_a_link_not_its_target(tmp_path: Path, spec: SandboxSpec) -> None:
    """A link planted where a file is to be is replaced itself, so nothing is written through it."""
    target = tmp_path / "target"
    target.write_text("as it was")
    (home(tmp_path, spec) / "file").symlink_to(target)
    adapter = sandboxes(tmp_path)
    await adapter.put_files(spec.ref, [ProgramFile("file", content=b"new")])
    assert target.read_text() == "as it was"
    assert await adapter.get_file(spec.ref, "file") == b"new"


async def test_folder_swapped_for_a_link_is_not_followed(
    tmp_path: Path, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that becomes a link out of the home after it was looked at is refused when it is opened."""
    top, outside = home(tmp_path, spec), tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    (top / "folder").mkdir()
    looked = files_module.resolve_beneath

    def look_then_swap(where: Path, path: str) -> object:
        found = looked(where, path)
        if (top / "folder").is_dir() and not (top / "folder").is_symlink():
            (top / "folder").rmdir()
            (top / "folder").symlink_to(outside)
        return found

    monkeypatch.setattr(files_module, "resolve_beneath", look_then_swap)
    adapter = sandboxes(tmp_path)
    with pytest.raises(Permanent):
        await adapter.put_files(spec.ref, [ProgramFile("folder/new", content=b"escaped")])
    (top / "folder").unlink()
    (top / "folder").mkdir()
    with pytest.raises(Permanent):
        await adapter.get_file(spec.ref, "folder/file")
    assert [path.name for path in outside.iterdir()] == ["file"]


async def test_pipe_is_no_file(tmp_path: Path, spec: SandboxSpec) -> None:
    """A named pipe, which would keep a reader waiting, is Permanent at once; a device too."""
    os.mkfifo(home(tmp_path, spec) / "pipe")
    with pytest.raises(Permanent, match="no regular file"):
        await sandboxes(tmp_path).get_file(spec.ref, "pipe")


async def test_file_has_a_size_limit(
    tmp_path: Path, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file above 512 MiB is refused by its size; one that grows while it is read, by what was read."""
    adapter, path = sandboxes(tmp_path), home(tmp_path, spec) / "large"
    path.touch()
    os.truncate(path, 512 * 1024 * 1024 + 1)
    with pytest.raises(Permanent, match="larger than 512 MiB"):
        await adapter.get_file(spec.ref, "large")
    monkeypatch.setattr(files_module, "FILE_BYTES_MAX", 10)
    for size, fits in ((10, True), (11, False)):
        os.truncate(path, size)
        if fits:
            assert await adapter.get_file(spec.ref, "large") == bytes(size)
        else:
            with pytest.raises(Permanent):
                await adapter.get_file(spec.ref, "large")


async def test_mode_gives_no_special_rights(tmp_path: Path, spec: SandboxSpec) -> None:
    """A file never comes in as set-user-id, whatever mode was asked for."""
    await sandboxes(tmp_path).put_files(spec.ref, [ProgramFile("file", content=b"", mode=0o4755)])
    assert (home(tmp_path, spec) / "file").stat().st_mode & 0o7777 == 0o755


async def test_program_is_a_link_and_not_a_copy(tmp_path: Path, spec: SandboxSpec) -> None:
    """A program of the host is linked, replaces what was there, and cannot be read out again through get_file."""
    adapter, program = sandboxes(tmp_path), tmp_path / "program"
    program.write_bytes(b"binary")
    await adapter.put_files(spec.ref, [ProgramFile("bin/program", content=b"old")])
    await adapter.put_files(spec.ref, [ProgramFile("bin/program", host_path=program)])
    assert (home(tmp_path, spec) / "bin/program").readlink() == program
    with pytest.raises(Permanent, match="leads out"):
        await adapter.get_file(spec.ref, "bin/program")


@pytest.mark.parametrize(
    "file",
    [
        ProgramFile("file"),
        ProgramFile("file", content=b"", host_path=Path("/bin/sh")),
        ProgramFile("file", host_path=Path("relative")),
        ProgramFile("", content=b""),
        ProgramFile(".", content=b""),
        ProgramFile("checkout", content=b""),
        ProgramFile("a\0b", content=b""),
        ProgramFile("\ud800", content=b""),
        ProgramFile("record/../../record.json", content=b""),
    ],
    ids=repr,
)
async def test_file_that_makes_no_sense_is_permanent(
    tmp_path: Path, spec: SandboxSpec, file: ProgramFile
) -> None:
    """A file that is neither bytes nor program, or has no place, is refused and leaves nothing."""
    before = files(tmp_path, spec.ref.name)
    with pytest.raises(Permanent):
        await sandboxes(tmp_path).put_files(spec.ref, [file])
    await sandboxes(tmp_path).put_files(spec.ref, [])
    assert files(tmp_path, spec.ref.name) == before


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, Transient),
        (errno.EMFILE, Transient),
        (errno.ENOMEM, Transient),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EACCES, Permanent),
        (errno.EROFS, Permanent),
    ],
)
def test_error_of_the_system_is_told_in_a_sentence(number: int, kind: type[PortError]) -> None:
    """What may pass is Transient, what will not is Permanent, and the sentence says what could not be done."""
    with (
        pytest.raises(PortError, match=r"Could not make tea\. .+: kettle\.") as caught,
        as_port_error("make tea"),
    ):
        raise OSError(number, os.strerror(number), "kettle")
    assert type(caught.value) is kind


async def test_half_removed_sandbox_is_listed_and_not_adopted(tmp_path: Path, spec: SandboxSpec) -> None:
    """What a destroyer left behind is going, for observe and for lists; ensure makes a new one beside it."""
    adapter = sandboxes(tmp_path)
    await adapter.put_files(spec.ref, [ProgramFile("file", content=b"old")])
    trash = tmp_path / ".trash"
    trash.mkdir()
    (tmp_path / spec.ref.name).rename(trash / f"{spec.ref.name}~0123")
    assert (await adapter.observe(spec.ref)).phase is Phase.DESTROYING
    assert [one.phase async for one in adapter.list_owned(OWNER)] == [Phase.DESTROYING]
    await adapter.ensure(spec)
    with pytest.raises(Permanent):
        await adapter.get_file(spec.ref, "file")
    assert [one.phase async for one in adapter.list_owned(OWNER)] == [Phase.RUNNING]
    assert (await adapter.destroy(spec.ref, OWNER)).phase is Phase.ABSENT
    assert files(tmp_path, spec.ref.name) == []


async def test_half_removed_sandbox_of_another_stays(tmp_path: Path, spec: SandboxSpec) -> None:
    """What another owner's destroyer left behind is not ours to finish."""
    adapter = sandboxes(tmp_path)
    trash = tmp_path / ".trash"
    trash.mkdir()
    (tmp_path / spec.ref.name).rename(trash / f"{spec.ref.name}~0123")
    with pytest.raises(Foreign):
        await adapter.destroy(spec.ref, "another")
    assert files(tmp_path, spec.ref.name)


REMOVE_AS_NOBODY = """
import os, sys
import anyio, anyio._backends._asyncio
from pathlib import Path
from local_process import OWNER, new_spec, running_sandbox, sandboxes
from taskdock.ports.sandbox import Exec
root, name = sys.argv[1:]
if os.getuid() == 0:
    os.setgid(65534); os.setgroups([]); os.setuid(65534)
CLOSE = "mkdir -p a/b/c; touch a/b/c/file; chmod 000 a/b/c/file; chmod 000 a/b/c; chmod 500 a/b; chmod 000 a $HOME"
async def main():
    adapter, spec = sandboxes(Path(root)), new_spec(name)
    await adapter.ensure(spec)
    result = await adapter.exec(spec.ref, Exec(("sh", "-c", CLOSE), cwd="checkout"))
    assert result.exit_code == 0, result
    print(os.getuid(), (await adapter.destroy(spec.ref, OWNER)).phase.value, os.listdir(root))
anyio.run(main)
"""


def test_closed_folders_do_not_stop_an_ordinary_user() -> None:
    """Files and folders without permissions are removed by a user who is not root."""
    user = os.getuid() or 65534
    # Not below tmp_path, which is closed to everybody else.
    with TemporaryDirectory() as root:
        Path(root).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", REMOVE_AS_NOBODY, root, "box"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.stdout, done.stderr) == (f"{user} absent ['.trash']\n", "")


async def test_very_deep_tree_is_removed(tmp_path: Path, spec: SandboxSpec) -> None:
    """A tree far deeper than a path may be long, or a stack deep, is removed; links in it lead nowhere."""
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o500)
    (kept / "file").touch()
    dig = f"import os\nfor _ in range(3000): os.mkdir('d' * 100); os.chdir('d' * 100); os.symlink({str(kept)!r}, 'l')"
    adapter = sandboxes(tmp_path)
    result = await adapter.exec(spec.ref, Exec(("python3", "-c", dig)))
    assert result.exit_code == 0, result.stderr
    assert (await adapter.destroy(spec.ref, OWNER)).phase is Phase.ABSENT
    assert not files(tmp_path, spec.ref.name)
    assert (kept / "file").exists()
    assert kept.stat().st_mode & 0o777 == 0o500


async def test_record_tells_when_and_whose(tmp_path: Path, spec: SandboxSpec) -> None:
    """The record holds labels, time and a marker of 128 random bits, different for each sandbox."""
    other = new_spec()
    await sandboxes(tmp_path).ensure(other)
    one, two = (json.loads((tmp_path / each.ref.name / "record.json").read_text()) for each in (spec, other))
    assert one["labels"] == spec.labels
    assert len(bytes.fromhex(one["marker"])) == 16
    assert one["marker"] != two["marker"]
    assert one["created"].endswith("+00:00")

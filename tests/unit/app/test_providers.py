"""Providers of other distributions: found by name, imported when asked for, and refused with the way out."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from taskdock import app
from taskdock.adapters.clock import SystemClock
from taskdock.app import Config, load_config, ports_of
from taskdock.app.doctor import examine
from taskdock.app.providers import OWN, find_provider, open_provider, open_sites, provider_names
from taskdock.core.errors import InvalidCommand, Unsupported
from taskdock.ports.provider import GROUP, Opening, ProviderSpec, Sandboxes

pytestmark = pytest.mark.anyio

Install = Callable[..., None]

MODULE = """
from attrs import frozen
from taskdock.core.errors import AuthFailed, Unsupported
from taskdock.ports.provider import ProviderSpec
from taskdock.ports.sandbox import Capabilities

@frozen
class Settings:
    size: int = 1

class Boxes:
    id = "boxes"
    capabilities = Capabilities(None, "vm", 60.0, True, ("Memory: 1 MiB.",), ("The weather.",), "buy more")
    closed = 0

    async def aclose(self):
        Boxes.closed += 1

    async def list_owned(self, owner):
        return
        yield

async def open_boxes(settings, opening):
    {before}
    Boxes.opened = (settings, opening)
    return Boxes()

PROVIDER = ProviderSpec("{id}", Settings, open_boxes, install="boxes[all]")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Give a function that lays a distribution with one module and one entry point beside the installed ones."""
    monkeypatch.syspath_prepend(tmp_path / "site")

    def lay(
        text: str = "",
        *,
        dist: str = "taskdock-boxes",
        entry: str = "boxes = boxes_provider:PROVIDER",
        name: str = "boxes",
    ) -> None:
        site = tmp_path / "site"
        info = site / f"{dist.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")
        source = text if "\n" in text else MODULE.replace("{before}", text or "pass").replace("{id}", name)
        (site / "boxes_provider.py").write_text(source)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, "boxes_provider", raising=False)

    return lay


def config(tmp_path: Path, **changes: object) -> Config:
    """An installation with that provider."""
    return Config(home=tmp_path / "home", providers=("boxes",), **changes)  # type: ignore[arg-type]


def test_names_are_listed_without_an_import(install: Install) -> None:
    """Even a provider that cannot be imported is in the list, beside our own."""
    install("raise AssertionError('imported')\n")
    assert "boxes" in provider_names()
    assert {entry.name for entry in OWN} <= set(provider_names())
    assert "boxes_provider" not in sys.modules


def test_our_own_are_found_the_same_way() -> None:
    """Each of ours is an entry of the same shape, and gives a spec of its name."""
    assert [find_provider(entry.name).id for entry in OWN] == [entry.name for entry in OWN]


def test_an_unknown_name_names_the_known_ones(install: Install) -> None:
    """The plug-ins are among them."""
    install()
    with pytest.raises(
        InvalidCommand, match=r"Unknown provider 'boxed': there is 'boxes', 'daytona', 'local', .*"
    ) as caught:
        find_provider("boxed")
    assert caught.value.field == "providers"


@pytest.mark.parametrize("extras", ["", " [vm,net]"], ids=["none", "extras"])
def test_a_missing_module_names_the_command(install: Install, extras: str) -> None:
    """What the module itself lacks comes with its distribution, so that is what is to be installed."""
    install("import no_such_module_at_all\n", entry=f"boxes = boxes_provider:PROVIDER{extras}")
    with pytest.raises(Unsupported, match="no_such_module_at_all") as caught:
        find_provider("boxes")
    assert caught.value.mend == f"pip install 'taskdock-boxes{extras.strip()}'"
    assert str(caught.value.mend) in caught.value.message


async def test_a_module_missing_at_the_opening_names_the_spec_s_command(
    install: Install, tmp_path: Path
) -> None:
    """A provider that imports late what is large says itself what brings it; the config can be read all the same."""
    install("import no_such_module_at_all")
    with pytest.raises(Unsupported, match="no_such_module_at_all") as caught:
        await open_provider("boxes", config(tmp_path), SystemClock())
    assert caught.value.mend == "pip install 'boxes[all]'"


@pytest.mark.parametrize("name", ["boxes", "local"], ids=["two of others", "one of ours"])
def test_a_name_taken_twice_is_refused(install: Install, name: str) -> None:
    """Chance does not decide whose provider a name is: both distributions are named."""
    install(name=name, entry=f"{name} = boxes_provider:PROVIDER")
    if name == "boxes":
        install(dist="other-boxes", entry=f"{name} = other_provider:PROVIDER")
    with pytest.raises(
        InvalidCommand,
        match=rf"'{name}' is brought by (other-boxes|taskdock) .* and taskdock-boxes .*: uninstall one",
    ):
        find_provider(name)


@pytest.mark.parametrize(
    ("text", "entry", "wrong"),
    [
        ("PROVIDER = 5\n", "boxes = boxes_provider:PROVIDER", "is no ProviderSpec of that id, but 5"),
        ("", "bags = boxes_provider:PROVIDER", "is no ProviderSpec of that id, but ProviderSpec"),
        ("", "boxes = boxes_provider:NOTHING", "cannot be imported"),
    ],
    ids=["no spec", "another id", "no such attribute"],
)
def test_a_broken_provider_is_told(install: Install, text: str, entry: str, wrong: str) -> None:
    """What the entry point leads to has to be a spec of that very id."""
    install(text, entry=entry)
    with pytest.raises(Unsupported, match=wrong):
        find_provider(entry.partition(" ")[0])


async def test_it_is_opened_with_its_settings(install: Install, tmp_path: Path) -> None:
    """It gets its own class with what the table says, a folder of its own and the time; nothing is made by opening it."""
    install()
    path = tmp_path / "taskdock.toml"
    path.write_text("providers = ['boxes']\n[provider.boxes]\nsize = 3\n")
    async with ports_of(load_config(path, home=tmp_path / "home")) as ports:
        site = ports.sites.by_provider["boxes"]
        assert site.provider.id == "boxes"
        settings, opening = sys.modules["boxes_provider"].Boxes.opened
        assert (settings.size, opening.folder) == (3, tmp_path / "home/providers/boxes")
        assert opening.now().tzinfo is not None
        assert site.provider.closed == 0  # type: ignore[attr-defined]
    assert sys.modules["boxes_provider"].Boxes.closed == 1
    assert not (tmp_path / "home").exists()


async def test_settings_of_another_class_are_refused(install: Install, tmp_path: Path) -> None:
    """A backend that gives what the provider does not know is told which class it is."""
    install()
    with pytest.raises(
        InvalidCommand, match=r"settings of 'boxes' are one boxes_provider.Settings, not \{'size': 3"
    ):
        await open_provider("boxes", config(tmp_path, provider={"boxes": {"size": 3}}), SystemClock())


async def test_settings_that_are_needed_are_asked_for(install: Install, tmp_path: Path) -> None:
    """A provider that cannot do without its table says which key is missing."""
    install(MODULE.replace("size: int = 1", "size: int").replace("{before}", "pass").replace("{id}", "boxes"))
    with pytest.raises(InvalidCommand, match=r"\[provider.boxes\] lacks size"):
        await open_provider("boxes", config(tmp_path), SystemClock())


async def test_none_stays_open_when_one_cannot_be_opened(install: Install, tmp_path: Path) -> None:
    """Those that were opened before are closed."""
    install()
    both = Config(home=tmp_path / "home", providers=("boxes", "nothing"))
    with pytest.raises(InvalidCommand, match="'nothing'"):
        async with open_sites(both, SystemClock()):
            raise AssertionError("it was opened")
    assert sys.modules["boxes_provider"].Boxes.closed == 1


@pytest.mark.parametrize(
    ("before", "wrong", "mend"),
    [
        ("raise AuthFailed('The key was refused.')", "cannot be opened: The key was refused.", None),
        ("raise Unsupported('There is no vm here.', mend='get one')", "There is no vm here.", "get one"),
        ("Boxes.id = 'bags'", "calls itself 'bags'", None),
    ],
    ids=["a port's error", "unsupported", "another name"],
)
async def test_the_doctor_says_why_it_cannot_be_opened(
    install: Install, tmp_path: Path, before: str, wrong: str, mend: str | None
) -> None:
    """The check fails with the provider's own words and its own way out, and so does whoever needs it."""
    install(before)
    (tmp_path / "taskdock.toml").write_text("providers = ['boxes']\n")
    check = next(one for one in await examine(tmp_path) if one.name == "provider boxes")
    assert (check.ok, check.essential, check.mend) == (False, True, mend)
    assert wrong in check.detail
    with pytest.raises(Unsupported):
        async with app.open(load_config(tmp_path / "taskdock.toml", home=tmp_path)):
            raise AssertionError("it schedules")


async def test_the_doctor_says_what_it_holds(install: Install, tmp_path: Path) -> None:
    """Isolation, limits, what is not held, and what would mend that; and it is closed again."""
    install()
    (tmp_path / "taskdock.toml").write_text("providers = ['boxes', 'boxed']\n")
    checks = {one.name: one for one in await examine(tmp_path)}
    check, unknown = checks["provider boxes"], checks["provider boxed"]
    assert check.detail == "isolation vm. Memory: 1 MiB. The weather."
    assert (check.ok, check.essential, check.mend) == (False, False, "buy more")
    assert (unknown.ok, unknown.essential) == (False, True)
    assert "Unknown provider 'boxed'" in unknown.detail
    assert sys.modules["boxes_provider"].Boxes.closed == 1


async def test_who_only_submits_imports_none(install: Install, tmp_path: Path) -> None:
    """A process that does not schedule offers the names and takes tasks for them, whatever the providers are like."""
    install("raise AssertionError('imported')\n")
    async with app.open(config(tmp_path), schedule=False) as dock:
        receipt = await dock.create_task(repo="https://git.example.org/a/b", prompt="Do it", provider="boxes")
        assert (await dock.task(receipt.task_id)).task.provider == "boxes"
        with pytest.raises(InvalidCommand, match="boxes"):
            await dock.create_task(repo="https://git.example.org/a/b", prompt="Do it", provider="local")
    assert "boxes_provider" not in sys.modules


@pytest.mark.parametrize("name", ["Boxes", "my_boxes", "../boxes", "", "boxes-"])
def test_an_id_that_is_no_name_is_refused(name: str) -> None:
    """An id is a part of paths, lanes and tables, so it is plain."""
    with pytest.raises(ValueError, match="'id' must match"):
        ProviderSpec(name, Plain, _never)


def test_settings_that_are_no_attrs_class_are_refused() -> None:
    """What the fields are is read off the class."""
    with pytest.raises(TypeError, match="config is an attrs class"):
        ProviderSpec("boxes", int, _never_int)


@frozen
class Plain:
    """No settings at all."""


async def _never(_settings: Plain, _opening: Opening) -> Sandboxes:
    raise AssertionError


async def _never_int(_settings: int, _opening: Opening) -> Sandboxes:
    raise AssertionError

"""Settings of a provider: its table becomes its own class, or the mistake is told by file, line and key."""

from pathlib import Path
from typing import Literal

import pytest
from attrs import Attribute, field, frozen
from attrs.validators import ge

from taskdock.app import Config, load_config
from taskdock.app import providers as providers_of_the_app
from taskdock.core.errors import InvalidCommand
from taskdock.ports.provider import GROUP, Opening, ProviderSpec, Sandboxes


def _known_region(_config: object, _attribute: "Attribute[str]", value: object) -> None:
    if value == "moon":
        raise InvalidCommand("there is no region on the moon", field="region")


@frozen
class Retry:
    """A table within."""

    attempts: int = field(default=3, validator=ge(1))


@frozen
class Shed:
    """One setting of each kind."""

    url: str
    region: str = field(default="eu", validator=_known_region)
    seconds: float = field(default=1.0, validator=ge(0))
    is_dry: bool = False
    root: Path | None = None
    size: Literal["small", "large"] = "small"
    zones: tuple[str, ...] = ()
    labels: dict[str, str] = field(factory=dict)
    retry: Retry = field(factory=Retry)
    _hidden: int | str = 0


async def _open(_shed: Shed, _opening: Opening) -> Sandboxes:
    raise AssertionError("reading a config opens nothing")


@pytest.fixture(autouse=True)
def shed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `shed` be a provider of this installation."""
    monkeypatch.setattr(providers_of_the_app, "OWN", (*providers_of_the_app.OWN, _Entry()))


class _Entry:
    name, value, group, dist, extras = "shed", "shed:PROVIDER", GROUP, None, ()

    def load(self) -> object:
        """The spec, as an entry point gives it."""
        return ProviderSpec("shed", Shed, _open)


HEAD = "providers = ['local', 'shed']\n[provider.shed]\nurl = 'x'\n"
MISTAKES = {
    "unknown key": ("sedonds = 1", 4, "unknown key 'provider.shed.sedonds'; did you mean 'seconds'?"),
    "unknown key in a table within": ("[provider.shed.retry]\nattempt = 2", 5, "did you mean 'attempts'?"),
    "a number for a text": ("region = 5", 4, "provider.shed.region is a text, not 5."),
    "a text for a number": ("seconds = '1'", 4, "provider.shed.seconds is a number, not '1'."),
    "true for a number": ("seconds = true", 4, "provider.shed.seconds is a number, not True."),
    "a number for true": ("is_dry = 1", 4, "provider.shed.is_dry is true or false, not 1."),
    "half a number": ("retry = { attempts = 1.5 }", 4, "provider.shed.retry.attempts is a whole number, not 1.5."),
    "no path": ("root = 5", 4, "provider.shed.root is the path of a file or folder, as text, not 5."),
    "none of the words": ("size = 'huge'", 4, "provider.shed.size is 'small' or 'large', not 'huge'."),
    "a text for a list": ("zones = 'abc'", 4, "provider.shed.zones is a list, not 'abc'."),
    "a number in a list": ("zones = ['a', 5]", 4, "provider.shed.zones is a text, not 5."),
    "a number in a table": ("labels = { a = 5 }", 4, "provider.shed.labels.a is a text, not 5."),
    "no table": ("retry = 5", 4, "provider.shed.retry is a table"),
    "refused by a validator": ("seconds = -1", 4, "provider.shed.seconds is refused: 'seconds' must be >= 0"),
    "refused within": ("retry = { attempts = 0 }", 4, "provider.shed.retry.attempts is refused: 'attempts' must be"),
    "refused in the provider's words": ("region = 'moon'", 4, "provider.shed.region is refused: there is no region"),
    "of no kind that it may be": ("hidden = 1.5", 4, "provider.shed.hidden is a text, not 1.5."),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_where_it_stands(name: str, tmp_path: Path) -> None:
    """The error names the file, the line, and what would be right."""
    text, line, sentence = MISTAKES[name]
    path = tmp_path / "taskdock.toml"
    path.write_text(f"{HEAD}{text}\n")
    with pytest.raises(InvalidCommand) as caught:
        load_config(path)
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert sentence in caught.value.message
    assert (caught.value.field or "").startswith("provider.shed")


def test_what_it_cannot_do_without_is_told(tmp_path: Path) -> None:
    """A setting without a default is asked for by name, at the line of its table."""
    path = tmp_path / "taskdock.toml"
    path.write_text("providers = ['shed']\n\n[provider.shed]\nregion = 'eu'\n")
    with pytest.raises(InvalidCommand, match=rf"^{path}:3: \[provider.shed\] lacks url\.$"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("[provider.shet]\n", 2, "unknown key 'provider.shet'; did you mean 'shed'?"),
        ("[provider.local-process]\n", 2, "unknown key 'provider.local-process'; there is local, shed."),
        ("[provider]\nshed = 5\n", 3, "provider.shed is a table: write [provider.shed]."),
    ],
    ids=["misspelt", "not configured", "no table"],
)
def test_a_table_of_no_configured_provider_is_refused(
    text: str, line: int, sentence: str, tmp_path: Path
) -> None:
    """Settings of a provider that is not in `providers` would be passed over in silence."""
    path = tmp_path / "taskdock.toml"
    path.write_text(f"providers = ['local', 'shed']\n{text}")
    with pytest.raises(InvalidCommand) as caught:
        load_config(path)
    assert caught.value.message == f"{path}:{line}: {sentence}"


def test_what_is_right_is_read(tmp_path: Path) -> None:
    """Each kind of value arrives as its field wants it; what is left out keeps its default."""
    path = tmp_path / "taskdock.toml"
    path.write_text(
        f"{HEAD}seconds = 2\nis_dry = true\nroot = '~/boxes'\nsize = 'large'\nzones = ['a', 'b']\nhidden = 'x'\n"
        "[provider.shed.labels]\na = 'b'\n[provider.shed.retry]\nattempts = 5\n[provider.local]\ncpus = 1\n"
    )
    config = load_config(path)
    boxes = Path("~/boxes").expanduser()
    wanted = Shed("x", "eu", 2.0, True, boxes, "large", ("a", "b"), {"a": "b"}, Retry(5), "x")
    assert config.provider["shed"] == wanted
    assert isinstance(wanted.seconds, float)
    assert sorted(config.provider) == ["local", "shed"]
    path.write_text(f"{HEAD}size = 'large'\n")
    assert load_config(path).provider == {"shed": Shed("x", size="large")}


def test_settings_of_the_caller_win(tmp_path: Path) -> None:
    """What a backend gives stands in the place of every table; what is no such thing is refused by its key."""
    path = tmp_path / "taskdock.toml"
    path.write_text(f"{HEAD}sedonds = 1\n")
    given = {"shed": Shed("y")}
    assert load_config(path, provider=given).provider == given
    path.write_text(f"{HEAD}[provider.local]\ncpus = 1\n")
    assert sorted(load_config(path, providers=("local",)).provider) == ["local", "shed"]
    with pytest.raises(InvalidCommand, match=r"^provider is settings by the name of their provider"):
        Config(provider=["shed"])  # type: ignore[arg-type]

"""The settings of Daytona: what is refused, where the key comes from, and what is asked of Daytona."""

from pathlib import Path

import pytest

from taskdock.adapters.sandbox.daytona.box import Box
from taskdock.adapters.sandbox.daytona.settings import DaytonaConfig, key_of
from taskdock.app import load_config
from taskdock.core.errors import InvalidCommand, Unsupported
from taskdock.ports.sandbox import Phase

KEY = "dtn_something"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('api_url = "http://daytona.example.org/api"', "https://"),
        ('api_url = "https://me:secret@daytona.example.org/api"', "https://"),
        ("cpu = 2", "need an image"),
        ('snapshot = "a"\nimage = "b"', "exclude"),
        ("auto_stop_minutes = -1", "auto_stop_minutes"),
        ('python = "python3; rm -rf /"', "python"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, line: str, words: str) -> None:
    """With the file and the key that is wrong."""
    path = tmp_path / "taskdock.toml"
    path.write_text(f'providers = ["daytona"]\n[provider.daytona]\n{line}\n')
    with pytest.raises(InvalidCommand, match=words):
        load_config(path)


def test_the_key_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """The file is asked first; what is there is never shown."""
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    assert key_of(DaytonaConfig(), {"DAYTONA_API_KEY": KEY}) == KEY
    assert key_of(DaytonaConfig(key_variable="OTHER"), {"OTHER": KEY, "DAYTONA_API_KEY": "no"}) == KEY
    assert key_of(DaytonaConfig(key_file=path), {}) == KEY


@pytest.mark.parametrize("value", ["", "two words", "caf\u00e9"])
def test_without_a_key_nothing_opens(tmp_path: Path, value: str) -> None:
    """Unsupported says where it was looked for, and not what was found."""
    with pytest.raises(Unsupported) as caught:
        key_of(DaytonaConfig(), {"DAYTONA_API_KEY": value})
    assert "DAYTONA_API_KEY" in str(caught.value)
    assert not value or value not in str(caught.value)
    with pytest.raises(Unsupported, match="cannot be read"):
        key_of(DaytonaConfig(key_file=tmp_path / "none"), {})


@pytest.mark.parametrize(
    ("state", "desired", "phase"),
    [
        ("started", "started", Phase.RUNNING),
        ("started", "destroyed", Phase.DESTROYING),
        ("started", "stopped", Phase.STOPPING),
        ("stopped", "stopped", Phase.STOPPED),
        ("stopped", "started", Phase.PENDING),
        ("archived", "archived", Phase.STOPPED),
        ("paused", "paused", Phase.STOPPED),
        ("creating", "started", Phase.PENDING),
        ("pulling_snapshot", "started", Phase.PENDING),
        ("creating", "destroyed", Phase.DESTROYING),
        ("error", "started", Phase.FAILED),
        ("build_failed", "started", Phase.FAILED),
        ("error", "destroyed", Phase.DESTROYING),
        ("destroying", "destroyed", Phase.DESTROYING),
        ("destroyed", "destroyed", Phase.ABSENT),
        ("unknown", "started", Phase.UNKNOWN),
        ("quarantined", "started", Phase.UNKNOWN),
    ],
)
def test_their_states_in_our_words(state: str, desired: str, phase: Phase) -> None:
    """State and desired state together: right after a request was taken the state is still what it was."""
    told = {"id": "1", "name": "box", "state": state, "desiredState": desired}
    assert Box.read(told).phase is phase

"""Config: a mistake in the file is told by file, line and the key that was meant."""

from pathlib import Path

import pytest

from taskdock.app.config import Config
from taskdock.app.config_file import load_config, load_home
from taskdock.core.errors import InvalidCommand

MISTAKES = {
    "unknown key": ("providers = ['local']\n\ndrain_second = 3\n", 3, "unknown key 'drain_second'; did you mean 'drain_seconds'"),
    "unknown, nothing near": ("\nzebra = 1\n", 2, "unknown key 'zebra'; there is agent, agents, "),
    "unknown in a table": ("[keep]\nfeed_days = 1\nkey_hours = 2\n", 3, "'keep.key_hours'; did you mean 'keys_hours'"),
    "unknown intent": ("[figures.intents.CreateSandbx]\nattempts_max = 3\n", 1, "did you mean 'CreateSandbox'"),
    "unknown limit": ("[figures.intents]\nCloneRepo = { attempts = 3 }\n", 2, "did you mean 'attempts_max'"),
    "unknown lane": ("[lanes]\n# comment\n\nclones = 3\n", 4, "'lanes.clones'; did you mean 'clone'"),
    "dotted key": ("home = 'x'\nfigures.backof_seconds = 2\n", 2, "did you mean 'backoff_seconds'"),
    "text for seconds": ("synchronous = 'FULL'\ndrain_seconds = 'five'\n", 2, "drain_seconds is a number of seconds"),
    "true for a number": ("drain_seconds = true\n", 1, "drain_seconds is a number of seconds"),
    "not a number": ("drain_seconds = nan\n", 1, "drain_seconds is a number of seconds"),
    "a name for a list": ("providers = 'local'\n", 1, "providers is a list of names"),
    "a list over many lines": ("cache = 'y'\nproviders = [\n  'local',\n  3,\n]\n", 2, "providers is a list of names"),
    "empty list": ("agents = []\n", 1, "agents is a list of names"),
    "number for a folder": ("home = 5\n", 1, "home is the path of a folder"),
    "other durability": ("synchronous = 'OFF'\n", 1, "synchronous is FULL or NORMAL"),
    "no whole number": ("open_intents_max = 2.5\n", 1, "open_intents_max is a whole number"),
    "no code": ("wrap = 'gates'\n", 1, "wrap is `module:attribute`"),
    "no table": ("lanes = 3\n", 1, "lanes is a table: write [lanes]"),
    "no table within": ("[figures]\nintents = 3\n", 2, "figures.intents is a table"),
    "no room": ("[lanes]\nclone = 0\n", 2, "lanes.clone is a number of executions, 1 or more, not 0"),
    "text for a figure": ("[figures]\nsettle_seconds = '1'\n", 2, "figures.settle_seconds is a number of seconds"),
    "attempts by half": ("[figures.intents.CloneRepo]\nattempts_max = 1.5\n", 2, "attempts_max is a number of attempts"),
    "negative period": ("[keep]\nhistory_days = -1\n", 2, "keep.history_days is a number, 0 or more, not -1"),
    "rows by half": ("[keep]\nfeed_rows_max = 1.5\n", 2, "keep.feed_rows_max is a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_where_it_stands(name: str, tmp_path: Path) -> None:
    """The error names the file, the line, and what would be right."""
    text, line, sentence = MISTAKES[name]
    path = tmp_path / "taskdock.toml"
    path.write_text(text)
    with pytest.raises(InvalidCommand) as caught:
        load_config(path)
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert sentence in caught.value.message
    assert caught.value.field


def test_a_file_for_a_folder_is_told(tmp_path: Path) -> None:
    """A folder that is a file is refused with its line, before anything is made in it."""
    path, there = tmp_path / "taskdock.toml", tmp_path / "notes.txt"
    there.write_text("mine")
    path.write_text(f"drain_seconds = 1\ncache = '{there}'\n")
    with pytest.raises(
        InvalidCommand, match=rf"{path}:2: cache is the path of a folder, and {there} is a file"
    ):
        load_config(path)


def test_text_that_is_no_toml_is_told(tmp_path: Path) -> None:
    """What cannot be read at all is told by file and the reader's own line."""
    path = tmp_path / "taskdock.toml"
    path.write_text("providers = [\n")
    with pytest.raises(InvalidCommand, match=rf"{path}: .*"):
        load_config(path)
    path.write_bytes(b"home = '\xff'\n")
    with pytest.raises(InvalidCommand, match=rf"{path}: .*utf-8"):
        load_config(path)
    with pytest.raises(InvalidCommand, match=rf"{tmp_path}/none.toml: No such file"):
        load_config(tmp_path / "none.toml")


def test_a_mistake_of_the_caller_names_no_file(tmp_path: Path) -> None:
    """A value that a backend gives is refused by its key alone, whatever the file says."""
    path = tmp_path / "taskdock.toml"
    path.write_text("drain_seconds = 1\n")
    with pytest.raises(InvalidCommand, match=r"^drain_seconds is a number") as caught:
        load_config(path, drain_seconds=-1)
    assert caught.value.field == "drain_seconds"
    with pytest.raises(InvalidCommand, match=r"^agents is a list"):
        Config(agents=())


def test_what_is_right_is_read(tmp_path: Path) -> None:
    """Every table may be there; what is left out keeps its default, and the home folder wins over its file's own word."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "taskdock.toml").write_text(
        "home = 'elsewhere'\nopen_intents_max = 7\n[keep]\nfeed_days = 1\n[lanes]\n'sandbox:other' = 2\n"
        "[figures.intents.CloneRepo]\nattempts_max = 1\n"
    )
    config = load_home(home)
    assert (config.home, config.open_intents_max) == (home, 7)
    assert (config.keep.feed_days, config.keep.history_days) == (1, 90)
    assert (config.lanes.limits["sandbox:other"], config.lanes.limits["clone"]) == (2, 4)
    assert config.figures.intents["CloneRepo"].attempts_max == 1
    assert config.figures.intents["CloneRepo"].deadline_seconds == 3600

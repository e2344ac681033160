"""Hygiene: nothing of the machine it was written on lands in the repository."""

import re

import pytest

from architecture.source_tree import REPOSITORY, project_files

PATH_PARTS_TO_BE_UNIQUE = 4
"""A checkout as shallow as /app has a path that text may hold by chance."""

# Each pattern breaks a word with a character class, so that this file does not match itself.
REGISTRY_HOSTS = [
    r"py[p]i\.org",
    r"python[h]osted\.org",
    r"np[m]js\.(?:org|com)",
    r"yarn[p]kg\.com",
    r"proxy\.go[l]ang\.org",
    r"sum\.go[l]ang\.org",
    r"deb\.de[b]ian\.org",
    r"crates\.i[o]\b",
]
MACHINE_PATHS = [
    r"(?<![\w.])/work/(?:ma[i]n|sha[r]ed|\.[l]ibrary)\b",
    r"(?<![\w.])/root/(?:\.py[e]nv|\.ca[c]he|\.np[m])\b",
    r"(?<![\w.])/opt/whee[l]s\b",
    r"(?<![\w.])/Users/[a-z]+/",
]
PATTERN = re.compile("|".join([*REGISTRY_HOSTS, *MACHINE_PATHS]))


def checkout_path() -> list[str]:
    """Name the path of this checkout, where it is long enough to mean only that."""
    return [str(REPOSITORY)] if len(REPOSITORY.parts) >= PATH_PARTS_TO_BE_UNIQUE else []


def findings(text: str) -> list[str]:
    """List the lines of a text that name a registry host or a path of a machine."""
    paths = checkout_path()
    return [line for line in text.splitlines() if PATTERN.search(line) or any(path in line for path in paths)]


def test_no_file_names_a_registry_or_a_machine() -> None:
    """No file of the project holds a registry's host or a path of the machine it was written on."""
    found: dict[str, list[str]] = {}
    for path in project_files():
        text = path.read_bytes().decode(errors="replace")
        if "\0" not in text and (lines := findings(text)):
            found[path.relative_to(REPOSITORY).as_posix()] = lines
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "https://" + "registry.npm" + "js.org/left-pad",
        "see py" + "pi.org",
        "cd /work/" + "main && make",
        "--find-links /opt/" + "wheels",
    ],
)
def test_planted_line_is_seen(line: str) -> None:
    """The patterns find what they are for."""
    assert findings(line) == [line]


@pytest.mark.parametrize("line", ["/srv/work/main.py", "artwork/main", "mkdir -p /root/repo", "happy.org"])
def test_innocent_line_passes(line: str) -> None:
    """The patterns leave alone what only looks alike."""
    assert findings(line) == []


def test_unfinished_work_carries_a_number() -> None:
    """A note of something left to do names the issue where it is kept."""
    note = re.compile(r"\b(?:TO[D]O|FI[X]ME|X[X]X)\b(?!\(#\d+\))")
    code = [path for path in project_files() if path.suffix in {".py", ".ts", ".tsx", ".go", ".sh", ".sql"}]
    assert [path.name for path in code if note.search(path.read_text())] == []

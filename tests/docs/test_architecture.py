"""Architecture page: its code map is complete, and what it names exists."""

import ast
import re
from pathlib import Path

from architecture.source_tree import REPOSITORY, functions, parsed, sources
from docs.pages import code, prose, rows, section

PAGE = REPOSITORY / "docs/architecture.md"
_FOLDER = re.compile(r"^### `([^`]+/)`$", re.MULTILINE)
_MEMBER = re.compile(
    r"[A-Za-z]\w*\.[a-z_]\w*(?<!\.py)(?<!\.md)(?<!\.toml)(?<!\.db)(?<!\.json)(?<!\.lock)(?<!\.sock)"
)


def mapped() -> list[str]:
    """Every file of the code map, as a path of the repository."""
    found: list[str] = []
    for folder in _FOLDER.findall(PAGE.read_text()):
        found += [folder + code(row[0])[0] for row in rows(section(PAGE, f"`{folder}`"))]
    return found


def present() -> list[str]:
    """Every source file that holds more than its folder's docstring."""
    paths = [path.relative_to(REPOSITORY).as_posix() for path in sources()]
    return [path for path in paths if not path.endswith("__init__.py")]


def test_code_map_is_complete() -> None:
    """Each source file has one line in the code map, in the table of its folder, and no line is left over."""
    assert sorted(mapped()) == sorted(present())


def test_each_line_of_the_map_is_one_line() -> None:
    """A line of the map says what its file is, in a few words."""
    lines = [
        row for folder in _FOLDER.findall(PAGE.read_text()) for row in rows(section(PAGE, f"`{folder}`"))
    ]
    assert [row for row in lines if len(row) != 2 or not 1 <= len(row[1].split()) <= 16] == []


def members(path: Path) -> set[str]:
    """What may be called `module.function`, `Class.method` or `Class.field` of one file."""
    tree = parsed(path)
    found = {f"{path.stem}.{function.name}" for function in functions(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        found |= {f"{node.name}.{function.name}" for function in functions(node)}
        fields = [child.target for child in node.body if isinstance(child, ast.AnnAssign)]
        found |= {f"{node.name}.{target.id}" for target in fields if isinstance(target, ast.Name)}
    return found


def test_named_members_exist() -> None:
    """Each function, method and field that the page names by its owner is there under that name."""
    known = {"taskdock.app"}.union(*(members(path) for path in sources()))
    named = {word for word in code(prose(PAGE)) if _MEMBER.fullmatch(word)}
    assert named - known == set()
    assert {"Stepper.submit", "task_boundary.step", "TaskView.waits_for"} <= named


def test_every_room_and_every_invariant_is_named() -> None:
    """The page tells what always holds, and what is absent, in a form that can be searched for."""
    text = PAGE.read_text()
    assert text.count("*Architecture invariant:*") >= 15
    assert text.count("*Absent:*") >= 3

"""Size bands: a room that outgrows them likely holds a second idea.

Complexity and the number of arguments are ruff's (C901 and PLR0913; tighter in core/ruff.toml); lines are counted here.
"""

import ast
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from architecture.source_tree import REPOSITORY, functions, module_name, parsed, sources

FILE_LINES_MAX = 500
FILE_LINES_P90 = 350
FILE_LINES_MEDIAN = 150
FILES_FOR_A_SHAPE = 20
"""Below this many files a percentile says nothing."""

FUNCTION_LINES_MAX = 60
FUNCTION_LINES_P90 = 30

HEADINGS = ("Owns:", "Never:", "Reads as:")


def percentile(values: Sequence[int], share: float) -> int:
    """Answer the smallest value that at least `share` of the values do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def file_lengths() -> dict[str, int]:
    """Count the lines of every source file that holds more than a docstring."""
    return {
        path.relative_to(REPOSITORY).as_posix(): len(path.read_text().splitlines())
        for path in sources()
        if len(parsed(path).body) > 1
    }


def function_lengths(tree: ast.AST) -> dict[str, int]:
    """Count the lines of every function from `def` to its last line, docstring included."""
    return {
        f"{node.name}, line {node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in functions(tree)
    }


def test_no_file_outgrows_its_room() -> None:
    """No source file is longer than the hard limit."""
    too_long = {path: lines for path, lines in file_lengths().items() if lines > FILE_LINES_MAX}
    assert too_long == {}


def test_files_keep_their_shape() -> None:
    """Most files stay far below the limit: nine of ten within 350 lines, every other within 150."""
    lengths = list(file_lengths().values())
    if len(lengths) <= FILES_FOR_A_SHAPE:
        return
    assert percentile(lengths, 0.9) <= FILE_LINES_P90
    assert percentile(lengths, 0.5) <= FILE_LINES_MEDIAN


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_no_function_outgrows_a_screen(path: Path) -> None:
    """No function is longer than the hard limit."""
    too_long = {
        name: lines for name, lines in function_lengths(parsed(path)).items() if lines > FUNCTION_LINES_MAX
    }
    assert too_long == {}


def test_functions_keep_their_shape() -> None:
    """Nine of ten functions stay within 30 lines."""
    lengths = [lines for path in sources() for lines in function_lengths(parsed(path)).values()]
    assert percentile(lengths, 0.9) <= FUNCTION_LINES_P90


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_module_says_what_it_is(path: Path) -> None:
    """Each module opens with `<Noun>: one sentence.` and says what it owns, what it never does, and who reads it."""
    docstring = ast.get_docstring(parsed(path)) or ""
    assert re.match(r"[A-Z][\w '-]*: \S", docstring), "it does not open with a noun and a colon"
    assert [heading for heading in HEADINGS if f"\n{heading}" not in docstring] == []


def test_percentile_is_the_nearest_rank() -> None:
    """The shape is judged by values that occur, the ninth of ten for 90 %."""
    assert percentile(range(1, 11), 0.9) == 9
    assert percentile([7], 0.5) == 7


def test_function_length_counts_from_def_to_end() -> None:
    """A nested function counts for itself and for what holds it."""
    tree = ast.parse("@decorated\ndef outer():\n    def inner():\n        return 1\n    return inner\n")
    assert function_lengths(tree) == {"outer, line 2": 4, "inner, line 3": 2}


def test_forbidden_names_stay_away() -> None:
    """No file is named for having no subject."""
    vague = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
    names = {path.relative_to(REPOSITORY) for path in sources() if vague & set(path.stem.split("_"))}
    assert names == set()

"""Sites: what mutants a piece of source has, by their names, and what is left out."""

import ast

import pytest

from mutation.sites import sites_of, words_of

COLOURS = """
class Colour(Enum):
    RED = "red"
    BLUE = "blue"
"""


def names(source: str, *others: str) -> list[str]:
    """The mutants of a module `m`, without its name."""
    return [
        site.name.removeprefix("m.").removeprefix("m: ") for site in sites_of("m", source, words_of(others))
    ]


def mutated(source: str) -> list[str]:
    """The sources of all mutants."""
    found = []
    for site in sites_of("m", source, words_of([])):
        tree = ast.parse(source)
        site.mutate(tree)
        found.append(ast.unparse(tree))
    return found


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("x = a < b", ["a < b -> a <= b"]),
        ("x = a is not b", ["a is not b -> a is b"]),
        ("x = a and b", ["a and b -> a or b", "a and b -> b", "a and b -> a"]),
        ("x = a - 1", ["a - 1 -> a + 1", "1 -> 2"]),
        ("x = 'red'", ["'red' -> 'XXred'"]),
        ("x = f'red:{y}'", ["f'red:{y}' -> f'XXred:{y}'"]),
        ("x = (a, b)", ["(a, b) -> (b,)", "(a, b) -> (a,)"]),
        ("x = any(a)", ["any(a) -> all(a)"]),
        ("x = f(a, b, c=d)", ["f(a, b, c=d) -> f(a, b)", "f(a, b, c=d) -> f(a, None, c=d)"]),
        ("x = a[1:]", ["1: -> :", "1 -> 2"]),
        ("if a:\n    b()", ["a -> not a", "b() -> pass"]),
        ("def f() -> bool:\n    return a", ["f: return a -> return not a"]),
        ("def f() -> int:\n    return a", ["f: return a -> return None"]),
        ("self.a = b", ["self.a = b -> pass"]),
        ("for a in b:\n    continue", ["continue -> break"]),
        ("raise E(a)", ["raise E(a) -> pass"]),
    ],
)
def test_each_operator(source: str, mutants: list[str]) -> None:
    """A mutant is named by what stood there and what stands there now."""
    assert names(source) == mutants


@pytest.mark.parametrize(
    "source",
    [
        "import a",
        "assert a < 1",
        '"""A docstring."""',
        "x: int",
        "def f(a: 'int') -> 'str': ...",
        "x = 'a sentence for people'",
        "x = f'a sentence for {people}'",
        "raise InvariantViolated(f(1))",
        "Kind = A | B",
        "T = TypeVar('T', bound=int)",
        "class A(Protocol):\n    x: int = 1",
        "@mark(1)\nclass A(base(1)):\n    pass",
        "x, y = a, b",
    ],
)
def test_what_is_left_out(source: str) -> None:
    """What no test could or should notice has no mutant."""
    assert names(source) == []


def test_members_of_enumerations_are_exchanged() -> None:
    """A member becomes the next one, also where another module defines them; a class of that name alone does not."""
    assert names("x = Colour.RED", COLOURS) == ["Colour.RED -> Colour.BLUE"]
    assert names("x = Colour.RED") == []


def test_guards_and_orders_are_not_misspelt() -> None:
    """Their names are refused at import when they are wrong; so they are left away, and not changed."""
    guard = "@guard\ndef is_there(): ..."
    row = "Row('go', 'a', 'b', when='is_there')"
    assert f"{row} -> Row('go', 'a', 'b')" in names(row, guard)
    assert not any("XXis_there" in name for name in names("x = 'is_there'", guard))


def test_same_change_twice_has_two_names() -> None:
    """Mutants that say the same are numbered in their order."""
    assert names("x = [1, 1]")[-2:] == ["1 -> 2", "1 -> 2 (2)"]


def test_mutants_are_programs_of_their_own() -> None:
    """Each mutant is the source with its one change, and the source itself is not touched."""
    assert mutated("x = a < 1") == ["x = a <= 1", "x = a < 2"]


def test_long_names_show_what_differs() -> None:
    """Of a long expression the name holds the difference and a little around it."""
    source = f"x = {' + '.join(['a_long_name'] * 12)}"
    assert all(len(name) < 250 and "…" in name for name in names(source)[:1])

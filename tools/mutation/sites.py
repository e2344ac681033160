"""Sites: every place of a module that a mutant changes, found in its syntax tree.

Owns: `Site` and `sites_of`; the names of mutants, which hold what was and what is there instead.
Never: a change to a file; an edit is made on a tree in memory (`Site.mutate`).
Reads as: trials.py -> `sites_of(source)` -> operators.py for each node -> `Site`.

Left out is what no test could or should notice: imports, annotations, docstrings, assertions (`assert`, and `raise
InvariantViolated`), unions that only name types, and sentences for people. A sentence is a text of several words; a text
of one word is data (a status, a lane, a key) and counts. A name of a guard or an order is never misspelt: the import of
a table refuses it, which tests/unit/core/test_machine.py shows. It is left away, though.
"""

import ast
from collections.abc import Iterable, Iterator

from attrs import evolve, frozen

from mutation.operators import Words, edits, is_sentence

Step = tuple[str, int | None]
"""From a node to a child: the field, and the index where it is a list."""

_LABEL_CHARACTERS_MAX = 90
_AROUND = 30
_UNSEEN = {"annotation", "returns", "decorator_list", "bases", "type_comment", "pattern", "exc_info"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class Place:
    """Where a walk through a tree stands."""

    path: tuple[Step, ...] = ()
    names: tuple[str, ...] = ()
    function: tuple[str, int] | None = None
    """The outermost function around it, and the first line of that, decorators included."""
    lines: tuple[int, int] = (0, 0)
    """Of the statement."""
    returns_bool: bool = False
    is_unpacked: bool = False
    """Whether this is what `a, b = x, y` takes apart: one element less breaks it in any case."""


@frozen
class Site:
    """One mutant: one node of one module, and what stands there instead."""

    name: str
    module: str
    place: Place
    node: ast.AST

    def mutate(self, tree: ast.Module) -> None:
        """Put the other node into a tree of the same source."""
        parent: ast.AST = tree
        for step in self.place.path[:-1]:
            parent = _child(parent, step)
        old = _child(parent, self.place.path[-1])
        ast.fix_missing_locations(ast.copy_location(self.node, old))
        field, index = self.place.path[-1]
        if index is None:
            setattr(parent, field, self.node)
        else:
            getattr(parent, field)[index] = self.node


def sites_of(module: str, source: str, words: Words) -> list[Site]:
    """Every mutant of a module, in the order of its source; each has a name of its own, the same in every run."""
    seen: dict[str, int] = {}
    found: list[Site] = []
    for place, old, new in _walk(ast.parse(source), Place(), words):
        where = ".".join((module, *place.names))
        name = f"{where}: {' -> '.join(_labels(_text(old), _text(new)))}"
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name} ({seen[name]})"
        found.append(Site(unique, module, place, new))
    return found


def words_of(sources: Iterable[str]) -> Words:
    """What the operators must know of all modules together: enumerations, and the names of guards and orders."""
    enums: dict[str, tuple[str, ...]] = {}
    methods: set[str] = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
            enums[node.name] = tuple(
                target.id
                for line in node.body
                if isinstance(line, ast.Assign)
                for target in line.targets
                if isinstance(target, ast.Name)
            )
        if isinstance(node, ast.FunctionDef):
            marks = {mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)}
            methods |= {node.name} if marks & {"guard", "order"} else set()
    return Words(enums, frozenset(methods))


def _walk(node: ast.AST, place: Place, words: Words) -> Iterator[tuple[Place, ast.AST, ast.AST]]:
    """Each node with each of its edits, from the top."""
    if _is_left_out(node, place):
        return
    if isinstance(node, ast.stmt):
        place = evolve(place, lines=(node.lineno, _header_end(node)))
    if not place.is_unpacked:
        for new in edits(node, words, returns_bool=place.returns_bool):
            yield place, node, new
    inner = _inside(node, place)
    for step, child in _children(node):
        # Decorators and defaults of a function run where it is defined, not where it is called.
        is_body = step[0] == "body" or not isinstance(node, _Function)
        around = inner if is_body else evolve(place, lines=inner.lines, names=inner.names)
        unpacked = (
            isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and step[0] == "value"
        )
        is_unpacked = unpacked and isinstance(child, ast.Tuple)
        yield from _walk(child, evolve(around, path=(*place.path, step), is_unpacked=is_unpacked), words)


def _inside(node: ast.AST, place: Place) -> Place:
    if isinstance(node, ast.ClassDef | _Function):
        place = evolve(place, names=(*place.names, node.name))
    if isinstance(node, _Function):
        first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
        is_bool = isinstance(node.returns, ast.Name) and node.returns.id == "bool"
        function = place.function or (".".join(place.names), first)
        place = evolve(place, function=function, returns_bool=is_bool)
    return place


def _header_end(node: ast.stmt) -> int:
    """The last line of a statement, without the statements in it."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    end = node.end_lineno or node.lineno
    if not body:
        return end
    first = body[0].pattern.lineno if isinstance(body[0], ast.match_case) else body[0].lineno
    return max(node.lineno, first - 1)


def _is_left_out(node: ast.AST, place: Place) -> bool:
    match node:
        case (
            ast.Import()
            | ast.ImportFrom()
            | ast.Assert()
            | ast.Expr(value=ast.Constant())
            | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.Raise(exc=ast.Call(func=ast.Name(id="InvariantViolated")))
            | ast.Assign(targets=[ast.Name(id="__all__")])
            | ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar")))
        ):
            return True
        case ast.Assign(value=ast.BinOp(op=ast.BitOr())):
            return not place.names
        case ast.ClassDef():
            return any("Protocol" in ast.unparse(base) for base in node.bases)
    return is_sentence(node)


def _children(node: ast.AST) -> Iterator[tuple[Step, ast.AST]]:
    for field, value in ast.iter_fields(node):
        if field in _UNSEEN or (isinstance(node, ast.ClassDef) and field == "keywords"):
            continue
        if isinstance(value, ast.AST):
            yield (field, None), value
        elif isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, ast.AST) and not _is_part(node, child):
                    yield (field, index), child


def _is_part(node: ast.AST, child: ast.AST) -> bool:
    """Whether the child is a fixed part of a text with gaps, which has its edit as a whole."""
    return isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)


def _child(node: ast.AST, step: Step) -> ast.AST:
    field, index = step
    value = getattr(node, field)
    child: ast.AST = value if index is None else value[index]
    return child


def _text(node: ast.AST) -> str:
    """What is shown of a node: of a statement with others in it, its condition."""
    return ast.unparse(node.test if isinstance(node, ast.If | ast.While) else node)


def _labels(old: str, new: str) -> tuple[str, str]:
    """Both texts on one line each; of long ones what differs, and a little around it."""
    old, new = " ".join(old.split()), " ".join(new.split())
    if max(len(old), len(new)) <= _LABEL_CHARACTERS_MAX:
        return old, new
    before = 0
    while before < min(len(old), len(new)) and old[before] == new[before]:
        before += 1
    after = 0
    while after < min(len(old), len(new)) - before and old[-1 - after] == new[-1 - after]:
        after += 1
    start, end = max(0, before - _AROUND), max(0, after - _AROUND)
    return _cut(old, start, end), _cut(new, start, end)


def _cut(text: str, start: int, end: int) -> str:
    middle = text[start : len(text) - end]
    if len(middle) > 2 * _LABEL_CHARACTERS_MAX:
        middle = f"{middle[:_LABEL_CHARACTERS_MAX]}…{middle[-_LABEL_CHARACTERS_MAX:]}"
    return f"{'…' if start else ''}{middle}{'…' if end else ''}"

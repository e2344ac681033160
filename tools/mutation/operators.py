"""Operators: what a mutant may make of one node of a syntax tree.

Owns: `edits`, all of them in one list; what counts as a sentence.
Never: a change to the node it was given; the other node shares its children.
Reads as: sites.py -> `edits(node)` -> the nodes that may stand there instead.
"""

import ast
import copy
from collections.abc import Callable, Iterator, Mapping

from attrs import frozen

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_SWAPPED = {"any": "all", "all": "any", "min": "max", "max": "min"}
_TYPED = {"isinstance", "getattr", "hasattr", "Row", "field"}
"""Calls whose arguments are types, names or rows: without them nothing runs at all."""


@frozen
class Words:
    """What all modules define together."""

    enums: Mapping[str, tuple[str, ...]]
    methods: frozenset[str]
    """Guards and orders."""


def edits(node: ast.AST, words: Words, *, returns_bool: bool = False) -> Iterator[ast.AST]:
    """Every node that may stand in this one's place."""
    match node:
        case ast.Return(value=ast.expr() as value) if returns_bool:
            yield from (_with(node, value=_negated(value)) for _ in _if_plain(value))
        case ast.Return(value=ast.expr() as value) if not (_is_none(value) or is_sentence(value)):
            yield _with(node, value=ast.Constant(None))
        case ast.Constant():
            yield from _constant(node, words)
        case ast.Attribute(value=ast.Name(id=kind), ctx=ast.Load()) if kind in words.enums:
            yield from _member(node, words.enums[kind])
        case _:
            for made in _MADE.get(type(node), ()):
                yield from made(node)


def is_sentence(node: ast.AST) -> bool:
    """Whether this is a text for people: one of several words."""
    match node:
        case ast.Constant(value=str() as text):
            return len(text.split()) > 1
        case ast.JoinedStr(values=values):
            parts = (part.value if isinstance(part, ast.Constant) else "x" for part in values)
            return len("".join(map(str, parts)).split()) > 1
        case ast.BinOp(left=left, right=right):
            return is_sentence(left) or is_sentence(right)
    return False


def _with(node: ast.AST, **changed: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in changed.items():
        setattr(other, name, value)
    return other


def _without(node: ast.AST, *fields: str) -> Iterator[ast.AST]:
    """The node once for each element of these lists, without it."""
    for index in range(len(getattr(node, fields[0]))):
        yield _with(
            node, **{name: [*(kept := getattr(node, name))[:index], *kept[index + 1 :]] for name in fields}
        )


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _negated(node: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), node)


def _if_plain(test: ast.expr) -> Iterator[ast.expr]:
    """A condition that no operator inside it turns round."""
    is_negation = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    if not is_negation and not isinstance(test, ast.Compare | ast.BoolOp | ast.Constant):
        yield test


def _constant(node: ast.Constant, words: Words) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and not is_sentence(node) and value not in words.methods:
        yield ast.Constant(f"XX{value}")


def _member(node: ast.Attribute, members: tuple[str, ...]) -> Iterator[ast.AST]:
    if node.attr in members and len(members) > 1:
        following = members[(members.index(node.attr) + 1) % len(members)]
        yield _with(node, attr=following)


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for index, one in enumerate(node.ops):
        yield _with(node, ops=[*node.ops[:index], _COMPARED[type(one)](), *node.ops[index + 1 :]])
    right = node.comparators[0]
    if isinstance(node.left, ast.Tuple) and isinstance(right, ast.Tuple):
        for left, other in zip(_without(node.left, "elts"), _without(right, "elts"), strict=True):
            yield _with(node, left=left, comparators=[other])


def _bool(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for less in _without(node, "values"):
        yield less.values[0] if isinstance(less, ast.BoolOp) and len(less.values) == 1 else less


def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield node.operand


def _calculation(node: ast.BinOp | ast.AugAssign) -> Iterator[ast.AST]:
    if type(node.op) in _CALCULATED and not is_sentence(node):
        yield _with(node, op=_CALCULATED[type(node.op)]())


def _condition(node: ast.If | ast.While | ast.IfExp) -> Iterator[ast.AST]:
    for test in _if_plain(node.test):
        yield _with(node, test=_negated(test))


def _comprehension(node: ast.comprehension) -> Iterator[ast.AST]:
    for index, test in enumerate(node.ifs):
        for plain in _if_plain(test):
            yield _with(node, ifs=[*node.ifs[:index], _negated(plain), *node.ifs[index + 1 :]])


def _joined(node: ast.JoinedStr) -> Iterator[ast.AST]:
    if not is_sentence(node):
        yield _with(node, values=[ast.Constant("XX"), *node.values])


def _call(node: ast.Call) -> Iterator[ast.AST]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in _SWAPPED and len(node.args) == 1 + (name in ("min", "max")):
        yield _with(node, func=ast.Name(_SWAPPED[name], ast.Load()))
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None and not is_sentence(keyword.value):
            yield _with(node, keywords=[*node.keywords[:index], *node.keywords[index + 1 :]])
    if name in _TYPED:
        return
    for index, given in enumerate(node.args[1:], start=1):
        if not (_is_none(given) or is_sentence(given) or isinstance(given, ast.Starred)):
            yield _with(node, args=[*node.args[:index], ast.Constant(None), *node.args[index + 1 :]])


def _display(node: ast.Tuple | ast.List | ast.Set) -> Iterator[ast.AST]:
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
        return
    for less in _without(node, "elts"):
        if getattr(less, "elts", ()) or not isinstance(node, ast.Set):
            yield less


def _dict(node: ast.Dict) -> Iterator[ast.AST]:
    for index, value in enumerate(node.values):
        if not is_sentence(value):
            yield list(_without(node, "keys", "values"))[index]


def _slice(node: ast.Slice) -> Iterator[ast.AST]:
    for bound in ("lower", "upper"):
        if getattr(node, bound) is not None:
            yield _with(node, **{bound: None})


def _dropped(_node: ast.stmt) -> Iterator[ast.AST]:
    yield ast.Pass()


def _assigned(node: ast.Assign) -> Iterator[ast.AST]:
    if not isinstance(node.targets[0], ast.Name | ast.Tuple):
        yield ast.Pass()


def _returned(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is None:
        yield ast.Pass()


def _cases(node: ast.Match) -> Iterator[ast.AST]:
    if len(node.cases) > 1:
        yield from _without(node, "cases")


_MADE: dict[type[ast.AST], tuple[Callable[..., Iterator[ast.AST]], ...]] = {
    ast.Compare: (_compare,),
    ast.BoolOp: (_bool,),
    ast.UnaryOp: (_unary,),
    ast.BinOp: (_calculation,),
    ast.AugAssign: (_calculation, _dropped),
    ast.If: (_condition,),
    ast.While: (_condition,),
    ast.IfExp: (_condition,),
    ast.comprehension: (_comprehension,),
    ast.JoinedStr: (_joined,),
    ast.Call: (_call,),
    ast.Tuple: (_display,),
    ast.List: (_display,),
    ast.Set: (_display,),
    ast.Dict: (_dict,),
    ast.Slice: (_slice,),
    ast.Expr: (_dropped,),
    ast.Raise: (_dropped,),
    ast.Delete: (_dropped,),
    ast.Continue: (lambda _node: iter((ast.Break(),)),),
    ast.Break: (lambda _node: iter((ast.Continue(),)),),
    ast.Assign: (_assigned,),
    ast.Return: (_returned,),
    ast.Match: (_cases,),
}

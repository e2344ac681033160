"""Exchange: how changed code gets into a process, before or after the real one was imported.

Owns: `exchange` for functions that are there, `import_instead` for a module that is not.
Never: a file; the code comes from a tree in memory.
Reads as: trials.py -> `compiled` -> `exchange` or `import_instead`.
"""

import ast
import gc
import sys
import types
import warnings
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader

Functions = dict[tuple[str, str, int], list[types.FunctionType]]
"""Functions by file, name and first line: several can share one code."""


def compiled(tree: ast.Module, file: str) -> types.CodeType:
    """The code of a module; a mutant may say things that Python warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(tree, file, "exec", dont_inherit=True)


def import_instead(name: str, code: types.CodeType) -> None:
    """Whoever imports this module from now on gets this code."""
    sys.meta_path.insert(0, _Finder(name, code))


def functions_of(folder: str) -> Functions:
    """Every function that is there and comes from this folder, by its file, name and first line."""
    found: Functions = {}
    for one in gc.get_objects():
        if isinstance(one, types.FunctionType) and f"/{folder}/" in one.__code__.co_filename:
            found.setdefault(_key(one.__code__), []).append(one)
    return found


def _key(code: types.CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def exchange(code: types.CodeType, function: tuple[str, int], functions: Functions) -> bool:
    """Give the functions that run this code the mutated one; False when there is none, or it does not fit."""
    wanted = (code.co_filename, *function)
    new = next(one for one in _codes(code) if _key(one) == wanted)
    found = functions.get(wanted, [])
    if not found or any(len(one.__code__.co_freevars) != len(new.co_freevars) for one in found):
        return False
    for one in found:
        one.__code__ = new
    return True


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield inner
            yield from _codes(inner)


class _Finder:
    """Finds one module with a mutant in it."""

    def __init__(self, name: str, code: types.CodeType) -> None:
        self._name, self._code = name, code

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Answer for that module only."""
        if name != self._name:
            return None
        return spec_from_loader(name, _Loader(name, self._code))


class _Loader(SourceFileLoader):
    def __init__(self, name: str, code: types.CodeType) -> None:
        super().__init__(name, code.co_filename)
        self._mutated = code

    def get_code(self, fullname: str) -> types.CodeType:  # noqa: ARG002 - it loads one module
        return self._mutated

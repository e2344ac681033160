"""Covering: which test runs which line of the core, and how long it takes.

Owns: `Covering`, measured once for each state of the core and of each test file, and kept beside the tools that make fetches.
Never: a mutant; what is measured is the core as it is, and every test must pass on it.
Reads as: `make mutants` -> `measure` -> trials.py picks the tests of a mutant.
"""

import hashlib
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import coverage
import pytest
from attrs import frozen

from mutation.tree import CORE, FIRST_FILES, LAST_FILES, PACKAGE, TESTS, Tree, forget_stories

_COLLECTED = "collected"
"""What is run between the import of the core and the first test: stories that tests choose their cases from."""


class _Document(TypedDict):
    """A measurement as it is kept; tests are told by their places in `seconds`."""

    seconds: dict[str, float]
    tests: dict[str, dict[str, list[int]]]
    imported: dict[str, list[int]]


@frozen
class Covering:
    """What one run of all tests showed."""

    seconds: dict[str, float]
    """How long each test kept the processor busy while it was measured, which slows it."""
    tests: dict[str, dict[int, list[str]]]
    """The tests that run each line, by module and line."""
    imported: dict[str, list[int]]
    """The lines that are run when the core is imported, by module."""
    sizes: dict[str, int]
    """How many tests there are in each file."""

    def add(self, document: _Document) -> None:
        """Take a measurement in."""
        names = list(document["seconds"])
        self.seconds.update(document["seconds"])
        for name in names:
            self.sizes[_file_of(name)] = self.sizes.get(_file_of(name), 0) + 1
        self.imported.update(document["imported"])
        for module, lines in document["tests"].items():
            known = self.tests.setdefault(module, {})
            for line, numbers in lines.items():
                known.setdefault(int(line), []).extend(names[number] for number in numbers)

    def of(self, module: str, first: int, last: int) -> list[str]:
        """The tests that run some of these lines."""
        lines = self.tests.get(module, {})
        found = {test for line in range(first, last + 1) for test in lines.get(line, ())}
        return sorted(found, key=self.rank)

    def rank(self, test: str) -> tuple[int, int, float, str]:
        """Where a test stands in line: rows first, since they compare everything; then files of few tests, each of its own.

        Files of hundreds ask one thing in every situation: they are slow to go through, and seldom the only ones to notice.
        """
        file = _file_of(test)
        tier = -1 if file in FIRST_FILES else int(file in LAST_FILES)
        return tier, self.sizes.get(file, 0), self.seconds.get(test, 0.0), test

    def is_imported(self, module: str, first: int, last: int) -> bool:
        """Whether some of these lines are run when the core is imported."""
        return any(first <= line <= last for line in self.imported.get(module, ()))


def covering_of(tree: Tree, kept: Path) -> Covering:
    """What is kept of each test file since it, its helpers and the core changed last; the others are measured."""
    kept.mkdir(parents=True, exist_ok=True)
    parts = {name: kept / f"{name}-{digest}.json" for name, digest in _digests(tree).items()}
    missing = [name for name, part in parts.items() if not part.exists()]
    if missing:
        _in_a_child(tree, missing, kept / "measured")
        document = json.loads((kept / "measured").read_text())
        for name in missing:
            for old in kept.glob(f"{name}-*.json"):
                old.unlink()
            parts[name].write_text(json.dumps(_of_file(name, document)))
    covering = Covering({}, {}, {}, {})
    for part in parts.values():
        covering.add(json.loads(part.read_text()))
    return covering


def _file_of(test: str) -> str:
    return test.partition("::")[0].rpartition("/")[2]


def _of_file(name: str, document: _Document) -> _Document:
    """The part of a measurement that the tests of one file have in it."""
    own = {test: place for place, test in enumerate(document["seconds"]) if f"/{name}::" in test}
    again = {place: number for number, place in enumerate(own.values())}
    tests = {
        module: {
            line: found for line, all_ in lines.items() if (found := [again[n] for n in all_ if n in again])
        }
        for module, lines in document["tests"].items()
    }
    seconds = {test: document["seconds"][test] for test in own}
    return {"seconds": seconds, "tests": tests, "imported": document["imported"]}


def _digests(tree: Tree) -> dict[str, str]:
    """By test file: what its measurement depends on."""
    common = hashlib.blake2s(digest_size=8)
    chosen = [path for folder in (CORE, TESTS) for path in sorted((tree.root / folder).glob("*.py"))]
    for path in chosen:
        if not path.name.startswith("test_"):
            common.update(path.name.encode() + b"\0" + path.read_bytes())
    digests: dict[str, str] = {}
    for name in tree.test_files():
        own = common.copy()
        own.update((tree.root / TESTS / name).read_bytes())
        digests[name] = own.hexdigest()
    return digests


def _in_a_child(tree: Tree, names: Sequence[str], file: Path) -> None:
    """Measure in a process of its own: this one must stay free of the core."""
    child = os.fork()
    if child == 0:
        os._exit(_measure(tree, names, file))
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit("The tests of the core do not all pass as they are: mutants would tell nothing.")


def _measure(tree: Tree, names: Sequence[str], file: Path) -> int:
    tree.enter()
    measured = coverage.Coverage(data_file=None, config_file=False, include=[str(tree.root / CORE / "*")])
    watch = _Watch(measured)
    measured.start()
    for module in tree.modules():
        importlib.import_module(f"{PACKAGE}.{module}".removesuffix(".__init__"))
    measured.switch_context(_COLLECTED)
    code = pytest.main(tree.argv(*names), plugins=[watch])
    measured.stop()
    if code == 0:
        # Written beside it first, so that a run that is cut off leaves no half.
        part = file.with_suffix(".part")
        part.write_text(json.dumps(_document(measured.get_data(), watch.seconds)))
        part.rename(file)
    sys.stdout.flush()
    return int(code)


def _document(data: coverage.CoverageData, seconds: dict[str, float]) -> _Document:
    # Numbers for names: a line of the core is run by hundreds of tests.
    number = {name: place for place, name in enumerate(seconds)}
    tests: dict[str, dict[str, list[int]]] = {}
    imported: dict[str, list[int]] = {}
    for name in sorted(data.measured_files()):
        module = Path(name).stem
        by_line = data.contexts_by_lineno(name)
        tests[module] = {
            str(line): sorted({number[test] for test in found if test in number})
            for line, found in by_line.items()
        }
        imported[module] = sorted(line for line, found in by_line.items() if "" in found)
    return {"seconds": seconds, "tests": tests, "imported": imported}


class _Watch:
    """A plugin that says whose lines are being run."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Around each test, which tells its stories itself: what leads to a situation counts as run by it."""
        forget_stories()
        self._measured.switch_context(item.nodeid)
        began = time.process_time()
        result = yield
        self.seconds[item.nodeid] = round(time.process_time() - began, 4)
        self._measured.switch_context(_COLLECTED)
        return result

"""Trials: each mutant met by the tests that run what it changes, until one of them fails.

Owns: `Trials`; what counts as noticed, and in which order tests meet a mutant.
Never: a mutant in this process or in a file: each lives and dies in a child made by `fork`.
Reads as: tools/mutants.py -> `Trials.run` -> a warm pytest, forked for each mutant -> `Verdict`.

A mutant in the body of a function is put into a process that has imported and collected everything: the code of the
function is exchanged. One whose lines are run before any test (tables, enumerations, defaults, what builds them) needs an
import of its own, in a process that has seen nothing of the core yet; such a trial costs seconds.

A mutant is noticed when a test fails, or when it does not end: each test may take a multiple of the processor time that
it was measured with. Time on the wall is bounded too, generously, so that a busy machine changes no verdict.
"""

import ast
import gc
import json
import math
import os
import types
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial

import pytest
from attrs import field, frozen, mutable

from mutation.children import (
    BROKEN,
    NEEDS_IMPORT,
    NOTICED,
    OUT_OF_TIME,
    SURVIVED,
    be_quiet,
    ended,
    fork,
    forked,
    limit,
)
from mutation.covering import Covering
from mutation.exchange import Functions, compiled, exchange, functions_of, import_instead
from mutation.sites import Site
from mutation.tree import CORE, FIRST_FILES, PACKAGE, Tree, forget_stories

_IMPORT_SECONDS = 60
_TEST_SECONDS = 5
_TEST_FACTOR = 20

ALWAYS_IMPORTED = ("codec",)
"""Test files write documents with it when they are collected; those must come from the mutant as well."""

_LATELY = 12


class Verdict(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"


@frozen
class Trial:
    """One mutant and what became of it."""

    site: Site
    verdict: Verdict


@mutable
class Trials:
    """All mutants of a run, in one scratch tree."""

    tree: Tree
    covering: Covering
    report: Callable[[Trial], None]
    jobs: int = 1
    _sources: dict[str, str] = field(factory=dict, init=False)

    def run(self, sites: Sequence[Site]) -> list[Trial]:
        """Try all of them; in the order given, however many processes there were."""
        self._sources = self.tree.modules()
        warm = [site for site in sites if self._is_warm(site)]
        found = self._share(warm, self._serve_warm)
        cold = [site for site in sites if site.name not in found]
        found |= self._share(cold, self._serve_cold)
        return [Trial(site, found[site.name]) for site in sites]

    def _is_warm(self, site: Site) -> bool:
        place = site.place
        if place.function is None or site.module in ALWAYS_IMPORTED:
            return False
        tree = ast.parse(self._sources[site.module])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and _first_line(node) == place.function[1]:
                return not self.covering.is_imported(site.module, node.body[0].lineno, node.end_lineno or 0)
        return False

    def _share(self, sites: Sequence[Site], serve: Callable[["_Share"], int]) -> dict[str, Verdict]:
        """Let each of the processes try its part; the verdicts by name, without those that need an import."""
        reader, writer = os.pipe()
        children = [
            fork(partial(serve, _Share(tuple(sites[number :: self.jobs]), writer)))
            for number in range(min(self.jobs, len(sites)))
        ]
        os.close(writer)
        found: dict[str, Verdict] = {}
        by_name = {site.name: site for site in sites}
        with os.fdopen(reader) as lines:
            for line in lines:
                name, code = json.loads(line)
                if code != NEEDS_IMPORT:
                    found[name] = _verdict(name, code)
                    self.report(Trial(by_name[name], found[name]))
        if any(ended(child) != SURVIVED for child in children):
            raise SystemExit("A process that tries mutants has failed; what it wrote stands above.")
        return found

    # In a process that serves

    def _serve_warm(self, share: "_Share") -> int:
        self.tree.enter()
        be_quiet()
        server = _Server(self, share)
        pytest.main(self.tree.argv(), plugins=[server])
        return SURVIVED if server.is_done else BROKEN

    def _serve_cold(self, share: "_Share") -> int:
        self.tree.enter()
        be_quiet()
        lately = _Lately()
        for site in share.sites:
            tests = lately.of(site)
            share.tell(site, lately.heard(site, partial(self._try_cold, site, tests)))
        return SURVIVED

    # In a process that has one mutant

    def try_warm(self, site: Site, functions: Functions, tests: Sequence[pytest.Item]) -> int:
        """Put the mutant into what is imported, and run the tests that it concerns."""
        assert site.place.function is not None
        if not exchange(self._mutated(site), site.place.function, functions):
            return NEEDS_IMPORT
        gc.disable()
        forget_stories()
        for item in tests:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return SURVIVED

    def _try_cold(self, site: Site, lately: Sequence[str]) -> int:
        import_instead(f"{PACKAGE}.{site.module}", self._mutated(site))
        # Each in a child of its own, so that the core is imported anew; few mutants get past the first.
        others = [name for name in self.tree.test_files() if name not in FIRST_FILES]
        for files in (FIRST_FILES, others):
            code = forked(partial(self._run, files, lately))
            if code != SURVIVED:
                return code
        return SURVIVED

    def _run(self, files: Sequence[str], lately: Sequence[str]) -> int:
        limit(_IMPORT_SECONDS)
        code = pytest.main(self.tree.argv(*files), plugins=[_Judge(self.covering, lately)])
        if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
            return BROKEN
        # A test file that cannot be imported, and a pytest that cannot go on, tell of the mutant as well.
        return SURVIVED if code == 0 else NOTICED

    def _mutated(self, site: Site) -> types.CodeType:
        tree = ast.parse(self._sources[site.module])
        site.mutate(tree)
        return compiled(tree, self.tree.file_of(site.module))


@frozen
class _Share:
    """The part of one process, and where it tells its verdicts."""

    sites: tuple[Site, ...]
    writer: int

    def tell(self, site: Site, code: int) -> None:
        os.write(self.writer, json.dumps([site.name, code]).encode() + b"\n")


class _Server:
    """A plugin: once everything is collected, mutants instead of tests."""

    def __init__(self, trials: Trials, share: _Share) -> None:
        self._trials = trials
        self._share = share
        self._lately = _Lately()
        self.is_done = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Fork for each mutant."""
        items = {item.nodeid: item for item in session.items}
        functions = functions_of(CORE)
        session.config.pluginmanager.register(_Judge(self._trials.covering))
        gc.collect()
        gc.freeze()
        for site in self._share.sites:
            tests = [items[name] for name in self._order(site)]
            code = self._lately.heard(site, partial(self._trials.try_warm, site, functions, tests))
            self._share.tell(site, code)
        self.is_done = True
        return True

    def _order(self, site: Site) -> list[str]:
        """What noticed others here lately comes first; then the covering ones, sharp and quick before broad and slow."""
        covering = self._trials.covering.of(site.module, *site.place.lines)
        known = frozenset(covering)
        return list(dict.fromkeys([*(name for name in self._lately.of(site) if name in known), *covering]))


class _Lately:
    """Which tests noticed mutants lately: they are likely to notice the next one, too."""

    def __init__(self) -> None:
        self._killers: dict[str, dict[str, None]] = {}

    def of(self, site: Site) -> list[str]:
        """Those of the same function first, then those of the module; the latest first."""
        function, module = (list(reversed(self._killers.get(where, {}))) for where in self._wheres(site))
        return list(dict.fromkeys([*function[:_LATELY], *module[: 3 * _LATELY]]))

    def heard(self, site: Site, what: Callable[[], int]) -> int:
        """Try it in a child, and remember the test that noticed."""
        reader, writer = os.pipe()
        _Judge.tells = writer
        code = forked(what)
        os.close(writer)
        killer = os.read(reader, 4096).decode()
        os.close(reader)
        for where in self._wheres(site) if killer else ():
            known = self._killers.setdefault(where, {})
            known.pop(killer, None)
            known[killer] = None
        return code

    def _wheres(self, site: Site) -> tuple[str, str]:
        return f"{site.module} {site.place.function}", site.module


class _Judge:
    """A plugin: the first test that fails ends the process; each has a bounded time."""

    tells: int | None = None

    def __init__(self, covering: Covering, lately: Sequence[str] = ()) -> None:
        self._covering = covering
        self._lately = {name: place for place, name in enumerate(lately)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """What noticed others lately first, then the quick ones."""
        last = len(self._lately)
        items.sort(key=lambda item: (self._lately.get(item.nodeid, last), self._covering.rank(item.nodeid)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Set the clock for this test."""
        limit(_TEST_SECONDS + math.ceil(_TEST_FACTOR * self._covering.seconds.get(item.nodeid, 0.0)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """End at the first failure, before anybody spends time on telling it."""
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            if self.tells is not None:
                os.write(self.tells, item.nodeid.encode())
            os._exit(NOTICED)


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(mark.lineno for mark in node.decorator_list)])


def _verdict(name: str, code: int) -> Verdict:
    if code == BROKEN:
        raise SystemExit(f"The trial itself failed, not a test: {name}")
    if code == SURVIVED:
        return Verdict.SURVIVED
    return Verdict.TIMEOUT if -code in OUT_OF_TIME else Verdict.KILLED

"""Skips: what a machine could not test is said aloud, and where nobody allowed it, it fails.

Owns: the list of skips with their reasons at the end of each session, and the law that with CI=true only
    what tests/allowed_skips.txt names may be skipped.
Never: a way to skip. A test says itself what it lacks.
Reads as: pytest -> this -> allowed_skips.txt.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field, frozen

ALLOWED = Path(__file__).resolve().parent.parent / "allowed_skips.txt"

_FILES = "skipped_files"
_LINE = re.compile(r"(?P<glob>\S.*?)\s+# (?P<reason>\S.*)")


@frozen
class AllowedSkip:
    """One line of the list: which tests, and why it is right that they may be missing."""

    glob: str
    reason: str

    def covers(self, node_id: str) -> bool:
        """Match with `*` alone as a wild card: the brackets of a parameter stand for themselves."""
        pattern = ".*".join(re.escape(piece) for piece in self.glob.split("*"))
        return re.fullmatch(pattern, node_id) is not None


@frozen
class Skip:
    """One test, or one whole file, that was not run, with the reason it gave."""

    node_id: str
    reason: str


@define(eq=False)
class SkipLaw:
    """The skips of one session and the judgement on them."""

    allowed: tuple[AllowedSkip, ...]
    enforced: bool
    skips: list[Skip] = field(factory=list)
    files: list[Skip] = field(factory=list)
    """Those of them that are whole files."""

    def unlisted(self) -> list[Skip]:
        """Name the skips that no line allows."""
        return [skip for skip in self.skips if not any(line.covers(skip.node_id) for line in self.allowed)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test; an expected failure is no skip."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skips.append(Skip(report.nodeid, _reason(report)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that skipped itself while it was being imported."""
        if report.skipped:
            self._add_file(Skip(report.nodeid, _reason(report)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take over from a worker of xdist which files skipped themselves; every worker imports every file."""
        for node_id, reason in getattr(node, "workeroutput", {}).get(_FILES, ()):
            self._add_file(Skip(node_id, reason))

    def _add_file(self, skip: Skip) -> None:
        if skip not in self.files:
            self.files.append(skip)
            self.skips.append(skip)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a green session red when the law is broken; a red one stays as red as it was."""
        told = getattr(session.config, "workeroutput", None)
        if told is not None:
            # A worker of xdist: its reports of tests reach the controller by themselves, those of files do not.
            told[_FILES] = [(skip.node_id, skip.reason) for skip in self.files]
            return
        green = session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
        if green and self.enforced and self.unlisted():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print each skip with its reason, then the verdict."""
        if not self.skips:
            return
        terminalreporter.section(f"skipped on this machine: {len(self.skips)}")
        for skip in self.skips:
            terminalreporter.line(f"{skip.node_id}: {skip.reason}")
        unlisted = self.unlisted()
        if self.enforced and unlisted:
            terminalreporter.line("")
            terminalreporter.line(
                f"FAILED: CI=true and {len(unlisted)} skipped without a line in tests/allowed_skips.txt:",
                red=True,
            )
            for skip in unlisted:
                terminalreporter.line(f"  {skip.node_id}", red=True)


def parse(text: str) -> Iterator[AllowedSkip]:
    """Read the list; `pytest.UsageError` for a line without a reason."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            message = f"{ALLOWED.name}, line {number}: expected `node id  # reason`, got {line!r}"
            raise pytest.UsageError(message)
        yield AllowedSkip(found["glob"], found["reason"])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of this plugin bring a list of their own."""
    parser.addoption("--allowed-skips", type=Path, default=ALLOWED, help="file that lists the skips allowed")


def pytest_configure(config: pytest.Config) -> None:
    """Start the session's record."""
    listed = Path(str(config.getoption("--allowed-skips")))
    allowed = tuple(parse(listed.read_text()))
    config.pluginmanager.register(SkipLaw(allowed, enforced=os.environ.get("CI") == "true"), "skip-law")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")

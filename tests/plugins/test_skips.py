"""Skip law: a session that leaves something out says so, and in CI only with permission."""

from collections.abc import Callable

import pytest

from plugins.skips import AllowedSkip, parse

SESSION = """
import sys
import pytest

@pytest.mark.parametrize("engine", ["bwrap"])
def test_sandbox(engine):
    pytest.skip("no bubblewrap here")

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_failure():
    raise AssertionError

def test_fine():
    pass
"""

WHOLE_FILE = """
import pytest
pytest.skip("no browser here", allow_module_level=True)
"""

RunSession = Callable[..., pytest.RunResult]


@pytest.fixture
def run_session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunSession:
    """Run pytest once more inside this one, with the plugin, on the given test file and list."""

    def run(source: str, *workers: str, allowed: str = "", ci: str = "true") -> pytest.RunResult:
        monkeypatch.setenv("CI", ci)
        pytester.makepyfile(test_it=source)
        listed = pytester.path / "allowed.txt"
        listed.write_text(allowed)
        return pytester.runpytest_inprocess("-p", "plugins.skips", f"--allowed-skips={listed}", *workers)

    return run


def test_unlisted_skip_fails_a_ci_session(run_session: RunSession) -> None:
    """With CI=true a green session with an unlisted skip exits 1 and names the skip."""
    result = run_session(SESSION)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAILED: CI=true and 1 skipped *", "  test_it.py::test_sandbox[[]bwrap[]]"])


def test_listed_skip_passes_a_ci_session(run_session: RunSession) -> None:
    """A line of the list makes the same session green, and the reason is still printed."""
    result = run_session(SESSION, allowed="test_it.py::test_sandbox[bwrap]  # needs bubblewrap")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["test_it.py::test_sandbox[[]bwrap[]]: no bubblewrap here"])
    result.stdout.no_fnmatch_line("*FAILED*")


@pytest.mark.parametrize("ci", ["", "false"])
def test_skip_is_only_told_outside_ci(run_session: RunSession, ci: str) -> None:
    """On somebody's own machine an unlisted skip is listed with its reason and fails nothing."""
    result = run_session(SESSION, ci=ci)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["test_it.py::test_sandbox[[]bwrap[]]: no bubblewrap here"])


def test_file_that_skips_itself_counts(run_session: RunSession) -> None:
    """A whole file left out on import is a skip too, even when nothing else was collected."""
    result = run_session(WHOLE_FILE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["test_it.py: no browser here"])


@pytest.mark.parametrize(
    ("source", "skipped"), [(SESSION, "test_it.py::test_sandbox[[]bwrap[]]"), (WHOLE_FILE, "test_it.py")]
)
def test_law_holds_for_workers(run_session: RunSession, source: str, skipped: str) -> None:
    """Tests and files that skip themselves in the workers of xdist count as well, each once."""
    result = run_session(source, "-n2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAILED: CI=true and 1 skipped *", f"  {skipped}"])


def test_line_without_reason_is_refused(run_session: RunSession) -> None:
    """A list that does not say why is a usage error, before any test runs."""
    result = run_session(SESSION, allowed="test_it.py::test_sandbox*")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_star_is_the_only_wild_card() -> None:
    """Brackets and question marks of a node id stand for themselves."""
    assert AllowedSkip("a.py::test_b[*]", "why").covers("a.py::test_b[x?]")
    assert not AllowedSkip("a.py::test_b[xy]", "why").covers("a.py::test_bx")
    assert not AllowedSkip("a.py::test_?", "why").covers("a.py::test_b")
    assert not AllowedSkip("a.py", "why").covers("a.py::test_b")


def test_comments_and_blank_lines_are_no_entries() -> None:
    """Only lines with a node id and a reason allow anything."""
    assert list(parse("# words\n\na.py::test_b[#1]  # why # so\n")) == [
        AllowedSkip("a.py::test_b[#1]", "why # so")
    ]

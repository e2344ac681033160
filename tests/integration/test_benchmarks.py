"""Benchmarks: every workload runs, at a size that says nothing about speed, and what it writes has the promised shape."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from measure import Row, as_json, percentile, table
from stack_fixture import GIT_SPICE

RUN = Path(__file__).resolve().parents[2] / "benchmarks/run.py"
ROWS = {
    "creates_1_callers", "creates_1_callers_p50", "creates_1_callers_p99",
    "creates_32_callers", "creates_32_callers_p50", "creates_32_callers_p99",
    "creates_128_callers", "creates_128_callers_p50", "creates_128_callers_p99",
    "cpu_per_create", "steps_4_parallel", "steps_8_parallel", "cpu_per_step",
    "commit_to_step_start_p50", "commit_to_step_start_p99",
    "restart_20_in_flight", "memory_per_10k_in_flight",
    "growth_create", "growth_claim", "growth_load", "growth_list",
    "feed_to_3_watchers", "list_of_20_page_p50",
    "stack_sync_4_branches", "overview_of_4_branches_p50", "overview_growth",
    *(("stack_first_4_branches", "stack_no_op_4_branches", "stack_restack_4_branches") if GIT_SPICE.exists() else ()),
}  # fmt: skip


def test_every_workload_runs(tmp_path: Path) -> None:
    """Each workload brings its rows, and the JSON holds value, unit, target and whether it is met, by row."""
    written = tmp_path / "rows.json"
    argv = [sys.executable, str(RUN), "--size", "tiny", "--json", str(written)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text())
    assert set(rows) == ROWS
    for row in rows.values():
        assert set(row) == {"value", "unit", "target", "met"}
        assert isinstance(row["value"], float)
        assert isinstance(row["met"], bool) == (row["target"] is not None)
    assert [name for name in ROWS if f"| {name} |" not in done.stdout] == []


def test_unknown_workload_is_named(tmp_path: Path) -> None:
    """A workload that does not exist ends the run at once, with those that do."""
    argv = [sys.executable, str(RUN), "--size", "tiny", "gowth"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown workload gowth; there is creates, steps" in done.stderr


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [(4.0, False, True), (4.1, False, False), (4.0, True, True), (3.9, True, False)],
)
def test_target_is_a_bound(value: float, at_least: bool, met: bool) -> None:
    """A value meets its target by not exceeding it, a rate by reaching it; the ratio says how far it is off."""
    row = Row("row", value, "ms", 4.0, at_least)
    assert row.met is met
    assert row.ratio is not None
    assert (row.ratio >= 1) is met
    assert as_json([row]) == {"row": {"value": value, "unit": "ms", "target": 4.0, "met": met}}


def test_row_without_target_is_only_told() -> None:
    """Where nothing was promised, nothing is met or missed."""
    row = Row("row", 1_234.5, "per s")
    assert (row.met, row.ratio) == (None, None)
    assert table([row]).splitlines()[-1] == "| row | 1,234 per s |  |  |  |"


def test_percentile_is_a_value_that_was_seen() -> None:
    """The middle and the tail are figures that occurred, whatever their order."""
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(200), 0.99) == 198
    assert percentile([7], 0.99) == 7

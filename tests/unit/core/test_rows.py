"""Rows: every row of every table is taken by a case of its own, and no destination can change unnoticed."""

import pytest

from taskdock.core import task_policies
from unit.core import cases_job, cases_message, cases_repo, cases_tab, cases_task
from unit.core.arcs import TABLES, arcs, bent
from unit.core.cases import Case, expected, play

CASES: dict[str, tuple[Case, ...]] = {
    "task": cases_task.CASES,
    "tab": cases_tab.CASES,
    "message": cases_message.CASES,
    "turn": cases_message.TURN_CASES,
    "permission": cases_message.PERMISSION_CASES,
    "repo": cases_repo.CASES,
    "job": cases_job.CASES,
}
PLAYED = [
    pytest.param(table, case, id=f"{table}: {case.arc}") for table, cases in CASES.items() for case in cases
]


@pytest.mark.parametrize(("table", "case"), PLAYED)
def test_row(table: str, case: Case) -> None:
    """The input takes its row and no other, and orders and notes exactly what the case says."""
    assert play(table, case) == expected(case)


@pytest.mark.parametrize("table", CASES)
def test_every_row_has_its_case(table: str) -> None:
    """Each arc of the table has one case, and no case is left over."""
    assert sorted(case.arc for case in CASES[table]) == sorted(arcs(TABLES[table]))


@pytest.mark.parametrize("table", CASES)
def test_no_two_arcs_share_a_name(table: str) -> None:
    """The name of an arc tells it from every other, so that a case cannot stand for two."""
    assert len(arcs(TABLES[table])) == sum(len(row.source) for row in TABLES[table].rows)


def _is_noticed(table: str, case: Case) -> bool:
    try:
        return play(table, case) != expected(case)
    except Exception:  # noqa: BLE001 - a bent table may break in any way, and each way is noticed
        return True


@pytest.mark.parametrize("table", CASES)
def test_no_destination_can_change_unnoticed(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever arc is bent to whichever other state, the case of that arc fails."""
    # A bent table may go round in circles; fifty rounds show it as well as ten thousand.
    monkeypatch.setattr(task_policies, "_ROUNDS_MAX", 50)
    written = arcs(TABLES[table])
    unnoticed: list[str] = []
    for case in CASES[table]:
        assert not _is_noticed(table, case)
        arc = written[case.arc]
        others = [state for state in TABLES[table].machine.states if state != arc.dest]
        for dest in others:
            with bent(arc, dest):
                if not _is_noticed(table, case):
                    unnoticed.append(f"{case.arc} bent to {dest}")
    assert not unnoticed, "\n".join(unnoticed)

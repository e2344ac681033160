"""Exit codes: every error has one, each means one thing, and the table tells them all."""

import pytest

from taskdock.adapters.entry.cli.exit_codes import MEANINGS, ExitCode, exit_code_of, table
from taskdock.core import errors

ERRORS = [
    (errors.InvalidCommand("x"), 2),
    (errors.IdempotencyKeyReused("x"), 2),
    (errors.NotFound("x"), 3),
    (errors.Conflict("x"), 4),
    (errors.BranchTaken("x"), 4),
    (errors.Unsupported("x"), 5),
    (errors.CapacityExceeded("x", retry_after_seconds=1), 6),
    (errors.StoreError("x"), 7),
    (errors.SchemaMismatch("x"), 7),
    (errors.Permanent("x"), 1),
    (RuntimeError("x"), 1),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_ends_in_its_code(error: Exception, code: int) -> None:
    """The most special row decides."""
    assert exit_code_of(error) == code


def test_every_rejection_has_a_code_of_its_own() -> None:
    """A new kind of rejection without a row would end as a usage error unnoticed."""
    tried = {type(error) for error, _ in ERRORS}
    assert set(errors.CommandRejected.__subclasses__()) <= tried


def test_the_table_tells_every_code() -> None:
    """What the docs show is what the code ends with."""
    assert set(MEANINGS) == set(ExitCode)
    assert table().splitlines()[2:] == [f"| {code.value} | {MEANINGS[code]} |" for code in ExitCode]

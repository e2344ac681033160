"""Owned: whose the sandboxes of an installation are, read from its store.

Owns: `owner_of`.
Never: the code under test.
Reads as: container_engine.py, e2e/providers.py -> this -> the store's file.
"""

import sqlite3
from contextlib import closing
from pathlib import Path


def owner_of(home: Path) -> str | None:
    """The owner that an installation writes on its sandboxes; None before it was opened once."""
    path = home / "taskdock.db"
    if not path.exists():
        return None
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
        ((owner,),) = db.execute("SELECT value FROM meta WHERE name = 'owner'").fetchall()
    return str(owner)

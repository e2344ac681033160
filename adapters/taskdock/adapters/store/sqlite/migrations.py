"""Migrations: how the schema came to be what it is, step by step.

Owns: the tables and indexes, the number of the schema, and the id of the installation.
Never: a change to a step that was released; a new step is added below, and old files run through it.
Reads as: schema.py (a store that is behind) -> `apply` -> sqlite-utils' Migrations.

Ids that sort by time keep the inserts at the end of every index. Partial indexes hold only what is under way, so what is
finished costs nothing: `message_open`, `tab_ready`, `job_open`, `task_live`, and those of `intent`.
"""

import secrets
import sqlite3

from sqlite_utils import Database, Migrations

STEPS = Migrations("taskdock")

_OWNER_BYTES = 8


def apply(connection: sqlite3.Connection) -> None:
    """Run the steps that the store lacks. The caller holds the write lock, so one of several processes does it."""
    STEPS.apply(Database(connection, execute_plugins=False))


@STEPS()
def first_tables(db: Database) -> None:
    """Boundaries and their records, history, feed, outbox, branch holds, keys and transcripts."""
    _run(db, _FIRST_TABLES)
    db.execute("INSERT INTO meta (name, value) VALUES ('owner', ?)", [secrets.token_hex(_OWNER_BYTES)])


@STEPS()
def readers_and_turns(db: Database) -> None:
    """Markers and drafts of readers, the workspace in the index of claims, and how far the feed had got when."""
    _run(db, _READERS_AND_TURNS)


@STEPS()
def jobs_and_branches(db: Database) -> None:
    """Jobs of repos, and how their branches stood when they were last looked at."""
    _run(db, _JOBS_AND_BRANCHES)


@STEPS()
def removed_repos(db: Database) -> None:
    """How each repo stands, and which tasks need theirs."""
    _run(db, _REMOVED_REPOS)


def _run(db: Database, statements: str) -> None:
    for statement in statements.split(";"):
        db.execute(statement)


_FIRST_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE boundary (
    id TEXT PRIMARY KEY, workspace TEXT NOT NULL, version INTEGER NOT NULL, runs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    id TEXT PRIMARY KEY NOT NULL, workspace TEXT NOT NULL, repo_id TEXT NOT NULL, at TEXT NOT NULL,
    created_at INTEGER NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX task_newest ON task (workspace, created_at, id);

CREATE TABLE tab (
    id TEXT PRIMARY KEY NOT NULL, task_id TEXT NOT NULL, number INTEGER NOT NULL, at TEXT NOT NULL,
    version INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX tab_of_task ON tab (task_id, number);
CREATE INDEX tab_ready ON tab (task_id, number) WHERE at = 'ready';

CREATE TABLE message (
    id TEXT PRIMARY KEY NOT NULL, task_id TEXT NOT NULL, tab_id TEXT NOT NULL, number INTEGER NOT NULL,
    at TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, text TEXT
) STRICT;
CREATE INDEX message_of_tab ON message (tab_id, number);
CREATE INDEX message_open ON message (task_id) WHERE at IN ('queued', 'sending');

CREATE TABLE repo (
    id TEXT PRIMARY KEY NOT NULL, workspace TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL,
    version INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX repo_named ON repo (workspace, name, created_at);

CREATE TABLE history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, boundary TEXT NOT NULL, workspace TEXT NOT NULL, at INTEGER NOT NULL,
    kind TEXT NOT NULL, tab_id TEXT, data TEXT NOT NULL
) STRICT;
CREATE INDEX history_of_boundary ON history (boundary);
CREATE INDEX history_of_workspace ON history (workspace);

CREATE TABLE feed (
    position INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    workspace TEXT NOT NULL, boundary TEXT NOT NULL
) STRICT;

CREATE TABLE intent (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, boundary TEXT NOT NULL, workspace TEXT NOT NULL,
    subject TEXT NOT NULL, lane TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, attempt INTEGER NOT NULL,
    created_at INTEGER NOT NULL, not_before INTEGER, deadline_at INTEGER, issue INTEGER NOT NULL,
    started INTEGER NOT NULL, status TEXT NOT NULL, due INTEGER NOT NULL
) STRICT;
CREATE INDEX intent_of_boundary ON intent (boundary);
CREATE INDEX intent_due ON intent (lane, seq) WHERE status = 'open' AND due = 1;
CREATE INDEX intent_timed ON intent (due, not_before) WHERE status = 'open' AND not_before IS NOT NULL;
CREATE INDEX intent_busy ON intent (boundary, subject) WHERE status <> 'open';

CREATE TABLE branch_hold (
    repo_id TEXT NOT NULL, branch TEXT NOT NULL, task_id TEXT NOT NULL, PRIMARY KEY (repo_id, branch)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_key (
    workspace TEXT NOT NULL, key TEXT NOT NULL, body_digest TEXT NOT NULL, answer TEXT NOT NULL,
    position INTEGER NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (workspace, key)
) STRICT;

CREATE TABLE transcript (
    tab_id TEXT NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL,
    body TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX transcript_position ON transcript (tab_id, position);
CREATE UNIQUE INDEX transcript_event ON transcript (tab_id, source, event);
CREATE INDEX transcript_source ON transcript (tab_id, source, position);
"""

_READERS_AND_TURNS = """
CREATE TABLE read_marker (
    tab_id TEXT NOT NULL, principal TEXT NOT NULL, task_id TEXT NOT NULL, turns INTEGER NOT NULL,
    version INTEGER NOT NULL, PRIMARY KEY (tab_id, principal)
) STRICT, WITHOUT ROWID;

CREATE TABLE draft (
    tab_id TEXT NOT NULL, principal TEXT NOT NULL, task_id TEXT NOT NULL, text TEXT NOT NULL,
    version INTEGER NOT NULL, PRIMARY KEY (tab_id, principal)
) STRICT, WITHOUT ROWID;

DROP INDEX intent_due;
CREATE INDEX intent_due ON intent (lane, workspace, seq) WHERE status = 'open' AND due = 1;
CREATE INDEX intent_of_workspace ON intent (workspace);

CREATE TABLE feed_at (at INTEGER PRIMARY KEY, position INTEGER NOT NULL) STRICT;
CREATE INDEX key_age ON idempotency_key (created_at);
"""

_JOBS_AND_BRANCHES = """
CREATE TABLE job (
    id TEXT PRIMARY KEY NOT NULL, repo_id TEXT NOT NULL, number INTEGER NOT NULL, at TEXT NOT NULL,
    version INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX job_of_repo ON job (repo_id, number);
CREATE INDEX job_open ON job (repo_id) WHERE at IN ('queued', 'running');

CREATE TABLE branches (id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT
"""

_REMOVED_REPOS = """
ALTER TABLE repo ADD COLUMN at TEXT NOT NULL DEFAULT '';
UPDATE repo SET at = json_extract(body, '$.at');
CREATE INDEX task_live ON task (repo_id) WHERE at NOT IN ('archived', 'killed')
"""

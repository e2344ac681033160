"""SQLite store: everything in one file, for one machine and any number of processes.

Owns: the connections, the schema, the group commit and every SQL statement.
Never: a decision; and no write outside the committer, so that each transaction is one of its batches.
Reads as: app -> store.SqliteStore -> commits, claims, transcripts (writes), slices, reads (reads) -> the file.
"""

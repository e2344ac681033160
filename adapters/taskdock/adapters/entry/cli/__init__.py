"""Command line: the way in for people and scripts, `taskdock <noun> <verb>`.

Owns: arguments, what is printed where, exit codes.
Never: a question to the person at the terminal, and nothing heavy at import (tests/unit/cli/test_cli_start.py).
Reads as: `taskdock.app.cli.main` -> app.build_cli -> one module per noun -> taskdock.services.dock.

What a command prints is a contract:

| stdout is | list | create, add, send, open | watch, transcript, history, show |
|---|---|---|---|
| a terminal | an aligned table | the live view | text |
| anything else | ids, one a line | the id alone; progress goes to stderr | the same text, line by line |
| asked for with `--json` | one document | one document: the receipt, at once | one document; with `watch` and `--follow` one a line |

The keys of the documents stand in documents.py, the exit codes in exit_codes.py.
"""

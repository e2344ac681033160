"""Adapters: one folder per port, one file per technology.

Owns: every line that speaks to the world outside.
Never: imports another driven adapter (tests/architecture/test_imports.py).
Reads as: taskdock.app -> adapters -> ports and core.
"""

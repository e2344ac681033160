"""Conformance: the promises of each port as checks that anybody can run against an adapter of theirs.

Owns: one module per port, each with a tuple of `check_*` functions and the record they take.
Never: pytest or another runner; a check is an async function that raises AssertionError with a sentence.
Reads as: a test suite, ours or yours -> the checks -> the adapter under test.
"""

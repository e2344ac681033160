"""Executors: one file per intent, each carrying it out with "ensure" semantics.

Owns: nothing; `catalogue.py` lists them.
Never: a decision about retry or failure; an error of a port becomes an outcome, and the core decides.
Reads as: scheduler -> catalogue -> executor(body, execution, tools) -> ports.
"""

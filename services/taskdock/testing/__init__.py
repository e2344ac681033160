"""Testing kit: what we ship to those who test against Taskdock or write a provider for it.

Owns: the simulated world, fault scripts, gates and the conformance suites.
Never: imports pytest (tests/architecture/test_imports.py).
Reads as: somebody's test -> testing -> services, ports and core.
"""

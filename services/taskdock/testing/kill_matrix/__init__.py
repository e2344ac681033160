"""Kill matrix: a real serving process is killed at each gate of each port, and what it left is judged from outside.

Owns: nothing; `matrix.py` has `KillMatrix`, and `python -m taskdock.testing.kill_matrix` runs it.
Never: a test runner.
Reads as: docs/guides/kill-matrix.md -> `python -m taskdock.testing.kill_matrix`, or `KillMatrix` in a test -> the modules here.
"""

"""Core: the pure half of Taskdock, which decides everything and does nothing.

Owns: the machines of task, tab, message and repo, their records, the intents they order, and the codec.
Never: a clock, randomness, I/O or logging (tests/architecture checks the imports by whitelist).
Reads as: services load a boundary -> `step(slice, input, now)` -> services commit the Change.
"""

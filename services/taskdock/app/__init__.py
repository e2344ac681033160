"""App: the composition root, the only place that sees every layer.

Owns: configuration, wiring, the `taskdock` command.
Never: holds a rule about tasks, tabs or repos; those live in core.
Reads as: the process or an embedding backend -> app -> every other layer.
"""

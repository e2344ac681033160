"""Ports: what Taskdock needs from the outside, as Protocols that state each method's promises.

Owns: one module per port, with the shapes that cross it.
Never: an implementation, or an import from adapters or services (import-linter).
Reads as: services call a port -> an adapter answers, in the core's words.
"""

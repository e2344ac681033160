"""Agent adapters: how Taskdock speaks to what answers in a session.

Owns: one file per agent server, and the locked npm package of the server itself.
Never: imports a sandbox adapter; it hands out a ServiceSpec instead.
Reads as: services -> the agent port -> one of these.
"""

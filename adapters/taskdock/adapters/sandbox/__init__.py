"""Sandbox adapters: where a task's files and agent live.

Owns: one file per sandbox provider.
Never: starts an agent on its own account; it runs the ServiceSpec it is handed.
Reads as: services -> the sandbox ports -> one of these.
"""

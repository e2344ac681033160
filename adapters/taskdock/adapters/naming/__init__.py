"""Naming adapters: how a task gets its title and branch name.

Owns: one file per way to make a name.
Never: fails a task; a name can always be derived from its prompt.
Reads as: services -> the naming port -> one of these.
"""

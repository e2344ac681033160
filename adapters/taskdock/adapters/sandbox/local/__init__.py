"""Local sandboxes: a folder on this machine for each task.

Owns: the level `process` (folders, guards, records, processes, services, files); stronger levels build on it.
Never: an agent's name or a git command; it runs what it is handed.
Reads as: app -> provider.LocalSandboxes -> the modules here.
"""

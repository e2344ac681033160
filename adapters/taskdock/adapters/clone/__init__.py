"""Clone adapters: the service's own clone of a repo.

Owns: the only code that runs git on the host.
Never: touches a sandbox or a working copy of a user.
Reads as: services -> the clone port -> one of these.
"""

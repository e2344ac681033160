"""Services: what runs between a request and its effects.

Owns: the request path, the scheduler, the rescuer, the reaper, retention and subscriptions.
Never: imports an adapter, a vendor library, or decides a status (tests/architecture/test_imports.py).
Reads as: taskdock.app and entry adapters -> services -> ports and core.
"""

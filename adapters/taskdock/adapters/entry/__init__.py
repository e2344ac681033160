"""Entry adapters: the ways in; today the command line.

Owns: translation between a wire format and the service calls.
Never: reaches a driven adapter or the store; it calls services (tests/architecture/test_imports.py).
Reads as: a client -> entry -> services.
"""

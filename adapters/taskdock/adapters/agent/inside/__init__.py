"""Inside: modules of the two programs that run in a sandbox, relay.py and demo_agent.py.

Owns: nothing itself; `catalogue.py` copies the modules there under the same dotted names.
Never: more than the standard library of Python 3.9.
Reads as: relay.py, demo_agent.py -> these.
"""

"""Checks: what `taskdock doctor` shows, brought by the app.

Owns: `Check`.
Never: a probe of its own; only the composition root knows what is installed.
Reads as: the app's probes -> Check -> doctor.py.
"""

from attrs import frozen


@frozen
class Check:
    """One thing that was looked at: `detail` says what was found, `mend` how to make it right.

    A check that is not `essential` may fail: something is degraded, and everything else works.
    """

    name: str
    ok: bool
    detail: str
    mend: str | None = None
    essential: bool = True

"""How often Python looks for cyclic garbage in a role's process.

A role makes many small objects that live for a batch and hardly any cycles. With Python's defaults the collector took
13–17 % of the CPU time of a drain, and each full collection walked everything that was imported and loaded: pauses
of 40–120 ms, which every task in flight waits for.
"""

from __future__ import annotations

import gc

__all__ = ["postpone_garbage", "settle_garbage"]

_YOUNG, _MIDDLE, _OLD = 20_000, 20, 20
"""Allocations more than releases before a collection, and how many of one generation before the next."""


def postpone_garbage() -> None:
    """Do not look until `settle_garbage`: imports leave hardly any, and looking takes a twentieth of a role's start."""
    gc.disable()


def settle_garbage() -> None:
    """Leave what is alive now out of all later collections. Call it when much was loaded.

    Called again it first looks at everything anew, so that what was left out and has died since is collected.
    """
    if gc.isenabled():
        gc.unfreeze()
        gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.enable()

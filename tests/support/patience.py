"""How long a test waits for what must come before it says that it does not come.

Such a limit costs nothing while all is well, and on a machine that is slow or busy a tight one is a test of the
machine. So every wait for an event of another process, a broker or a thread takes its limit from here; a test of a
limit that the product itself keeps asserts the product's own words and order, never a clock. Pytest's own timeout
(pyproject.toml) is longer, so that a wait that fails can still say what it waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["PATIENCE_SECONDS", "wait_until"]

PATIENCE_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.02


def wait_until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds that another process or thread brings about."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(_LOOK_SECONDS)

"""A role's wall clock, set wrong while it runs.

The signal SIGRTMIN sets it (Faust takes SIGUSR2): the file `clock-PID` beside the ledger says by how many ms it is
wrong from then on. The ledger keeps the true time, and so does everything that is measured by monotonic clocks.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

from tests.checker import LedgerWriter

__all__ = ["CLOCK_FAULT", "install", "tell"]

CLOCK_FAULT: Final = "clock"
"""The ledger's name of a clock that was set; its detail names the process and what its clock shows, in ms."""


def install(folder: Path, ledger: LedgerWriter) -> None:
    """Let this process's clock be set."""
    seconds, nanoseconds = time.time, time.time_ns
    offset_ms = 0

    def set_clock(number: int, frame: object) -> None:
        nonlocal offset_ms
        offset_ms = int(_order(folder, os.getpid()).read_text())
        ledger.fault(CLOCK_FAULT, {"pid": os.getpid(), "shows": time.time_ns() // 1_000_000})

    setattr(time, "time", lambda: seconds() + offset_ms / 1000)  # noqa: B010 - everything in this process asks it
    setattr(time, "time_ns", lambda: nanoseconds() + offset_ms * 1_000_000)  # noqa: B010 - as above
    signal.signal(signal.SIGRTMIN, set_clock)


def tell(folder: Path, pid: int, offset_ms: int) -> None:
    """Set another process's clock."""
    _order(folder, pid).write_text(str(offset_ms))
    os.kill(pid, signal.SIGRTMIN)


def _order(folder: Path, pid: int) -> Path:
    return folder / f"clock-{pid}"

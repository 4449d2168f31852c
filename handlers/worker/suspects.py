"""Who may run beside whom, when dispatches are about that may have ended their worker.

A suspect's second delivery runs among others: it convicts nobody, but if the worker is lost again, only what ran then
is left under suspicion. The third is the last, and a worker lost during it costs the step its attempts. So it runs
alone in the whole worker, not only in its partition: else the crash that one causes would be counted against another.

Alone means that nothing else is in flight: others are finished here once they are answered, or reported to the engine,
which takes seconds. Who waits longer (for a child process, say) is not waited for: no dispatch may hold up a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .partition import PartitionWork, QueueDelivery

__all__ = ["SuspectTurn"]


class SuspectTurn:
    """Held by one delivery at most, for which all others wait; `on_free` is called when more can be started."""

    def __init__(self, on_free: Callable[[], None], *, patience_seconds: float) -> None:
        """patience_seconds: the longest wait for others to end, and for the one that is alone."""
        self._works: list[PartitionWork] = []
        self._claimant: PartitionWork | None = None
        self._holder: QueueDelivery | None = None
        self._on_free = on_free
        self._patience = patience_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._is_overdue = False
        self.reserved = 0
        """Suspects that wait for their count to be committed: each will take a handler's place."""

    def join(self, work: PartitionWork) -> None:
        """This partition's deliveries are counted from now on."""
        self._works.append(work)

    def leave(self, work: PartitionWork) -> None:
        """This partition is gone, with its deliveries."""
        self._works.remove(work)
        if self._claimant is work:
            self._claimant = None
        if self._holder is not None and self._holder.work is work:
            self._holder = None
        self._on_free()

    def lets_start(self, work: PartitionWork) -> bool:
        """This partition may start something: nobody is alone or waits to be."""
        return self._holder is None and self._claimant in {None, work}

    def claim(self, work: PartitionWork) -> bool:
        """This partition's next delivery must be alone: whether it is. From now on nothing else is started."""
        if self._claimant is not work:
            self._claimant = work
            self._begin_waiting()
        return self._is_quiet or self._is_overdue

    def take(self, delivery: QueueDelivery) -> None:
        """This delivery runs alone from now on."""
        self._claimant = None
        self._holder = delivery
        self._begin_waiting()

    def end(self, delivery: QueueDelivery) -> None:
        """This delivery is finished, or dropped."""
        if self._holder is delivery:
            self._holder = None
            self._on_free()
        elif self._claimant is not None and self._is_quiet:
            self._on_free()

    def _begin_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._is_overdue = False
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._stop_waiting)

    def _stop_waiting(self) -> None:
        self._is_overdue = True
        self._holder = None
        self._on_free()

    @property
    def _is_quiet(self) -> bool:
        """Nothing is in flight; what the engine watches has been finished here."""
        return not any(work.in_flight for work in self._works)

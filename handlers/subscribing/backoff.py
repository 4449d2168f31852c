"""How long to wait before something that keeps ending is started again: pure, for tasks and processes alike."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(slots=True)
class Backoff:
    """1 s, 2 s, 4 s, … up to a minute; from the beginning again after a run that lasted."""

    first_seconds: float = 1.0
    most_seconds: float = 60.0
    lasting_seconds: float = 60.0
    """A run of this length was a success: what ends it is a new trouble."""
    _next: float = 0.0

    def after(self, ran_seconds: float) -> float:
        """Seconds to wait after a run of this length."""
        if self._next == 0.0 or ran_seconds >= self.lasting_seconds:
            self._next = self.first_seconds
        wait = self._next
        self._next = min(2 * wait, self.most_seconds)
        return wait

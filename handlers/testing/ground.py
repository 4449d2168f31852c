"""What a workflow test stands on while it is entered: a stage, and the system that runs on it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from tasker_kafka.schemas.errors import ConfigurationError

from .stages import Stage
from .system import System

__all__ = ["Ground"]

T = TypeVar("T")


class Ground:
    """Shared by the test, its tasks and its events. ConfigurationError for all that needs it outside the `with`."""

    def __init__(self) -> None:
        self._there: tuple[Stage, System] | None = None

    @property
    def is_entered(self) -> bool:
        """Between `enter` and `leave`."""
        return self._there is not None

    def enter(self, stage: Stage, system: System) -> None:
        """The system has started."""
        self._there = stage, system

    def leave(self) -> tuple[Stage, System]:
        """What is to be stopped and closed."""
        left = self._both()
        self._there = None
        return left

    @property
    def stage(self) -> Stage:
        """On what it happens: in memory or on a broker."""
        return self._both()[0]

    @property
    def system(self) -> System:
        """What happens."""
        return self._both()[1]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let time pass until `work` is done."""
        try:
            stage, system = self._both()
        except ConfigurationError:
            work.close()
            raise
        return stage.run(system.guard.wait(work))

    def _both(self) -> tuple[Stage, System]:
        if self._there is None:
            raise ConfigurationError(
                "the workflow test is not entered", next_step="use `with WorkflowTest(…) as workflow:`"
            )
        return self._there

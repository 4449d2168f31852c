"""The one way in which a generator refuses."""

from __future__ import annotations

from tasker_kafka.schemas.errors import TaskerError

__all__ = ["ScaffoldError"]


class ScaffoldError(TaskerError):
    """Nothing was generated: a name, a file or the project's description does not allow it."""

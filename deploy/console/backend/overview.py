"""What health and metrics are made of: a few questions to the projection and one to the log, asked once for all."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tasker_kafka.deploy.reading import WorkerRow
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import FaultRow, StepLoad

from .shapes import HandlerRow

__all__ = ["Overview"]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the whole system. None: could not be read."""

    counts: Mapping[TaskStatus, int] | None
    loads: tuple[StepLoad, ...] | None
    pending: int | None
    """Tasks that wait for a person, counted to 500."""
    faults: tuple[FaultRow, ...] | None
    """The newest hundred."""
    workers: tuple[WorkerRow, ...] | None
    handlers: tuple[HandlerRow, ...] | None

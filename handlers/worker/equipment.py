"""What attempts are run with."""

from __future__ import annotations

from dataclasses import dataclass

from tasker_kafka.handlers.isolation.children import ChildProcesses
from tasker_kafka.handlers.publishing.desk import EventDesk
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Log, Outbox
from tasker_kafka.topics.names import TopicNames

from .answering import Answering
from .cancellations import Cancellations
from .crash_points import WorkerCrashPoint
from .settings import WorkerSettings
from .steps import Steps
from .threads import HandlerThreads
from .values import Values

__all__ = ["Equipment"]


@dataclass(frozen=True, slots=True)
class Equipment:
    """What attempts are run with; made by the worker."""

    log: Log
    codec: Codec
    outbox: Outbox
    names: TopicNames
    answering: Answering
    steps: Steps
    values: Values
    cancellations: Cancellations
    threads: HandlerThreads
    children: ChildProcesses
    events: EventDesk
    settings: WorkerSettings
    worker_id: str
    crash_points: CrashPoints[WorkerCrashPoint] = NO_CRASH_POINTS

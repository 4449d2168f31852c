"""The step worker: consumes queues of dispatches, runs handlers, answers."""

from .settings import WorkerSettings
from .worker import StepWorker

__all__ = ["StepWorker", "WorkerSettings"]

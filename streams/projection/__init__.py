"""The read model: a projection of the log into a relational store, and everything that is asked of it.

    store = Store.open(path, prefix="tasker", create=True)
    await Projector(log, names, store).run()

    reads = Reads(Store.open(path, prefix="tasker"))
    page = await reads.tasks(TaskQuery(states=(TaskStatus.ERROR,)), limit=20)

Facts are in the log; the store is disposable. It is written by projectors only, each row and the position it follows
from in one transaction, so it is a prefix of the log at every moment, and says of which length.
"""

from __future__ import annotations

from .delay import measure
from .projector import Progress, Projector, ProjectorSettings
from .queries import BadCursor
from .reads import Reads
from .rebuild import Rebuilt, rebuild
from .shapes import (
    BottleneckRow,
    ChangedTask,
    Changes,
    DelayRow,
    EventRow,
    FaultRow,
    LedgerPage,
    LedgerRow,
    LetterOfEvent,
    PerformanceQuery,
    PerformanceRow,
    PositionRow,
    ReceiptOfEvent,
    Spread,
    StepLoad,
    StepRow,
    StoredHistory,
    StoredWorker,
    TaskPage,
    TaskQuery,
    TaskRow,
)
from .store import QuestionTooLarge, Store, StoreUnavailable

__all__ = [
    "BadCursor",
    "BottleneckRow",
    "ChangedTask",
    "Changes",
    "DelayRow",
    "EventRow",
    "FaultRow",
    "LedgerPage",
    "LedgerRow",
    "LetterOfEvent",
    "PerformanceQuery",
    "PerformanceRow",
    "PositionRow",
    "Progress",
    "Projector",
    "ProjectorSettings",
    "QuestionTooLarge",
    "Reads",
    "Rebuilt",
    "ReceiptOfEvent",
    "Spread",
    "StepLoad",
    "StepRow",
    "Store",
    "StoreUnavailable",
    "StoredHistory",
    "StoredWorker",
    "TaskPage",
    "TaskQuery",
    "TaskRow",
    "measure",
    "rebuild",
]

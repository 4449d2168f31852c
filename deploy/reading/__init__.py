"""Reads the log for people: lists of tasks, one task's history as a report, workers, rejections, graphs.

Used by the command line and the API alike. Everything here reads committed records, from the log itself; a projection
is faster for lists over many tasks, and never more right.
"""

from __future__ import annotations

from .graphs import SIGNS, Branch, branches, graph_json, mermaid, tree
from .heads import TaskFilter, TaskRow, list_tasks
from .jsonform import jsonable, time_text
from .rebuild import FieldDifference, PartitionRebuild, RebuildDifference, Rebuilt, verify_rebuild
from .rejections import RejectionRow, find_rejection, list_rejections, read_rejection
from .report import (
    AnswerReport,
    AttemptReport,
    ErrorReport,
    StepReport,
    TaskReport,
    TransitionReport,
    WaitReport,
)
from .tasks import read_report
from .waiting import duration_text
from .workers import WorkerRow, Workforce, list_workers

__all__ = [
    "SIGNS",
    "AnswerReport",
    "AttemptReport",
    "Branch",
    "ErrorReport",
    "FieldDifference",
    "PartitionRebuild",
    "RebuildDifference",
    "Rebuilt",
    "RejectionRow",
    "StepReport",
    "TaskFilter",
    "TaskReport",
    "TaskRow",
    "TransitionReport",
    "WaitReport",
    "WorkerRow",
    "Workforce",
    "branches",
    "duration_text",
    "find_rejection",
    "graph_json",
    "jsonable",
    "list_rejections",
    "list_tasks",
    "list_workers",
    "mermaid",
    "read_rejection",
    "read_report",
    "time_text",
    "tree",
    "verify_rebuild",
]

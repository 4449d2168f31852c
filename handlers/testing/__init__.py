"""Tests of workflows, in milliseconds and without a broker: the engine, the worker and the client on a log in memory.

def test_checkout() -> None:
    with WorkflowTest(templates=["templates/checkout.yaml"], handlers=["shop.handlers"]) as workflow:
        workflow.fail("charge_card", times=2)
        result = workflow.run("checkout", {"cart_id": 7})
        result.assert_complete()
        assert len(result.steps["charge_card"].attempts) == 3
"""

from __future__ import annotations

from .doubles import HandledCall
from .ready_made import always, fail_times
from .result import StepAttempt, StepRun, TaskResult
from .task import WorkflowTask
from .workflow import WorkflowTest

__all__ = [
    "HandledCall",
    "StepAttempt",
    "StepRun",
    "TaskResult",
    "WorkflowTask",
    "WorkflowTest",
    "always",
    "fail_times",
]

"""Tests in milliseconds and without a broker: the engine, the worker, the client and subscribers on a log in memory.

def test_checkout() -> None:
    with WorkflowTest(templates=["templates/checkout.yaml"], handlers=["shop.handlers"]) as workflow:
        workflow.fail("charge_card", times=2)
        result = workflow.run("checkout", {"cart_id": 7})
        result.assert_complete()
        assert len(result.steps["charge_card"].attempts) == 3

def test_audit() -> None:
    with EventBus(audit) as bus:
        bus.publish("payment.charged", {"amount": 7}, key="customer 1")
        bus.settle()
        assert bus.handled("record")[0].payload == {"amount": 7}
"""

from __future__ import annotations

from .bus import EventBus
from .captured import CapturedLetter
from .doubles import HandledCall
from .failing import Delivered
from .ready_made import always, fail_times
from .result import StepAttempt, StepRun, TaskResult
from .task import WorkflowTask
from .workflow import WorkflowTest

__all__ = [
    "CapturedLetter",
    "Delivered",
    "EventBus",
    "HandledCall",
    "StepAttempt",
    "StepRun",
    "TaskResult",
    "WorkflowTask",
    "WorkflowTest",
    "always",
    "fail_times",
]

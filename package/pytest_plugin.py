"""Fixtures for users' workflow tests; pytest finds them by the `pytest11` entry point.

It lies beside the sub-packages because pytest loads it in every session of every project that has this package
installed: nothing of Tasker is imported before a fixture is used.

- `workflow_test`: makes a `handlers.testing.WorkflowTest` in memory, entered, and ends it after the test.
- `kafka_workflow_test`: the same on a real broker: the one at TASKER_BROKER, else an embedded Kafka, else a
  container; started once per session. Where none can be had the test is skipped, and fails in CI.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tasker_kafka.handlers.testing import WorkflowTest

    MakeWorkflowTest = Callable[..., WorkflowTest]

__all__ = ["kafka_workflow_test", "tasker_broker", "workflow_test"]


@pytest.fixture
def workflow_test() -> Iterator[MakeWorkflowTest]:
    """Makes workflow tests in memory; parameters as of `WorkflowTest`."""
    with ExitStack() as entered:

        def make(*args: Any, **options: Any) -> WorkflowTest:
            from tasker_kafka.handlers.testing import WorkflowTest

            return entered.enter_context(WorkflowTest(*args, **options))

        yield make


@pytest.fixture
def kafka_workflow_test(tasker_broker: str) -> Iterator[MakeWorkflowTest]:
    """Makes workflow tests on a real broker; parameters as of `WorkflowTest`."""
    with ExitStack() as entered:

        def make(*args: Any, **options: Any) -> WorkflowTest:
            from tasker_kafka.handlers.testing import WorkflowTest

            return entered.enter_context(WorkflowTest(*args, **{"broker": tasker_broker, **options}))

        yield make


@pytest.fixture(scope="session")
def tasker_broker() -> Iterator[str]:
    """The bootstrap servers of the broker that this session's tests share."""
    from tasker_kafka.topics.brokers import NoBroker, open_broker

    try:
        broker = open_broker()
    except NoBroker as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    yield broker.bootstrap_servers
    broker.stop()

"""Filters by tag and text find finished tasks by their transitions: as created, and as operators changed them."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.deploy.reading import TaskFilter, list_tasks
from tasker_kafka.schemas.commands import OperatorCommand
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import OperatorAction
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.plans import PlanStore
from tests.support.written_log import WrittenLog


def chain() -> Plan:
    """Two steps, one after the other."""
    return (
        Template("order", namespace="shop", version="1.0.0")
        .step("first", handler="a.first")
        .step("second", handler="a.second", depends_on=["first"])
        .compile()
    )


def change(action: OperatorAction, **details: Any) -> OperatorCommand:
    """An operator's command that changes what filters look into."""
    return OperatorCommand(
        command_id=new_request_id(), action=action, actor="ada", reason="a test", **details
    )


def found(**wanted: Any) -> int:
    """How many finished tasks a filter finds, of one that was changed and one that was not."""

    async def tell() -> int:
        written = await WrittenLog(chain()).open()
        plans = PlanStore(written.log, written.names)
        await plans.start()
        changed = await written.start(
            chain(), {"colour": "Grün", "password": "hunter2"}, tags=("old", "both")
        )
        other = await written.start(chain(), tags=("both",))
        await written.command(changed, change(OperatorAction.SET_TAGS, tags=("new", "both")))
        await written.command(changed, change(OperatorAction.SET_REASON, text="a new reason"))
        for task_id in (changed, other):
            await written.succeed(task_id, "first")
            await written.succeed(task_id, "second")
        await written.checkpoint()
        rows = await list_tasks(written.log, written.names, plans.get, TaskFilter(**wanted))
        await plans.stop()
        assert all(str(row.state) == "complete" for row in rows)
        return len(rows)

    return run_virtual(tell())


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 2),
        ({"tags": ("both",)}, 2),
        ({"tags": ("new",)}, 1),
        ({"tags": ("old",)}, 0),
        ({"tags": ("new", "both")}, 1),
        ({"text": "A NEW reason"}, 1),
        ({"text": "grün"}, 1),
        ({"text": "hunter2"}, 0),
        ({"text": "grün", "tags": ("old",)}, 0),
    ],
)
def test_finished_tasks(wanted: dict[str, Any], count: int) -> None:
    assert found(**wanted) == count

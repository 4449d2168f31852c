"""The demo's stories on the engine itself, in memory: the same ends, attempts and outputs as on Kafka.

Those that call a web service are left out: real sockets and a clock that is skipped do not go together.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasker_kafka.deploy import examples
from tasker_kafka.deploy.demo.stories import STORIES, Story, differences
from tasker_kafka.deploy.examples import shapes
from tasker_kafka.deploy.examples.shop import Shop
from tasker_kafka.handlers.testing import TaskResult, WorkflowTest
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import TaskStatus

HANDLERS = [
    examples.analytics,
    examples.customer_success,
    examples.dummy,
    examples.ecommerce,
    examples.microservices,
    examples.payments,
    examples.shape,
]
IN_MEMORY = [story for story in STORIES if story.namespace != "integrations"]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as running:
        yield running


def failed(result: TaskResult) -> dict[str, tuple[str, ...]]:
    """Step → error codes of its failed attempts."""
    codes = {
        name: tuple(each.failure.code for each in step.attempts if each.failure is not None)
        for name, step in result.steps.items()
    }
    return {name: found for name, found in codes.items() if found}


@pytest.mark.parametrize("story", IN_MEMORY, ids=lambda story: story.name)
def test_story(story: Story, shop: Shop) -> None:
    with WorkflowTest([examples.TEMPLATES], HANDLERS, strict=False) as workflow:
        task = workflow.submit(story.template_name, story.context, namespace=story.namespace)
        result = task.wait()
        if story.mend is not None:
            result.assert_state(TaskStatus.ERROR)
            act = story.mend.act
            workflow.command(lambda client: act(client, task.task_id, shop))
            result = task.wait()
        result.assert_complete()
        assert failed(result) == dict(story.failures)
        assert differences(story.output, result.output) == []
        if story.further is not None:
            further = workflow.task(result.output["refund_task"]).wait().assert_complete()
            assert differences(story.further.output, further.output) == []


@pytest.mark.parametrize(
    "template",
    [
        shapes.linear(6, fail_times=1),
        shapes.diamond(fail_times=3),
        shapes.fan_out(12, fail_times=1),
        shapes.tree(4),
        shapes.mixed(),
    ],
)
def test_shape_completes_after_its_failures(template: Template) -> None:
    plan = template.compile()
    with WorkflowTest([plan], [examples.shape]) as workflow:
        result = workflow.run(plan).assert_complete()
    for step in plan.steps:
        assert len(result.steps[step.name].attempts) == step.config.get("fail_times", 0) + 1, step.name

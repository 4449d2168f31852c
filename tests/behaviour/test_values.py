"""What travels between steps: typed inputs, large values, checked results; and who serves which queue."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from tasker_kafka.handlers import StepContext, StepHandler, result_of, success
from tasker_kafka.handlers.testing import always
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import Dispatch
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import Outcome, StepStatus, TaskStatus
from tasker_kafka.topics.log import Write
from tests.support.behaviour import ONCE, QUICK, Gate, Play


class Cart(BaseModel):
    """What the tests pass on."""

    items: list[str]
    total: int = 0


def test_models_in_and_out(play: Play) -> None:
    async def price(cart: Cart) -> Cart:
        return cart.model_copy(update={"total": len(cart.items)})

    def pay(cart: Annotated[Cart, result_of("price")]) -> int:
        return cart.total

    flow = play.flow().step("price", price).step("pay", pay, after=["price"])
    assert flow.run({"items": ["a", "b"]}).assert_complete().output == {"pay": 2}


def test_input_that_does_not_fit_fails_permanently_and_names_the_place(play: Play) -> None:
    async def price(cart: Cart) -> int:
        return cart.total

    result = play.flow().step("price", price, retry=QUICK).run({"items": [1]}).assert_state(TaskStatus.ERROR)
    (attempt,) = result.steps["price"].attempts
    assert attempt.failure is not None
    assert attempt.failure.code == "invalid_input"
    assert "$.items.0" in attempt.failure.message


def test_a_handler_may_be_a_class(play: Play) -> None:
    class Double(StepHandler):
        name = "any.double"

        def call(self, context: StepContext) -> Any:
            return context.task_context["number"] * 2

    assert play.flow().step("double", Double).run({"number": 21}).output == {"double": 42}


def test_metadata_stay_with_the_attempt(play: Play) -> None:
    result = play.flow().step("one", always(success("done", {"took": 3}))).run().assert_complete()
    assert result.output == {"one": "done"}
    assert result.steps["one"].attempts[0].metadata == {"took": 3}


def test_large_values_travel_as_payloads(play: Play) -> None:
    async def echo(context: StepContext) -> Any:
        return context.task_context["text"] + "!"

    async def measure(text: Annotated[str, result_of("echo")], context: StepContext) -> list[int]:
        return [len(text), len(context.task_context["text"])]

    flow = play.flow(output={"sizes": "$.measure", "text": "$.echo"})
    flow.step("echo", echo).step("measure", measure, after=["echo"])
    result = flow.run({"text": "x" * 200_000}).assert_complete()
    assert result.output["sizes"] == [200_001, 200_000]
    assert len(result.output["text"]) == 200_001


def test_a_result_over_the_limit_fails_permanently(play: Play) -> None:
    result = play.flow().step("one", always("x" * 300_000), retry=QUICK).run().assert_state(TaskStatus.ERROR)
    assert len(result.steps["one"].attempts) == 1
    assert result.errors["one"].code == "result_too_large"


def test_a_result_that_violates_its_schema_fails_permanently(play: Play) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
    good = play.flow().step("one", always({"id": 1}), result_schema=schema)
    good.run().assert_complete()
    bad = play.flow().step("one", always({"id": "x"}), result_schema=schema, retry=QUICK)
    result = bad.run().assert_state(TaskStatus.ERROR)
    assert len(result.steps["one"].attempts) == 1
    assert result.errors["one"].code == "invalid_result"
    assert "result.id" in result.errors["one"].message


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": [None, 1.5, "ü"]}])
def test_any_json_is_a_result(play: Play, value: Any) -> None:
    async def same(before: Annotated[Any, result_of("one")]) -> Any:
        return [before]

    flow = play.flow().step("one", always(value)).step("two", same, after=["one"])
    assert flow.run().assert_complete().output == {"two": [value]}


def test_an_unknown_handler_is_given_back_uncounted_until_somebody_serves_it(memory_play: Play) -> None:
    workflow = memory_play.workflow
    template = Template("lonely").step("one", handler="nobody.yet", retry=ONCE)
    workflow.add(template)
    task = workflow.submit(template)
    task.wait_until(lambda seen: bool(seen.steps) and bool(seen.steps["one"].attempts))
    returned = task.result().steps["one"].attempts[0]
    assert (returned.outcome, returned.is_counted) == (Outcome.RETURNED, False)
    workflow.replace("nobody.yet", always("served"))
    assert task.wait().assert_complete().output == {"one": "served"}


def test_a_dispatch_delivered_again_is_answered_and_not_run_again(play: Play) -> None:
    gate = Gate()
    flow = play.flow().step("one", lambda: "done").step("held", gate.handler, after=["one"])
    task = flow.submit()
    task.wait_until(lambda seen: StepStatus.IN_PROGRESS in seen.steps["held"].states)
    topic = play.names.steps("default")
    mine = [each for each in play.read(topic) if codec.decode(each.value, Dispatch).task_id == task.task_id]
    play.write([Write(topic, each.key, each.value) for each in mine])
    before = task.result().transitions
    assert task.advance(0.3).transitions == before
    assert (len(flow.handled("one")), len(flow.handled("held"))) == (1, 1)
    gate.open()
    task.wait().assert_complete()


def test_steps_of_other_queues_have_their_own_workers(play: Play) -> None:
    flow = play.flow().step("one", queue="gpu").step("two", after=["one"])
    assert flow.run().assert_complete().output == {"two": "two"}


def test_templates_of_other_namespaces(play: Play) -> None:
    flow = play.flow(namespace="payments").step("one")
    assert flow.run().template == f"payments/{flow.name}@1.0.0"

"""Who may ask for a task, what makes two requests one task, and how a request is refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from tasker_kafka.handlers import StepContext
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import RequestRejected
from tasker_kafka.schemas.identity import new_request_id, parse_id
from tasker_kafka.schemas.limits import LimitExceeded
from tasker_kafka.schemas.records import Command, OperatorCommand, TaskRequest
from tasker_kafka.schemas.template import Lifecycle
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.partitioner import partition_for
from tests.support.behaviour import ONCE, QUICK, Flow, Gate, Play


def refusal(flow: Flow, context: Any = None, **request: Any) -> RequestRejected:
    """The error for a request that is not accepted."""
    with pytest.raises(RequestRejected) as caught:
        flow.run(context, **request)
    return caught.value


# ------------------------------------------------------------------------------------------ identity


def test_every_request_is_a_task_of_its_own(play: Play) -> None:
    flow = play.flow().step("one")
    assert flow.run({"a": 1}).task_id != flow.run({"a": 1}).task_id
    assert len(flow.handled("one")) == 2


def test_a_request_sent_again_is_the_same_task(play: Play) -> None:
    flow = play.flow().step("one").publish()
    request_id = new_request_id(play.workflow.now_ms)
    first = flow.run(request_id=request_id)
    again = flow.run(request_id=request_id)
    assert first.task_id == again.task_id
    assert len(flow.handled("one")) == 1


def test_a_callers_key_is_the_task(play: Play) -> None:
    flow = play.flow(identity="caller_provided").step("one")
    first = flow.run(idempotency_key="order 7")
    refused = refusal(flow, idempotency_key="order 7")
    assert refused.code == "duplicate"
    assert first.task_id in str(refused)
    assert flow.run(idempotency_key="order 8").task_id != first.task_id


def test_a_missing_key_is_refused(play: Play) -> None:
    assert refusal(play.flow(identity="caller_provided").step("one")).code == "missing_idempotency_key"


def test_the_same_context_is_the_same_task(play: Play) -> None:
    flow = play.flow(identity="context_hash").step("one")
    first = flow.run({"a": 1, "b": [2]})
    assert refusal(flow, {"b": [2], "a": 1}).code == "duplicate"
    assert flow.run({"a": 1, "b": [3]}).task_id != first.task_id


def test_a_supplied_key_always_wins(play: Play) -> None:
    flow = play.flow().step("one")
    flow.run({"a": 1}, idempotency_key="k")
    assert refusal(flow, {"a": 2}, idempotency_key="k").code == "duplicate"


def test_a_task_in_error_keeps_its_identity(play: Play) -> None:
    def broken() -> None:
        raise RuntimeError("as meant")

    flow = play.flow(identity="caller_provided").step("one", broken, retry=ONCE)
    flow.run(idempotency_key="k").assert_state(TaskStatus.ERROR)
    assert refusal(flow, idempotency_key="k").code == "duplicate"


def test_a_request_from_before_what_is_forgotten_is_expired_however_late_it_is_read_again(
    memory_play: Play,
) -> None:
    flow = memory_play.flow(identity="caller_provided", lifecycle=Lifecycle(retention_hours=1)).step("one")
    flow.run(idempotency_key="old").assert_complete()
    memory_play.workflow.advance(3600 + 120)
    flow.run(idempotency_key="new").assert_complete()
    memory_play.read_requests_again()
    refused = memory_play.rejection(lambda each: each.code == "expired")
    assert "forget horizon" in refused.message
    assert len(flow.handled("one")) == 2


# ---------------------------------------------------------------------------------------- refusals


def test_an_unknown_template_is_refused_before_it_is_sent(play: Play) -> None:
    with pytest.raises(RequestRejected, match="nobody") as caught:
        play.workflow.run("nobody")
    assert caught.value.code == "unknown_template"


def test_an_unknown_version_is_refused_and_the_known_ones_are_named(play: Play) -> None:
    refused = refusal(play.flow().step("one"), version="9.9.9")
    assert refused.code == "unknown_template"
    assert "1.0.0" in str(refused)


@pytest.mark.parametrize(
    ("context", "path"),
    [
        ({"items": [{"sku": 1}]}, "context.items[0].sku"),
        ({"items": "none"}, "context.items"),
        ({}, "context"),
    ],
)
def test_a_context_that_violates_its_schema_is_refused_with_the_path(
    play: Play, context: Any, path: str
) -> None:
    item = {"type": "object", "properties": {"sku": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "items": item}},
        "required": ["items"],
    }
    flow = play.flow(input_schema=schema).step("one")
    refused = refusal(flow, context)
    assert refused.code == "invalid_context"
    assert path in str(refused)
    assert flow.handled("one") == []


def test_a_bypass_of_an_unknown_step_is_refused_with_the_nearest_name(play: Play) -> None:
    refused = refusal(play.flow().step("charge_card"), bypass_steps=("charge_cart",))
    assert refused.code == "unknown_bypass_step"
    assert "bypass_steps[0]" in str(refused)
    assert "charge_card" in str(refused)


def test_a_time_that_is_none_is_refused(play: Play) -> None:
    refused = refusal(play.flow().step("one"), not_before=-1)
    assert (refused.code, "not_before" in str(refused)) == ("invalid_request", True)


def test_a_context_over_the_limit_is_not_even_sent(play: Play) -> None:
    with pytest.raises(LimitExceeded):
        play.flow().step("one").run({"a": "x" * 300_000})


RAW: list[tuple[str, bytes | TaskRequest, str, str | None]] = [
    ("no record of ours", b"{}", "undecodable", None),
    ("context is a list", TaskRequest(name="FLOW", context=b"[]"), "invalid_context", "context"),
    ("context is broken", TaskRequest(name="FLOW", context=b'{"a": '), "invalid_context", "context"),
    ("duplicate keys", TaskRequest(name="FLOW", context=b'{"a": 1, "a": 2}'), "invalid_context", None),
    (
        "large context",
        TaskRequest(name="FLOW", context=b'{"a": "%s"}' % (b"x" * 300_000)),
        "over_limit",
        "context",
    ),
    ("long reason", TaskRequest(name="FLOW", context=b"{}", reason="x" * 100_000), "over_limit", None),
    ("no key", TaskRequest(name="KEYED", context=b"{}"), "missing_idempotency_key", "idempotency_key"),
    ("no template", TaskRequest(name="no_such_flow", context=b"{}"), "unknown_template", None),
]


@pytest.mark.parametrize(("value", "code", "path"), [case[1:] for case in RAW], ids=[case[0] for case in RAW])
def test_whatever_else_lies_in_the_topic_is_rejected_whole_and_blocks_nothing(
    play: Play, value: bytes | TaskRequest, code: str, path: str | None
) -> None:
    flow = play.flow().step("one").publish()
    keyed = play.flow(identity="caller_provided").publish()
    if isinstance(value, TaskRequest):
        names = {"FLOW": flow.name, "KEYED": keyed.name}
        value = msgspec.structs.replace(value, name=names.get(value.name, value.name))
    offset = play.send_raw(value, key=b"mine", partition=1)
    place = (play.names.task_requests, 1, offset)
    found = play.rejection(lambda each: (each.topic, each.partition, each.offset) == place)
    assert found.code == code
    assert found.message
    assert found.key == b"mine"
    assert found.value
    assert path is None or found.path == path
    flow.run().assert_complete()


def test_a_template_whose_queue_has_no_topic_is_refused(play: Play) -> None:
    flow = play.flow().step("one", queue="nowhere")
    play.publish_only(flow.template.compile())
    with pytest.raises(RequestRejected, match="nowhere") as caught:
        play.workflow.submit(flow.template).wait()
    assert caught.value.code == "unknown_queue"


def test_a_command_in_the_wrong_partition_is_rejected(play: Play) -> None:
    gate = Gate()
    task = play.flow().step("one", gate.handler).submit()
    command = OperatorCommand(
        command_id=new_request_id(), action=OperatorAction.CANCEL_TASK, actor="somebody", reason=""
    )
    wrong = 1 - partition_for(task.task_id, 2)
    value = codec.encode(Command(task.task_id, command))
    (offset,) = play.write([Write(play.names.commands, task.task_id, value, partition=wrong)])
    place = (play.names.commands, wrong, offset)
    found = play.rejection(lambda each: (each.topic, each.partition, each.offset) == place)
    assert found.code == "misrouted"
    gate.open()
    task.wait().assert_complete()


# ------------------------------------------------------------------------- stories over several tasks


def test_the_correlation_id_is_derived_from_the_task_or_the_callers(play: Play) -> None:
    flow = play.flow().step("one")
    result = flow.run()
    assert result.correlation_id == result.task_id
    flow.run(correlation_id="story 7")
    assert [call.correlation_id for call in flow.handled("one")] == [result.task_id, "story 7"]


def test_a_handler_submits_a_further_task_once_whatever_its_attempts(play: Play) -> None:
    child = play.flow().step("work").publish()

    async def start(context: StepContext) -> str:
        task_id = await context.submit(child.name, {"from": context.step})
        if context.attempt == 1:
            raise RuntimeError("after the submit")
        return task_id

    parent = play.flow().step("start", start, retry=QUICK)
    result = parent.run(correlation_id="one story").assert_complete()
    (task_id,) = result.output.values()
    assert UUID(task_id)
    started = play.workflow.task(task_id).wait().assert_complete()
    assert started.correlation_id == "one story"
    (call,) = child.handled("work")
    assert (call.context, call.correlation_id) == ({"from": "start"}, "one story")


def test_a_plain_handler_submits_and_waits(play: Play) -> None:
    child = play.flow().step("work").publish()

    def start(context: StepContext) -> str:
        return context.submit_and_wait(child.name, key=f"child of {context.task_id}")

    result = play.flow().step("start", start).run().assert_complete()
    assert play.workflow.task(result.output["start"]).wait().assert_complete()


def test_a_task_is_found_by_its_id(play: Play) -> None:
    flow = play.flow().step("one")
    result = flow.run(tags=("a", "b"), reason="because")
    found = play.workflow.task(parse_id(result.task_id)).result()
    assert (found.tags, found.reason, found.state) == (("a", "b"), "because", TaskStatus.COMPLETE)

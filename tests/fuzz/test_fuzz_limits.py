"""Every limit of what comes in at run time, at one less, exactly, and one more.

| limit | where it is tested |
|---|---|
| of templates and plans (steps, edges, depth, names, durations …) | tests/unit/schemas/test_template_limits.py |
| a context's bytes; texts and times of a request | `test_requests` |
| a context's JSON depth | `test_depth_of_a_context` |
| a context's inline size | `test_a_context_travels_inline_up_to_its_plans_limit` |
| JSON depth and size as such | tests/unit/schemas/test_json_strict.py |
| trace header | tests/unit/lane/test_lane_intake.py |
| a command | tests/unit/lane/test_lane_wire.py |
| a StartTask that intake did not write | tests/unit/domain/test_starting.py |
| metadata, message, traceback, worker id of a result | `test_result_at_its_limits` |
| type and code of a failure | `test_type_and_code_together_are_remembered_up_to_their_limit` |
| inline result | `test_an_inline_result_ends_at_the_plans_limit` |
| requested delay | `test_a_requested_delay_ends_at_an_hour` |
| a handler's result; its events | tests/unit/handlers/test_sdk_endings.py, tests/unit/domain/test_outputs.py |
| actor, reason, text, tags, max_attempts of an operator | `test_operator_commands` |
| any record's value before it is decoded | tests/unit/schemas/test_codec_frames.py |
| a state of 1,000 steps with everything at its limit | `test_the_largest_state_can_be_written` |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasker_kafka.schemas.codec import codec, encode
from tasker_kafka.schemas.limits import (
    CONTEXT_BYTES,
    JSON_DEPTH,
    MAX_ATTEMPTS,
    RECORD_BYTES,
    RETRY_AFTER_SECONDS,
    inline_limit,
)
from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import (
    AttemptEnded,
    Command,
    Failure,
    PayloadRef,
    Rejection,
    StartTask,
    TaskRequest,
)
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import OperatorAction, Outcome, TransitionEvent
from tasker_kafka.streams.domain.operators import MAX_TAGS
from tasker_kafka.streams.domain.order import ACTOR_BYTES, TEXT_BYTES
from tasker_kafka.streams.domain.results import MESSAGE_LENGTH, METADATA_BYTES, TRACEBACK_LENGTH, WORKER_BYTES
from tasker_kafka.streams.domain.starting import MOST_TEXT_BYTES
from tasker_kafka.streams.domain.steps import FAILURE_BYTES
from tasker_kafka.streams.lane.requests import REQUEST_TEXT_BYTES
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.memory import run_virtual
from tests.support.lane_world import LaneWorld, plan_of
from tests.support.tasks import ONE, Rig
from tests.support.tasks import plan_of as rig_plan

LATEST = 253_402_300_799_999
AROUND = ((-1, True), (0, True), (1, False))
PLAN = plan_of()


async def answered(**fields: Any) -> StartTask | Rejection:
    """What intake makes of one request."""
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    wanted: dict[str, Any] = {"name": "demo", "context": b"{}", **fields}
    await world.raw(world.names.task_requests, None, encode(TaskRequest(**wanted)), partition=0)
    place = TopicPartition(world.names.task_requests, 0)
    reader = await owner.log.reader({place: 0})
    await owner.intake.process((await reader.fetch(timeout=0))[place])
    await reader.close()
    await owner.flush()
    rejections = world.records(world.names.rejections)
    found: StartTask | Rejection
    if rejections:
        found = codec.decode(rejections[0].value, Rejection)
    else:
        body = codec.decode(world.records(world.names.commands)[0].value, Command).body
        assert isinstance(body, StartTask)
        found = body
    await world.close()
    return found


def filled(size: int) -> bytes:
    """A context of this many bytes."""
    return b'{"a": "%s"}' % (b"x" * (size - 9))


def text_of(size: int, **others: Any) -> dict[str, Any]:
    """Fields whose texts together have a size: `reason` fills it up."""
    plain = {
        "name": "demo",
        "namespace": "default",
        "initiator": "",
        "source_system": "",
        "reason": "",
        **others,
    }
    texts = [each for value in plain.values() for each in ([value] if isinstance(value, str) else value)]
    used = sum(len(each.encode()) for each in texts) + 2 * len(texts)
    return {**plain, "reason": "x" * (size - used)}


REQUESTS: list[tuple[str, int, Callable[[int], dict[str, Any]], str, str | None]] = [
    ("context", CONTEXT_BYTES.maximum, lambda n: {"context": filled(n)}, "over_limit", "context"),
    ("texts", REQUEST_TEXT_BYTES.maximum, text_of, "over_limit", None),
    ("texts with tags", REQUEST_TEXT_BYTES.maximum, lambda n: text_of(n, tags=("ä",) * 9), "over_limit", None),
    ("texts with a key", REQUEST_TEXT_BYTES.maximum, lambda n: text_of(n, idempotency_key="k"), "over_limit", None),
    ("not_before", LATEST, lambda n: {"not_before": n}, "invalid_request", "not_before"),
    ("not_before", 0, lambda n: {"not_before": -n}, "invalid_request", "not_before"),
    ("requested_at", LATEST, lambda n: {"requested_at": n}, "invalid_request", "requested_at"),
    ("requested_at", 0, lambda n: {"requested_at": -n}, "invalid_request", "requested_at"),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "is_accepted"), AROUND)
@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: f"{case[0]} {case[1]}")
def test_requests(case: Any, extra: int, is_accepted: bool) -> None:
    _, maximum, fields, code, path = case
    found = run_virtual(answered(**fields(maximum + extra)))
    if is_accepted:
        assert isinstance(found, StartTask)
    else:
        assert isinstance(found, Rejection)
        assert (found.code, found.path) == (code, path)


@pytest.mark.parametrize(("extra", "is_accepted"), AROUND)
def test_depth_of_a_context(extra: int, is_accepted: bool) -> None:
    depth = JSON_DEPTH.maximum + extra
    found = run_virtual(answered(context=b'{"a":' * depth + b"1" + b"}" * depth))
    if is_accepted:
        assert isinstance(found, StartTask)
    else:
        assert isinstance(found, Rejection)
        assert (found.code, found.path) == ("invalid_context", "context")


@pytest.mark.parametrize(("extra", "is_inline"), AROUND)
def test_a_context_travels_inline_up_to_its_plans_limit(extra: int, is_inline: bool) -> None:
    found = run_virtual(answered(context=filled(PLAN.inline_limit + extra)))
    assert isinstance(found, StartTask)
    assert isinstance(found.context, bytes if is_inline else PayloadRef)


# ---------------------------------------------------------------------------------------------- results

NO_FAILURE = Failure(type="", code="")
CUTS: list[tuple[str, int, Callable[[int], dict[str, Any]], Callable[[AttemptEnded], int]]] = [
    ("message", MESSAGE_LENGTH, lambda n: {"message": "𝕏" * n}, lambda end: len((end.failure or NO_FAILURE).message)),
    ("traceback", TRACEBACK_LENGTH, lambda n: {"traceback": "t" * n}, lambda end: len((end.failure or NO_FAILURE).traceback)),  # noqa: E501 - a table
    ("worker id", WORKER_BYTES, lambda n: {"worker_id": "w" * n}, lambda end: len((end.worker_id or "").encode())),
    ("metadata", METADATA_BYTES, lambda n: {"metadata": b"m" * n}, lambda end: len(end.metadata or b"")),
]  # fmt: skip


@pytest.mark.parametrize("case", CUTS, ids=lambda case: case[0])
def test_result_at_its_limits(case: Any) -> None:
    name, maximum, fields, size_of = case
    for size, expected in ((maximum - 1, maximum - 1), (maximum, maximum), (maximum + 1, maximum)):
        rig = Rig(rig_plan(ONE))
        rig.start()
        given = fields(size)
        failure = Failure(
            type="T", code="c", **{key: given.pop(key) for key in ("message", "traceback") if key in given}
        )
        rig.do(rig.result("a", Outcome.FAILURE, failure=failure, **given))
        (ended,) = [each.data for each in rig.record.transitions if isinstance(each.data, AttemptEnded)]
        assert size_of(ended) == (0 if name == "metadata" and size > maximum else expected)


def test_a_worker_id_is_cut_between_characters() -> None:
    rig = Rig(rig_plan(ONE))
    rig.start()
    rig.do(rig.result("a", Outcome.FAILURE, failure=Failure(type="T", code="c"), worker_id="aa" + "𝕏" * 60))
    assert rig.live.steps[0].worker_id == "aa" + "𝕏" * ((WORKER_BYTES - 2) // 4)


def test_type_and_code_together_are_remembered_up_to_their_limit() -> None:
    for size in (FAILURE_BYTES - 1, FAILURE_BYTES, FAILURE_BYTES + 1):
        rig = Rig(rig_plan(ONE))
        rig.start()
        rig.do(rig.result("a", Outcome.FAILURE, failure=Failure(type="T" * (size - 9), code="c" * 9)))
        kept = rig.live.steps[0].failure
        assert kept is not None
        assert len(kept.type) + len(kept.code) == min(size, FAILURE_BYTES)


@pytest.mark.parametrize(("extra", "is_accepted"), AROUND)
def test_an_inline_result_ends_at_the_plans_limit(extra: int, is_accepted: bool) -> None:
    plan = rig_plan({"a": (), "b": ("a",)})
    rig = Rig(plan)
    rig.start()
    rig.do(rig.result("a", result=b"x" * (plan.inline_limit + extra)))
    step = rig.step("a")
    assert (step.result is not None) == is_accepted
    assert is_accepted or (step.failure is not None and step.failure.code == "result_too_large")


def test_a_requested_delay_ends_at_an_hour() -> None:
    most = RETRY_AFTER_SECONDS.maximum * 1000
    for asked, given in ((most - 1, most - 1), (most, most), (most + 1, most), (-1, None), (0, 0)):
        rig = Rig(rig_plan(ONE, retry=RetryPolicy(backoff_base_ms=5, backoff="none", jitter=0.0)))
        rig.start()
        rig.do(rig.result("a", Outcome.FAILURE, failure=Failure(type="T", code="c", retry_after_ms=asked)))
        step = rig.step("a")
        if given:
            assert step.next_retry_at is not None
            assert step.failed_at is not None
            assert step.next_retry_at - step.failed_at == given
        else:
            assert step.attempt == 2, "at once"


# ------------------------------------------------------------------------------------ operators' commands

OPERATIONS: list[tuple[str, int, Callable[[int], dict[str, Any]]]] = [
    ("actor", ACTOR_BYTES, lambda n: {"action": OperatorAction.CANCEL_TASK, "actor": "x" * n}),
    ("reason", TEXT_BYTES, lambda n: {"action": OperatorAction.CANCEL_TASK, "reason": "x" * n}),
    ("text", TEXT_BYTES, lambda n: {"action": OperatorAction.SET_REASON, "text": "x" * n}),
    ("tags", MAX_TAGS, lambda n: {"action": OperatorAction.SET_TAGS, "tags": ("x",) * n}),
    ("max_attempts", MAX_ATTEMPTS.maximum, lambda n: {"action": OperatorAction.SET_MAX_ATTEMPTS, "max_attempts": n}),
    ("max_attempts", -1, lambda n: {"action": OperatorAction.SET_MAX_ATTEMPTS, "max_attempts": -n}),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "is_accepted"), AROUND)
@pytest.mark.parametrize("case", OPERATIONS, ids=lambda case: f"{case[0]} {case[1]}")
def test_operator_commands(case: Any, extra: int, is_accepted: bool) -> None:
    _, maximum, fields = case
    rig = Rig(rig_plan(ONE))
    rig.start()
    rig.operate(**fields(maximum + extra))
    assert rig.record.answer is not None
    assert rig.record.answer.code == ("accepted" if is_accepted else "invalid")


# -------------------------------------------------------------------------------------------------- states


def test_the_largest_state_can_be_written() -> None:
    """1,000 steps that have failed and then succeeded, with names, texts, results and workers at their limits."""
    steps = {f"{number:064d}": () for number in range(1000)}
    limit = inline_limit(len(steps))
    plan = rig_plan(steps, retry=RetryPolicy(backoff="none", jitter=0.0), inline_limit=limit)
    rig = Rig(plan)
    texts = {"initiator": "", "source_system": "", "reason": "r" * (MOST_TEXT_BYTES - 6)}
    rig.do(rig.start_task(context=b"x" * limit, **texts))
    failure = Failure(type="T" * 250, code="c" * 250, message="m" * 9000, traceback="t" * 9000)
    largest = len(codec.encode(rig.record))
    for name in steps:
        rig.do(
            rig.result(name, Outcome.FAILURE, failure=failure, worker_id="𝕏" * 300, metadata=b"x" * 65_536)
        )
        largest = max(largest, len(codec.encode(rig.record)))
    for name in list(steps)[:-1]:
        rig.do(rig.result(name, result=b"x" * limit, worker_id="𝕏" * 300))
    state = rig.state
    assert isinstance(state, TaskState)
    assert state.complete == len(steps) - 1
    assert all(step.failure is not None and step.result == b"x" * limit for step in state.steps[:-1])
    assert len(codec.encode(state)) <= RECORD_BYTES.maximum
    rig.operate(OperatorAction.CANCEL_TASK, reason="r" * TEXT_BYTES)
    assert max(largest, len(codec.encode(rig.record))) <= RECORD_BYTES.maximum
    assert rig.record.transitions[-1].event is TransitionEvent.CANCELLED

"""StartTask: creation, redelivery, duplicates, expiry, not_before, bypassed steps."""

from collections.abc import Callable
from typing import Any

import pytest

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.limits import inline_limit
from tasker_kafka.schemas.records import NO_LIFE, PayloadRef, RequestPlace, TaskCreated
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import Cause, Identity, TaskStatus, TransitionEvent
from tasker_kafka.streams.domain import IgnoredReason
from tasker_kafka.streams.domain.starting import MOST_TEXT_BYTES
from tests.support.tasks import CHAIN, DIAMOND, FOUR_STEPS, ONE, REQUEST_ID, START, TASK_ID, Rig, plan_of

OTHER = b"o" * 16


def test_one_record_creates_starts_and_dispatches() -> None:
    rig = Rig(plan_of(FOUR_STEPS))
    rig.start()
    assert rig.edges() == [
        (None, "initialize_requested", "pending"),
        ("one", "initialize_requested", "pending"),
        ("two", "initialize_requested", "pending"),
        ("three", "initialize_requested", "pending"),
        ("four", "initialize_requested", "pending"),
        (None, "start_requested", "in_progress"),
        ("one", "enqueue_requested", "enqueued"),
        ("two", "enqueue_requested", "enqueued"),
    ]
    assert rig.record.life == rig.offset
    assert rig.record.seq == 1
    assert rig.record.command_offset == rig.offset
    assert rig.record.at == rig.now
    assert [each.cause for each in rig.record.transitions[-2:]] == [Cause.EVALUATION] * 2


def test_the_request_is_kept() -> None:
    rig = Rig(plan_of(ONE))
    context = PayloadRef(0, 5, 9000, b"h" * 32)
    place = RequestPlace(3, 77, START - 5)
    rig.start(
        context=context,
        request=place,
        identity=Identity.CONTEXT_HASH,
        initiator="ann",
        source_system="shop",
        reason="order",
        tags=("a", "b"),
        idempotency_key="key",
        correlation_id="story",
        requested_at=START - 9,
        traceparent="00-x",
    )
    state = rig.live
    assert (state.task_id, state.request_id, state.request) == (TASK_ID, REQUEST_ID, place)
    assert (state.context, state.identity, state.tags) == (context, Identity.CONTEXT_HASH, ("a", "b"))
    assert (state.initiator, state.source_system, state.reason) == ("ann", "shop", "order")
    assert (state.idempotency_key, state.correlation_id, state.traceparent) == ("key", "story", "00-x")
    assert (state.created_at, state.requested_at) == (START - 5, START - 9)
    assert (state.started_at, state.deadline_from, state.now) == (rig.now, rig.now, rig.now)
    created = rig.data(TransitionEvent.INITIALIZE_REQUESTED)
    assert isinstance(created, TaskCreated)
    assert created.task_id == TASK_ID


def test_correlation_defaults_to_the_task() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    assert rig.live.correlation_id == format_id(TASK_ID)


def test_the_same_request_again_is_ignored() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    assert rig.ignored(rig.start_task()) is IgnoredReason.REDELIVERED
    rig.succeed("a")
    assert isinstance(rig.state, Stub)
    assert rig.ignored(rig.start_task()) is IgnoredReason.REDELIVERED


def test_another_request_for_a_live_task_is_a_duplicate() -> None:
    rig = Rig(plan_of(ONE, lifecycle={"max_duration_ms": 60_000}))
    rig.start()
    before = rig.live
    rig.start(request_id=OTHER)
    (refused,) = rig.last.rejections
    assert (refused.code, refused.task_id, refused.request_id) == ("duplicate", TASK_ID, OTHER)
    assert format_id(TASK_ID) in refused.message
    assert "in_progress" in refused.message
    assert rig.record.transitions == ()
    assert rig.record.seq == 2
    assert rig.live.steps == before.steps
    assert rig.live.next_due == before.next_due
    assert rig.live.command_ids == ()


def test_a_duplicate_changes_nothing_even_if_another_plan_came_with_it() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    own, rig.plan = rig.plan, plan_of(CHAIN)
    rig.start(request_id=OTHER)
    assert [each.code for each in rig.last.rejections] == ["duplicate"]
    rig.plan = own
    rig.succeed("a")
    assert rig.status() is TaskStatus.COMPLETE


@pytest.mark.parametrize("ends_as", ["complete", "error"])
def test_another_request_for_an_ended_task_is_a_duplicate(ends_as: str) -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    rig.succeed("a") if ends_as == "complete" else rig.fail("a", retryable=False)
    rig.start(request_id=OTHER)
    (refused,) = rig.last.rejections
    assert refused.code == "duplicate"
    assert refused.message.endswith(f"is {ends_as}")
    if ends_as == "complete":
        assert (rig.record.seq, rig.record.life) == (0, rig.life)


@pytest.mark.parametrize(("logged_at", "is_expired"), [(999, True), (1000, True), (1001, False)])
def test_a_request_not_after_the_horizon_is_expired(logged_at: int, is_expired: bool) -> None:
    rig = Rig(plan_of(ONE), horizon=1000)
    rig.start(request=RequestPlace(0, 1, logged_at))
    if is_expired:
        assert rig.state is None
        assert [each.code for each in rig.last.rejections] == ["expired"]
        assert (rig.record.life, rig.record.seq) == (NO_LIFE, 0)
    else:
        assert rig.status() is TaskStatus.IN_PROGRESS


def test_a_task_in_the_table_is_asked_before_the_horizon() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    rig.horizon = rig.now + 10_000
    assert rig.ignored(rig.start_task(request=RequestPlace(0, 7, START))) is IgnoredReason.REDELIVERED
    rig.start(request_id=OTHER)
    assert [each.code for each in rig.last.rejections] == ["duplicate"]


def test_an_unknown_plan_is_rejected() -> None:
    rig = Rig(plan_of(ONE))
    rig.start(plan_hash=b"?" * 32)
    (refused,) = rig.last.rejections
    assert refused.code == "unknown_template"
    assert (b"?" * 32).hex() in refused.message
    assert rig.state is None


def test_an_unknown_bypass_step_is_rejected() -> None:
    rig = Rig(plan_of(CHAIN))
    rig.start(bypass_steps=("b", "bee"))
    (refused,) = rig.last.rejections
    assert refused.code == "unknown_bypass_step"
    assert "'bee'" in refused.message
    assert "a, b, c" in refused.message


def test_zero_steps_are_complete_at_once() -> None:
    rig = Rig(plan_of({}))
    rig.start()
    assert rig.status() is TaskStatus.COMPLETE
    assert [edge[1] for edge in rig.edges()] == ["initialize_requested", "start_requested", "all_steps_done"]


def test_bypassed_steps_are_complete_whatever_their_parents() -> None:
    rig = Rig(plan_of(CHAIN))
    rig.start(bypass_steps=("b", "b"))
    assert rig.steps() == {"a": "enqueued", "b": "complete", "c": "enqueued"}
    assert rig.step("b").result is None
    assert rig.step("b").attempt == 0
    rig.succeed("a", "c")
    assert rig.status() is TaskStatus.COMPLETE


def test_only_bypassed_steps_are_complete_at_once() -> None:
    rig = Rig(plan_of(DIAMOND))
    rig.start(bypass_steps=("d", "c", "b", "a"))
    assert rig.status() is TaskStatus.COMPLETE
    assert rig.dispatches == []


def test_not_before_waits_pending() -> None:
    rig = Rig(plan_of(PAIR_OF_CHAINS))
    wanted = rig.now + 60_000
    rig.start(not_before=wanted)
    assert rig.status() is TaskStatus.PENDING
    assert rig.dispatches == []
    assert rig.next_due() == wanted
    assert rig.timers() == []
    (timer,) = rig.timers(wanted)
    assert rig.ignored(timer) is IgnoredReason.NOT_DUE
    rig.fire()
    assert rig.status() is TaskStatus.IN_PROGRESS
    assert rig.live.started_at == wanted
    assert [each.step for each in rig.dispatches] == ["a", "x"]
    assert rig.ignored(timer) is IgnoredReason.NOT_DUE


PAIR_OF_CHAINS = {"a": (), "b": ("a",), "x": (), "y": ("x",)}


def test_not_before_in_the_past_starts_at_once() -> None:
    rig = Rig(plan_of(ONE))
    rig.start(not_before=rig.now + 1000)  # the command is logged then
    assert rig.status() is TaskStatus.IN_PROGRESS


@pytest.mark.parametrize("bypass", [(), ("a",)])
def test_nothing_to_do_is_complete_only_after_not_before(bypass: tuple[str, ...]) -> None:
    rig = Rig(plan_of({"a": ()} if bypass else {}))
    rig.start(not_before=rig.now + 60_000, bypass_steps=bypass)
    assert rig.status() is TaskStatus.PENDING
    rig.fire()
    assert rig.status() is TaskStatus.COMPLETE


LIMIT = inline_limit(1)
TEXTS = {"initiator": "", "source_system": "", "reason": ""}
"""The three texts that are always there count two bytes each besides."""


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        (LIMIT, lambda size: {"context": b"x" * size}),
        (MOST_TEXT_BYTES - 6, lambda size: {**TEXTS, "reason": "x" * size}),
        (MOST_TEXT_BYTES - 8, lambda size: {**TEXTS, "traceparent": "x" * size}),
        (MOST_TEXT_BYTES - 8, lambda size: {**TEXTS, "correlation_id": "x" * size}),
        (MOST_TEXT_BYTES - 8, lambda size: {**TEXTS, "idempotency_key": "x" * size}),
        (MOST_TEXT_BYTES - 8, lambda size: {**TEXTS, "tags": ("x" * size,)}),
        (MOST_TEXT_BYTES // 3 - 2, lambda size: {**TEXTS, "bypass_steps": ("a",) * size}),
    ],
    ids=["context", "reason", "traceparent", "correlation_id", "idempotency_key", "tags", "bypass_steps"],
)
def test_a_start_that_did_not_come_from_intake_has_its_limits(
    size: int, fields: Callable[[int], dict[str, Any]]
) -> None:
    for extra, code in ((-1, None), (0, None), (1, "over_limit")):
        rig = Rig(plan_of(ONE))
        rig.do(rig.start_task(**fields(size + extra)))
        assert (None if rig.record.answer is None else rig.record.answer.code) == code
        assert (rig.state is None) == (code is not None)

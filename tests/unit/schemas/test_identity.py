"""Ids are the same everywhere and for ever: the fixed values below may never change."""

from __future__ import annotations

import hashlib
import time
import uuid

import pytest

from tasker_kafka.schemas import identity
from tasker_kafka.schemas.errors import DecodeError, TemplateError
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.words import Identity, OperatorAction

TASK = bytes(range(16))


def task_id(
    strategy: Identity = Identity.ALWAYS_UNIQUE,
    *,
    namespace: str = "shop",
    name: str = "checkout",
    version: str | None = None,
    context: bytes = b'{"a":1}',
    key: str | None = None,
) -> bytes:
    return identity.task_id_for(
        identity=strategy,
        namespace=namespace,
        name=name,
        version_text=version,
        context=context,
        idempotency_key=key,
        request_id=TASK,
    )


@pytest.fixture(autouse=True)
def _chance_of_its_own() -> None:
    """Instead of the fixture of all tests: here chance and time are real."""


def test_request_ids_are_uuid7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    value = uuid.UUID(bytes=identity.new_request_id())
    after = time.time_ns() // 1_000_000
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert before <= value.int >> 80 <= after
    assert len({identity.new_request_id() for _ in range(1000)}) == 1000


def test_always_unique_is_the_request_id() -> None:
    assert task_id() == TASK


@pytest.mark.parametrize("strategy", list(Identity))
def test_a_key_always_wins(strategy: Identity) -> None:
    keyed = task_id(strategy, key="order-17")
    assert keyed == task_id(Identity.ALWAYS_UNIQUE, key="order-17", context=b"{}", version="2.0.0")
    assert uuid.UUID(bytes=keyed).version == 5
    assert keyed not in {
        task_id(key="order-18"),
        task_id(key="order-17", name="refund"),
        task_id(key="order-17", namespace="other"),
    }


def test_names_and_keys_do_not_run_into_each_other() -> None:
    assert task_id(namespace="a", name="b", key="c") != task_id(namespace="a", name='b","c', key="")
    assert identity.step_id(TASK, "a") != identity.dispatch_key(TASK, "a")
    assert identity.event_id(TASK, 1, "a", 11, "x", 0) != identity.event_id(TASK, 1, "a", 1, "1x", 0)
    assert identity.event_id(TASK, 1, None, 0, "x", 0) != identity.event_id(TASK, 1, "", 0, "x", 0)


def test_caller_provided_without_a_key_names_the_field() -> None:
    with pytest.raises(DecodeError, match=r"shop/checkout.*idempotency_key"):
        task_id(Identity.CALLER_PROVIDED)


def test_context_hash_ignores_order_and_space_but_not_content_or_version() -> None:
    one = task_id(Identity.CONTEXT_HASH, context=b'{"a": 1, "b": {"y": "\xc3\xa9", "x": [1, 2]}}')
    assert one == task_id(Identity.CONTEXT_HASH, context=rb'{"b":{"x":[1,2],"y":"\u00e9"},"a":1}')
    others = [b'{"a":1,"b":{"y":"\xc3\xa9","x":[2,1]}}', b'{"a":1.0,"b":{"y":"\xc3\xa9","x":[1,2]}}']
    assert one not in {task_id(Identity.CONTEXT_HASH, context=each) for each in others}
    assert task_id(Identity.CONTEXT_HASH) != task_id(Identity.CONTEXT_HASH, version="1.0.0")


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b"1e999"])
def test_what_is_no_json_has_no_canonical_form(data: bytes) -> None:
    with pytest.raises(DecodeError, match="JSON"):
        identity.canonical_json(data)


def test_big_integers_keep_their_digits() -> None:
    assert identity.canonical_json(b" 123456789012345678901234567890 ") == b"123456789012345678901234567890"


def test_a_keyed_command_is_another_for_another_act() -> None:
    cancel, tags = OperatorAction.CANCEL_TASK, OperatorAction.SET_TAGS
    acts = [
        ("k", cancel, TASK, b"{}"),
        ("l", cancel, TASK, b"{}"),
        ("k", tags, TASK, b"{}"),
        ("k", cancel, TASK[::-1], b"{}"),
        ("k", cancel, None, b"{}"),
        ("k", cancel, TASK, b'{"steps":[]}'),
    ]
    assert len({identity.keyed_command_id(*each) for each in acts}) == len(acts)
    spaced = identity.keyed_command_id("k", tags, TASK, b'{ "tags": ["a"], "steps": [] }')
    assert spaced == identity.keyed_command_id("k", tags, TASK, b'{"steps":[],"tags":["a"]}')


def test_ids_read_as_uuids() -> None:
    text = identity.format_id(TASK)
    assert text == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert identity.parse_id(text) == identity.parse_id(f" {text.replace('-', '').upper()}\n") == TASK
    with pytest.raises(DecodeError, match="'task-1' is not an id"):
        identity.parse_id("task-1")


def test_jitter_is_spread_over_its_range_and_repeats() -> None:
    found = [identity.jitter_unit(TASK, "charge", attempt) for attempt in range(2000)]
    assert found == [identity.jitter_unit(TASK, "charge", attempt) for attempt in range(2000)]
    assert -1 <= min(found) < -0.99
    assert 0.99 < max(found) < 1
    assert abs(sum(found) / len(found)) < 0.05


def test_a_trace_is_found_by_its_task() -> None:
    header = identity.traceparent_for(TASK, 7, "charge", 2)
    assert header.split("-")[:2] == ["00", "000102030405060708090a0b0c0d0e0f"]
    assert header.split("-")[2] == f"{identity.span_id(TASK, 7, 'charge', 2):016x}"
    spans = {
        identity.span_id(TASK, 7),
        identity.span_id(TASK, 8),
        identity.span_id(TASK, 7, "a", 1),
        identity.span_id(TASK, 7, "a", 2),
        identity.span_id(TASK, 7, "b", 1),
    }
    assert len(spans) == 5


def test_a_plan_is_named_by_its_canonical_json() -> None:
    plan = Plan("shop", "checkout", "1.0.0", (PlanStep("pay", "pay", "shop", config={"b": 1, "a": 2}),))
    same = Plan("shop", "checkout", "1.0.0", (PlanStep("pay", "pay", "shop", config={"a": 2, "b": 1}),))
    other = Plan("shop", "checkout", "1.0.0", (PlanStep("pay", "pay", "shop", config={"a": 2, "b": 2}),))
    assert plan.hash == same.hash == hashlib.sha256(identity.plan_json(plan)).digest()
    assert plan.hash != other.hash
    with pytest.raises(TemplateError, match="JSON cannot carry"):
        identity.plan_hash(Plan("shop", "x", "1.0.0", (), metadata={"n": "\ud800"}))


def test_values_that_may_never_change() -> None:
    found = {
        "keyed": task_id(key="order-17"),
        "hashed": task_id(Identity.CONTEXT_HASH),
        "place": identity.request_id_for_place("requests", 3, 17),
        "step": identity.step_id(TASK, "charge"),
        "dispatch": identity.dispatch_key(TASK, "charge"),
        "event": identity.event_id(TASK, 5, "charge", 1, "payment.charged", 0),
        "command": identity.keyed_command_id("k", OperatorAction.SET_TAGS, TASK, b'{"tags":["a"]}'),
    }
    assert {name: value.hex() for name, value in found.items()} == {
        "keyed": "3323f02fed4b587991cdfc093eba67df",
        "hashed": "19f2f039aa455e0aa985a5848f0e8694",
        "place": "d8ec0bb03da5617974c354bab77b0bf8",
        "step": "4e04c1e54c254ed48b847470c1ba9372",
        "dispatch": "9d81bf82ac5c82c644219df3b679b1bf",
        "event": "027c3bcc6532738fc19b1b63d06ce92d",
        "command": "b7db5a0cc962c5f8349b6e729e2c1e95",
    }

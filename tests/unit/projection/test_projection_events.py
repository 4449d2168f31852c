"""Events with what became of them, the ledger, and what every question costs, in either database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import (
    DeadLetterAct,
    DlqEntry,
    DomainEvent,
    Receipt,
)
from tasker_kafka.schemas.words import DeadLetterAction, Delivery, ReceiptOutcome, TaskStatus
from tasker_kafka.streams.projection import PerformanceQuery, Reads, Store, TaskQuery, tables
from tasker_kafka.topics.journey import FailureClass, Journey, wrap
from tasker_kafka.topics.log import Batch, Record, TopicPartition
from tests.support.projected import (
    NAMES,
    NOW,
    PLACE,
    Statements,
    Topic,
    added,
    batch_of,
    projected,
    task_key,
    writer_of,
)
from tests.support.tasks import plan_of

PLAN = plan_of({"a": (), "b": ("a",)})


def event_record(number: int, task_id: bytes | None, offset: int) -> Record:
    event = DomainEvent(
        event_id=task_key(number), name="order.paid", version="1.0", namespace="shop",
        delivery=Delivery.ACKNOWLEDGED, key="k", payload=b"{}", fired_at=NOW + number, fired_by="x",
        environment="", task_id=task_id, step_name="a", attempt=1,
    )  # fmt: skip
    return Record(NAMES.domain_events("shop"), 0, offset, NOW, b"k", codec.encode(event))


def receipt_record(number: int, outcome: ReceiptOutcome, offset: int) -> Record:
    receipt = Receipt(
        namespace="shop", event_id=format_id(task_key(number)), event_name="order.paid", group="audit",
        subscription="all", outcome=outcome, topic="t", partition=0, offset=0, at=NOW + offset,
        deliveries=2, written_by="w",
    )  # fmt: skip
    return Record(NAMES.receipts, 0, offset, NOW, b"r", codec.encode(receipt))


def letter_record(number: int, offset: int) -> Record:
    original = event_record(number, task_key(1), 0)
    journey = Journey(
        group="audit", subscription="all", topic=original.topic, partition=0, offset=0, timestamp=NOW,
        event_id=format_id(task_key(number)), failure_class=FailureClass.HANDLER, error_type="E", message="m",
    )  # fmt: skip
    return Record(
        NAMES.domain_events_dlq("shop"), 0, offset, NOW, b"k", original.value, wrap(original, journey)
    )


def act_record(offset: int, of: int) -> Record:
    act = DeadLetterAct(
        action=DeadLetterAction.REDRIVEN,
        offset=of,
        group="audit",
        subscription="all",
        at=NOW,
        actor="a",
        reason="",
    )
    return Record(NAMES.domain_events_dlq("shop"), 0, offset, NOW, b"k", codec.encode(act))


def side(store: Store, records: list[Record]) -> None:
    places: dict[TopicPartition, list[Record]] = {}
    for record in records:
        places.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
    writer = writer_of(store, [PLAN], *places)
    writer.apply({place: batch_of(each) for place, each in places.items()})


async def test_an_event_comes_with_what_became_of_it(store: Store) -> None:
    records = [
        event_record(11, task_key(1), 0),
        event_record(12, task_key(1), 1),
        event_record(13, None, 2),
        event_record(11, task_key(1), 3),
        Record(NAMES.domain_events("shop"), 0, 4, NOW, b"k", b"no event"),
        receipt_record(12, ReceiptOutcome.HANDLED, 0),
        receipt_record(12, ReceiptOutcome.MISSING, 1),
        receipt_record(11, ReceiptOutcome.MISSING, 2),
        letter_record(11, 0),
        act_record(1, 0),
    ]
    for _ in range(2):
        side(store, records)
        with store.writing() as connection:
            connection.execute(tables.position.delete())
    reads = Reads(store)
    first, second = await reads.events(task_key(1))
    assert (first.event_id, second.event_id) == (task_key(11), task_key(12))
    assert (first.offset, first.step, first.attempt) == (0, "a", 1)
    assert [(each.outcome, each.was_missing) for each in first.receipts] == [("missing", True)]
    assert [(each.outcome, each.was_missing) for each in second.receipts] == [("handled", True)]
    (letter,) = first.letters
    assert (letter.place, letter.state, letter.failure_class) == ("shop/0:0", "redriven", "handler")
    assert second.letters == ()
    assert [(each.topic, each.offset) for each in await reads.faults()] == [(NAMES.domain_events("shop"), 4)]


def entry(number: int, status: str, offset: int) -> Record:
    value = DlqEntry(
        task_id=task_key(number), life=1, reason="staleness_timeout", status=status, at=NOW + number,
        message="m", snapshot=b"{}",
    )  # fmt: skip
    return Record(NAMES.task_dlq, 0, offset, NOW, task_key(number), codec.encode(value))


async def test_the_ledger_holds_the_newest_entry_of_each_task(store: Store) -> None:
    topic = Topic()
    added(topic, 1)
    reads = projected(store, topic)
    gone = Record(NAMES.task_dlq, 0, 9, NOW, task_key(5), None)
    entries = [entry(number, "pending", number) for number in range(1, 7)]
    side(store, [*entries, entry(2, "resolved", 8), gone])
    page = await reads.ledger(limit=2)
    assert [each.task_id for each in page.rows] == [task_key(6), task_key(4)]
    rest = await reads.ledger(limit=5, cursor=page.next_cursor)
    assert [each.task_id for each in rest.rows] == [task_key(3), task_key(1)]
    assert rest.next_cursor is None
    assert (rest.rows[1].template, rest.rows[1].state) == (PLAN.name, TaskStatus.IN_PROGRESS)
    assert rest.rows[0].template is None
    settled = await reads.ledger_entry(task_key(2))
    assert settled is not None
    assert settled.status == "resolved"
    assert await reads.ledger_entry(task_key(5)) is None
    assert len((await reads.ledger(None)).rows) == 5


# ------------------------------------------------------------------------------------------------- costs

EVERYTHING = TaskQuery(
    namespace="tests", states=(TaskStatus.IN_PROGRESS,), tags=("x", "y"), text="n", created_from=0
)
QUESTIONS: dict[str, tuple[int, Callable[[Reads], Awaitable[Any]]]] = {
    "tasks": (1, lambda reads: reads.tasks(EVERYTHING)),
    "task": (1, lambda reads: reads.task(task_key(1))),
    "task_ids": (1, lambda reads: reads.task_ids(EVERYTHING, limit=1000)),
    "counts": (1, lambda reads: reads.counts(EVERYTHING)),
    "history": (3, lambda reads: reads.history(task_key(1))),
    "history_after": (1, lambda reads: reads.history_after(task_key(1), 0)),
    "steps": (1, lambda reads: reads.steps(task_key(1))),
    "changes": (2, lambda reads: reads.changes({0: 0})),
    "step_loads": (1, lambda reads: reads.step_loads()),
    "events": (3, lambda reads: reads.events(task_key(1))),
    "ledger": (1, lambda reads: reads.ledger()),
    "ledger_entry": (1, lambda reads: reads.ledger_entry(task_key(1))),
    "performance": (2, lambda reads: reads.performance(PerformanceQuery())),
    "bottlenecks": (3, lambda reads: reads.bottlenecks(PerformanceQuery())),
    "workers": (1, lambda reads: reads.workers()),
    "positions": (1, lambda reads: reads.positions()),
    "faults": (1, lambda reads: reads.faults()),
    "meta": (1, lambda reads: reads.meta()),
}


@pytest.mark.parametrize("steps", [1, 1000])
async def test_every_question_costs_a_fixed_number_of_statements(store: Store, steps: int) -> None:
    plan = plan_of({f"s{number}": () for number in range(steps)})
    topic = Topic()
    for number in range(1, 4 if steps > 1 else 2):
        added(topic, number, lambda rig: rig.succeed("s0"), plan=plan, tags=("x", "y"), context=b'{"n":1}')
    reads = projected(store, topic, plan)
    side(store, [event_record(number, task_key(1), number) for number in range(20 if steps > 1 else 1)])
    for name, (expected, ask) in QUESTIONS.items():
        with Statements(store) as sent:
            await ask(reads)
        own = [each for each in sent if not each.startswith(("BEGIN", "LOCK", "SET"))]  # a transaction begins
        assert len(own) == expected, f"{name}: {own}"


def test_every_question_is_counted() -> None:
    asked = {name for name in vars(Reads) if not name.startswith("_")}
    assert asked == set(QUESTIONS)


def test_an_empty_batch_only_moves_the_position(store: Store) -> None:
    writer = writer_of(store, [PLAN])
    writer.apply({PLACE: Batch(0, 7, ())})
    assert writer.assign([PLACE]) == {PLACE: 7}

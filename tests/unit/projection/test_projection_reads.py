"""What is asked of the store, in either database: filters, text, pages, changes, figures; and what a question costs."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from tasker_kafka.deploy.reading.folding import report_of
from tasker_kafka.schemas.records import (
    RequestPlace,
)
from tasker_kafka.schemas.words import (
    OperatorAction,
    TaskStatus,
)
from tasker_kafka.streams.projection import (
    BadCursor,
    PerformanceQuery,
    Reads,
    Store,
    TaskQuery,
)
from tests.support.projected import NOW, PLACE, Topic, added, batch_of, projected, task_key, writer_of
from tests.support.tasks import Rig, plan_of

PLAN = plan_of({"a": (), "b": ("a",)})


async def found(reads: Reads, **query: Any) -> list[int]:
    page = await reads.tasks(TaskQuery(**query))
    numbers = [int.from_bytes(each.task_id, "big") for each in page.rows]
    assert list(await reads.task_ids(TaskQuery(**query), limit=100)) == [each.task_id for each in page.rows]
    assert sum((await reads.counts(TaskQuery(**query))).values()) == len(numbers)
    return numbers


def failed(rig: Rig) -> None:
    rig.fail("a", retryable=False)


def finished(rig: Rig) -> None:
    rig.succeed("a", "b")


async def test_each_filter_finds_what_it_names(store: Store) -> None:
    topic = Topic()
    other = replace(plan_of({"x": ()}), namespace="shop", name="order", version="2.0.0")
    added(topic, 1, finished, tags=("red", "blue"))
    added(topic, 2, failed, tags=("red",), correlation_id="story-2")
    added(topic, 3, plan=other, tags=("blue",))
    reads = projected(store, topic, PLAN, other)
    assert await found(reads) == [3, 2, 1]
    assert await found(reads, namespace="shop") == [3]
    assert await found(reads, template="order", version="2.0.0") == [3]
    assert await found(reads, template="order", version="1.0.0") == []
    assert await found(reads, states=(TaskStatus.ERROR, TaskStatus.COMPLETE)) == [2, 1]
    assert await found(reads, health="blocked") == [2]
    assert await found(reads, execution_status="processing") == [3]
    assert await found(reads, tags=("red",)) == [2, 1]
    assert await found(reads, tags=("red", "blue")) == [1]
    assert await found(reads, correlation_id="story-2") == [2]
    assert await found(reads, created_from=NOW + 2000) == [3, 2]
    assert await found(reads, created_to=NOW + 2000) == [1]
    row = await reads.task(task_key(1))
    assert row is not None
    assert row.closed_at is not None
    assert 1 in await found(reads, closed_from=row.closed_at)
    assert 1 not in await found(reads, closed_to=row.closed_at)
    assert await found(reads, created_to=10**30) == [3, 2, 1]
    assert await found(reads, namespace="nul\0") == []
    assert await reads.counts(TaskQuery()) == {
        TaskStatus.COMPLETE: 1,
        TaskStatus.ERROR: 1,
        TaskStatus.IN_PROGRESS: 1,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("100%", [1]),
        ("a_b", [2]),
        ("back\\slash", [3]),
        ('say "hi"', [4]),
        ("!", [5]),
        ("STRASSE", [6]),
        ("straße", [6]),
        ("because 7", [7]),
        ("cor-8", [8]),
        ("KEY-9", [9]),
        ("hunter2", []),
        ("%", [1]),
        ("_", [2]),
    ],
)
async def test_text_is_found_as_it_is_written(store: Store, text: str, numbers: list[int]) -> None:
    topic = Topic()
    contexts = [
        b'{"off":"100% cotton"}', b'{"x":"a_b","password":"hunter2"}', b'{"x":"back\\\\slash"}',
        b'{"x":"say \\"hi\\""}', b'{"x":"so!"}', '{"x":"Straße"}'.encode(), b"{}", b"{}", b"{}", b'{"x":"axb"}',
    ]  # fmt: skip
    for number, context in enumerate(contexts, 1):
        fields: dict[str, Any] = {"context": context, "reason": "none", "correlation_id": "none"}
        if number == 7:
            fields["reason"] = "Because 7"
        if number == 8:
            fields["correlation_id"] = "Cor-8"
        if number == 9:
            fields["idempotency_key"] = "key-9"
        added(topic, number, **fields)
    assert await found(projected(store, topic), text=text) == numbers


async def test_changed_words_are_searched_anew(store: Store) -> None:
    topic = Topic()

    def changed(rig: Rig) -> None:
        rig.operate(OperatorAction.SET_REASON, text="another reason")
        rig.operate(OperatorAction.SET_TAGS, tags=("late",))

    added(topic, 1, changed, reason="first reason", tags=("early",), context=b'{"kept":"yes"}')
    records = topic.records
    writer = writer_of(store, [PLAN])
    writer.apply({PLACE: batch_of(records[:2])})
    reads = Reads(store)
    assert await found(reads, text="first reason", tags=("early",)) == [1]
    writer.apply({PLACE: batch_of(records[2:])})
    assert await found(reads, text="another reason", tags=("late",)) == [1]
    assert await found(reads, text="kept") == [1]
    assert await found(reads, text="first reason") == []
    assert await found(reads, tags=("early",)) == []


async def test_pages_stand_still_while_tasks_arrive(store: Store) -> None:
    topic = Topic()
    same_moment = [RequestPlace(0, 0, NOW + 1000 * (number // 3)) for number in range(20)]
    for number, request in enumerate(same_moment):
        rig = Rig(PLAN)
        rig.start(request=request)
        topic.add(task_key(number), rig.records[0])
    writer = writer_of(store, [PLAN])
    writer.apply({PLACE: batch_of(topic.records)})
    reads, seen, cursor = Reads(store), [], None
    for round_ in range(100):
        page = await reads.tasks(TaskQuery(), limit=3, cursor=cursor)
        seen += [int.from_bytes(each.task_id, "big") for each in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            break
        rig = Rig(PLAN)
        rig.start(request=RequestPlace(0, 0, NOW + 1_000_000 + round_))
        writer.apply({PLACE: batch_of([topic.add(task_key(1000 + round_), rig.records[0])])})
    assert seen == sorted(range(20), key=lambda number: (number // 3, number), reverse=True)


@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "é", "MTIz", "A" * 500, "-1.aaaa", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5LmE"]
)
async def test_text_that_is_no_cursor_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(BadCursor, match="no cursor"):
        await Reads(store).tasks(TaskQuery(), cursor=cursor)


async def test_history_gives_the_report_that_the_log_gives(store: Store) -> None:
    topic = Topic()
    added(topic, 1, finished)
    reads = projected(store, topic)
    stored = await reads.history(task_key(1))
    assert stored is not None
    assert [each.offset for each in stored.records] == [1, 2, 3]
    assert stored.plan == PLAN
    assert stored.plan.hash == PLAN.hash
    report = report_of(task_key(1), 0, stored.records, stored.plan, payloads={}, now=NOW)
    assert report.state is TaskStatus.COMPLETE
    assert [each.result for each in report.steps] == ["a", "b"]
    assert await reads.history(task_key(1), life=99) is None
    assert await reads.history(task_key(2)) is None


async def test_changes_name_the_tasks_that_moved(store: Store) -> None:
    topic = Topic()
    added(topic, 1)
    added(topic, 2)
    writer = writer_of(store, [PLAN])
    writer.apply({PLACE: batch_of(topic.records)})
    reads = Reads(store)
    begin = await reads.changes({})
    assert begin.positions == {0: 3}
    assert begin.tasks == ()
    assert (await reads.changes(begin.positions)).tasks == ()
    rig = Rig(PLAN)
    rig.start()
    rig.succeed("a")
    writer.apply({PLACE: batch_of([topic.add(task_key(2), rig.records[1])])})
    moved = await reads.changes(begin.positions)
    assert [(each.task_id, each.seq, each.last_offset) for each in moved.tasks] == [(task_key(2), 2, 3)]
    assert moved.positions == {0: 4}
    every = await reads.changes({0: 0}, limit=1)
    assert every.is_cut
    assert len(every.tasks) == 1


async def test_loads_tell_what_waits_for_whom(store: Store) -> None:
    topic = Topic()
    wide = plan_of({"a": (), "b": (), "c": ()})

    def mixed(rig: Rig) -> None:
        rig.report("a")
        rig.fail("b")

    added(topic, 1, mixed, plan=wide)
    reads = projected(store, topic, wide)
    loads = {each.handler: each for each in await reads.step_loads()}
    counts = {
        handler: (each.enqueued, each.in_progress, each.waiting_for_retry) for handler, each in loads.items()
    }
    handlers = [step.handler for step in wide.steps]
    assert counts == {handlers[0]: (0, 1, 0), handlers[1]: (0, 0, 1), handlers[2]: (1, 0, 0)}
    assert loads[handlers[2]].oldest_dispatched_at is not None
    assert loads[handlers[0]].oldest_dispatched_at is None


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


async def test_percentiles_are_those_of_every_value(store: Store) -> None:
    chance = random.Random(5)
    topic, whole, runs = Topic(), [], []
    for number in range(1, 38):
        rig = Rig(plan_of({"a": ()}))
        rig.start(request=RequestPlace(0, 0, rig.now))
        took = chance.randrange(1, 5000)
        start = rig.now
        rig.do(rig.result("a", started_at=start + 10, finished_at=start + 10 + took), after_ms=took + 20)
        runs.append(took)
        whole.append(rig.records[-1].at - start)
        for record in rig.records:
            topic.add(task_key(number), record)
    added(topic, 900, lambda rig: rig.fail("a", retryable=False), plan=plan_of({"a": ()}))
    reads = projected(store, topic, plan_of({"a": ()}))
    (row,) = await reads.performance(PerformanceQuery(ended_to=NOW))
    assert (row.tasks, row.completed, row.failed) == (38, 37, 1)
    (bottleneck,) = await reads.bottlenecks(PerformanceQuery())
    assert (bottleneck.attempts, bottleneck.failures, bottleneck.retries) == (38, 1, 0)
    assert bottleneck.failure_rate == round(1 / 38, 4)
    runs.append(100)
    spread = bottleneck.run_time
    assert (spread.count, spread.p50, spread.p95, spread.p99, spread.longest) == (
        38, nearest_rank(runs, 50), nearest_rank(runs, 95), nearest_rank(runs, 99), max(runs),
    )  # fmt: skip
    assert await reads.performance(PerformanceQuery(namespace="other")) == ()
    assert await reads.bottlenecks(PerformanceQuery(ended_from=NOW)) == ()

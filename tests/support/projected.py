"""Histories as records of a topic, written into stores, and what the stores hold then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import event, select

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import OWNER_KEY, OwnerMarker, RequestPlace, TaskCreated, Transitions
from tasker_kafka.streams.projection import Reads, Store, tables
from tasker_kafka.streams.projection.plan_shelf import PlanShelf
from tasker_kafka.streams.projection.side_topics import SideTopics
from tasker_kafka.streams.projection.writer import Writer
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.log import Batch, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tests.support.tasks import Rig, plan_of

__all__ = [
    "NAMES",
    "NOW",
    "PLACE",
    "TWO_STEPS",
    "Statements",
    "Topic",
    "added",
    "batch_of",
    "projected",
    "rows_of",
    "task_key",
    "writer_of",
]

NAMES = TopicNames()
PLACE = TopicPartition(NAMES.transitions, 0)
TWO_STEPS = plan_of({"a": (), "b": ("a",)})
Run = Callable[[Rig], object]
NOW = 1_800_000_000_000


def task_key(number: int) -> bytes:
    """A task id."""
    return number.to_bytes(16, "big")


class Topic:
    """A transitions partition as it grows: owners announce themselves, records follow."""

    def __init__(self, partition: int = 0) -> None:
        self.place = TopicPartition(NAMES.transitions, partition)
        self.records: list[Record] = []
        self.owner = -1
        self._commands = 0
        self.new_owner()

    def new_owner(self) -> int:
        """An owner takes office; its number."""
        self.owner = len(self.records)
        marker = codec.encode(OwnerMarker(at=NOW, instance="o", version="1"))
        self._write(OWNER_KEY, marker, self.owner)
        return self.owner

    def add(
        self, key: bytes, record: Transitions, *, owner: int | None = None, is_repeat: bool = False
    ) -> Record:
        """A decision's record; of a deposed `owner`, or the same decision once more."""
        if not is_repeat:
            self._commands += 1
        moved = tuple(
            replace(each, data=replace(each.data, task_id=key))
            if isinstance(each.data, TaskCreated)
            else each
            for each in record.transitions
        )
        value = codec.encode(replace(record, command_offset=self._commands, transitions=moved))
        return self._write(key, value, self.owner if owner is None else owner)

    def raw(self, key: bytes | None, value: bytes | None) -> Record:
        """Any bytes, of the owner in office."""
        return self._write(key, value, self.owner)

    def _write(self, key: bytes | None, value: bytes | None, owner: int) -> Record:
        offset = len(self.records)
        record = Record(*self.place, offset, NOW + offset, key, value, for_owner(owner))
        self.records.append(record)
        return record


def batch_of(records: Sequence[Record], *, first: int | None = None, next_: int | None = None) -> Batch:
    """Records as a fetch brings them."""
    begin = records[0].offset if first is None else first
    return Batch(begin, records[-1].offset + 1 if next_ is None else next_, tuple(records))


def writer_of(store: Store, plans: Iterable[Plan], *places: TopicPartition, **options: Any) -> Writer:
    """A writer that knows these plans and has taken these partitions."""
    known = {plan.hash: plan for plan in plans}
    side = SideTopics(NAMES)
    writer = Writer(store, NAMES, PlanShelf(known.get), now_ms=lambda: NOW, side_topics=side.read, **options)
    writer.assign(places or [PLACE])
    return writer


def added(
    topic: Topic, number: int, run: Run = lambda _: None, plan: Plan = TWO_STEPS, **fields: Any
) -> None:
    """A task whose request came at `number` seconds, and what happened to it."""
    rig = Rig(plan)
    rig.start(request=RequestPlace(0, number, NOW + number * 1000), **fields)
    run(rig)
    for record in rig.records:
        topic.add(task_key(number), record)


def projected(store: Store, topic: Topic, *plans: Plan) -> Reads:
    """Everything of a topic, ready to be asked for."""
    writer_of(store, plans or [TWO_STEPS], topic.place).apply({topic.place: batch_of(topic.records)})
    return Reads(store)


_OF_THE_PROCESS: Mapping[str, frozenset[str]] = {
    "position": frozenset({"updated_at"}),
    "fault": frozenset({"at"}),
    "meta": frozenset({"value"}),
}
"""Columns that tell when and by whom, not what."""


def rows_of(store: Store, *, without: Iterable[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in an order of their own."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with store.reading() as connection:
        for table in tables.METADATA.sorted_tables:
            if table.name in without:
                continue
            left_out = _OF_THE_PROCESS.get(table.name, frozenset())
            columns = [each for each in table.columns if each.name not in left_out]
            rows = [tuple(row) for row in connection.execute(select(*columns))]
            found[table.name] = sorted(rows, key=repr)
    return found


class Statements:
    """Counts the statements that a block sends to the database."""

    def __init__(self, store: Store) -> None:
        self._engine = store.engine
        self.texts: list[str] = []

    def __enter__(self) -> list[str]:
        event.listen(self._engine, "before_cursor_execute", self._note)
        return self.texts

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.texts.append(statement)

"""Makes rows of records: one batch, one transaction, positions included.

For a batch the writer
1. decodes it and applies the readers' rule, from the mark up to which the partition is projected;
2. begins a transaction and moves the partitions' positions, each compared with what it was: if another projector
   has been here, everything is rolled back and `PositionsMoved` is raised;
3. folds the records into their tasks, of which those not held in memory are folded again from the stored history;
4. writes the rows, once per task however many records it has, and commits.

A crash before 4 leaves nothing of the batch, a crash after it all of it. Every row is found by a key that the log
determines, so a batch that is read again, from any position, changes nothing.

A record that cannot be read, folded or written is noted in `fault` and passed. Nothing waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, delete, insert, select, update

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import ConfigurationError, DecodeError, LogError, SchemaUnknown, TaskerError
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.history import AcceptedHistory, AcceptedRecord, HistoryMark
from tasker_kafka.topics.log import Batch, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames

from . import tables
from .claim import is_claimed
from .crash_points import ProjectionCrashPoint
from .draft import Draft, Statements
from .held_folds import HeldFolds, Kept
from .plan_shelf import PlanShelf
from .store import FILLING, Store, StoreUnavailable

__all__ = ["Applied", "PositionsMoved", "ReadSide", "Writer"]

_LOGGER: Final = logging.getLogger(__name__)

_MOST_HEALED: Final = 200
"""Tasks of one plan that are folded anew in one transaction."""

ReadSide = Callable[[TopicPartition, Sequence[Record], Draft], None]
"""Reads records of topics other than transitions into rows."""


class PositionsMoved(TaskerError):
    """Another projector writes to the same store and was faster."""

    retryable = True


_NOT_OF_A_RECORD: Final = (PositionsMoved, StoreUnavailable, LogError, SchemaUnknown, ConfigurationError)
"""What no single record is to blame for."""


class Applied(NamedTuple):
    """What a batch came to."""

    records: int
    tasks: int
    faults: int


class Writer:
    """One writer, used by one thread at a time.

    filling: the token of the rebuild in place that this writer is of; a projector has none
    """

    def __init__(
        self,
        store: Store,
        names: TopicNames,
        plans: PlanShelf,
        *,
        now_ms: Callable[[], int],
        side_topics: ReadSide | None = None,
        is_newer: Callable[[bytes], bool] = lambda _: False,
        codec: Codec = default_codec,
        crash_points: CrashPoints[ProjectionCrashPoint] = NO_CRASH_POINTS,
        filling: str = "",
    ) -> None:
        self._store = store
        self._transitions = names.transitions
        self._plans = plans
        self._now_ms = now_ms
        self._side_topics = side_topics
        self._is_newer = is_newer
        self._codec = codec
        self._crash_points = crash_points
        self._filling = filling
        self._statements = Statements(store.engine.dialect)
        self._marks: dict[TopicPartition, HistoryMark] = {}
        self._held = HeldFolds(codec)
        self._lacking: set[bytes] = set()
        """Plans that tasks in the store wait for."""
        self._generation = ""

    # -------------------------------------------------------------------------------------- positions

    def assign(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Take partitions over, in place of those before: where to read on, 0 for one that is new."""
        wanted = set(partitions)
        with self._store.reading() as connection:
            rows = connection.execute(select(tables.position)).all()
            self._generation, _ = _making(connection)
            waiting = select(tables.fault.c.plan_hash).where(tables.fault.c.plan_hash.is_not(None)).distinct()
            self._lacking = set(connection.execute(waiting).scalars())
        stored = {
            TopicPartition(row.topic, row.partition): HistoryMark(
                row.next_offset, row.owner, row.command_offset
            )
            for row in rows
        }
        self.forget()
        self._marks = {place: stored.get(place, HistoryMark()) for place in wanted}
        return {place: mark.position for place, mark in self._marks.items()}

    def forget(self) -> None:
        """Nothing is ours any more, and what is held may grow old."""
        self._marks = {}
        self._held.clear()

    # ------------------------------------------------------------------------------------------ apply

    def unhealed(self) -> dict[TopicPartition, Batch]:
        """What to apply, without any record, when tasks wait for their plans; nothing when none does."""
        if not self._lacking:
            return {}
        return {
            place: Batch(mark.position, mark.position, ())
            for place, mark in self._marks.items()
            if place.topic == self._transitions
        }

    def apply(self, batches: Mapping[TopicPartition, Batch]) -> Applied:
        """Project a fetch. PositionsMoved: assign again, and read from there.

        StoreUnavailable when the database does not answer, LogError when a plan cannot be asked for, SchemaUnknown
        for records of a newer release: nothing has been written then, and the same batch may be given again.
        """
        mine = {place: batch for place, batch in batches.items() if place in self._marks}
        try:
            return self._apply(mine)
        except _NOT_OF_A_RECORD:
            self._drop(mine)
            raise
        except Exception:
            _LOGGER.exception("a batch cannot be projected as a whole; its records are, one by one")
            self._drop(mine)
            return self._apply_singly(mine)

    def _apply_singly(self, batches: Mapping[TopicPartition, Batch]) -> Applied:
        """So that one record which no row can be made of holds up no other."""
        total = Applied(0, 0, 0)
        for place, batch in batches.items():
            first = batch.first_position
            for record in batch.records:
                single = Batch(first, record.offset + 1, (record,))
                try:
                    done = self._apply({place: single})
                except _NOT_OF_A_RECORD:
                    raise
                except Exception as error:
                    self._drop({place: single})
                    done = self._apply({place: single}, fault=f"{type(error).__name__}: {error}")
                first = record.offset + 1
                total = Applied(*(a + b for a, b in zip(total, done, strict=True)))
            self._apply({place: Batch(first, batch.next_position, ())})
        return total

    def _apply(self, batches: Mapping[TopicPartition, Batch], *, fault: str | None = None) -> Applied:
        draft = Draft(self._now_ms)
        marks: dict[TopicPartition, HistoryMark] = {}
        kept: list[Kept] = []
        for place in sorted(batches):
            marks[place] = self._read(place, batches[place], draft, kept, fault)
        if not marks:
            return Applied(0, 0, 0)
        with self._store.writing() as connection:
            self._move(connection, batches, marks)
            waiting = tuple(self._lacking)
            self._fold(connection, kept, draft)
            self._heal(connection, batches, draft, waiting)
            draft.write(connection, self._statements)
            self._plans.write(connection, self._statements)
            self._crash_points.reached(ProjectionCrashPoint.ROWS_WRITTEN)
        self._crash_points.reached(ProjectionCrashPoint.STORE_COMMITTED)
        self._marks.update(marks)
        self._plans.saved()
        for fold in draft.folds.values():
            fold.saved()
            fold.is_stored = fold.is_stored or fold.state is not None
        self._held.limit()
        return Applied(draft.records, len(draft.folds), draft.faults)

    def _drop(self, batches: Mapping[TopicPartition, Batch]) -> None:
        """Folds that took records which were not written."""
        for batch in batches.values():
            for record in batch.records:
                if record.key is not None:
                    self._held.drop(record.key)

    # ------------------------------------------------------------------------------------ 1. reading

    def _read(
        self, place: TopicPartition, batch: Batch, draft: Draft, kept: list[Kept], fault: str | None
    ) -> HistoryMark:
        """Decode what is new, and where the partition is then."""
        mark = self._marks[place]
        if batch.first_position > mark.position > 0 and place.topic == self._transitions:
            draft.fault(place, mark.position, None, _missed(mark.position, batch.first_position))
        records = [each for each in batch.records if each.offset >= mark.position]
        draft.records += len(records)
        position = max(mark.position, batch.next_position)
        if fault is not None:
            for record in records:
                draft.fault_of(record, fault)
        elif place.topic != self._transitions:
            if self._side_topics is not None:
                self._side_topics(place, records, draft)
        else:
            mark = self._accept(place, records, mark, draft, kept)
        return HistoryMark(position, mark.owner, mark.command_offset)

    def _accept(
        self,
        place: TopicPartition,
        records: Sequence[Record],
        mark: HistoryMark,
        draft: Draft,
        kept: list[Kept],
    ) -> HistoryMark:
        rule = AcceptedHistory(mark)
        decode = self._codec.decode_transition_record
        add = draft.rows[tables.history.name].append
        for record in records:
            try:
                decoded = decode(record.value)
            except DecodeError as error:
                if isinstance(error, SchemaUnknown) and self._is_newer(error.fingerprint):
                    raise
                if rule.see(record):
                    draft.fault_of(record, error.message)
                continue
            if not rule.accept(record, decoded) or not isinstance(decoded, Transitions):
                continue
            key = record.key
            if key is None or len(key) != 16:
                draft.fault_of(record, "a record of a task whose key is no task id")
                continue
            kept.append(Kept(key, place, AcceptedRecord(record.offset, record.timestamp, decoded)))
            add(
                (
                    record.partition,
                    record.offset,
                    key,
                    decoded.life,
                    decoded.seq,
                    record.timestamp,
                    record.value,
                )
            )
        return rule.snapshot()

    # ---------------------------------------------------------------------------------- 2. positions

    def _move(
        self,
        connection: Connection,
        batches: Mapping[TopicPartition, Batch],
        marks: Mapping[TopicPartition, HistoryMark],
    ) -> None:
        now = self._now_ms()
        at = tables.position.c
        self._enter(connection)
        for place, mark in marks.items():
            before = self._marks[place]
            records = batches[place].records
            values = {
                "next_offset": mark.position,
                "owner": mark.owner,
                "command_offset": mark.command_offset,
                "updated_at": now,
            } | ({"record_at": records[-1].timestamp} if records else {})
            same = and_(
                at.topic == place.topic,
                at.partition == place.partition,
                at.next_offset == before.position,
                at.owner == before.owner,
                at.command_offset == before.command_offset,
            )
            if connection.execute(update(tables.position).where(same).values(values)).rowcount:
                continue
            if before != HistoryMark() or not self._begin(connection, place, values):
                raise PositionsMoved(
                    f"{place.topic}/{place.partition} is not at offset {before.position} any more",
                    next_step="nothing: it goes on from where the other is",
                )

    def _enter(self, connection: Connection) -> None:
        """Nobody else fills the store, and it is the one that rows in memory are of."""
        generation, filling = _making(connection)
        if filling != self._filling:
            if self._filling or is_claimed(self._store, connection):
                raise StoreUnavailable(
                    f"the projection at {self._store.place} is being made anew in place by somebody else",
                    next_step="nothing: a projector goes on when it is done; `tasker projection status` tells how far"
                    " it is",
                )
            connection.execute(delete(tables.meta).where(tables.meta.c.key == FILLING))
        if generation != self._generation:
            raise PositionsMoved(
                "the store was made anew", next_step="nothing: it goes on from where the new one is"
            )

    @staticmethod
    def _begin(connection: Connection, place: TopicPartition, values: Mapping[str, int]) -> bool:
        """The first row of a partition; False when somebody has begun it meanwhile."""
        at = tables.position.c
        found = select(at.partition).where(at.topic == place.topic, at.partition == place.partition)
        if connection.execute(found).first() is not None:
            return False
        connection.execute(
            insert(tables.position).values(topic=place.topic, partition=place.partition, **values)
        )
        return True

    # ------------------------------------------------------------------------------------- 3. folding

    def _fold(self, connection: Connection, kept: Sequence[Kept], draft: Draft) -> None:
        folds = draft.folds
        find = self._plans.finder(connection)
        self._held.load(connection, {each.task_id: each for each in reversed(kept)}, find)
        for task_id, place, accepted in kept:
            fold = folds.get(task_id)
            if fold is None:
                fold = folds[task_id] = self._held.use(task_id)
            fault = fold.take(accepted, find)
            if fault is not None:
                draft.fault(place, accepted.offset, task_id, fault, fold.lacking)
                if fold.lacking is not None:
                    self._lacking.add(fold.lacking)
        for fold in folds.values():
            fold.settle()
            self._held.weigh(fold)

    def _heal(
        self,
        connection: Connection,
        batches: Iterable[TopicPartition],
        draft: Draft,
        waiting: Iterable[bytes],
    ) -> None:
        """Fold the tasks of these partitions whose plan was missing, and is there now: nobody need write to them."""
        if not waiting:
            return
        find, at = self._plans.finder(connection), tables.fault.c
        numbers = [place.partition for place in batches if place.topic == self._transitions]
        for plan_hash in [each for each in waiting if find(each) is not None]:
            of_it = at.plan_hash == plan_hash
            ours = and_(of_it, at.topic == self._transitions, at.partition.in_(numbers))
            ids = list(
                connection.execute(select(at.task_id).where(ours).distinct().limit(_MOST_HEALED)).scalars()
            )
            found = self._held.stored(connection, ids, ids, find)
            for task_id in ids:
                self._held.drop(task_id)
                draft.folds.setdefault(task_id, found[task_id])
            connection.execute(delete(tables.fault).where(ours, at.task_id.in_(ids)))
            is_left = connection.execute(select(at.offset).where(of_it).limit(1)).first() is not None
            if not is_left and all(row[-1] != plan_hash for row in draft.rows[tables.fault.name]):
                self._lacking.discard(plan_hash)


def _making(connection: Connection) -> tuple[str, str]:
    """Which making of the store this is (rows held in memory are of no other), and whose token fills it."""
    meta = tables.meta.c
    found = connection.execute(
        select(meta.key, meta.value).where(meta.key.in_(("generation", FILLING)))
    ).all()
    values = {str(row.key): str(row.value) for row in found}
    return values.get("generation", ""), values.get(FILLING, "")


def _missed(known: int, first: int) -> str:
    return (
        f"the records {known} to {first - 1} were gone from the topic before they were read: tasks of that time are"
        " missing or old; retention of the topic is shorter than the projection was down"
    )

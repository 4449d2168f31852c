"""One task's records as they come, from any place on: what streams of events are made of.

A listener is put on the feed of changes before the history is read, and records are told by their offset, so none is
lost and none comes twice, also over an outage of the projection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from tasker_kafka.deploy.reading import AnswerReport, TransitionReport
from tasker_kafka.deploy.reading.folding import answer_reports, transition_reports
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.words import FINAL_TASK_STATES, TaskStatus
from tasker_kafka.streams.projection import Changes, StoredHistory, StoreUnavailable
from tasker_kafka.topics.history import AcceptedRecord

from .changes import ChangeFeed
from .hiding import hidden
from .reach import Reach

__all__ = ["RecordEvent", "follow_task"]


class RecordEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a task's history. `offset` is its place in the stream: give it as Last-Event-ID to go on."""

    life: int
    seq: int
    offset: int
    at: int
    transitions: tuple[TransitionReport, ...]
    answer: AnswerReport | None
    is_final: bool
    """The task has ended for good, and so does the stream."""


async def follow_task(
    reach: Reach, feed: ChangeFeed, task_id: bytes, *, after: int | None, is_following: bool
) -> AsyncGenerator[RecordEvent | None, None]:
    """The records after an offset (None: of the newest life), then those that come, until the task is final.

    A single None comes where there is nothing to tell yet, so that who asks need not wait for the task to move.
    is_following: False: end with what is there. NotFoundError, StoreUnavailable or Overloaded before the first record;
    later outages are waited out.
    """
    async with aclosing(feed.listen()) as changes:
        if is_following:
            reach.require()
            await anext(changes)
        found = await _records(reach, task_id, after)
        position, has_begun = after, False
        while True:
            for event in map(_event, found):
                is_over = event.is_final and event.life == found[-1].record.life
                if position is None or event.offset > position:
                    position, has_begun = event.offset, True
                    yield event
                if is_over:
                    return
            if not is_following:
                return
            if not has_begun:
                yield None
            has_begun = True
            found = await _more(reach, changes, task_id, position)


async def _more(
    reach: Reach, changes: AsyncGenerator[Changes, None], task_id: bytes, position: int | None
) -> list[AcceptedRecord]:
    """Wait until the task has moved: its records since."""
    async for each in changes:
        if not (each.is_cut or any(moved.task_id == task_id for moved in each.tasks)):
            continue
        try:
            return await _records(reach, task_id, position)
        except (
            NotFoundError,
            StoreUnavailable,
        ):  # away again, or rebuilt just now: the feed tells when it is back
            continue
    return []


async def _records(reach: Reach, task_id: bytes, after: int | None) -> list[AcceptedRecord]:
    """The newest life's records; and those of older lives, as far as an offset before them takes that."""
    newest = await reach.read(lambda reads: reads.history(task_id))
    if newest is None:
        raise NotFoundError(
            f"There is no task {format_id(task_id)} in the projection.",
            next_step="GET /tasks/{id} also looks in the log.",
        )
    found = [*newest.records]
    for life in reversed([each for each in newest.lives if each < newest.life]):
        if after is None or found[0].offset <= after:
            break
        found = [*(await _life(reach, newest, life)), *found]
    return found


async def _life(reach: Reach, newest: StoredHistory, life: int) -> tuple[AcceptedRecord, ...]:
    older = await reach.read(lambda reads: reads.history(newest.task_id, life=life))
    return () if older is None else older.records


def _event(record: AcceptedRecord) -> RecordEvent:
    taken = record.record
    ends = [each.to_state for each in taken.transitions if each.step is None]
    return hidden(
        RecordEvent(
            life=taken.life,
            seq=taken.seq,
            offset=record.offset,
            at=taken.at,
            transitions=tuple(transition_reports([record])),
            answer=next(answer_reports([record]), None),
            is_final=bool(ends) and TaskStatus(ends[-1]) in FINAL_TASK_STATES,
        )
    )

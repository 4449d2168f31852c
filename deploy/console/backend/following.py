"""One task's records as they come, from any place on: what streams of events are made of.

A listener is put on the feed of changes before the history is read, and records are told by their offset, so none is
lost and none comes twice, also over an outage of the projection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from tasker_kafka.deploy.reading import AnswerReport, TransitionReport
from tasker_kafka.deploy.reading.folding import answer_reports, transition_reports
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.words import FINAL_TASK_STATES, TaskStatus
from tasker_kafka.streams.projection import Changes, StoreUnavailable
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
    later outages are waited out. Each record is read once: what a change costs does not grow with the task.
    """
    async with aclosing(feed.listen()) as changes:
        if is_following:
            reach.require()
            await anext(changes)
        found, is_over = await _beginning(reach, task_id, after)
        position, has_begun = -1 if after is None else after, False
        while not is_over:
            for event in map(_event, found):
                position, has_begun = event.offset, True
                yield event
                if event.is_final and event.life == found[-1].record.life:
                    return
            if not is_following:
                return
            if not has_begun:
                yield None
            has_begun = True
            found, is_over = await _more(reach, changes, task_id, position)


Found = tuple[Sequence[AcceptedRecord], bool]
"""Records, and whether there will never be any more."""


async def _beginning(reach: Reach, task_id: bytes, after: int | None) -> Found:
    """The newest life's records; or all of any life after an offset."""
    if after is None:
        whole = await reach.read(lambda reads: reads.history(task_id))
        if whole is None:
            raise _not_found(task_id)
        return whole.records, False
    row = await reach.read(lambda reads: reads.task(task_id))
    if row is None:
        raise _not_found(task_id)
    found = await reach.read(lambda reads: reads.history_after(task_id, after))
    # What follows the end are answers to commands that came too late.
    return found, row.state in FINAL_TASK_STATES and not any(each.record.seq for each in found)


async def _more(reach: Reach, changes: AsyncGenerator[Changes, None], task_id: bytes, position: int) -> Found:
    """Wait until the task has moved: its records since."""
    async for each in changes:
        moved = next((one for one in each.tasks if one.task_id == task_id), None)
        if moved is None and not each.is_cut:
            continue
        try:
            found = await reach.read(lambda reads: reads.history_after(task_id, position))
        except StoreUnavailable:  # away again: the feed tells when it is back
            continue
        is_final = moved is not None and moved.state in FINAL_TASK_STATES
        if found or is_final:
            return found, not found
    return (), True


def _not_found(task_id: bytes) -> NotFoundError:
    return NotFoundError(
        f"There is no task {format_id(task_id)} in the projection.",
        next_step="GET /tasks/{id} also looks in the log.",
    )


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

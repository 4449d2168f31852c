"""Where a partition number's topics are read up to, and what has to wait for that.

Two waits keep the order over a crash: no job runs and no source is read before the retry topics are loaded; and a job
of a retry topic waits at its gate until its source has been read up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from tasker_kafka.handlers.watermark import Watermark
from tasker_kafka.topics.log import Record

from .jobs import Job

__all__ = ["Places"]


class Places:
    """The topics of one partition number."""

    def __init__(self) -> None:
        self._marks: dict[str, Watermark] = {}
        self._load_until: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._gated: dict[str, list[tuple[int, int, Job]]] = {}

    def open_source(self, topic: str, mark: Watermark, end: int) -> None:
        """Take a source over. `end`: where it ended then; no original can lie there or beyond."""
        self._marks[topic] = mark
        self._ends[topic] = end

    def open_retry(self, topic: str, mark: Watermark, end: int) -> None:
        """Take a retry topic over; until it is read to `end`, no job runs and no source may be read."""
        self._marks[topic] = mark
        if mark.position < end:
            self._load_until[topic] = end

    def __contains__(self, topic: object) -> bool:
        """Whether this partition number of a topic is ours."""
        return topic in self._marks

    def __getitem__(self, topic: str) -> Watermark:
        """What is finished of a topic."""
        return self._marks[topic]

    @property
    def marks(self) -> Iterable[tuple[str, Watermark]]:
        """What is finished, by topic."""
        return self._marks.items()

    @property
    def is_loaded(self) -> bool:
        """Everything that waits in retry topics is known."""
        return not self._load_until

    @property
    def is_caught_up(self) -> bool:
        """All that lay here when we came is read."""
        return self.is_loaded and all(self._marks[topic].position >= end for topic, end in self._ends.items())

    @property
    def has_gated(self) -> bool:
        """Some jobs wait for a source to be read: it must not be paused for what is parked."""
        return any(self._gated.values())

    def take_in(self, topic: str, records: Sequence[Record], next_position: int) -> Sequence[Record]:
        """Records as fetched: those that are not finished yet."""
        new = self._marks[topic].extend([record.offset for record in records], next_position)
        if len(new) == len(records):
            return records
        wanted = set(new)
        return [record for record in records if record.offset in wanted]

    def loaded_by(self, topic: str) -> bool:
        """Whether what was read of this topic was the last that had to be loaded."""
        until = self._load_until.get(topic)
        if until is None or self._marks[topic].position < until:
            return False
        del self._load_until[topic]
        return not self._load_until

    def gate(self, job: Job) -> None:
        """Let a job of a retry topic wait for its source, if that has not been read up to it."""
        topic, offset = job.record.topic, job.record.offset
        mark = self._marks.get(topic)
        if mark is not None and mark.position <= offset < self._ends.get(topic, 0):
            job.is_gated = True
            heappush(self._gated.setdefault(topic, []), (offset, job.count, job))

    def opened_gates(self, topic: str) -> Iterable[Job]:
        """The jobs that need not wait any longer for this source."""
        gated, position = self._gated.get(topic), self._marks[topic].position
        while gated and gated[0][0] < position:
            job = heappop(gated)[2]
            job.is_gated = False
            yield job

"""When records of waiting jobs have to be written again, because their topic does not keep them for ever. Pure.

Half of the time is the limit: the other half is for a member that is down, for clocks that differ, and for a topic that
refuses. A broker removes whole segments, so it keeps a record at least as long as it says.
"""

from __future__ import annotations

from collections.abc import Mapping

from .jobs import Job, JobState

__all__ = ["Ages"]

_NEVER = 1 << 62


class Ages:
    """The jobs of one partition number whose records will be gone some day. `kept_ms`: by topic; missing: for ever."""

    def __init__(self, kept_ms: Mapping[str, int]) -> None:
        self._kept_ms = kept_ms
        self._jobs: dict[Job, None] = {}
        self._look_at = _NEVER
        """Before this time nothing is due."""

    @property
    def is_empty(self) -> bool:
        """Whether no job is remembered."""
        return not self._jobs

    def moved(self, job: Job, topic: str, at_ms: int) -> None:
        """Its record, the only one that counts, was written to this retry topic then."""
        job.stored_in, job.renew_at = topic, 0
        self._note(job, topic, at_ms)

    def found(self, job: Job, topic: str, at_ms: int) -> None:
        """A record of it lies in this retry topic since then; one of several, perhaps."""
        kept = self._kept_ms.get(topic)
        if job.stored_in is None or (job.renew_at and (kept is None or at_ms + kept // 2 > job.renew_at)):
            self.moved(job, topic, at_ms)

    def stands_still(self, job: Job) -> None:
        """It may wait for ever in its source."""
        if not (job.is_stored or job.is_loose):
            self._note(job, job.record.topic, job.record.timestamp)

    def refused(self, job: Job, now_ms: int) -> None:
        """It could not be written again: try later, an operator may have changed the topic until then."""
        if job in self._jobs:
            kept = self._kept_ms.get(job.stored_in or job.record.topic, 0)
            job.renew_at = now_ms + kept // 8 + 1

    def forget(self, job: Job) -> None:
        """It is done."""
        self._jobs.pop(job, None)

    def due(self, now_ms: int, most: int) -> list[Job]:
        """Up to `most` jobs to be written again now. What runs or is being written is looked at later."""
        found: list[Job] = []
        if now_ms < self._look_at:
            return found
        self._look_at = _NEVER
        for job in self._jobs:
            if job.renew_at <= now_ms and len(found) < most and job.state in _AT_REST:
                found.append(job)
            self._look_at = min(self._look_at, job.renew_at)
        return found

    def _note(self, job: Job, topic: str, at_ms: int) -> None:
        kept = self._kept_ms.get(topic)
        if kept is None:
            self._jobs.pop(job, None)
            return
        job.renew_at = max(1, at_ms + kept // 2)
        self._jobs[job] = None
        self._look_at = min(self._look_at, job.renew_at)


_AT_REST = (JobState.WAITING, JobState.STOPPED)

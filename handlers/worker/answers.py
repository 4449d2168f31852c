"""Answers already given, so that a dispatch delivered again is answered and not run."""

from __future__ import annotations

from collections import OrderedDict

from tasker_kafka.schemas.records import Dispatch

__all__ = ["AnswerCache", "AttemptKey", "attempt_key"]

AttemptKey = tuple[bytes, int, str, int]
"""Task, life, step, attempt."""

_OVERHEAD_BYTES = 400
"""About what an entry costs beside the answer itself."""


def attempt_key(dispatch: Dispatch) -> AttemptKey:
    """What names the attempt that a dispatch grants."""
    return dispatch.task_id, dispatch.life, dispatch.step, dispatch.attempt


class AnswerCache:
    """The newest answers, as encoded, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._answers: OrderedDict[AttemptKey, bytes] = OrderedDict()
        self.size_bytes = 0

    def put(self, key: AttemptKey, answer: bytes) -> None:
        """Keep an answer; the oldest ones go when there is no room."""
        old = self._answers.pop(key, None)
        if old is not None:
            self.size_bytes -= len(old) + _OVERHEAD_BYTES
        self._answers[key] = answer
        self.size_bytes += len(answer) + _OVERHEAD_BYTES
        while self.size_bytes > self._max_bytes:
            _, gone = self._answers.popitem(last=False)
            self.size_bytes -= len(gone) + _OVERHEAD_BYTES

    def get(self, key: AttemptKey) -> bytes | None:
        """The answer to this attempt, if it is still kept."""
        return self._answers.get(key)

    def __len__(self) -> int:
        return len(self._answers)

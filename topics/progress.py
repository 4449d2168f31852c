"""What a caller learns of one task from its records: accepted or rejected, where it stands, how it ended.

No fold of the state: a caller needs the states and the results, and has no rules. Records come from a `Tail` in
order, perhaps twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError, RequestRejected, TaskFailed
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import (
    Answer,
    AttemptEnded,
    Audit,
    Rejection,
    TaskClosed,
    TaskCreated,
    Transition,
    Transitions,
    Value,
)
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, DONE_STEP_STATES, StepStatus, TaskStatus

from .log import Record, TopicPartitionOffset
from .names import TopicNames

__all__ = ["AnswerProgress", "TaskProgress", "TaskSnapshot"]

_NO_STEPS: Final[Mapping[str, StepStatus]] = MappingProxyType({})


class TaskSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands. `state` None: nothing is decided yet."""

    task_id: bytes
    state: TaskStatus | None = None
    life: int | None = None
    plan_hash: bytes | None = None
    steps: Mapping[str, StepStatus] = _NO_STEPS
    results: Mapping[str, Value] = MappingProxyType({})
    """Step name → result, of the steps that are done."""
    error_code: str | None = None
    error_message: str | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the task has ended. One in `error` may still be reopened by an operator."""
        return self.state in CLOSED_TASK_STATES

    def failure(self) -> TaskFailed:
        """The error for a task that ended in another state than complete."""
        name = format_id(self.task_id)
        why = f": {self.error_message} ({self.error_code})" if self.error_code else ""
        failed = sorted(name for name, state in self.steps.items() if state is StepStatus.ERROR)
        steps = f"; steps in error: {', '.join(failed)}" if failed else ""
        return TaskFailed(
            f"task {name} ended as {self.state}{why}{steps}",
            state=str(self.state),
            code=self.error_code,
            next_step=f"`tasker task show {name}` shows every attempt; a task in error can be retried",
        )


class _Progress:
    """A watcher of one key's transitions and rejections."""

    def __init__(self, key: bytes, names: TopicNames, codec: Codec) -> None:
        self.key = key
        self.place: TopicPartitionOffset | None = None
        """Where the request or the command lies, once that is known."""
        self.failure: DecodeError | None = None
        self._changed = asyncio.Event()
        self._names = names
        self._codec = codec
        self._rejections: list[Rejection] = []
        self._newest = -1
        self._held: list[Record] | None = None

    def hold(self) -> None:
        """Put new records by until `release`: older ones are read first."""
        self._held = []

    def release(self) -> None:
        """Take the records put by, then new ones again."""
        held, self._held = self._held or [], None
        for record in held:
            self.take(record)

    def take(self, record: Record) -> None:
        """Note a new record, now or after the older ones."""
        if self._held is not None:
            self._held.append(record)
        else:
            self.take_now(record)

    def take_now(self, record: Record) -> None:
        """Note a record. What cannot be decoded fails whoever waits, since nothing can be told without it."""
        try:
            if record.topic == self._names.rejections:
                self._rejections.append(self._codec.decode(record.value, Rejection))
            else:
                decoded = self._codec.decode_transition_record(record.value)
                if not isinstance(decoded, Transitions) or decoded.command_offset <= self._newest:
                    return
                self._newest = decoded.command_offset
                self._note(decoded)
        except DecodeError as error:
            self.failure = error
        self._changed.set()

    async def wait_change(self) -> None:
        """Until something was noted since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def _note(self, record: Transitions) -> None:
        raise NotImplementedError

    def _rejection_for(self, request_id: bytes | None) -> Rejection | None:
        """The rejection of what was sent: by its id, or by its place where it could not even be decoded."""
        for each in self._rejections:
            if request_id is not None and each.request_id == request_id:
                return each
            if self.place is not None and (each.topic, each.partition, each.offset) == self.place:
                return each
        return None


class TaskProgress(_Progress):
    """One task's progress.

    With a `request_id` it is that request's: nothing counts before the task that it created, so an older task of
    the same identity is not taken for it. Without, it is the task's newest life.
    """

    def __init__(
        self, task_id: bytes, names: TopicNames, codec: Codec, *, request_id: bytes | None = None
    ) -> None:
        super().__init__(task_id, names, codec)
        self._request_id = request_id
        self._life: int | None = None
        self._state: TaskStatus | None = None
        self._created: TaskCreated | None = None
        self._closed: TaskClosed | None = None
        self._answer: Answer | None = None
        self._steps: dict[str, StepStatus] = {}
        self._results: dict[str, Value] = {}

    @property
    def is_ended(self) -> bool:
        """Whether there is nothing to wait for: closed, rejected, or not to be read."""
        return self._state in CLOSED_TASK_STATES or self.rejected() is not None or self.failure is not None

    def snapshot(self) -> TaskSnapshot:
        """Where the task stands."""
        return TaskSnapshot(
            task_id=self.key,
            state=self._state,
            life=self._life,
            plan_hash=None if self._created is None else self._created.plan_hash,
            steps=MappingProxyType(dict(self._steps)),
            results=MappingProxyType(dict(self._results)),
            error_code=None if self._closed is None else self._closed.error_code,
            error_message=None if self._closed is None else self._closed.error_message,
        )

    def rejected(self) -> RequestRejected | None:
        """The error if the request was rejected."""
        if self._life is not None:
            return None
        found = self._rejection_for(self._request_id) if self._request_id is not None else None
        if found is not None:
            where = "" if found.path is None else f" (at {found.path})"
            return RequestRejected(f"the request was rejected: {found.message}{where}", code=found.code)
        if self._answer is not None:
            return RequestRejected(
                f"the request was rejected: {self._answer.message}", code=self._answer.code
            )
        return None

    def _note(self, record: Transitions) -> None:
        answer = record.answer
        if answer is not None and self._request_id is not None and answer.command_id == self._request_id:
            self._answer = answer
        for each in record.transitions:
            if isinstance(each.data, TaskCreated):
                self._begin(record.life, each.data)
        if record.life == self._life:
            for each in record.transitions:
                self._pass(each)

    def _begin(self, life: int, created: TaskCreated) -> None:
        if self._request_id is not None and created.request_id != self._request_id:
            return
        self._life, self._created, self._closed, self._state = life, created, None, None
        self._steps.clear()
        self._results.clear()

    def _pass(self, each: Transition) -> None:
        if each.step is None:
            self._state = TaskStatus(each.to_state)
            if isinstance(each.data, TaskClosed):
                self._closed = each.data
            return
        self._steps[each.step] = StepStatus(each.to_state)
        if each.to_state in DONE_STEP_STATES and each.from_state not in DONE_STEP_STATES:
            self._results[each.step] = (
                each.data.result if isinstance(each.data, (AttemptEnded, Audit)) else None
            )


class AnswerProgress(_Progress):
    """The answer to one command."""

    def __init__(self, task_id: bytes, names: TopicNames, codec: Codec, *, command_id: bytes) -> None:
        super().__init__(task_id, names, codec)
        self._command_id = command_id
        self._answer: Answer | None = None

    @property
    def is_ended(self) -> bool:
        """Whether the command was answered, or nothing can be read."""
        return self.answer() is not None or self.failure is not None

    def answer(self) -> Answer | None:
        """The answer; a command that was refused unread has its rejection's code."""
        if self._answer is not None:
            return self._answer
        found = self._rejection_for(None)
        return None if found is None else Answer(self._command_id, found.code, found.message)

    def _note(self, record: Transitions) -> None:
        if record.answer is not None and record.answer.command_id == self._command_id:
            self._answer = record.answer

"""Sends an operator's command and says what became of it; a refusal comes with the state and what is allowed."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, Final, Required, TypedDict
from uuid import UUID, uuid5

import msgspec

from tasker_kafka.schemas.errors import CommandRejected, NotFoundError, TaskerError, WaitTimeout
from tasker_kafka.schemas.identity import keyed_command_id, new_request_id
from tasker_kafka.schemas.words import AnswerCode, OperatorAction, is_obeyed
from tasker_kafka.streams.domain.allowing import STEP_ACTIONS, step_actions
from tasker_kafka.topics.log import TopicPartitionOffset
from tasker_kafka.topics.operators import CommandDetails, CommandOptions, command_details

from .broker import Broker, Live
from .details import TaskReader
from .errors import CommandRefused
from .shapes import Outcome, TaskDetails, WrittenAt

__all__ = ["Asked", "Operation", "id_of_key", "operate"]

_KEYS: Final = UUID("6b0f2a52-6a0b-5d7e-9a46-3f0c1f6c2a11")
"""Namespace of the ids that are made of callers' keys; never changes."""


class Asked(TypedDict, total=False):
    """What is asked of a task, as keywords; `actor` and `reason` always."""

    actor: Required[str]
    reason: Required[str]
    steps: tuple[str, ...]
    result: Any
    """Of complete_step; null is one."""
    max_attempts: int | None
    text: str | None
    tags: tuple[str, ...] | None
    command_id: bytes | None
    """Sent again, the same id is the same command, whatever it asks; None: by the key, or a new one."""
    key: str | None
    """The caller's own; sent again, the same key for the same act is the same command."""
    expected_seq: int | None
    """Refuse if the task has moved on from this seq."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """The same as a value. `result` UNSET: none."""

    action: OperatorAction
    actor: str
    reason: str
    steps: tuple[str, ...] = ()
    result: Any = msgspec.UNSET
    max_attempts: int | None = None
    text: str | None = None
    tags: tuple[str, ...] | None = None
    command_id: bytes | None = None
    key: str | None = None
    expected_seq: int | None = None

    def details(self) -> CommandDetails:
        """What only some actions carry."""
        return command_details(
            steps=self.steps,
            result=self.result,
            max_attempts=self.max_attempts,
            text=self.text,
            tags=self.tags,
        )

    def id_for(self, task_id: bytes | None, now: int) -> bytes:
        """The id of the command to this task (None: of the whole bulk) that is sent at `now` (ms), 16 bytes.

        What is done makes the id of a key. Actor, reason and expected_seq only say more about it.
        """
        if self.command_id is not None or self.key is None:
            return self.command_id or new_request_id(now)
        act = {**self.details(), "steps": sorted(set(self.steps))}
        return keyed_command_id(self.key, self.action, task_id, msgspec.json.encode(act))


def id_of_key(key: str) -> bytes:
    """16 bytes for a caller's key: those of a UUID's text, or made of any other text; always the same."""
    try:
        return UUID(key).bytes
    except ValueError:
        return uuid5(_KEYS, key).bytes


async def operate(
    broker: Broker, tasks: TaskReader, task_id: bytes, operation: Operation, *, wait: float | None, now: int
) -> Outcome:
    """Send the command and wait up to `wait` seconds for its answer (None or 0: not at all).

    CommandRefused when it is refused within that time; BrokerUnavailable when it cannot be sent.
    """
    command_id = operation.id_for(task_id, now)
    written: list[TopicPartitionOffset] = []

    async def work(live: Live) -> tuple[str | None, str]:
        options: CommandOptions = {
            "actor": operation.actor,
            "reason": operation.reason,
            "expected_seq": operation.expected_seq,
            "command_id": command_id,
            "wait": bool(wait),
            "timeout": wait or 0.0,
            "on_written": written.append,
        }
        try:
            answer = await live.client.command(task_id, operation.action, operation.details(), **options)
        except WaitTimeout as error:
            return None, error.message
        return (None, "written; not waited for") if answer is None else (answer.code, answer.message)

    try:
        code, message = await broker.use(work)
        if code == AnswerCode.REPEATED:
            await _raise_first(tasks, task_id, command_id, now)
    except CommandRejected as error:
        raise await _refused(error, command_id, tasks.read(task_id, now), operation) from error
    return Outcome(
        task_id=task_id,
        command_id=command_id,
        written=WrittenAt(*written[0]) if written else None,
        code=code,
        message=message,
    )


async def _raise_first(tasks: TaskReader, task_id: bytes, command_id: bytes, now: int) -> None:
    """CommandRejected again if it was refused when it came first: `repeated` would sound as if it had acted."""
    try:
        answers = (await tasks.read(task_id, now)).report.answers
    except TaskerError:  # nobody can tell now; the engine's answer holds
        return
    first = next((each for each in answers if each.command_id == command_id), None)
    if first is not None and not is_obeyed(first.code):
        raise CommandRejected(
            f"{first.message} (answered before: the same key is the same command)",
            code=first.code,
            next_step="look at the task, and ask with another key",
        )


async def _refused(
    error: CommandRejected, command_id: bytes, reading: Coroutine[Any, Any, TaskDetails], operation: Operation
) -> TaskerError:
    if error.code == AnswerCode.UNKNOWN_TASK:
        reading.close()
        return NotFoundError(error.message, next_step="Look the id up in GET /tasks.")
    try:
        details = await reading
    except TaskerError:  # the refusal counts; what is allowed instead is an extra
        details = None
    return CommandRefused(
        error.message,
        code=error.code,
        command_id=command_id,
        state=None if details is None else details.report.state,
        allowed=() if details is None else _allowed(details, operation),
        next_step=error.next_step,
    )


def _allowed(details: TaskDetails, operation: Operation) -> tuple[str, ...]:
    if operation.action not in STEP_ACTIONS or not operation.steps:
        return details.allowed
    known = [step for name in operation.steps if (step := details.step(name)) is not None]
    return _common(step_actions(details.report.state, step.state) for step in known)


def _common(choices: Iterable[tuple[OperatorAction, ...]]) -> tuple[str, ...]:
    """What every one of them allows, in the order of the first."""
    every = list(choices)
    return tuple(each for each in every[0] if all(each in other for other in every)) if every else ()

"""One operator's command to many tasks: what it would be answered, and doing it, so that a repeat acts once.

Every task gets a command of its own, whose id is made from the bulk's id and the task. A bulk that was broken off, or
whose answers were lost, is sent again under the same bulk id: tasks that have obeyed answer `repeated`, the others
obey now. One task's refusal never stops the rest. A dry run asks the engine's own rules, so that it can only
differ from the act in what happens in between.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from enum import StrEnum
from typing import Any

import msgspec

from tasker_kafka.schemas.errors import CommandRejected, TaskerError
from tasker_kafka.schemas.identity import bulk_command_id
from tasker_kafka.schemas.records import Answer, OperatorCommand
from tasker_kafka.schemas.words import AnswerCode, OperatorAction, is_obeyed
from tasker_kafka.streams.domain.allowing import TaskNow, forecast
from tasker_kafka.streams.domain.operators import malformed
from tasker_kafka.topics.operators import CommandDetails, CommandMethods, command_details

__all__ = [
    "BulkOrder",
    "BulkOutcome",
    "BulkReport",
    "BulkRow",
    "Tasks",
    "rehearse_bulk",
    "run_bulk",
]

Tasks = Iterable[bytes] | AsyncIterable[bytes]
"""Task ids, as they are found; each is acted on once."""


class BulkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of every task. `steps`, `result`, `max_attempts`, `text`, `tags`: as the action takes them."""

    action: OperatorAction
    actor: str
    reason: str
    bulk_id: bytes
    """16 bytes; the same id is the same bulk (`schemas.identity.new_request_id` makes one)."""
    steps: tuple[str, ...] = ()
    result: Any = msgspec.UNSET
    """For complete_step: a JSON value."""
    max_attempts: int | None = None
    text: str | None = None
    tags: tuple[str, ...] | None = None
    per_second: float | None = None
    """Commands sent in a second at most; None: as fast as they are answered."""
    at_once: int = 64
    """Commands that are sent and not yet answered, at most."""
    timeout: float = 30.0
    """Seconds to wait for one answer."""

    def command(self, task_id: bytes) -> OperatorCommand:
        """The command to this task, without the result, which only the client can store."""
        return OperatorCommand(
            command_id=bulk_command_id(self.bulk_id, self.action, task_id),
            action=self.action,
            actor=self.actor,
            reason=self.reason,
            steps=self.steps,
            max_attempts=self.max_attempts,
            text=self.text,
            tags=self.tags,
        )


class BulkOutcome(StrEnum):
    """What became of one task's command, or would."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    """It was so already, or the same bulk had done it (`repeated`)."""
    REJECTED = "rejected"
    UNANSWERED = "unanswered"
    """Not known: no answer in time, no broker, or for a dry run a plan that is not at hand. Repeat the bulk."""


class BulkRow(msgspec.Struct, frozen=True, kw_only=True):
    """One task's part of a bulk. `code` as of `Answer.code`; None: unanswered."""

    task_id: bytes
    command_id: bytes
    outcome: BulkOutcome
    code: str | None
    message: str


class BulkReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a bulk, or of a dry run of it. `rows` in the order in which the tasks were given."""

    bulk_id: bytes
    action: OperatorAction
    is_dry_run: bool
    total: int
    accepted: int
    already: int
    rejected: int
    unanswered: int
    codes: dict[str, int]
    """How often each code was answered; unanswered ones are not in it."""
    rows: tuple[BulkRow, ...]


OnRow = Callable[[BulkRow], None]


async def run_bulk(
    client: CommandMethods, tasks: Tasks, order: BulkOrder, *, on_row: OnRow | None = None
) -> BulkReport:
    """Send the command to every task and wait for the answers; `on_row` hears of each as it comes.

    CommandRejected (`invalid`) before anything is sent, when no task could obey such a command.
    """
    check_order(order)
    details = _details(order)
    pace = _Pace(order.per_second)

    async def act(task_id: bytes) -> BulkRow:
        await pace.wait_turn()
        command_id = bulk_command_id(order.bulk_id, order.action, task_id)
        try:
            answer = await client.command(
                task_id,
                order.action,
                details,
                actor=order.actor,
                reason=order.reason,
                command_id=command_id,
                timeout=order.timeout,
            )
        except CommandRejected as error:
            answer = Answer(command_id, error.code, error.message)
        except TaskerError as error:
            return _unanswered(task_id, command_id, error.message)
        assert answer is not None, "it was waited for"
        return _row(task_id, answer)

    return await _each(act, tasks, order, is_dry_run=False, on_row=on_row)


async def rehearse_bulk(
    find: Callable[[bytes], Awaitable[TaskNow]],
    tasks: Tasks,
    order: BulkOrder,
    *,
    on_row: OnRow | None = None,
) -> BulkReport:
    """Say what every task would answer now; nothing is sent. Errors of the order as of `run_bulk`."""
    check_order(order)

    async def ask(task_id: bytes) -> BulkRow:
        body = order.command(task_id)
        try:
            answer = forecast(await find(task_id), task_id, body)
        except TaskerError as error:
            return _unanswered(task_id, body.command_id, error.message)
        if answer is None:
            return _unanswered(task_id, body.command_id, "the task's template is not published any more")
        return _row(task_id, answer)

    return await _each(ask, tasks, order, is_dry_run=True, on_row=on_row)


def check_order(order: BulkOrder) -> None:
    """CommandRejected (`invalid`) for an order that no task could obey, whatever its state."""
    fault = malformed(order.command(order.bulk_id))
    if fault is None and order.action is OperatorAction.COMPLETE_STEP and order.result is msgspec.UNSET:
        fault = "complete_step needs the step's result; null is one"
    if fault is not None:
        raise CommandRejected(
            f"no task can be asked for this: {fault}",
            code=AnswerCode.INVALID,
            next_step="mend the command; nothing was sent",
        )


# ---------------------------------------------------------------------------------------------- inside


class _Pace:
    """Lets callers pass one after the other, `per_second` of them in a second."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 0.0 if per_second is None else 1.0 / per_second
        self._next = 0.0

    async def wait_turn(self) -> None:
        """Until it is the caller's turn, in the order of the calls."""
        if not self._gap:
            return
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._gap
        if turn > now:
            await asyncio.sleep(turn - now)


async def _each(
    act: Callable[[bytes], Awaitable[BulkRow]],
    tasks: Tasks,
    order: BulkOrder,
    *,
    is_dry_run: bool,
    on_row: OnRow | None,
) -> BulkReport:
    """Act on every task, `at_once` of them beside each other."""
    source = _numbered(tasks)
    reading = asyncio.Lock()  # an async generator may be asked by one at a time only
    rows: dict[int, BulkRow] = {}

    async def work() -> None:
        while True:
            async with reading:
                taken = await anext(source, None)
            if taken is None:
                return
            number, task_id = taken
            row = rows[number] = await act(task_id)
            if on_row is not None:
                on_row(row)

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, order.at_once)):
            group.create_task(work())
    return _report(order, [rows[number] for number in sorted(rows)], is_dry_run=is_dry_run)


async def _numbered(tasks: Tasks) -> AsyncIterator[tuple[int, bytes]]:
    """Each task once, with its place."""
    seen: set[bytes] = set()
    async for task_id in _as_async(tasks):
        if task_id not in seen:
            seen.add(task_id)
            yield len(seen), task_id


async def _as_async(tasks: Tasks) -> AsyncIterator[bytes]:
    if isinstance(tasks, AsyncIterable):
        async for task_id in tasks:
            yield task_id
    else:
        for task_id in tasks:
            yield task_id


def _report(order: BulkOrder, rows: list[BulkRow], *, is_dry_run: bool) -> BulkReport:
    outcomes = Counter(row.outcome for row in rows)
    return BulkReport(
        bulk_id=order.bulk_id,
        action=order.action,
        is_dry_run=is_dry_run,
        total=len(rows),
        accepted=outcomes[BulkOutcome.ACCEPTED],
        already=outcomes[BulkOutcome.ALREADY],
        rejected=outcomes[BulkOutcome.REJECTED],
        unanswered=outcomes[BulkOutcome.UNANSWERED],
        codes=dict(sorted(Counter(row.code for row in rows if row.code is not None).items())),
        rows=tuple(rows),
    )


def _row(task_id: bytes, answer: Answer) -> BulkRow:
    outcome = BulkOutcome.REJECTED
    if answer.code == AnswerCode.ACCEPTED:
        outcome = BulkOutcome.ACCEPTED
    elif is_obeyed(answer.code):
        outcome = BulkOutcome.ALREADY
    return BulkRow(
        task_id=task_id,
        command_id=answer.command_id,
        outcome=outcome,
        code=answer.code,
        message=answer.message,
    )


def _unanswered(task_id: bytes, command_id: bytes, message: str) -> BulkRow:
    return BulkRow(
        task_id=task_id,
        command_id=command_id,
        outcome=BulkOutcome.UNANSWERED,
        code=None,
        message=message,
    )


def _details(order: BulkOrder) -> CommandDetails:
    return command_details(
        steps=order.steps,
        result=order.result,
        max_attempts=order.max_attempts,
        text=order.text,
        tags=order.tags,
    )

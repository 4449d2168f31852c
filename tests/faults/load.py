"""The load under which faults are injected: requests of many shapes at a steady rate, and operators' commands.

Every acknowledged request and command is written to the ledger; what is not acknowledged is sent again with the same
id until it is, as a careful submitter does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import LogError
from tasker_kafka.schemas.identity import new_request_id, task_id_for
from tasker_kafka.schemas.records import Command, OperatorCommand, TaskRequest
from tasker_kafka.schemas.words import Identity, OperatorAction, TaskStatus
from tasker_kafka.topics.log import Log, Outbox, TopicPartitionOffset, Write
from tasker_kafka.topics.names import TopicNames
from tests.checker import LedgerWriter
from tests.faults.observer import Observer
from tests.faults.plans import BIG_BYTES, KEYED, LARGE, WEIGHTS

__all__ = ["Load"]

TURN_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 0.3
UNDER_WAY: Final = 2000
"""Most requests that wait for their acknowledgement; above it the load waits, as in an outage."""
KEYS: Final = 200
"""Idempotency keys in use at a time: the rest of the keyed requests repeat one."""
RECENT: Final = 400
"""Tasks that operators still meddle with."""
UNKNOWN_SHARE: Final = 0.01
TWICE_SHARE: Final = 0.02
POISON_SHARE: Final = 0.002
COMMAND_SHARE: Final = 0.06
"""Of the requests: for unknown templates, sent twice, no request at all; and operators' commands beside them."""
_ACTIONS: Final = {
    OperatorAction.CANCEL_TASK: 4.0,
    OperatorAction.RETRY_TASK: 4.0,
    OperatorAction.RESOLVE_TASK: 1.0,
    OperatorAction.SET_TAGS: 1.0,
    OperatorAction.SET_REASON: 1.0,
}
_OF_FAILED: Final = {OperatorAction.RETRY_TASK, OperatorAction.RESOLVE_TASK}


class Load:
    """Submits until `stop`. `tasks`: task id → request id of every acknowledged request that makes a task."""

    def __init__(
        self, log: Log, names: TopicNames, ledger: Path, observer: Observer, *, seed: int, rate: float
    ) -> None:
        self.tasks: dict[bytes, bytes] = {}
        self.shapes: Counter[str] = Counter()
        self.commands: Counter[str] = Counter()
        self.acked = 0
        self._log = log
        self._names = names
        self._ledger = LedgerWriter(ledger, "load")
        self._observer = observer
        self._dice = random.Random(f"load {seed}")
        self._rate = rate
        self._outbox: Outbox | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._recent: list[bytes] = []
        self._stopping = asyncio.Event()

    async def open(self) -> None:
        """Connect."""
        self._outbox = await self._log.outbox(client_id="faults-load")
        await self._outbox.warm([self._names.task_requests, self._names.commands])

    async def run(self) -> None:
        """Submit at the rate until `stop`."""
        begun, due = time.monotonic(), 0
        while not self._stopping.is_set():
            await asyncio.sleep(TURN_SECONDS)
            if self._stopping.is_set():
                return
            if len(self._sending) > UNDER_WAY:
                begun, due = time.monotonic(), 0
                continue
            wanted = int((time.monotonic() - begun) * self._rate)
            for _ in range(wanted - due):
                self.request()
                if self._dice.random() < COMMAND_SHARE:
                    self._command()
            due = wanted

    async def stop(self, seconds: float) -> bool:
        """Submit nothing more; wait for the acknowledgements, at most so long: whether all have come."""
        self._stopping.set()
        until = time.monotonic() + seconds
        while self._sending and time.monotonic() < until:
            await asyncio.wait(self._sending, timeout=until - time.monotonic())
        return not self._sending

    # ---------------------------------------------------------------------------------------- requests

    def request(self, shape: str | None = None) -> bytes:
        """Ask for a task of a shape (default: one by weight): its id."""
        dice = self._dice
        name = shape or dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if shape is None and dice.random() < UNKNOWN_SHARE:
            name = "nobody_published_this"
        filling = "x" * BIG_BYTES if name == LARGE else ""
        request = TaskRequest(
            name=name,
            context=b'{"filling":"%s"}' % filling.encode(),
            request_id=new_request_id(),
            idempotency_key=self._key() if name == KEYED else None,
        )
        self.shapes[name] += 1
        copies = 2 if dice.random() < TWICE_SHARE else 1
        for _ in range(copies):
            self._send(request)
        if dice.random() < POISON_SHARE:
            self._spawn(self._poison())
        return _task_of(request)

    def poison(self) -> None:
        """Something in requests and in every partition of the commands that is no record of ours."""
        self._spawn(self._poison())
        for number in range(len(self._observer.views)):
            self._spawn(
                self._write_poison(Write(self._names.commands, b"poison", b"poison", partition=number))
            )

    def _key(self) -> str:
        """Many keys are used more than once, some at the same time."""
        generation = self.shapes[KEYED] // (2 * KEYS)
        return f"key-{generation}-{self._dice.randrange(KEYS)}"

    def _send(self, request: TaskRequest) -> None:
        self._spawn(self._deliver(request))

    async def _deliver(self, request: TaskRequest) -> None:
        task_id, value = _task_of(request), codec.encode(request)
        place = await self._insist(Write(self._names.task_requests, task_id, value))
        assert request.request_id is not None
        self.acked += 1
        self.tasks[task_id] = request.request_id
        self._ledger.acked(
            request_id=request.request_id,
            task_id=task_id,
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
            value=value,
        )
        self._recent.append(task_id)
        if len(self._recent) > RECENT:
            del self._recent[: RECENT // 2]

    async def _poison(self) -> None:
        await self._write_poison(Write(self._names.task_requests, new_request_id(), b"poison"))

    async def _write_poison(self, write: Write) -> None:
        place = await self._insist(write)
        if place.topic == self._names.task_requests:
            self._ledger.acked(
                request_id=None,
                topic=place.topic,
                partition=place.partition,
                offset=place.offset,
                value=write.value,
            )

    # ---------------------------------------------------------------------------------------- commands

    def _command(self) -> None:
        action = self._dice.choices(list(_ACTIONS), list(_ACTIONS.values()))[0]
        if not self._recent:
            return
        task_id = self._dice.choice(self._recent)
        if action in _OF_FAILED and self._observer.resting.get(task_id) not in (
            TaskStatus.ERROR,
            TaskStatus.BLOCKED_BY_FAILURES,
        ):
            action = OperatorAction.SET_REASON
        self.commands[action] += 1
        self._spawn(self._deliver_command(task_id, action))

    async def _deliver_command(self, task_id: bytes, action: OperatorAction) -> None:
        command_id = new_request_id()
        body = OperatorCommand(
            command_id=command_id,
            action=action,
            actor="faults",
            reason="as the schedule says",
            text="because" if action is OperatorAction.SET_REASON else None,
            tags=("seen",) if action is OperatorAction.SET_TAGS else None,
        )
        place = await self._insist(Write(self._names.commands, task_id, codec.encode(Command(task_id, body))))
        self._ledger.operator_acked(
            command_id=command_id,
            task_id=task_id,
            action=action,
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
        )

    # ------------------------------------------------------------------------------------------ inside

    async def _insist(self, write: Write) -> TopicPartitionOffset:
        """Write until it is acknowledged."""
        assert self._outbox is not None, "open comes first"
        while True:
            try:
                return await self._outbox.write(write)
            except LogError:
                await asyncio.sleep(RETRY_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def _task_of(request: TaskRequest) -> bytes:
    assert request.request_id is not None
    return task_id_for(
        identity=Identity.CALLER_PROVIDED if request.name == KEYED else Identity.ALWAYS_UNIQUE,
        namespace=request.namespace,
        name=request.name,
        version_text=request.version,
        context=request.context,
        idempotency_key=request.idempotency_key,
        request_id=request.request_id,
    )

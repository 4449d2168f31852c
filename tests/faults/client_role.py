"""A client that asks for tasks and mends them by hand with large results: it passes every crash point of clients."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tasker_kafka.schemas.errors import CommandRejected, TaskerError
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.crash_points import ClientCrashPoint, CrashPoints
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tests.checker import LedgerWriter
from tests.faults.injection import LEDGER
from tests.faults.plans import BIG_BYTES, HANGING

__all__ = ["run_client"]

PAUSE_SECONDS = 0.5


async def run_client(log: Log, names: TopicNames, injector: CrashPoints[ClientCrashPoint]) -> None:
    """One task after the other, until SIGTERM."""
    ledger = LedgerWriter(Path(os.environ[LEDGER]), "client")
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await log.start()
    async with TaskClient(log, names, actor="faults", crash_points=injector) as client:
        while not stopping.is_set():
            try:
                await _one(client, ledger, stopping)
            except TaskerError as error:
                print(f"the client goes on after: {error}")
            await asyncio.sleep(PAUSE_SECONDS)
    await log.close()


async def _one(client: TaskClient, ledger: LedgerWriter, stopping: asyncio.Event) -> None:
    """Ask for a task whose first step fails for good; complete that step by hand."""
    request_id = new_request_id()
    handle = await client.submit(HANGING, request_id=request_id)
    ledger.acked(request_id=request_id, task_id=handle.task_id)
    while not stopping.is_set():
        command_id = new_request_id()
        try:
            await client.complete(handle, "first", {"filling": "x" * BIG_BYTES}, command_id=command_id)
        except CommandRejected:
            await asyncio.sleep(PAUSE_SECONDS)  # the step has not failed yet
        else:
            ledger.operator_acked(command_id=command_id, task_id=handle.task_id, action="complete_step")
            return

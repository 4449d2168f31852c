"""`tasker verify-rebuild` on a real broker: a system at work is equal, a table that was tampered with is not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import format_id, parse_id
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.log import Write
from tests.support.system import ROOT, System, chain, running


async def tasker(system: System, *arguments: str) -> tuple[int, Any]:
    """A command with --json, beside the running system: exit code and document."""
    environment = {
        "PYTHONPATH": str(ROOT),
        "TASKER_BROKER": system.bootstrap,
        "TASKER_PREFIX": system.prefix,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        system.entry_point,
        *arguments,
        "--json",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    assert out, err.decode()
    return process.returncode, json.loads(out)


async def tamper(system: System, task_id: bytes) -> int:
    """Write another outcome of a finished task into the table: the offset."""
    stub = codec.decode((await system.table())[task_id], Stub)
    outbox = await system.log.outbox(client_id="tamper")
    value = codec.encode(replace(stub, outcome=TaskStatus.CANCELLED))
    place = await outbox.write(Write(system.names.task_state, task_id, value))
    await outbox.close()
    return place.offset


async def test_a_system_at_work_is_equal_and_a_tampered_table_is_not(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    plan = chain(3)
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [plan]) as system:
        ids = await system.submit(plan, 150)
        code, found = await tasker(system, "verify-rebuild")
        assert (code, found["is_equal"]) == (0, True)
        system.kill("orchestrator-0")
        system.restart("orchestrator-0")
        ids += await system.submit(plan, 150)
        code, found = await tasker(system, "verify-rebuild")
        assert (code, found["first"]) == (0, None)
        await system.wait_closed(ids)
        system.roles["orchestrator-0"].terminate()
        assert await asyncio.to_thread(system.roles["orchestrator-0"].wait, 20) == 0

        code, found = await tasker(system, "verify-rebuild")
        assert (code, found["first"]) == (0, None)
        assert sum(each["tasks"] for each in found["partitions"]) == len(ids)
        assert sum(each["records"] for each in found["partitions"]) >= 4 * len(ids)
        assert not sum(each["not_covered"] for each in found["partitions"])
        assert all(each["log_digest"] == each["table_digest"] for each in found["partitions"])

        offset = await tamper(system, ids[7])
        code, found = await tasker(system, "verify-rebuild")
        first = found["first"]
        assert (code, found["differences"], first["kind"]) == (1, 1, "differs")
        assert (parse_id(first["task_id"]), first["changelog_offset"]) == (ids[7], offset)
        assert first["fields"] == [{"field": "outcome", "in_log": "complete", "in_table": "cancelled"}]
        assert len(first["transitions"]) == 4
        assert (await tasker(system, "verify-rebuild", "--task", format_id(ids[8])))[0] == 0
        assert (await tasker(system, "verify-rebuild", "--task", format_id(ids[7])))[0] == 1

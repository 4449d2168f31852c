"""as-of, diff, what-if and verify-rebuild of the projection on a real broker, beside a system that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.template_builder import Retry
from tasker_kafka.topics.brokers import Broker
from tests.support.system import ROOT, System, chain, running

CHAIN = chain(3)
FLAKY = (
    Template("flaky")
    .step("first", handler="test.noop")
    .step(
        "second",
        handler="test.flaky",
        config={"fail_times": 1},
        depends_on=["first"],
        retry=Retry(max_attempts=3, backoff_base_ms=20),
    )
    .compile()
)
LESS_PATIENT = """
name: flaky
version: 0.2.0
steps:
  - {name: first, handler: {callable: test.noop}}
  - name: second
    handler: {callable: test.flaky, initialization: {fail_times: 1}}
    dependencies: [first]
    retry: {max_attempts: 1, backoff_base_ms: 20}
"""


async def tasker(system: System, *arguments: str) -> tuple[int, Any]:
    """A command with --json, beside the running system: exit code and document."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        system.entry_point,
        *arguments,
        "--json",
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TASKER_BROKER": system.bootstrap,
            "TASKER_PREFIX": system.prefix,
            **system.variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    assert out, err.decode()
    return process.returncode, json.loads(out)


def vector(document: Any) -> str:
    """The positions of a document as an argument."""
    return "@" + ",".join(f"{partition}:{offset}" for partition, offset in document["offsets"].items())


async def test_what_was_is_told_as_it_was(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [CHAIN, FLAKY]) as system:
        ids = await system.submit(CHAIN, 40) + await system.submit(FLAKY, 10)
        code, during = await tasker(system, "as-of", "now")
        assert code == 0
        system.kill("orchestrator-0")
        system.restart("orchestrator-0")
        await system.wait_closed(ids)
        await look_back(system, ids, during)
        await what_would_have_been(system, tmp_path)
        await rows_are_what_the_log_says(system, tmp_path)


async def look_back(system: System, ids: list[bytes], during: Any) -> None:
    """as-of and diff: the same positions show the same again, and what came in between is told."""
    _, again = await tasker(system, "as-of", vector(during))
    assert (again["tasks"], again["counts"]) == (during["tasks"], during["counts"])
    code, now = await tasker(system, "as-of", "now")
    assert (code, now["counts"]) == (0, {"complete": 50})
    code, found = await tasker(system, "diff", vector(during), vector(now), "--limit", "1000")
    assert code == 1
    assert found["total"] == 50 - during["counts"].get("complete", 0)
    assert {each["after"] for each in found["tasks"]} == {"complete"}
    assert (await tasker(system, "diff", vector(now), vector(now)))[0] == 0

    one = format_id(ids[0])
    _, shown = await tasker(system, "task", "show", one)
    seen = []
    for offset in sorted({each["offset"] for each in shown["transitions"]}):
        code, then = await tasker(system, "as-of", f"@{offset + 1}", one)
        seen.append((then["task"]["seq"], then["task"]["state"], then["records_after"]))
    assert [seq for seq, *_ in seen] == list(range(1, shown["seq"] + 1))
    assert seen[0][1:] == ("in_progress", shown["seq"] - 1)
    assert seen[-1][1:] == ("complete", 0)


async def what_would_have_been(system: System, folder: Path) -> None:
    """what-if: nothing under the templates as they are, everything under one attempt less."""
    for name, count in (("chain_3", 40), ("flaky", 10)):
        code, same = await tasker(system, "what-if", name, "--since", "-1h")
        assert (code, same["judged"], same["other"], same["assumed_attempts"]) == (0, count, 0, 0)
    file = folder / "flaky.yaml"
    file.write_text(LESS_PATIENT)
    code, other = await tasker(system, "what-if", str(file), "--since", "-1h")
    assert (code, other["other"], other["states"]) == (1, 10, {"complete → error": 10})
    assert other["steps"] == {"second": {"fewer_attempts": 10, "other_state": 10}}


async def rows_are_what_the_log_says(system: System, folder: Path) -> None:
    """verify-rebuild --projection beside a projector at work; then with one row damaged."""
    place = folder / "projection.sqlite"
    system.variables["TASKER_PROJECTION__URL"] = str(place)
    code, _ = await tasker(system, "projection", "rebuild")
    assert code == 0
    projector = system.start_role("projector", ["projection", "run"])
    more = await system.submit(CHAIN, 60)
    code, found = await tasker(system, "verify-rebuild", "--projection")
    assert (code, found["is_equal"], found["projection"]["first"]) == (0, True, None)
    await system.wait_closed(more)
    system.roles[projector].terminate()
    await asyncio.to_thread(system.roles[projector].wait, 20)
    code, found = await tasker(system, "verify-rebuild", "--projection")
    assert (code, found["projection"]["differences"]) == (0, 0), found["projection"]["first"]
    assert sum(each["tasks"] for each in found["projection"]["partitions"]) >= 50
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute(
            "update attempt set outcome = 'failure' where step = 'step_1' "
            "and task_id = (select min(task_id) from attempt where step = 'step_1')"
        )
    code, found = await tasker(system, "verify-rebuild", "--projection")
    first = found["projection"]["first"]
    assert (code, found["differences"], found["projection"]["differences"]) == (1, 0, 1)
    assert (first["table"], first["column"]) == ("attempt", "outcome")
    assert (first["in_log"], first["in_projection"]) == ("success", "failure")

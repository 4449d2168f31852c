"""The ledger survives what it is there to record: kills in the middle of a line, forks, many processes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from uuid import UUID

import pytest

from tests.checker import LedgerWriter, read_ledger
from tests.checker.ledger import LedgerError

TASK = UUID(int=7)


def start(writer: LedgerWriter, attempt: int = 1) -> None:
    writer.started(task_id=str(TASK), life=3, step="one", attempt=attempt, attempt_id="a")


def test_everything_written_is_read(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "ledger", "worker-1")
    writer.acked(request_id=TASK.bytes, task_id=TASK, topic="t", partition=1, offset=2, value=b"x")
    writer.acked(request_id=TASK)
    writer.operator_acked(command_id=TASK, task_id=TASK, action="retry_task")
    start(writer)
    writer.ended(task_id=TASK, life=3, step="one", attempt=1, outcome="success")
    writer.fault("kill", {"role": "worker-1"})
    writer.close()
    found = read_ledger(tmp_path / "ledger")
    assert found.acked[0].task_id == TASK.hex
    assert found.acked[0].sha == hashlib.sha256(b"x").hexdigest()
    assert found.acked[1].offset is None
    assert found.operator_acked[0].action == "retry_task"
    assert found.started[0].worker == os.getpid()
    assert (found.started[0].task_id, found.started[0].life) == (TASK.hex, 3)
    assert found.ended[0].outcome == "success"
    assert found.faults[0].detail == {"role": "worker-1"}
    assert found.torn == 0


def test_a_torn_last_line_is_counted_and_left_out(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, "worker")
    start(writer)
    start(writer, 2)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    found = read_ledger(tmp_path)
    assert [each.attempt for each in found.started] == [1]
    assert found.torn == 1


def test_damage_elsewhere_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, "worker")
    start(writer)
    start(writer, 2)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[10:])
    with pytest.raises(LedgerError, match="line 1"):
        read_ledger(tmp_path)


def test_a_forked_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, "worker")
    start(writer)
    child = os.fork()
    if child == 0:
        start(writer, 2)
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 2
    assert sorted(each.attempt for each in read_ledger(tmp_path).started) == [1, 2]


def test_a_closed_writer_goes_on_in_the_same_file(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, "worker")
    start(writer)
    writer.close()
    start(writer, 2)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(read_ledger(tmp_path).started) == 2

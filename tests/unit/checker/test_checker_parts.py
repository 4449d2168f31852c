"""The checker stands on its own feet, keeps logs, and speaks through its command line."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import tests.checker
from tests.checker import Ledger, LedgerWriter, RawLog, RawRecord, check
from tests.checker.__main__ import main
from tests.checker.report import KEPT_PER_INVARIANT, Findings
from tests.checker.wire import Wire, WireError, partition_of, plan_of

from .bench import Bench
from .history_damage import repeat_a_seq
from .story import good_log

OWN = Path(tests.checker.__path__[0])
ALLOWED = {"aiokafka", "fastavro", "msgspec"}


def imported(path: Path) -> set[str]:
    """Whole names of the modules that a file imports; relative imports are its own package's."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path.name} imports from outside its package"
            found.add("tests.checker" if node.level else node.module or "")
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "__import__":
            found.add("__import__")
    return found


@pytest.mark.parametrize("path", sorted(OWN.glob("**/*.py")), ids=lambda path: path.name)
def test_it_shares_nothing_with_the_engine(path: Path) -> None:
    allowed = ALLOWED | sys.stdlib_module_names
    strangers = [
        name for name in imported(path) if name != "tests.checker" and name.split(".")[0] not in allowed
    ]
    assert not strangers


def test_a_saved_log_is_the_same_log(tmp_path: Path) -> None:
    raw, ledger = good_log(0)
    raw.save(tmp_path / "log.gz")
    again = RawLog.load(tmp_path / "log.gz")
    assert again == raw
    assert check(again, ledger, settled=True) == check(raw, ledger, settled=True)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_a_part_of_a_saved_log_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "log.gz"
    good_log(0)[0].save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match="no saved log"):
        RawLog.load(path)


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, ledger = good_log(0)
    writer = LedgerWriter(tmp_path / "ledger", "client")
    for each in ledger.acked:
        writer.acked(request_id=each.request_id, task_id=each.task_id, topic=each.topic)
    writer.close()
    raw.save(tmp_path / "good.gz")
    arguments = ["--load", str(tmp_path / "good.gz"), "--ledger", str(tmp_path / "ledger")]
    assert main(arguments) == 0
    assert "violations: 0" in capsys.readouterr().out
    bench = Bench(raw, ledger, 1)
    repeat_a_seq(bench)
    bench.raw.save(tmp_path / "bad.gz")
    assert main(["--load", str(tmp_path / "bad.gz")]) == 1
    assert "I4 tasker.transitions.v1/" in capsys.readouterr().out


def test_every_violation_is_counted_but_not_every_one_is_kept() -> None:
    findings = Findings()
    for number in range(KEPT_PER_INVARIANT + 5):
        findings.add("I4", ("topic", 0, number, None), "wrong")
    findings.add("I3", "somewhere", "wrong")
    report = findings.report()
    assert len(report.violations) == KEPT_PER_INVARIANT + 1
    assert report.violations[0].invariant == "I3"
    assert report.figures["violations_I4"] == KEPT_PER_INVARIANT + 5
    assert str(report).endswith(f"violations: {KEPT_PER_INVARIANT + 6}")


@pytest.mark.parametrize("value", [None, b"", b"\xc3\x01", b"\xc3\x01" + b"\0" * 20, b"junk"])
def test_what_is_no_record_is_an_error(value: bytes | None) -> None:
    with pytest.raises(WireError):
        Wire().decode(value)


def test_a_record_must_be_whole_and_of_its_kind() -> None:
    wire = Wire()
    value = wire.encode("OwnerMarker", {"at": 1, "instance": "a", "version": "b"})
    assert wire.decode(value) == ("OwnerMarker", {"at": 1, "instance": "a", "version": "b"})
    for damaged in (value[:-1], value + b"\0"):
        with pytest.raises(WireError):
            wire.decode(damaged)
    with pytest.raises(WireError, match="where a Checkpoint belongs"):
        wire.decode_as(value, "Checkpoint")
    with pytest.raises(WireError, match="hash"):
        plan_of({"plan": b"{}", "plan_hash": b"\0" * 32})


def test_keys_belong_to_the_partitions_of_kafkas_partitioner() -> None:
    # Values of the Java client's Utils.murmur2, from its own test.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, digest in known.items():
        assert partition_of(key, 1000) == (digest & 0x7FFFFFFF) % 1000


def test_a_record_is_found_by_its_offset() -> None:
    partition = RawLog("p").partition("t", 0)
    partition.records = [RawRecord(offset, 0, None, None) for offset in (0, 2, 5)]
    assert partition.at(2) is partition.records[1]
    assert partition.at(3) is None
    assert partition.at(9) is None
    assert Ledger().acked == []

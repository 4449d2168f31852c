"""What CI prints last: names of what failed and what was flaky, and a sum over all stages that is right."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT

MEMORY = "6208 passed, 2 skipped in 140.10s (0:02:20)\n"
FLAKY = """\
FAILED tests/integration/test_a.py::test_one[a b] - AssertionError: no
ERROR tests/integration/test_a.py::test_two - OSError: busy
1 failed, 459 passed, 1 error in 405.15s (0:06:45)
again: FAILED tests/integration/test_a.py::test_three - never counted
again: 1 passed in 5.00s

flaky: tests/integration/test_a.py::test_one[a b] failed, and passed alone
flaky: tests/integration/test_a.py::test_two failed, and passed alone
"""
BROKEN = """\
FAILED tests/faults/test_b.py::test_four - AssertionError: no
FAILED tests/faults/test_b.py::test_five - AssertionError: no
=========== 2 failed, 10 passed in 30.00s ===========
flaky: tests/faults/test_b.py::test_four failed, and passed alone
failed twice: tests/faults/test_b.py::test_five
"""


def run(folder: Path, stages: dict[str, tuple[str, int]]) -> tuple[int, list[str]]:
    """Code and lines of `.ci/run` where `make STAGE` prints this and ends so; others print nothing and pass."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    cases = []
    for stage, (text, code) in stages.items():
        (folder / stage).write_text(text)
        cases.append(f"{stage}) cat {folder / stage}; exit {code};;")
    make = folder / "bin" / "make"
    make.parent.mkdir()
    make.write_text(f'#!/bin/sh\ncase "$1" in {" ".join(cases)} esac\n')
    make.chmod(0o755)
    ran = subprocess.run(
        ["bash", ".ci/run"],
        cwd=folder,
        env=os.environ | {"PATH": f"{make.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout.splitlines()


def test_all_is_well(tmp_path: Path) -> None:
    code, lines = run(tmp_path, {"test": (MEMORY, 0), "faults-short": ("10 passed in 3.00s\n", 0)})
    assert code == 0
    assert lines[-1] == "6218 passed, 0 failed, 2 skipped"
    assert not [line for line in lines if "flaky" in line]


def test_flaky_tests_are_named_and_counted_as_passed(tmp_path: Path) -> None:
    code, lines = run(tmp_path, {"test": (MEMORY + FLAKY, 0)})
    assert code == 0
    assert lines[-4:] == [
        "== 2 flaky:",
        "flaky: tests/integration/test_a.py::test_one[a b] failed, and passed alone",
        "flaky: tests/integration/test_a.py::test_two failed, and passed alone",
        "6669 passed, 0 failed, 2 skipped",
    ]


def test_what_failed_is_named_again_at_the_end(tmp_path: Path) -> None:
    stages = {"test": (MEMORY + BROKEN, 2), "faults-short": ("7 passed in 3.00s\n", 0)}
    code, lines = run(tmp_path, stages)
    assert code == 1
    assert lines[-5:] == [
        "== failed in make test:",
        "FAILED tests/faults/test_b.py::test_five",
        "== 1 flaky:",
        "flaky: tests/faults/test_b.py::test_four failed, and passed alone",
        "6226 passed, 1 failed, 2 skipped",
    ]


@pytest.mark.parametrize("stage", ["test", "faults-short"])
def test_a_stage_that_fails_without_a_failed_test_is_a_failure(tmp_path: Path, stage: str) -> None:
    code, lines = run(tmp_path, {stage: ("error: Found 1 error in 1 file\n", 2)})
    assert code == 1
    assert lines[-3:] == [
        f"== failed in make {stage}:",
        "no test: see the end of that stage",
        "0 passed, 1 failed, 0 skipped",
    ]

"""A test that fails once and passes alone is told by name; one that fails twice fails the stage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.second_chance import MOST
from tests.support.source_tree import ROOT

pytestmark = pytest.mark.campaign

TESTS = """
import pathlib
import pytest

HERE = pathlib.Path(__file__).parent


def fails_first(name):
    mark = HERE / name
    if not mark.exists():
        mark.touch()
        raise RuntimeError("the machine is busy")


def test_good(): ...


def test_flaky():
    fails_first("flaky")


@pytest.fixture
def troubled():
    fails_first("setup")


def test_with_a_troubled_fixture(troubled): ...
"""
BROKEN = """
def test_broken():
    raise RuntimeError("a defect")
"""
MANY = f"""
import pytest


@pytest.mark.parametrize("number", range({MOST + 1}))
def test_many(number):
    raise RuntimeError("all of it is broken")
"""


def run(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    """Code and output of the stage on these tests."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.second_chance",
            "-p",
            "no:cacheprovider",
            *arguments,
            "test_it.py",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_what_passes_alone_is_told_as_flaky(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, printed = run(tmp_path, TESTS, *arguments)
    assert code == 0, printed
    flaky = [line for line in printed.splitlines() if line.startswith("flaky: ")]
    assert sorted(flaky) == [
        "flaky: test_it.py::test_flaky failed, and passed alone",
        "flaky: test_it.py::test_with_a_troubled_fixture failed, and passed alone",
    ]


def test_what_fails_twice_fails(tmp_path: Path) -> None:
    code, printed = run(tmp_path, TESTS + BROKEN)
    assert code == 1
    assert "failed twice: test_it.py::test_broken" in printed.splitlines()
    assert "flaky: test_it.py::test_flaky failed, and passed alone" in printed.splitlines()


def test_many_failures_are_not_repeated(tmp_path: Path) -> None:
    code, printed = run(tmp_path, MANY)
    assert code == 1
    assert "again: " not in printed


def test_what_cannot_be_collected_is_not_repeated(tmp_path: Path) -> None:
    code, printed = run(tmp_path, "import no_such_module\n")
    assert code == 2
    assert "again: " not in printed

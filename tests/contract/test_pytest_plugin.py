"""The fixtures that users' tests get, in a pytest session of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasker_kafka.topics.brokers import Broker
from tests.support.documents import blocks
from tests.support.source_tree import ROOT

pytestmark = pytest.mark.slow

WORKFLOW = """
from tasker_kafka.handlers.testing import always
from tasker_kafka.schemas.template import Template

ORDER = Template("order").step("one", handler="order.one")


def run(make):
    workflow = make(strict=False)
    workflow.replace("order.one", always("done"))
    workflow.add(ORDER)
    result = workflow.run(ORDER)
    assert result.assert_complete().output == {"one": "done"}
"""
IN_MEMORY = "from order import run\n\ndef test_order(workflow_test):\n    run(workflow_test)\n"
ON_KAFKA = "from order import run\n\ndef test_order(kafka_workflow_test):\n    run(kafka_workflow_test)\n"


def session(folder: Path, test: str, **environment: str) -> str:
    """What pytest says about this test, run with our plugin and no other."""
    (folder / "order.py").write_text(WORKFLOW)
    (folder / "test_order.py").write_text(test)
    return run_pytest(folder, **environment)


def run_pytest(folder: Path, **environment: str) -> str:
    """What pytest says about the tests in a folder."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "tasker_kafka.pytest_plugin",
        "-p",
        "no:cacheprovider",
    ]
    found = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout + found.stderr


def test_a_workflow_test_in_memory(tmp_path: Path) -> None:
    assert "1 passed" in session(tmp_path, IN_MEMORY)


@pytest.mark.kafka
def test_a_workflow_test_on_a_broker(tmp_path: Path, kafka: Broker) -> None:
    assert "1 passed" in session(tmp_path, ON_KAFKA, TASKER_BROKER=kafka.bootstrap_servers)


def test_without_any_broker_it_is_skipped_and_fails_in_ci(tmp_path: Path) -> None:
    nowhere = {
        "TASKER_BROKER": "",
        "TASKER_TEST_BROKER": "testcontainers",
        "DOCKER_HOST": "tcp://127.0.0.1:1",
    }
    assert "1 skipped" in session(tmp_path, ON_KAFKA, CI="", **nowhere)
    assert "No broker can be had here" in session(tmp_path, ON_KAFKA, CI="1", **nowhere)


def test_the_fixtures_of_the_how_to(tmp_path: Path) -> None:
    for block in blocks("README.md", "docs/how-to/test-a-workflow.md"):
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)
    assert "5 passed" in run_pytest(tmp_path, PYTHONPATH=str(tmp_path))


def test_the_plugin_imports_nothing_of_tasker() -> None:
    code = (
        "import sys, tasker_kafka.pytest_plugin as plugin; "
        "print(*(name for name in sys.modules if name.startswith('tasker_kafka')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["tasker_kafka", "tasker_kafka.pytest_plugin"]


def test_pytest_finds_the_plugin() -> None:
    assert 'tasker = "tasker_kafka.pytest_plugin"' in (ROOT / "pyproject.toml").read_text()

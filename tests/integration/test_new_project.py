"""A new project, as its README tells it: one command runs it, an order goes through, the journal has it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasker_kafka.topics.brokers import Broker
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shell import Lines

SECONDS = PATIENCE_SECONDS
pytestmark = pytest.mark.timeout(400)


def test_a_new_project_runs_as_its_readme_says(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TASKER_BROKER": kafka.bootstrap_servers,
        "TASKER_PREFIX": prefix,
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        ["tasker", "init", "tea-shop"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    project = tmp_path / "tea-shop"
    readme = (project / "README.md").read_text()
    (dev,) = re.findall(r"^tasker dev .*$", readme, re.MULTILINE)
    (submit,) = re.findall(r"^echo .*$", readme, re.MULTILINE)
    with ExitStack() as running:
        system = subprocess.Popen(
            shlex.split(dev),
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.callback(end, system)
        told = Lines(system)
        told.wait_for("ready: submit")
        ran = subprocess.run(
            submit, shell=True, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{ran.stderr}\n{told.text}"
        order = json.loads(ran.stdout)
        assert order["total_cents"] == 900
        told.wait_for("order.confirmed is written down")
    (line,) = (project / "orders.jsonl").read_text().splitlines()
    assert {"order": order["order_number"], "cents": 900}.items() <= json.loads(line).items()
    assert system.returncode == 0, told.text


def end(process: subprocess.Popen[str]) -> None:
    """Stop it in order."""
    process.terminate()
    process.wait(SECONDS)

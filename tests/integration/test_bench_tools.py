"""The measuring commands run to their end on a real broker and fill what they should; figures are not judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.topics.brokers import Broker
from tests.support.system import ROOT

TIMEOUT_SECONDS = 240

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(TIMEOUT_SECONDS + 30)]


def measured(kafka: Broker, folder: Path, module: str, *options: str, block: str) -> tuple[str, Any]:
    """What a command wrote into a document and into its JSON."""
    document, figures = folder / "document.md", folder / "figures.json"
    document.write_text(f"Before.\n<!-- bench:{block} -->\n<!-- /bench:{block} -->\nAfter.\n")
    tool = subprocess.Popen(
        [sys.executable, "-m", module, *options, "--markdown", str(document), "--json", str(figures)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TASKER_BROKER": kafka.bootstrap_servers},
    )
    try:
        assert tool.wait(TIMEOUT_SECONDS) == 0
    finally:
        tool.terminate()  # as Ctrl-C: it stops what it has started
        tool.wait()
    return document.read_text(), json.loads(figures.read_text())[block]


def test_loads_are_measured(kafka: Broker, tmp_path: Path) -> None:
    options = ["--quick", "--loads", "drained,in flight,one client", "--shapes", "diamond", "--tasks", "50"]
    text, figures = measured(
        kafka, tmp_path, "tests.bench.run", *options, "--in-flight", "200", block="loads"
    )
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    rows = {row["load"]: row for row in figures["rows"]}
    assert list(rows) == ["drained", "200 in flight", "one client"]
    assert rows["drained"]["tasks"] == 50
    for row in rows.values():
        assert row["steps_per_second"] > 0
        assert row["records_per_step"] > 3
        assert row["cpu_ms_per_step"]["orchestrator"] > 0
        # Fifty tasks are drained before the first checkpoint.
        assert row["load"] == "drained" or row["checkpoint_ms"]["most"] > 0


def test_timers_are_measured(kafka: Broker, tmp_path: Path) -> None:
    options = ["--pending", "40", "--per-second", "20", "--backoff-seconds", "1", "--seconds", "2"]
    text, figures = measured(
        kafka, tmp_path, "tests.bench.timers", *options, "--idle-seconds", "1", block="timers"
    )
    assert "timers: decided early" in text
    assert (figures["early"], figures["missing"]) == (0, 0)
    assert set(figures["fired"]) == {"not_before", "retry"}


def test_sizes_are_measured(kafka: Broker, tmp_path: Path) -> None:
    options = ["--live", "100", "--stubs", "500", "--drained", "40", "--looped", "40", "--in-flight", "20"]
    text, figures = measured(
        kafka, tmp_path, "tests.bench.size", *options, "--idle-seconds", "1", block="size"
    )
    assert "decide a cancellation" in text
    held = {look["what"]: (look["live"], look["closed"] >= 500) for look in figures["looks"]}
    assert held == {
        "nothing held": (0, False),
        "as they came": (100, False),
        "stopped and started": (100, False),
        "killed and started": (100, False),
        "started": (0, True),
    }
    assert all(look["load_seconds"] for look in figures["looks"][2:])

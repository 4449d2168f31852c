"""How long recovery takes: `PYTHONPATH=. python -m tests.faults.recovery_figures [-n TIMES] [--json] [RUN …]`.

Runs each scene several times on one embedded broker and prints the median and the worst beside the promised bound.
Every process runs on this machine, so its other load is part of the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import uuid
from collections import defaultdict
from pathlib import Path

from tasker_kafka.topics.brokers import EmbeddedBroker

from .recovery_runs import FIGURES, RUNS, WORKER_SESSION_SECONDS

__all__ = ["main"]


async def measure(bootstrap: str, runs: list[str], times: int) -> dict[str, list[float]]:
    """Every figure of these runs, one value for each time."""
    found: dict[str, list[float]] = defaultdict(list)
    for name in runs:
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                prefix = f"r{uuid.uuid4().hex[:8]}"
                async with asyncio.timeout(240):
                    figures = await RUNS[name](bootstrap, prefix, Path(folder))
            for figure, value in figures.items():
                found[figure].append(value)
                print(f"{figure}: {value:.2f}", file=sys.stderr)
    return found


def table(found: dict[str, list[float]]) -> str:
    """The figures beside their bounds."""
    lines = [f"{'':66}{'times':>6}{'p50':>10}{'max':>10}{'bound':>8}"]
    for title, name, bound, unit in FIGURES:
        if values := found.get(name):
            cells = (f"{statistics.median(values):.2f}", f"{max(values):.2f}", "" if bound is None else bound)
            lines.append(f"{title + ', ' + unit:66}{len(values):6}{cells[0]:>10}{cells[1]:>10}{cells[2]:>8}")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []], metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("-n", "--times", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ["TASKER_WORKER__SESSION_TIMEOUT_MS"] = str(round(1000 * WORKER_SESSION_SECONDS))
    with EmbeddedBroker.start() as broker:
        found = asyncio.run(measure(broker.bootstrap_servers, given.runs or list(RUNS), given.times))
    print(json.dumps(found) if given.json else table(found))


if __name__ == "__main__":
    main()

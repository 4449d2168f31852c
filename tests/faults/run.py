"""`python -m tests.faults.run --seed N --seconds S`: a whole system under load and faults, then judged.

Exit code 1 when an invariant is violated, a fault did not bite, something did not settle, or a role printed or ended
as nobody planned. `make faults` runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.campaign import Campaign, Options
from tests.faults.injection import CRASH_POINT_FAULT, PLANTED, all_points
from tests.faults.report import Report
from tests.faults.schedule import CLUSTER_ONLY, KINDS, NETWORK, ONE_BROKER_ONLY

__all__ = ["main"]

CI_SEED, CI_SECONDS, CI_RATE = 5, 45.0, 20.0
"""The short run: with start, settling and check it is meant to take less than two minutes on two quiet cores."""


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign: the exit code."""
    wanted = parse(arguments)
    folder = Path(tempfile.mkdtemp(prefix="tasker-faults-")) if wanted.keep is None else wanted.keep
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        seed=CI_SEED if wanted.ci else wanted.seed,
        seconds=CI_SECONDS if wanted.ci else wanted.seconds,
        rate=CI_RATE if wanted.ci else wanted.tasks_per_second,
        kinds=tuple(wanted.kinds),
        is_cluster=wanted.cluster,
        only_points=wanted.points is not None,
        points=tuple(wanted.points or ()),
        wants_all_points=not wanted.ci and CRASH_POINT_FAULT in wanted.kinds,
        planted={} if wanted.planted is None else {PLANTED: wanted.planted},
    )
    report = asyncio.run(stoppable(Campaign(options, folder).run()))
    print(report.text())
    if wanted.json is not None:
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    if report.has_passed and wanted.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs of the roles, ledger and, after violations, the raw log are in {folder}")
    return 0 if report.has_passed else 1


async def stoppable(work: Coroutine[Any, Any, Report]) -> Report:
    """SIGTERM ends it as Ctrl-C does: nothing that was started stays."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long faults are injected")
    parser.add_argument("--tasks-per-second", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    parser.add_argument("--keep", type=Path, help="folder for logs, ledger and raw log; kept")
    parser.add_argument("--cluster", action="store_true", help="three brokers, replication 3, min ISR 2")
    parser.add_argument("--kinds", type=_kinds, help="kinds of faults, with commas; default all")
    parser.add_argument(
        "--points",
        nargs="?",
        const=[],
        type=_points,
        help="every crash point once, or only these (with commas), and nothing else",
    )
    parser.add_argument("--ci", action="store_true", help="the short run with its fixed seed")
    parser.add_argument("--planted", help=argparse.SUPPRESS)
    wanted = parser.parse_args(arguments)
    if wanted.points is not None:
        wanted.kinds = [CRASH_POINT_FAULT]
    elif wanted.kinds is None:
        left_out = ONE_BROKER_ONLY if wanted.cluster else CLUSTER_ONLY
        if wanted.ci:  # `test_broken_networks_break_nothing` has them
            left_out |= NETWORK
        wanted.kinds = [kind for kind in KINDS if kind not in left_out]
    return wanted


def _points(text: str) -> list[str]:
    unknown = set(text.split(",")) - set(all_points())
    if unknown:
        raise argparse.ArgumentTypeError(f"no such crash point: {', '.join(sorted(unknown))}")
    return text.split(",")


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return kinds


if __name__ == "__main__":
    sys.exit(main())

"""`PYTHONPATH=. python -m tests.fuzz --seed N --count 100000`: exit code 1 when a promise was broken."""

from __future__ import annotations

import argparse
import logging
import sys

from .report import table
from .run import PER_ROUND, fuzz


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000, help="bad records")
    parser.add_argument(
        "--per-round", type=int, default=PER_ROUND, help="bad records between two good tasks' ends"
    )
    parser.add_argument("--only", default="", help="only the classes whose name holds this")
    parser.add_argument("--kafka", action="store_true", help="against a real broker and real processes")
    options = parser.parse_args()
    logging.getLogger("tasker").setLevel(logging.CRITICAL)
    if options.kafka:
        from .on_kafka import fuzz_kafka

        report = fuzz_kafka(options.seed, options.count)
        print(table(report))
        return 1 if report.faults else 0
    report = fuzz(options.seed, options.count, per_round=options.per_round, only=options.only)
    print(table(report))
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())

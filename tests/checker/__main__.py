"""`python -m tests.checker`: read or load a log, print the verdict; exit code 1 with violations."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Sequence

from .checking import check
from .ledger import Ledger, read_ledger
from .raw import RawLog
from .reading import read_raw


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 when an invariant is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.checker", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bootstrap", help="host:port of a broker")
    source.add_argument("--load", metavar="FILE", help="a log that --save has written")
    parser.add_argument("--prefix", default="tasker", help="prefix of the topics")
    parser.add_argument("--ledger", metavar="DIR", help="folder of the ledger's files")
    parser.add_argument("--save", metavar="FILE", help="keep what was read")
    parser.add_argument(
        "--running", action="store_true", help="the system has not settled: only judge what is there"
    )
    chosen = parser.parse_args(arguments)
    gc.disable()  # a million records are kept, and nothing of it is in cycles
    raw = RawLog.load(chosen.load) if chosen.load else asyncio.run(read_raw(chosen.bootstrap, chosen.prefix))
    if chosen.save:
        raw.save(chosen.save)
    ledger = read_ledger(chosen.ledger) if chosen.ledger else Ledger()
    report = check(raw, ledger, settled=not chosen.running)
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures the promises of domain events: rates and prices, keys that fail, retries, harm to tasks.

    make bench-events
    python -m tests.bench.events --only rates,retries

Each group is a process of its own (`tasker subscriber`), whose handler does nothing but look at the clock.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from tests.bench import event_harm, event_keys, event_rates, event_retries
from tests.bench.options import add_output
from tests.bench.tool import Section, run_sections

__all__ = ["SECTIONS", "main"]

SECTIONS: Final[dict[str, Section]] = {
    "rates": partial(event_rates.section, event_rates.Wanted()),
    "keys": partial(event_keys.section, event_keys.Wanted()),
    "retries": partial(event_retries.section, event_retries.Wanted()),
    "harm": partial(event_harm.section, event_harm.Wanted()),
}
"""By the names of `--only`, in their order in the document."""


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=_among, default=[*SECTIONS], help=f"of {', '.join(SECTIONS)}; with commas"
    )
    add_output(parser)
    chosen = parser.parse_args(given)
    return run_sections([each for name, each in SECTIONS.items() if name in chosen.only], chosen)


def _among(text: str) -> list[str]:
    found = text.split(",")
    if unknown := [each for each in found if each not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}")
    return found


if __name__ == "__main__":
    sys.exit(main())

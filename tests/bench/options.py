"""What `python -m tests.bench.run` is asked for, and how many tasks that means."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.arrivals import ArrivalPlan
from tests.bench.shapes import SHAPES

__all__ = ["LOADS", "Sizes", "add_output", "arguments", "at_least_one", "sizes_of"]

LOADS = ("drained", "in flight", "one client", "arrivals")
IN_FLIGHT = (64, 256, 1024)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of each load."""

    drained_tasks: int = 20_000
    drained_steps: int = 100_000
    """At most so many, so that a shape of many steps takes as long as the others."""
    in_flight: tuple[int, ...] = IN_FLIGHT
    in_flight_steps: int = 10_000
    rounds: int = 4
    """At least so many times as many tasks as are in flight."""
    one_client: int = 200
    warm_up_steps: int = 10_000
    arrivals: ArrivalPlan = field(default_factory=ArrivalPlan)

    def drained(self, steps: int) -> int:
        """Tasks of a shape with so many steps."""
        return max(1, min(self.drained_tasks, self.drained_steps // steps))

    def looped(self, steps: int, in_flight: int) -> int:
        """Tasks of a shape with so many steps, of which `in_flight` are open."""
        return max(self.in_flight_steps // steps, self.rounds * in_flight)


QUICK = Sizes(
    drained_tasks=2_000,
    drained_steps=10_000,
    in_flight=(64,),
    in_flight_steps=3_000,
    one_client=30,
    warm_up_steps=2_000,
    arrivals=ArrivalPlan(
        growth=1.8, precision=1.8, step_seconds=3.0, overload_seconds=3.0, calm_seconds=10.0
    ),
)


def arguments(given: Sequence[str] | None = None, *, description: str | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small loads, about a minute")
    add("--all", action="store_true", help="also tests.bench.size, tests.bench.timers and tests.bench.events")
    add("--loads", type=_among(LOADS), default=list(LOADS), help=f"of {', '.join(LOADS)}; with commas")
    add("--shapes", type=_among(SHAPES), default=list(SHAPES), help=f"of {', '.join(SHAPES)}; with commas")
    add(
        "--tasks", type=at_least_one, metavar="N", help="drained tasks of each shape (20000, or 100000 steps)"
    )
    add("--in-flight", type=_numbers, metavar="N,…", help="tasks open at once (64,256,1024)")
    add("--arrival-shapes", type=_among(SHAPES), default=[SHAPES[0]], help="shapes of `arrivals` (chain-5)")
    add("--orchestrators", type=at_least_one, default=1, metavar="N", help="processes (1)")
    add("--workers", type=at_least_one, default=1, metavar="N", help="processes (1)")
    add_output(parser)
    return parser.parse_args(given)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Where figures go beside standard output."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--markdown", type=_document, metavar="FILE", help="fill the marked places of this document, too"
    )


def _document(text: str) -> Path:
    """Refused before minutes of measuring, not after them."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no document {text!r} to fill")
    return Path(text)


def sizes_of(chosen: argparse.Namespace) -> Sizes:
    """How much the chosen options mean."""
    sizes = QUICK if chosen.quick else Sizes()
    return Sizes(
        drained_tasks=chosen.tasks or sizes.drained_tasks,
        drained_steps=sizes.drained_steps if chosen.tasks is None else 1_000 * chosen.tasks,
        in_flight=chosen.in_flight or sizes.in_flight,
        in_flight_steps=sizes.in_flight_steps,
        rounds=sizes.rounds,
        one_client=sizes.one_client,
        warm_up_steps=sizes.warm_up_steps,
        arrivals=sizes.arrivals,
    )


def at_least_one(text: str) -> int:
    """A count."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(at_least_one, text.split(",")))


def _among(known: Sequence[str]) -> Any:
    def parse(text: str) -> list[str]:
        chosen = [each.strip() for each in text.split(",")]
        if unknown := [each for each in chosen if each not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return chosen

    return parse

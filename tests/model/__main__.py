"""Explores the takeover, the checkpoint and the readers' rule in every interleaving, then plants every mistake.

    python -m tests.model                                 everything, a quarter of an hour on one core
    python -m tests.model --quick                         what the tests explore, some seconds
    python -m tests.model --owners 3 --shape diamond --commands 3 [--prefix 2] [--releases 012] [--grain merged]
    python -m tests.model --mistakes --traces             only the planted mistakes, each with the way to it

Exit code 1: something is wrong with the design, or a planted mistake was not found.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import permutations

from .design import GRAINS
from .machine import Machine
from .mistakes import HARMLESS, MISTAKES
from .narrate import narrate
from .rules import RELEASES
from .runs import FULL, SAME, SAME_FULL, SMALL, Row, compare, explore_right, find_planted
from .scope import Scope
from .search import Found, explore
from .shapes import SHAPES

Explored = tuple[Row, Found, list[str]]

_HEAD = (
    "| grain | shape | commands | releases | states | transitions | depth | at rest | honest limit | CPU s |"
)
_LINE = "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"


def main(words: Sequence[str] | None = None) -> int:
    """Run it; the exit code."""
    chosen = _arguments(words)
    is_right = True
    if not chosen.mistakes:
        is_right = _explore_all(_rows(chosen), chosen.workers)
        if chosen.shape is None:
            is_right = _compare_all(SAME if chosen.quick else SAME_FULL) and is_right
    if chosen.mistakes or chosen.shape is None:
        is_right = _plant_all(traces=chosen.traces) and is_right
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"\n{'all as it should be' if is_right else 'WRONG, see above'}; {peak:,} MiB at most in this process"
    )
    return 0 if is_right else 1


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--quick", action="store_true", help="the small explorations only")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="one exploration of this shape")
    parser.add_argument("--owners", type=int, default=3, help="how many owners (default 3)")
    parser.add_argument("--commands", type=int, default=3, help="how many commands they find (default 3)")
    parser.add_argument(
        "--prefix", type=int, default=0, help="how many before them are saved history (default 0)"
    )
    parser.add_argument(
        "--releases", help="each owner's release, a digit 0 to 2 each, or 'all' orders of them"
    )
    parser.add_argument("--grain", choices=sorted(GRAINS), default="merged", help="default merged")
    parser.add_argument("--workers", type=int, default=1, help="explorations at a time (default 1)")
    parser.add_argument("--mistakes", action="store_true", help="the planted mistakes only")
    parser.add_argument("--traces", action="store_true", help="show the way to each planted mistake")
    return parser.parse_args(words)


def _rows(chosen: argparse.Namespace) -> list[Row]:
    if chosen.shape is None:
        return list(SMALL if chosen.quick else FULL)
    if chosen.releases == "all":
        orders = list(permutations(range(RELEASES), chosen.owners))
    elif chosen.releases is None:
        orders = [tuple(who % RELEASES for who in range(chosen.owners))]
    else:
        orders = [tuple(int(each) for each in chosen.releases)]
    return [Row(chosen.grain, Scope(chosen.shape, order, chosen.commands, chosen.prefix)) for order in orders]


def _explore_all(rows: Sequence[Row], workers: int) -> bool:
    print(_HEAD, _LINE, sep="\n", flush=True)
    is_right, states, transitions, seconds = True, 0, 0, 0.0
    for row, found, lines in _explored(rows, workers):
        print(_cells(row, found), flush=True)
        states, transitions = states + found.states, transitions + found.transitions
        seconds += found.seconds
        if found.wrong is not None:
            is_right = False
            print(f"\nWRONG: {found.wrong}")
            print(
                *(f"  {number}. {line}" for number, line in enumerate(lines, start=1)), sep="\n", flush=True
            )
    print(f"\n{states:,} states, {transitions:,} transitions, {seconds:.0f} s of CPU time")
    return is_right


def _explored(rows: Sequence[Row], workers: int) -> Iterable[Explored]:
    if workers < 2:
        return map(_explore, rows)
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(_explore, rows))


def _explore(row: Row) -> Explored:
    machine = Machine(GRAINS[row.grain], row.scope)
    found = explore(machine)
    return row, found, narrate(machine, found.trace)


def _cells(row: Row, found: Found) -> str:
    scope = row.scope
    commands = f"{scope.prefix} + {scope.commands}" if scope.prefix else str(scope.commands)
    cells = [
        row.grain,
        scope.shape,
        commands,
        " ".join(map(str, scope.releases)),
        *(f"{each:,}" for each in (found.states, found.transitions, found.depth)),
        *(f"{each:,}" for each in (found.settled, found.unrecorded_outputs)),
        f"{found.seconds:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _compare_all(places: Iterable[tuple[Scope, tuple[str, ...]]]) -> bool:
    grains = tuple(GRAINS)
    print(f"\n| explored | can be seen | {' | '.join(f'states, {each}' for each in grains)} | they show |")
    print(f"| --- | ---: | {' | '.join(['---:'] * len(grains))} | --- |", flush=True)
    is_right = True
    for scope, chosen in places:
        found = compare(scope, chosen)
        is_right = is_right and found.are_same
        states = (f"{found.states[each]:,}" if each in found.states else "–" for each in grains)
        verdict = "the same" if found.are_same else "DIFFERENT THINGS"
        print(f"| {scope} | {found.shown:,} | {' | '.join(states)} | {verdict} |", flush=True)
    return is_right


def _plant_all(*, traces: bool) -> bool:
    print(
        "\n| planted mistake | steps | states | what is wrong then |\n| --- | ---: | ---: | --- |", flush=True
    )
    is_right = True
    for mistake in MISTAKES:
        machine, found = find_planted(mistake)[1:]
        is_right = is_right and found.wrong is not None
        wrong = found.wrong or "NOT FOUND"
        print(f"| {mistake} | {len(found.trace) - 1} | {found.states:,} | {wrong} |", flush=True)
        if traces:
            lines = narrate(machine, found.trace)
            print(*(f"  {number}. {line}" for number, line in enumerate(lines, start=1)), sep="\n")
    for order in HARMLESS:
        explored = explore_right(order)
        faults = [each.wrong for each in explored if each.wrong is not None]
        is_right = is_right and not faults
        states = sum(each.states for each in explored)
        print(f"| right, too: {order} | – | {states:,} | {', '.join(faults) or 'nothing'} |", flush=True)
    return is_right


if __name__ == "__main__":
    sys.exit(main())

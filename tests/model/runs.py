"""Which explorations are made: the small ones of the tests, and the large ones of `python -m tests.model`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Final, NamedTuple

from .design import GRAINS, Design
from .domain import Domain
from .machine import Machine
from .mistakes import HARMLESS, MISTAKES
from .observed import observe
from .scope import Scope
from .search import Found, explore

__all__ = [
    "FULL",
    "SAME",
    "SAME_FULL",
    "SMALL",
    "Compared",
    "Planted",
    "Row",
    "compare",
    "explore_right",
    "explore_row",
    "find_planted",
]

_TWO: Final = (0, 1)
_THREE: Final = (0, 1, 2)


class Row(NamedTuple):
    """One exploration of the product's design."""

    grain: str
    scope: Scope


class Compared(NamedTuple):
    """What grains show of one scope."""

    states: dict[str, int]
    """Grain → its states."""
    shown: int
    """How many different things an observer can see, in the finest of them."""
    are_same: bool


class Planted(NamedTuple):
    """A mistake, and where it was found."""

    mistake: str
    machine: Machine
    found: Found


SMALL: Final = (
    Row("code", Scope("chain-2", _TWO, 1)),
    Row("code", Scope("chain-2", (1, 1), 1)),
    Row("code", Scope("diamond", (2, 1), 1, prefix=2)),
    Row("settled", Scope("chain-2", _TWO, 2)),
    Row("settled", Scope("fan-in-2", (2, 0), 2)),
    Row("settled", Scope("chain-2", _THREE, 1)),
    Row("merged", Scope("chain-2", _TWO, 3)),
    Row("merged", Scope("fan-in-2", (0, 2), 3)),
    Row("merged", Scope("diamond", (1, 0), 3, prefix=1)),
    Row("merged", Scope("diamond", (1, 1), 2, prefix=2)),
    Row("merged", Scope("chain-2", _THREE, 2)),
    Row("fused", Scope("fan-in-2", _TWO, 4)),
    Row("fused", Scope("chain-2", _THREE, 3)),
)
"""Some ten seconds in all."""

SAME: Final = (
    (Scope("chain-2", _TWO, 1), tuple(GRAINS)),
    (Scope("fan-in-2", (2, 1), 1), tuple(GRAINS)),
    (Scope("diamond", (2, 1), 1, prefix=2), tuple(GRAINS)),
    (Scope("chain-2", _TWO, 2), ("settled", "merged", "fused")),
    (Scope("diamond", (1, 0), 1, prefix=3), tuple(GRAINS)),
    (Scope("chain-2", _THREE, 1), ("settled", "merged", "fused")),
    (Scope("chain-2", _THREE, 2), ("merged", "fused")),
)
"""Where grains are compared by what they show, in the tests."""

SAME_FULL: Final = (
    *((scope, tuple(GRAINS)) for scope, _ in SAME[:3]),
    (Scope("chain-2", _TWO, 2), tuple(GRAINS)),
    (Scope("chain-2", _THREE, 1), tuple(GRAINS)),
    (Scope("chain-2", _THREE, 2), ("settled", "merged", "fused")),
    (Scope("diamond", _TWO, 3, prefix=2), ("settled", "merged", "fused")),
)
"""The same, with more states."""

FULL: Final = (
    Row("code", Scope("chain-2", _TWO, 2)),
    Row("code", Scope("fan-in-2", _TWO, 2)),
    Row("code", Scope("diamond", (2, 1), 2, prefix=3)),
    Row("code", Scope("chain-2", _THREE, 1)),
    Row("settled", Scope("chain-2", _THREE, 2)),
    Row("settled", Scope("fan-in-2", _THREE, 2, prefix=1)),
    Row("settled", Scope("diamond", _THREE, 2, prefix=2)),
    *(Row("merged", Scope("chain-2", releases, 3)) for releases in permutations(_THREE)),
    *(Row("merged", Scope("chain-2", releases, 3)) for releases in ((0, 0, 0), (0, 1, 0), (1, 0, 1))),
    Row("merged", Scope("fan-in-2", _THREE, 3)),
    Row("merged", Scope("fan-in-2", _THREE, 3, prefix=1)),
    Row("merged", Scope("diamond", _THREE, 3)),
    Row("merged", Scope("diamond", _THREE, 3, prefix=2)),
    Row("merged", Scope("diamond", (2, 1, 0), 3, prefix=2)),
    Row("fused", Scope("diamond", (2, 0), 5)),
    Row("fused", Scope("chain-2", (0, 1, 2, 0), 3)),
)
"""A quarter of an hour on one core."""

_PLACES: Final = (
    (Scope("chain-2", _TWO, 1, prefix=1), 20_000),
    (Scope("chain-2", _TWO, 2, prefix=1), 20_000),
    (Scope("chain-2", _THREE, 1, prefix=1), 20_000),
    (Scope("chain-2", _TWO, 2, prefix=1), 200_000),
)
"""Where a mistake is looked for, in this order, and after how many states the place is left."""


def explore_row(row: Row) -> Found:
    """All states of a row."""
    return explore(Machine(GRAINS[row.grain], row.scope))


def compare(scope: Scope, grains: Sequence[str]) -> Compared:
    """Explore a scope in several grains, the finest first."""
    domain, states, first, are_same = Domain(scope.shape), {}, None, True
    for grain in grains:
        machine = Machine(GRAINS[grain], scope, domain)
        found = explore(machine, keep=True)
        states[grain] = found.states
        seen = observe(machine, found.reached)
        first = seen if first is None else first
        are_same = are_same and seen == first
    return Compared(states, len(first or ()), are_same)


def find_planted(mistake: str) -> Planted:
    """The first place where a mistake shows, with a shortest way to it; else the last place."""
    tried = (_look(mistake, MISTAKES[mistake], *place) for place in _PLACES)
    last = next(tried)
    while last.found.wrong is None and (following := next(tried, None)) is not None:
        last = following
    return last


def explore_right(order: str) -> list[Found]:
    """All states of an order that is right, too, in a few scopes."""
    settled = replace(HARMLESS[order], arrival=GRAINS["settled"].arrival, drops_late=True)
    places = (
        (HARMLESS[order], Scope("chain-2", _TWO, 1, prefix=1)),
        (settled, Scope("chain-2", _TWO, 2, prefix=1)),
        (settled, Scope("chain-2", _THREE, 1, prefix=1)),
    )
    return [explore(Machine(design, scope)) for design, scope in places]


def _look(mistake: str, design: Design, scope: Scope, most_states: int) -> Planted:
    machine = Machine(design, scope)
    return Planted(mistake, machine, explore(machine, most_states=most_states))

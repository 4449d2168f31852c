"""Where the steps of a DAG stand when it is drawn. Pure and deterministic: parents in, places out.

A layered drawing from left to right, in four moves. (1) A step's layer is its dependency level, the longest path from
a root, so every edge points to the right. (2) An edge that passes over layers gets a bend in each of them, so that it
goes between their steps and not behind them. (3) Each layer is ordered by the mean place of its neighbours, back and
forth a few times, and the order with the fewest crossings seen is kept. (4) Layers are centred on their neighbours as
far as their order allows.

A layer of hundreds of steps would be a column that nobody can overlook: it is folded into a block of several columns.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from math import ceil, sqrt
from typing import Final, NamedTuple

__all__ = ["NODE_HEIGHT", "NODE_WIDTH", "Edge", "Layout", "Spot", "lay_out"]

NODE_WIDTH: Final = 168
NODE_HEIGHT: Final = 42
GAP_X: Final = 52
GAP_Y: Final = 14
BEND_HEIGHT: Final = 6
"""The room that an edge takes which passes through a layer."""
MARGIN: Final = 16
SWEEPS: Final = 6
FOLDED_FROM: Final = 36
"""Steps of a layer from which on it is a block."""
MAX_BENDS: Final = 1500
"""Graphs whose edges would need more are drawn with straight ones: they cannot be followed by eye anyway."""


class Spot(NamedTuple):
    """The upper left corner of a step's box, in pixels."""

    x: float
    y: float


class Edge(NamedTuple):
    """From a parent's right side to a child's left side; `bends` between them."""

    parent: int
    child: int
    bends: tuple[Spot, ...]


class Layout(NamedTuple):
    """The drawing: `spots` by step, in the order of the parents given."""

    width: float
    height: float
    spots: tuple[Spot, ...]
    edges: tuple[Edge, ...]


def lay_out(parents: Sequence[Sequence[int]], levels: Sequence[int]) -> Layout:
    """Place every step. `parents[i]` are positions of step i's parents, `levels[i]` its dependency level."""
    if not parents:
        return Layout(2 * MARGIN, 2 * MARGIN, (), ())
    graph = _Graph(parents, levels)
    _order(graph)
    columns = _columns(graph)
    heights = _place(graph)
    return _drawn(graph, columns, heights)


class _Graph:
    """Vertices are steps, then bends. `layers` hold them in order; `above` and `below` are neighbours by vertex."""

    def __init__(self, parents: Sequence[Sequence[int]], levels: Sequence[int]) -> None:
        self.steps = len(parents)
        self.level = [*levels]
        self.above: list[list[int]] = [[] for _ in parents]
        self.below: list[list[int]] = [[] for _ in parents]
        self.layers: list[list[int]] = [[] for _ in range(max(levels) + 1)]
        for step, level in enumerate(levels):
            self.layers[level].append(step)
        folded = {level for level, layer in enumerate(self.layers) if len(layer) >= FOLDED_FROM}
        spans = sum(levels[child] - levels[each] - 1 for child, own in enumerate(parents) for each in own)
        self.is_bent = spans <= MAX_BENDS
        self.folded = folded
        self.chains: list[tuple[int, int, list[int]]] = []
        for child, own in enumerate(parents):
            for parent in own:
                self._connect(parent, child)

    def _connect(self, parent: int, child: int) -> None:
        chain: list[int] = []
        last = parent
        if self.is_bent:
            for level in range(self.level[parent] + 1, self.level[child]):
                if level in self.folded:
                    continue
                bend = len(self.level)
                self.level.append(level)
                self.above.append([])
                self.below.append([])
                self.layers[level].append(bend)
                self._join(last, bend)
                chain.append(bend)
                last = bend
        self._join(last, child)
        self.chains.append((parent, child, chain))

    def _join(self, one: int, other: int) -> None:
        self.below[one].append(other)
        self.above[other].append(one)

    def height(self, vertex: int) -> float:
        """The room that a vertex takes in its column."""
        return NODE_HEIGHT if vertex < self.steps else BEND_HEIGHT


# -------------------------------------------------------------------------------------------- order


def _order(graph: _Graph) -> None:
    """Order each layer by its neighbours' places, forward and back, and keep the best order seen."""
    best, fewest = [[*layer] for layer in graph.layers], _crossings(graph)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        is_forward = sweep % 2 == 0
        neighbours = graph.above if is_forward else graph.below
        for layer in graph.layers[1:] if is_forward else graph.layers[-2::-1]:
            _sort(layer, neighbours, _places(graph))
        if (count := _crossings(graph)) < fewest:
            best, fewest = [[*layer] for layer in graph.layers], count
    graph.layers = best


def _places(graph: _Graph) -> list[float]:
    """Each vertex's place in its layer, from 0 to 1: layers of different sizes compare."""
    places = [0.0] * len(graph.level)
    for layer in graph.layers:
        for at, vertex in enumerate(layer):
            places[vertex] = (at + 0.5) / len(layer)
    return places


def _sort(layer: list[int], neighbours: Sequence[Sequence[int]], places: Sequence[float]) -> None:
    """By the mean place of the neighbours; who has none keeps its own. Sorting is stable: ties stay as they were."""

    def mean(vertex: int) -> float:
        own = neighbours[vertex]
        return sum(places[each] for each in own) / len(own) if own else places[vertex]

    layer.sort(key=mean)


def _crossings(graph: _Graph) -> int:
    """How often two edges cross, counted between layers by inversions."""
    places = _places(graph)
    count = 0
    for layer in graph.layers:
        seen: list[float] = []
        for vertex in layer:
            ends = sorted(places[each] for each in graph.below[vertex])
            for end in ends:
                count += len(seen) - bisect_right(seen, end)
            for end in ends:
                insort(seen, end)
    return count


# -------------------------------------------------------------------------------------------- places


class _Column(NamedTuple):
    """A layer's left side and its number of columns of steps."""

    x: float
    columns: int


def _columns(graph: _Graph) -> list[_Column]:
    found: list[_Column] = []
    x = float(MARGIN)
    for level, layer in enumerate(graph.layers):
        columns = ceil(len(layer) / _rows(len(layer))) if level in graph.folded else 1
        found.append(_Column(x, columns))
        x += columns * (NODE_WIDTH + GAP_Y) - GAP_Y + GAP_X + min(60.0, 2.0 * len(layer))
    return found


def _rows(count: int) -> int:
    """Rows of a folded layer: about as high as it is wide on a screen."""
    return ceil(sqrt(count * (NODE_WIDTH + GAP_Y) / (NODE_HEIGHT + GAP_Y) / 1.9))


def _place(graph: _Graph) -> list[float]:
    """The top of every vertex: first stacked, then drawn towards the mean of its neighbours, twice each way."""
    tops = [0.0] * len(graph.level)
    for level, layer in enumerate(graph.layers):
        _stack(graph, level, layer, tops)
    for _ in range(2):
        for level in range(1, len(graph.layers)):
            _pull(graph, level, graph.above, tops)
        for level in range(len(graph.layers) - 2, -1, -1):
            _pull(graph, level, graph.below, tops)
    lowest = min(tops)
    return [top - lowest + MARGIN for top in tops]


def _stack(graph: _Graph, level: int, layer: list[int], tops: list[float]) -> None:
    """One below the other, centred on 0; a folded layer row by row in its block."""
    if level in graph.folded:
        rows = _rows(len(layer))
        start = -rows * (NODE_HEIGHT + GAP_Y) / 2
        for at, vertex in enumerate(layer):
            tops[vertex] = start + at % rows * (NODE_HEIGHT + GAP_Y)
        return
    total = sum(graph.height(vertex) + GAP_Y for vertex in layer) - GAP_Y
    top = -total / 2
    for vertex in layer:
        tops[vertex] = top
        top += graph.height(vertex) + GAP_Y


def _pull(graph: _Graph, level: int, neighbours: Sequence[Sequence[int]], tops: list[float]) -> None:
    """Move a layer's vertices towards their neighbours without changing their order or letting them touch.

    What wants the same place becomes one group, which stands where its members want to be on the average.
    """
    if level in graph.folded:
        return
    groups: list[
        tuple[list[int], float, float]
    ] = []  # members, where the group's top wants to be, its height
    for vertex in graph.layers[level]:
        own = neighbours[vertex]
        height = graph.height(vertex)
        middle = (
            _mean(tops[each] + graph.height(each) / 2 for each in own) if own else tops[vertex] + height / 2
        )
        groups.append(([vertex], middle - height / 2, height + GAP_Y))
        while len(groups) > 1 and groups[-2][1] + groups[-2][2] > groups[-1][1]:
            groups[-2:] = [_merged(groups[-2], groups[-1])]
    for members, wanted, _ in groups:
        top = wanted
        for vertex in members:
            tops[vertex] = top
            top += graph.height(vertex) + GAP_Y


def _merged(
    one: tuple[list[int], float, float], other: tuple[list[int], float, float]
) -> tuple[list[int], float, float]:
    many, few = len(one[0]), len(other[0])
    wanted = (one[1] * many + (other[1] - one[2]) * few) / (many + few)
    one[0].extend(other[0])
    return one[0], wanted, one[2] + other[2]


def _mean(values: Iterable[float]) -> float:
    every = [*values]
    return sum(every) / len(every)


# ------------------------------------------------------------------------------------------- drawing


def _drawn(graph: _Graph, columns: Sequence[_Column], tops: Sequence[float]) -> Layout:
    spots = [Spot(0, 0)] * len(graph.level)
    for level, layer in enumerate(graph.layers):
        rows = _rows(len(layer)) if level in graph.folded else len(layer)
        for at, vertex in enumerate(layer):
            aside = at // rows * (NODE_WIDTH + GAP_Y) if level in graph.folded else 0
            spots[vertex] = Spot(round(columns[level].x + aside, 1), round(tops[vertex], 1))
    edges = tuple(
        Edge(
            parent,
            child,
            tuple(Spot(spots[each].x, round(spots[each].y + BEND_HEIGHT / 2, 1)) for each in chain),
        )
        for parent, child, chain in graph.chains
    )
    own = spots[: graph.steps]
    return Layout(
        width=max(each.x for each in own) + NODE_WIDTH + MARGIN,
        height=max(*(each.y + NODE_HEIGHT for each in own), *tops) + MARGIN,
        spots=tuple(own),
        edges=edges,
    )

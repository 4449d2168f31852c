"""Graphs are laid out so that edges point to the right, boxes never touch, and the same plan gives the same drawing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.deploy.console.pages import dag_layout
from tasker_kafka.deploy.console.pages.dag_layout import NODE_HEIGHT, NODE_WIDTH, Layout, lay_out

Parents = list[list[int]]


def levels_of(parents: Parents) -> list[int]:
    levels: list[int] = []
    for own in parents:
        levels.append(1 + max((levels[each] for each in own), default=-1))
    return levels


def laid(parents: Parents) -> Layout:
    return lay_out(parents, levels_of(parents))


@st.composite
def graphs(draw: st.DrawFn) -> Parents:
    count = draw(st.integers(0, 60))
    return [
        sorted(draw(st.sets(st.integers(max(0, at - 12), at - 1), max_size=4))) if at else []
        for at in range(count)
    ]


def overlaps(layout: Layout) -> list[tuple[int, int]]:
    spots = layout.spots
    return [
        (one, other)
        for one in range(len(spots))
        for other in range(one)
        if abs(spots[one].x - spots[other].x) < NODE_WIDTH
        and abs(spots[one].y - spots[other].y) < NODE_HEIGHT
    ]


@given(graphs())
def test_boxes_do_not_touch_and_edges_point_to_the_right(parents: Parents) -> None:
    layout = laid(parents)
    assert overlaps(layout) == []
    assert len(layout.edges) == sum(map(len, parents))
    for edge in layout.edges:
        places = [layout.spots[edge.parent].x, *(bend.x for bend in edge.bends), layout.spots[edge.child].x]
        assert all(one < other for one, other in pairwise(places)), edge


@given(graphs())
def test_everything_lies_inside_the_drawing(parents: Parents) -> None:
    layout = laid(parents)
    for x, y in layout.spots:
        assert 0 <= x <= layout.width - NODE_WIDTH
        assert 0 <= y <= layout.height - NODE_HEIGHT
    for edge in layout.edges:
        assert all(0 <= bend.y <= layout.height for bend in edge.bends)


@given(graphs())
def test_the_same_graph_is_drawn_the_same(parents: Parents) -> None:
    assert laid(parents) == laid([[*own] for own in parents])


def test_a_chain_is_a_straight_line() -> None:
    layout = laid([[], [0], [1], [2]])
    assert len({spot.y for spot in layout.spots}) == 1


def test_an_edge_over_a_level_goes_round_the_step_between() -> None:
    layout = laid([[], [0], [0, 1]])
    edge = next(each for each in layout.edges if (each.parent, each.child) == (0, 2))
    between = layout.spots[1]
    (bend,) = edge.bends
    assert not between.y <= bend.y <= between.y + NODE_HEIGHT


def test_crossings_are_taken_out() -> None:
    # Two chains whose second steps are written in the other order: drawn as written they cross.
    layout = laid([[], [], [1], [0]])
    assert (layout.spots[0].y < layout.spots[1].y) == (layout.spots[3].y < layout.spots[2].y)


def test_a_wide_level_is_a_block_and_not_a_column() -> None:
    layout = laid([[], *([0] for _ in range(400)), [*range(1, 401)]])
    assert overlaps(layout) == []
    assert layout.height < 3000
    assert layout.width < 5000


def test_an_empty_plan_is_an_empty_drawing() -> None:
    assert lay_out([], []).spots == ()


def thousand(kind: str) -> Parents:
    chance = random.Random(7)
    if kind == "layers":
        return [
            [] if at < 20 else sorted(chance.sample(range(at // 20 * 20 - 20, at // 20 * 20), 5))
            for at in range(1000)
        ]
    if kind == "two":
        return [[] if at < 500 else sorted(chance.sample(range(500), 10)) for at in range(1000)]
    return [[], *([0] for _ in range(499)), *([at] for at in range(1, 500)), [*range(500, 999)]]


@pytest.mark.parametrize("kind", ["layers", "two", "fan"])
def test_a_thousand_steps_cost_little(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.3 s of processor time at most where it was measured (0.01 to 0.1); here the work is counted, not the clock."""
    calls = 0
    pull = dag_layout._pull

    def counted(*args: Any) -> None:
        nonlocal calls
        calls += 1
        pull(*args)

    monkeypatch.setattr(dag_layout, "_pull", counted)
    parents = thousand(kind)
    layout = laid(parents)
    assert len(layout.spots) == 1000
    assert calls <= 4 * len({*levels_of(parents)})
    assert overlaps_of_sorted(layout.spots) == 0


def overlaps_of_sorted(spots: Sequence[dag_layout.Spot]) -> int:
    """As `overlaps`, for many: neighbours in a column only."""
    columns: dict[float, list[float]] = {}
    for spot in spots:
        columns.setdefault(spot.x, []).append(spot.y)
    return sum(
        lower - upper < NODE_HEIGHT
        for column in columns.values()
        for upper, lower in pairwise(sorted(column))
    )

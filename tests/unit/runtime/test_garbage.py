"""What the collector is told in a role's process."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from tasker_kafka.topics.garbage import postpone_garbage, settle_garbage


class _Knot:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.enable()


@pytest.mark.slow
def test_what_is_alive_is_left_out_of_later_collections() -> None:
    settle_garbage()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] > 700, "Python's default is what costs"


@pytest.mark.slow
def test_what_was_left_out_and_died_is_collected_by_the_next_call() -> None:
    """A rebalance: the lanes of before are cycles, and each may hold a whole partition."""
    knot = _Knot()
    seen = weakref.ref(knot)
    settle_garbage()
    del knot
    gc.collect()
    assert seen() is not None, "frozen: a collection does not see it"
    settle_garbage()
    assert seen() is None


def test_what_was_postponed_is_taken_up() -> None:
    postpone_garbage()
    assert not gc.isenabled()
    settle_garbage()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0

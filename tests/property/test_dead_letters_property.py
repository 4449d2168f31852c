"""Whatever has happened to a queue: what is read backwards in blocks is what a plain fold from its beginning says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from tasker_kafka.deploy.reading.dead_letters import list_letters
from tasker_kafka.handlers.delivery.letters import LetterFilter, LetterPlace, LetterState
from tasker_kafka.handlers.delivery.redrive import ActOrder, purge, redrive
from tasker_kafka.topics import backward
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.memory.cluster import EPOCH_MS
from tests.support.dead_letter_world import LetterWorld, original
from tests.support.log_sides import MemorySide

BY = ActOrder(actor="ann", reason="")
ANY = LetterFilter(states=frozenset(LetterState))

# What happens: an event dies (its offset, its partition, by somebody's clock), or somebody acts on some of the letters.
Deaths = st.tuples(st.just("die"), st.integers(0, 6), st.tuples(st.integers(0, 1), st.integers(0, 9)))
Acts = st.tuples(st.sampled_from(["redrive", "purge"]), st.integers(0, 2**12), st.booleans())
Histories = st.lists(st.one_of(Deaths, Deaths, Acts), max_size=24)


class Model:
    """The queue as it must be: every letter in the order of its death, with its state."""

    def __init__(self) -> None:
        self.letters: list[tuple[LetterPlace, int, int]] = []
        self.states: dict[LetterPlace, LetterState] = {}

    def die(self, place: LetterPlace, offset: int, partition: int) -> None:
        self.letters.append((place, partition, offset))
        self.states[place] = LetterState.OPEN

    def chosen(self, mask: int, *, every: bool) -> list[LetterPlace]:
        """Some letters; open ones unless `every`."""
        return [
            place
            for number, (place, _, _) in enumerate(self.letters)
            if mask >> number & 1 and (every or self.states[place] is LetterState.OPEN)
        ]

    def in_order(self, places: Iterable[LetterPlace]) -> list[tuple[int, int]]:
        """What is redriven of these: by source, each event once."""
        wanted = set(places)
        return sorted({(partition, offset) for place, partition, offset in self.letters if place in wanted})


# Clocks that differ: the letter behind an old one is younger than both.
@example([("die", 0, (0, 9)), ("die", 1, (0, 1)), ("die", 2, (0, 4)), ("die", 3, (0, 5))], 2, 1)
@given(Histories, st.integers(1, 5), st.integers(1, 4))
def test_states_order_and_pages_are_those_of_a_plain_fold(history: list[Any], block: int, page: int) -> None:
    run_virtual(_check(history, block, page))


async def _check(history: list[Any], block: int, page: int) -> None:
    first, largest = backward.FIRST_BLOCK, backward.LARGEST_BLOCK
    backward.FIRST_BLOCK, backward.LARGEST_BLOCK = block, 2 * block  # type: ignore[misc] # small blocks, few letters
    side = MemorySide("property")
    try:
        world, model = await LetterWorld.make(side), Model()
        for kind, number, more in history:
            if kind == "die":
                partition, second = more
                died_at = EPOCH_MS + 1000 * second
                place = await world.die(original(world.names, number, partition=partition), at=died_at)
                model.die(place, number, partition)
            else:
                await _act(world, model, kind, model.chosen(number, every=more))
        found = {each.place: each.state for each in await world.letters(ANY)}
        assert found == model.states
        assert await _paged(world, page) == {
            str(place) for place in found if found[place] is LetterState.OPEN
        }
    finally:
        backward.FIRST_BLOCK, backward.LARGEST_BLOCK = first, largest  # type: ignore[misc] # as above
        await side.close()


async def _act(world: LetterWorld, model: Model, kind: str, places: list[LetterPlace]) -> None:
    wanted = msgspec.structs.replace(ANY, places=frozenset(places))
    topic = world.names.retry("audit", "redrive")
    before = [await world.log.end_offset(TopicPartition(topic, number)) for number in (0, 1)]
    act = redrive if kind == "redrive" else purge
    report = await act(world.log, world.names, wanted, BY)
    assert report.letters == len(places)
    state = LetterState.REDRIVEN if kind == "redrive" else LetterState.PURGED
    model.states.update(dict.fromkeys(places, state))
    if kind == "redrive":
        redriven = await world.redriven(since=before)
        assert [(record.partition, record.offset) for record, _ in redriven] == model.in_order(places)


async def _paged(world: LetterWorld, page: int) -> set[str]:
    """Every open letter, page by page; none comes twice."""
    found: list[str] = []
    before: str | None = None
    for _ in range(100):
        read = await list_letters(world.log, world.names, LetterFilter(), limit=page, before=before)
        found += [row.place for row in read.letters]
        before = read.next
        if before is None:
            assert len(set(found)) == len(found)
            return set(found)
    raise AssertionError("the pages have no end")

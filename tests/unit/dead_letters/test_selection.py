"""What of the selected letters is written together."""

from __future__ import annotations

import pytest

from tasker_kafka.handlers.delivery.journey import Journey
from tasker_kafka.handlers.delivery.letters import DeadLetter, LetterPlace
from tasker_kafka.handlers.delivery.selection import SLICE_BYTES, SLICE_LETTERS, Selection


def selected(*sizes: int) -> Selection:
    """Letters of these sizes, read as a queue is: the last one first."""
    made = Selection()
    for number, size in reversed(list(enumerate(sizes))):
        journey = Journey(
            group="audit", subscription="record", topic="source", partition=0, offset=number, timestamp=0
        )
        made.add(
            DeadLetter(
                place=LetterPlace("shop", 0, number),
                died_at=0,
                journey=journey,
                event=None,
                namespace=None,
                task_id=None,
                key=None,
                size=size,
            )
        )
    return made


@pytest.mark.parametrize(
    ("sizes", "slices"),
    [
        ((), []),
        ((1,), [1]),
        ((1,) * SLICE_LETTERS, [SLICE_LETTERS]),
        ((1,) * (SLICE_LETTERS + 1), [SLICE_LETTERS, 1]),
        ((SLICE_BYTES,), [1]),
        ((SLICE_BYTES + 1, 1), [1, 1]),
        ((SLICE_BYTES - 1, 1, 1), [2, 1]),
        ((1, SLICE_BYTES), [1, 1]),
    ],
)
def test_a_slice_is_bounded_in_letters_and_in_bytes(sizes: tuple[int, ...], slices: list[int]) -> None:
    made = list(selected(*sizes).slices())
    assert [len(each) for each in made] == slices
    assert [letter.offset for each in made for letter in each] == list(range(len(sizes)))

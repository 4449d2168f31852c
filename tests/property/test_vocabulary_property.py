"""The vocabulary of transitions is what the rules write: every edge, cause and kind of data, and no other.

Random stories show what is written; a table of what they have shown together must be the declared one, so that an
entry that nothing writes is found as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tasker_kafka.schemas.records import Transition
from tasker_kafka.schemas.words import Cause, TransitionEvent
from tasker_kafka.streams.domain.transitions import STEP_EDGES, STEP_NOTES, TASK_EDGES, TASK_NOTES
from tasker_kafka.streams.domain.vocabulary import STEP_MEANINGS, TASK_MEANINGS, Meaning
from tests.support.view_stories import Story

Shown = tuple[str, TransitionEvent, Any]
"""`task` or `step`, the event, and what was shown of it."""

STORIES = 3000
NOT_BY_STORIES: set[Shown] = {
    # No rule of the engine fails by itself: a unit test breaks one to see these.
    ("task", TransitionEvent.QUARANTINED, Cause.INTERNAL),
    ("step", TransitionEvent.CANCELLED, Cause.INTERNAL),
    # Nothing outside itself can hold a task up yet; the state is there for what will.
    ("task", TransitionEvent.AWAITING_DEPENDENCIES, Cause.EVALUATION),
}


def transitions() -> Iterator[Transition]:
    """What many random stories write."""
    for seed in range(STORIES):
        story = Story(seed)
        for _ in story.tell(25):
            yield from story.last


@pytest.fixture(scope="module")
def seen() -> list[Transition]:
    """Read once for all tests of this module."""
    return list(
        {
            (each.step is None, each.event, each.from_state, each.to_state, each.cause, type(each.data)): each
            for each in transitions()
        }.values()
    )


def declared(kind: str) -> Iterator[Shown]:
    for entity, meanings in (("task", TASK_MEANINGS), ("step", STEP_MEANINGS)):
        for event, meaning in meanings.items():
            for each in causes_or_data(meaning, kind):
                yield entity, event, each


def causes_or_data(meaning: Meaning, kind: str) -> tuple[Any, ...]:
    return meaning.causes if kind == "causes" else meaning.data


def entity_of(each: Transition) -> str:
    return "task" if each.step is None else "step"


@pytest.mark.slow
def test_causes(seen: list[Transition]) -> None:
    shown = {(entity_of(each), each.event, each.cause) for each in seen}
    assert shown | NOT_BY_STORIES == set(declared("causes"))


def test_data(seen: list[Transition]) -> None:
    shown = {(entity_of(each), each.event, None if each.data is None else type(each.data)) for each in seen}
    unseen = set(declared("data")) - shown
    assert shown - set(declared("data")) == set()
    assert {event for _, event, _ in unseen} == {
        TransitionEvent.QUARANTINED,
        TransitionEvent.AWAITING_DEPENDENCIES,
    }


def test_every_event_of_the_tables_has_a_meaning() -> None:
    assert {event for _, event, _ in TASK_EDGES} | {event for _, event in TASK_NOTES} == set(TASK_MEANINGS)
    assert {event for _, event, _ in STEP_EDGES} | {event for _, event in STEP_NOTES} == set(STEP_MEANINGS)
    assert all(meaning.text.endswith(".") for meaning in (*TASK_MEANINGS.values(), *STEP_MEANINGS.values()))

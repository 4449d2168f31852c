"""Colours: every text is readable on what it stands on, and no state is told by colour alone."""

from __future__ import annotations

import pytest

from tasker_kafka.deploy.console.pages.theme import (
    COLOURS,
    READABLE,
    SIGNS,
    contrast,
    palette_css,
    sign_of,
    state_class,
)
from tasker_kafka.schemas.words import StepStatus, TaskStatus

READABLE_RATIO = 4.5
SEEN_RATIO = 3.0


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ffffff", "#777777") == contrast("#777777", "#ffffff")


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_is_readable(theme: int) -> None:
    bad = {
        (ink, ground): round(ratio, 2)
        for ink, ground in READABLE
        if (ratio := contrast(COLOURS[ink][theme], COLOURS[ground][theme])) < READABLE_RATIO
    }
    assert bad == {}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("colour", ["focus", "edge"])
def test_what_must_be_seen_is_seen(theme: int, colour: str) -> None:
    for ground in ("page", "surface"):
        assert contrast(COLOURS[colour][theme], COLOURS[ground][theme]) >= SEEN_RATIO


def test_every_tone_that_a_state_has_is_a_colour() -> None:
    for state in (*StepStatus, *TaskStatus):
        tone = state_class(state).removeprefix("tone-")
        assert f"--{tone}-ink" in palette_css()
        assert (f"{tone}-ink", f"{tone}-fill") in READABLE


@pytest.mark.parametrize("states", [StepStatus, TaskStatus])
def test_no_two_states_share_a_sign(states: type[StepStatus] | type[TaskStatus]) -> None:
    assert {*map(str, states)} <= {*map(str, SIGNS)}
    assert len({sign_of(each) for each in states}) == len(states)


def test_a_state_of_a_newer_engine_is_shown_as_unknown() -> None:
    assert sign_of("hibernating") == "?"
    assert state_class("hibernating") == "tone-waiting"

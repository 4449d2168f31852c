"""The filter of a task's steps: what fits, what its address says, and what the table and its switches show."""

from __future__ import annotations

import re

import pytest

from tasker_kafka.deploy.console.pages.task_steps import StepFilter, state_switches, step_rows, step_table
from tasker_kafka.schemas.words import StepStatus
from tests.support.page_world import details_of_rig, story, wide_task


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (StepFilter(text="CARD"), ["charge_card"]),
        (StepFilter(text="re t"), ["reserve_stock", "create_order", "send_receipt"]),
        (StepFilter(states=(StepStatus.ERROR,)), ["charge_card"]),
        (StepFilter(text="card", states=(StepStatus.COMPLETE,)), []),
        (
            StepFilter(states=(StepStatus.ERROR, StepStatus.COMPLETE), text="_c"),
            ["validate_cart", "charge_card"],
        ),
    ],
)
def test_every_word_and_any_state(wanted: StepFilter, names: list[str]) -> None:
    steps = details_of_rig(story()).report.steps
    assert [each.name for each in steps if wanted.fits(each)] == names


def test_rows_keep_the_ids_of_their_steps() -> None:
    details = details_of_rig(wide_task(1000, done=3))
    every, found = step_rows(details, None), step_rows(details, None, StepFilter(text="part_998"))
    assert len(every) == 1002
    assert len(found) == 1
    assert found.items() <= every.items()


def test_an_empty_table_says_why() -> None:
    assert "No step fits the filter." in step_table({}, is_empty=False)
    assert "This task has no steps." in step_table({})


def test_an_address_gives_its_filter_back() -> None:
    wanted = StepFilter(text="card a=b&c", states=(StepStatus.COMPLETE, StepStatus.ERROR))
    said = wanted.address()
    assert StepFilter.from_address(said["find"], said["state"]) == wanted
    assert StepFilter.from_address("", "error,asleep") == StepFilter(states=(StepStatus.ERROR,))
    assert not any(StepFilter().address().values()), "nothing chosen, nothing said"


def test_switches_count_and_stay_while_they_are_pressed() -> None:
    steps = details_of_rig(story()).report.steps
    drawn = state_switches(steps, StepFilter().toggled(StepStatus.CANCELLED))
    shown = re.findall(r'data-value="(\w+)" aria-pressed="(\w+)"', drawn)
    assert shown == [("pending", "false"), ("complete", "false"), ("error", "false"), ("cancelled", "true")]
    assert "<b>2</b>" in drawn
    assert "<b>0</b>" in drawn
    assert StepFilter().toggled(StepStatus.ERROR).toggled(StepStatus.ERROR) == StepFilter()

"""When the demo says that a task did not end as its story says."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from tasker_kafka.deploy.demo.report import Ending, faults, print_ending
from tasker_kafka.deploy.demo.stories import STORIES, Mend, Story, differences
from tasker_kafka.deploy.reading import AttemptReport, ErrorReport, StepReport, TaskReport, TransitionReport
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import Cause, Identity, StepStatus, TaskStatus, TransitionEvent

PLAN = (
    Template("pay", namespace="shop", output={"id": "$.charge.id"})
    .step("charge", handler="shop.charge")
    .step("book", handler="shop.book", depends_on=["charge"])
    .compile()
)
STORY = Story(
    name="pay",
    template="shop/pay",
    output={"id": re.compile("ch_[0-9]+")},
    failures={"charge": ("busy",)},
)


def attempt(number: int, code: str | None = None) -> AttemptReport:
    error = None if code is None else ErrorReport(type="E", code=code, message="no")
    return AttemptReport(
        attempt=number, granted_at=100, outcome="failure" if code else "success", error=error
    )


def step(name: str, *history: AttemptReport, **changes: Any) -> StepReport:
    found = StepReport(
        name=name,
        state=StepStatus.COMPLETE,
        status="complete",
        handler=f"shop.{name}",
        queue="shop",
        parents=(),
        attempts=len(history),
        max_attempts=3,
        started_at=110,
        completed_at=1_350,
        next_retry_at=None,
        blocking_reason=None,
        worker_id="w",
        result=None,
        error=None,
        history=history,
    )
    return replace(found, **changes)


def report(**changes: Any) -> TaskReport:
    found = TaskReport(
        task_id=bytes(16),
        life=0,
        namespace="shop",
        template="pay",
        version="0.1.0",
        plan_hash=PLAN.hash,
        partition=0,
        seq=5,
        state=TaskStatus.COMPLETE,
        status="complete",
        execution_status="all_complete",
        recommended_action="",
        completion_percentage=100.0,
        health_status="",
        created_at=0,
        started_at=10,
        closed_at=2_500,
        next_due_at=None,
        identity=Identity.ALWAYS_UNIQUE,
        initiator="demo",
        source_system="demo",
        reason="pay",
        tags=("pay",),
        correlation_id="c",
        context={},
        output={"id": "ch_1"},
        error=None,
        steps=(step("charge", attempt(1, "busy"), attempt(2)), step("book", attempt(1))),
        transitions=(),
        answers=(),
        waiting=(),
    )
    return replace(found, **changes)


def by_operator() -> TransitionReport:
    return TransitionReport(
        seq=3,
        offset=9,
        entity="task",
        from_state=TaskStatus.ERROR,
        to_state=TaskStatus.IN_PROGRESS,
        event=TransitionEvent.RESUMED,
        at=5,
        cause=Cause.OPERATOR,
        actor="ada",
        reason="it was paid",
    )


async def nobody(*_: Any) -> None:
    """An operator who does nothing."""


def test_task_that_ended_as_told_has_no_fault() -> None:
    assert faults(Ending(STORY, report(), PLAN)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"state": TaskStatus.ERROR, "output": None}, "the task is error"),
        ({"state": TaskStatus.RESOLVED_MANUALLY}, "the task is resolved_manually"),
        ({"output": {"id": "none"}}, "output id is 'none'"),
        ({"output": {}}, "output has no id"),
        ({"output": {"id": "ch_1", "more": 1}}, "output has more"),
        ({"steps": (step("charge", attempt(1)),)}, "failed attempts of charge: none"),
        ({"steps": (step("charge", attempt(1, "gone")),)}, "failed attempts of charge: ('gone',)"),
        (
            {"steps": (step("charge", attempt(1, "busy")), step("book", attempt(1, "full")))},
            "failed attempts of book: ('full',)",
        ),
    ],
)
def test_anything_else_is_a_fault(changes: dict[str, Any], fault: str) -> None:
    [found] = faults(Ending(STORY, report(**changes), PLAN))
    assert fault in found


def test_mended_task_needs_its_operator() -> None:
    story = Story(
        name="pay",
        template="shop/pay",
        output=STORY.output,
        failures=STORY.failures,
        mend=Mend("somebody acts", nobody),
    )
    assert faults(Ending(story, report(), PLAN)) == ["no operator's command is in the history"]
    assert faults(Ending(story, report(transitions=(by_operator(),)), PLAN)) == []


def test_pattern_stands_for_the_whole_text() -> None:
    pattern = re.compile("ch_[0-9]+")
    assert differences({"id": pattern}, {"id": "ch_12"}) == []
    assert differences({"id": pattern}, {"id": "ch_12 and more"})


def test_values_are_compared_as_they_are() -> None:
    assert differences({"sum": 4}, {"sum": 4}) == []
    assert differences({"sum": 4}, {"sum": 5}) == ["output sum is 5, the story says 4"]


def test_ending_shows_graph_attempts_durations_and_output() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, color_system=None)
    print_ending(console, Ending(STORY, report(transitions=(by_operator(),)), PLAN))
    lines = [line.rstrip() for line in out.getvalue().splitlines() if line]
    assert lines == [
        "pay  shop/pay@0.1.0  00000000-0000-0000-0000-000000000000",
        "  step          state     attempts  took",
        "  └─ ✓ charge   complete  2 of 3    1,250 ms  attempt 1: busy",
        "     └─ ✓ book  complete  1 of 3    1,250 ms",
        "  ada: resumed, because it was paid",
        "  complete 2.50 s after the request",
        '  output {"id": "ch_1"}',
    ]


def test_names_of_stories_are_unique() -> None:
    assert len({story.name for story in STORIES}) == len(STORIES)

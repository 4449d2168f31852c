"""Every pair of state and event, legal or not, against the table as people read it."""

import itertools

import pytest

from tasker_kafka.schemas.words import FINAL_TASK_STATES, Cause, StepStatus, TaskStatus, TransitionEvent
from tasker_kafka.streams.domain.draft import Draft
from tasker_kafka.streams.domain.errors import IllegalEdge
from tasker_kafka.streams.domain.transitions import (
    STEP_EDGES,
    STEP_NOTES,
    TASK_EDGES,
    TASK_NOTES,
    check_step_edge,
    check_task_edge,
    mermaid,
)
from tests.support.tasks import TASK_ID, Rig, plan_of

TASK_TABLE = """
(none)                   initialize_requested pending
pending                  start_requested      in_progress
in_progress              all_steps_done       complete
in_progress              awaiting_dependencies waiting_for_dependencies
in_progress              retry_backoff_started waiting_for_retry
in_progress              blocked              blocked_by_failures
waiting_for_dependencies steps_ready          in_progress
waiting_for_retry        steps_ready          in_progress
blocked_by_failures      give_up              error
blocked_by_failures      retry_requested      pending
error                    retry_requested      pending
blocked_by_failures      resumed              in_progress
error                    resumed              in_progress
blocked_by_failures      resolved_manually    resolved_manually
error                    resolved_manually    resolved_manually
error                    cancelled            cancelled
"""
TASK_LIVE = ["pending", "in_progress", "waiting_for_dependencies", "waiting_for_retry", "blocked_by_failures"]
TASK_ENDS = {"deadline_exceeded": "error", "stale": "error", "quarantined": "error", "cancelled": "cancelled"}

STEP_TABLE = """
(none)            initialize_requested  pending
pending           enqueue_requested     enqueued
pending           bypassed              complete
pending           completed             complete
enqueued          execution_requested   in_progress
enqueued          timed_out             waiting_for_retry
enqueued          timed_out             error
enqueued          returned              waiting_for_retry
in_progress       completed             complete
in_progress       retry_backoff_started waiting_for_retry
in_progress       failed                error
in_progress       lost                  pending
in_progress       lost                  error
waiting_for_retry retry_requested       pending
waiting_for_retry completed             complete
error             retry_requested       pending
cancelled         retry_requested       pending
pending           resolved_manually     resolved_manually
waiting_for_retry resolved_manually     resolved_manually
error             resolved_manually     resolved_manually
cancelled         resolved_manually     resolved_manually
pending           completed_manually    complete
waiting_for_retry completed_manually    complete
error             completed_manually    complete
cancelled         completed_manually    complete
pending           cancelled             cancelled
enqueued          cancelled             cancelled
in_progress       cancelled             cancelled
waiting_for_retry cancelled             cancelled
error             cancelled             cancelled
"""


def rows(table: str) -> set[tuple[str, str, str]]:
    """The lines of a table as triples."""
    triples = [line.split() for line in table.strip().splitlines()]
    return {(before, event, after) for before, event, after in triples}


EXPECTED_TASK = rows(TASK_TABLE) | {
    (state, event, end) for state in TASK_LIVE for event, end in TASK_ENDS.items()
}
EXPECTED_TASK |= {(state, "changed", state) for state in TASK_LIVE}
EXPECTED_TASK |= {
    (state, "stale_reported", state)
    for state in ("waiting_for_dependencies", "waiting_for_retry", "blocked_by_failures")
}
EXPECTED_STEP = rows(STEP_TABLE) | {("enqueued", "redispatched", "enqueued")}
EXPECTED_STEP |= {
    (state, "changed", state)
    for state in ("pending", "enqueued", "in_progress", "waiting_for_retry", "error", "cancelled")
}


@pytest.mark.parametrize("event", TransitionEvent)
@pytest.mark.parametrize("before", [None, *TaskStatus])
def test_task_edges(before: TaskStatus | None, event: TransitionEvent) -> None:
    for after in TaskStatus:
        if (before or "(none)", event, after) in EXPECTED_TASK:
            check_task_edge(before, event, after)
        else:
            with pytest.raises(IllegalEdge, match=f"{event}.*{after}"):
                check_task_edge(before, event, after)


@pytest.mark.parametrize("event", TransitionEvent)
@pytest.mark.parametrize("before", [None, *StepStatus])
def test_step_edges(before: StepStatus | None, event: TransitionEvent) -> None:
    for after in StepStatus:
        if (before or "(none)", event, after) in EXPECTED_STEP:
            check_step_edge(before, event, after)
        else:
            with pytest.raises(IllegalEdge, match=f"{event}.*{after}"):
                check_step_edge(before, event, after)


def test_no_edge_is_listed_twice() -> None:
    for table in (TASK_EDGES, STEP_EDGES, TASK_NOTES, STEP_NOTES):
        assert len(set(table)) == len(table)


def test_final_states_have_no_way_out() -> None:
    for state in TaskStatus:
        assert (state not in {before for before, _, _ in TASK_EDGES}) == (state in FINAL_TASK_STATES)
    assert not {before for before, _, _ in STEP_EDGES} & {StepStatus.COMPLETE, StepStatus.RESOLVED_MANUALLY}


def test_every_state_is_reached_and_every_event_used() -> None:
    assert {after for _, _, after in TASK_EDGES} == set(TaskStatus)
    assert {after for _, _, after in STEP_EDGES} == set(StepStatus)
    notes = [event for _, event in itertools.chain(TASK_NOTES, STEP_NOTES)]
    edges = [event for _, event, _ in itertools.chain(TASK_EDGES, STEP_EDGES)]
    assert {*edges, *notes} == set(TransitionEvent)
    assert not {*edges} & {*notes}


@pytest.mark.parametrize("final", sorted(FINAL_TASK_STATES))
def test_nothing_may_be_done_to_the_steps_of_a_final_task(final: TaskStatus) -> None:
    rig = Rig(plan_of({"a": ()}))
    rig.start()
    draft = Draft(rig.live, rig.plan, task_id=TASK_ID, now=rig.now)
    draft.status = final
    with pytest.raises(IllegalEdge, match=f"the task is {final}"):
        draft.step(0, TransitionEvent.CANCELLED, StepStatus.CANCELLED, Cause.OPERATOR)


def test_diagram_shows_every_edge() -> None:
    diagram = mermaid(TASK_EDGES)
    assert diagram.startswith("stateDiagram-v2\n    [*] --> pending : initialize_requested\n")
    assert (
        "    blocked_by_failures --> error : give_up / deadline_exceeded / stale / quarantined\n" in diagram
    )
    assert "    complete --> [*]\n" in diagram
    assert "error --> [*]" not in diagram
    steps = mermaid(STEP_EDGES)
    for before, event, after in STEP_EDGES:
        arrow = f"    {before or '[*]'} --> {after} : "
        (line,) = [each for each in steps.splitlines() if each.startswith(arrow)]
        assert event in line.removeprefix(arrow).split(" / ")

"""The names of system events: all of them, and each where the engine's tables say it is recorded."""

from __future__ import annotations

from typing import Any

from tasker_kafka.deploy.catalog import system_events
from tasker_kafka.deploy.system_names import named_events

TASK = """initialize_requested start_requested steps_discovery_completed steps_enqueued step_results_received
    awaiting_dependencies retry_backoff_started blocked_by_failures completed failed retry_requested cancelled
    resolved_manually before_transition"""
STEP = """initialize_requested enqueue_requested execution_requested before_handle handle result_submitted completed
    failed retry_requested cancelled resolved_manually before_transition"""
WORKFLOW = """task_started task_completed task_failed step_completed step_failed viable_steps_discovered no_viable_steps
    orchestration_requested"""
SPECIFIED = [
    f"{category}.{name}"
    for category, names in (("task", TASK), ("step", STEP), ("workflow", WORKFLOW))
    for name in names.split()
]

UNNAMED = {"task.changed", "task.stale_reported", "task.steps_ready", "step.changed", "step.redispatched"}
"""Recorded, but with no name beside `before_transition`'s, or none at all."""


def test_every_specified_name_is_there_once_and_in_order() -> None:
    assert [each.name for each in named_events()] == SPECIFIED
    assert len(SPECIFIED) == 34
    assert all(each.name.startswith(f"{each.category}.") and each.meaning for each in named_events())


def test_what_they_are_seen_in_is_recorded() -> None:
    recorded = {each.name for each in system_events()}
    assert all(set(each.seen_in) <= recorded for each in named_events())


def test_whatever_is_recorded_has_a_name() -> None:
    named = {
        place
        for each in named_events()
        if not each.name.endswith(".before_transition")
        for place in each.seen_in
    }
    assert {each.name for each in system_events()} - named == UNNAMED


def test_an_edge_is_a_transition_and_a_note_is_none() -> None:
    by_name = {each.name: each for each in named_events()}
    edges = by_name["task.before_transition"].seen_in
    assert "task.blocked" in edges
    assert "task.changed" not in edges, "it moves nothing"
    assert by_name["step.handle"].seen_in == ()


def test_the_command_prints_them(tasker: Any) -> None:
    told = tasker("catalog", "events", "--system", "--json").json
    assert [each["name"] for each in told["names"]] == SPECIFIED
    printed = tasker("catalog", "events", "--system").out
    assert all(f"\n{name} " in printed for name in SPECIFIED)

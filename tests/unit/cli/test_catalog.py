"""The catalogue of events: the engine's own, off its tables, and those that templates declare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tasker_kafka.deploy.catalog import domain_events, system_events
from tasker_kafka.deploy.examples import TEMPLATES
from tasker_kafka.deploy.reading import jsonable
from tasker_kafka.deploy.template_files import load_plans
from tasker_kafka.schemas import records
from tasker_kafka.schemas.template import Event, Template
from tasker_kafka.schemas.words import Cause, StepStatus, TaskStatus
from tasker_kafka.streams.domain.transitions import STEP_EDGES, STEP_NOTES, TASK_EDGES, TASK_NOTES

Tasker = Callable[..., Any]


def test_every_edge_and_note_is_in_it_once() -> None:
    for entity, edges, notes in (("task", TASK_EDGES, TASK_NOTES), ("step", STEP_EDGES, STEP_NOTES)):
        found = [
            (edge.from_state, entry.event, edge.to_state)
            for entry in system_events()
            if entry.entity == entity
            for edge in entry.edges
        ]
        assert sorted(found, key=str) == sorted(
            [*edges, *((state, event, state) for state, event in notes)], key=str
        )
    names = [entry.name for entry in system_events()]
    assert len(set(names)) == len(names)


def test_an_entry() -> None:
    (failed,) = (each for each in system_events() if each.name == "step.failed")
    assert jsonable(failed)["edges"] == [{"from": "in_progress", "to": "error"}]
    assert failed.causes == (Cause.RESULT, Cause.TIMER)
    (shape,) = failed.data
    assert not failed.is_data_optional
    fields = {field.name: field for field in shape.fields}
    assert fields["next_retry_at"].type == "null or long (timestamp-millis)"
    assert all(field.description for field in shape.fields)
    (cancelled,) = (each for each in system_events() if each.name == "task.cancelled")
    assert {edge.from_state for edge in cancelled.edges} == {
        TaskStatus.PENDING,
        TaskStatus.IN_PROGRESS,
        TaskStatus.WAITING_FOR_DEPENDENCIES,
        TaskStatus.WAITING_FOR_RETRY,
        TaskStatus.BLOCKED_BY_FAILURES,
        TaskStatus.ERROR,
    }
    (created,) = (each for each in system_events() if each.name == "step.initialize_requested")
    assert (created.edges[0].from_state, created.edges[0].to_state) == (None, StepStatus.PENDING)
    assert created.is_data_optional


def test_the_shapes_are_those_of_the_records() -> None:
    for entry in system_events():
        for shape in entry.data:
            kind = getattr(records, shape.name)
            assert issubclass(kind, msgspec.Struct)
            assert [field.name for field in shape.fields] == list(kind.__struct_fields__)


def test_declared_events() -> None:
    plans = [plan for each in load_plans([TEMPLATES]).values() for plan in each]
    found = domain_events(plans)
    assert len(found) == sum(
        len(plan.publishes_events) + sum(len(step.publishes_events) for step in plan.steps) for plan in plans
    )
    assert [each.name for each in found] == sorted(each.name for each in found)
    charged = next(each for each in found if each.name == "payment.charged" and each.namespace == "payments")
    assert (charged.template, charged.step, charged.condition) == (
        "process_payment",
        "charge_card",
        "success",
    )
    assert charged.schema is not None


def test_versions_stand_in_numerical_order() -> None:
    plans = [
        Template("t", namespace="n", version=version)
        .step("a", handler="a.b", publishes_events=[Event("x.y")])
        .compile()
        for version in ("1.10.0", "1.9.0", "1.0.0")
    ]
    assert [each.template_version for each in domain_events(plans)] == ["1.0.0", "1.9.0", "1.10.0"]


class TestCommand:
    def test_the_engines_own_need_no_broker(self, tasker: Tasker) -> None:
        ran = tasker("catalog", "events", "--system", "--json")
        assert (ran.code, ran.json["domain"]) == (0, [])
        assert {"task.blocked", "step.lost"} < {each["name"] for each in ran.json["system"]}
        assert "A worker took the attempt." in tasker("catalog", "events", "--system").out

    def test_published_templates(self, tasker: Tasker, tmp_path: Path) -> None:
        tasker("topics", "create", "--partitions", "1")
        assert tasker("catalog", "events", "--domain").out == "no published template declares events\n"
        assert tasker("template", "publish", str(TEMPLATES)).code == 0
        found = tasker("catalog", "events", "--json").json
        assert found["system"]
        assert "payment.charged" in {each["name"] for each in found["domain"]}
        assert json.dumps(found)
        only = tasker("catalog", "events", "--domain", "--namespace", "payments", "--json").json
        assert {each["namespace"] for each in only["domain"]} == {"payments"}
        assert only["system"] == []
        assert "payment.charged" in tasker("catalog", "events", "--domain").out

"""Templates in Python are the same as in YAML, down to the hash."""
# ruff: noqa: E501 - one row per message

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tasker_kafka.schemas.template import (
    Event,
    InvalidTemplate,
    Lifecycle,
    Retry,
    Template,
    compile_template,
    load_template_file,
)
from tasker_kafka.schemas.words import Delivery

YAML = """\
name: checkout
namespace: shop
version: 1.2.0
description: Buys
metadata: {team: a}
input_schema: {type: object, required: [cart]}
output: {id: $.charge.id}
identity: context_hash
failure_policy: fail_fast
max_parallel_steps: 2
lifecycle: {max_duration_seconds: 60, on_blocked: wait, stale_after_seconds: 5, staleness_action: error,
            retention_hours: 2, failed_retention_hours: 3}
publishes_events:
  - {name: checkout.done, condition: completed, schema: {type: object}}
steps:
  - name: validate
    description: Looks
    handler: {callable: shop.validate, initialization: {strict: true, sizes: [1, 2]}}
    queue: fast
    timeout_seconds: 1.5
    queue_timeout_seconds: 2
    heartbeat_timeout_seconds: 1
    result_schema: {type: object}
  - name: charge
    handler: {callable: shop.charge}
    dependencies: [validate]
    retry: {max_attempts: 5, backoff: linear, backoff_base_ms: 1, max_backoff_ms: 2, jitter: 0, non_retryable: [X]}
    publishes_events:
      - {name: payment.charged, delivery: durable, key: $.id, version: "2.0", publisher: p.q, description: d,
         condition: always}
environments:
  live: {max_parallel_steps: 9}
"""


NUMBERED: Any = {1: 2}


LIFECYCLE = Lifecycle(
    max_duration_seconds=60,
    on_blocked="wait",
    stale_after_seconds=5,
    staleness_action="error",
    retention_hours=2,
    failed_retention_hours=3,
)
RETRY = Retry(
    max_attempts=5, backoff="linear", backoff_base_ms=1, max_backoff_ms=2, jitter=0, non_retryable=["X"]
)
CHARGED = Event(
    "payment.charged",
    delivery="durable",
    key="$.id",
    version="2.0",
    publisher="p.q",
    description="d",
    condition="always",
)


def built() -> Template:
    template = Template(
        "checkout",
        namespace="shop",
        version="1.2.0",
        description="Buys",
        metadata={"team": "a"},
        input_schema={"type": "object", "required": ("cart",)},
        output={"id": "$.charge.id"},
        identity="context_hash",
        failure_policy="fail_fast",
        max_parallel_steps=2,
        lifecycle=LIFECYCLE,
    )
    template.event(Event("checkout.done", {"type": "object"}, condition="completed"))
    template.step(
        "validate",
        description="Looks",
        handler="shop.validate",
        config={"strict": True, "sizes": (1, 2)},
        queue="fast",
        timeout_seconds=1.5,
        queue_timeout_seconds=2,
        heartbeat_timeout_seconds=1,
        result_schema={"type": "object"},
    )
    return template.step(
        "charge", handler="shop.charge", depends_on=["validate"], retry=RETRY, publishes_events=[CHARGED]
    ).environment("live", {"max_parallel_steps": 9})


def test_python_and_yaml_give_the_same_plan(tmp_path: Path) -> None:
    path = tmp_path / "checkout.yaml"
    path.write_text(YAML, encoding="utf-8")
    for environment in (None, "live"):
        (model,) = load_template_file(path, environment=environment)
        plan = compile_template(model)
        assert built().compile(environment=environment) == plan
        assert built().compile(environment=environment).hash == plan.hash


def test_the_smallest_template() -> None:
    plan = Template("nothing").compile()
    assert (plan.namespace, plan.name, plan.version, plan.steps) == ("default", "nothing", "0.1.0", ())


def test_what_is_changed_later_has_no_effect() -> None:
    config: dict[str, Any] = {"a": [1]}
    parents: list[str] = []
    template = Template("t").step("a", handler="h", config=config, depends_on=parents)
    config["a"].append(2)
    parents.append("b")
    assert template.compile().steps[0].config == {"a": [1]}


def test_a_pydantic_model_is_a_schema() -> None:
    class Line(BaseModel):
        sku: str

    class Cart(BaseModel):
        lines: list[Line]

    plan = Template("t", input_schema=Cart).step("a", handler="h", result_schema=Line).compile()
    assert plan.input_schema is not None
    assert plan.input_schema["properties"]["lines"]["items"] == {"$ref": "#/$defs/Line"}
    assert plan.steps[0].result_schema is not None
    assert plan.steps[0].result_schema["required"] == ["sku"]


def test_settings_that_matter_are_parameters() -> None:
    template = Template("t").event(Event("a.b"))
    assert (
        template.compile(default_delivery=Delivery.DURABLE).publishes_events[0].delivery is Delivery.DURABLE
    )
    with pytest.raises(InvalidTemplate, match="events are switched off"):
        template.compile(events_enabled=False)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (Template("T"), "template T: name: 'T' is not a name"),
        (Template("t").step("a", handler="H"), "template t: steps[0].handler.callable: 'H' is not a name"),
        (Template("t").step("a", handler="h", depends_on="b"), "steps[0].dependencies: must be a list, it is the text"),
        (Template("t").step("a", handler="h", config={"x": {1}}), "steps[0].handler.initialization.x: a set is no JSON value"),
        (Template("t").step("a", handler="h", config={"x": float("nan")}), "initialization.x: must be a finite number"),
        (Template("t").step("a", handler="h", config={"x": 2**64}), "initialization.x: the number does not fit into 64"),
        (Template("t").step("a", handler="h", config={"x": "\ud800"}), "initialization.x: half of a surrogate pair"),
        (Template("t", metadata=NUMBERED), "template t: metadata: the key 1 must be text"),
        (Template("t", input_schema=int), "template t: input_schema: a type is no JSON value"),
        (Template("t").step("a", handler="h", retry=Retry(max_attempts=101)), "retry.max_attempts: must be at most 100"),
    ],
)  # fmt: skip
def test_faults_name_the_template_and_the_path(template: Template, expected: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        template.compile()
    assert expected in str(caught.value)


def test_depth_is_limited_in_python_too() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidTemplate) as caught:
        Template("t").step("a", handler="h", config=deep).compile()
    assert caught.value.findings[0].code == "template_too_deep"

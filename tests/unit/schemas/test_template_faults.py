"""Every error text of templates: file, line, path, fault, and what to write instead."""
# ruff: noqa: E501 - one row per message

import json
from typing import Any

import pytest

from tasker_kafka.schemas.errors import TemplateError
from tasker_kafka.schemas.template import (
    InvalidTemplate,
    compile_template,
    lint,
    load_template_file,
    load_templates,
)
from tasker_kafka.schemas.template_faults import REFUSED_KEYS

STEP: dict[str, Any] = {"name": "a", "handler": {"callable": "h.a"}}


def refused(text: str, **options: Any) -> InvalidTemplate:
    with pytest.raises(InvalidTemplate) as caught:
        load_templates(text, source="t.yaml", **options)
    assert isinstance(caught.value, TemplateError)
    return caught.value


def as_yaml(document: Any) -> str:
    """JSON is YAML; PyYAML itself would write aliases."""
    return json.dumps(document, indent=1, ensure_ascii=False)


def message(document: Any) -> str:
    error = refused(as_yaml(document))
    assert len(error.findings) == 1, str(error)
    (finding,) = error.findings
    assert str(error) == str(finding)
    assert finding.source == "t.yaml"
    assert finding.line is not None
    return f"{finding.path}: {finding.message}" if finding.path else finding.message


def template(**keys: Any) -> dict[str, Any]:
    return {"name": "t", "steps": [STEP], **keys}


def step(**keys: Any) -> dict[str, Any]:
    return template(steps=[{**STEP, **keys}])


def event(**keys: Any) -> dict[str, Any]:
    return step(publishes_events=[{"name": "a.b", **keys}])


def test_file_line_path_fault_and_the_nearest_key() -> None:
    text = """\
name: checkout
steps:
  - name: a
    handler: {callable: shop.a}
  - name: b
    handler: {callable: shop.b}
  - name: c
    handler: {callable: shop.c}
    retry:
      max_attempts: 2
      backof: linear
"""
    assert str(refused(text)) == "t.yaml:11: steps[2].retry.backof: unknown key; did you mean `backoff`?"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (template(nmae=1), "nmae: unknown key; did you mean `name`?"),
        (template(desc="x"), "desc: unknown key; did you mean `description`?"),
        (template(maxParallelSteps=1), "maxParallelSteps: unknown key; did you mean `max_parallel_steps`?"),
        (step(depend_on=[]), "steps[0].depend_on: unknown key; did you mean `depends_on`?"),
        (step(handler={"callable": "a", "initialisation": {}}), "steps[0].handler.initialisation: unknown key; did you mean `initialization`?"),
        (template(lifecycle={"retention": 1}), "lifecycle.retention: unknown key; did you mean `retention_hours`?"),
        (event(shema={}), "steps[0].publishes_events[0].shema: unknown key; did you mean `schema`?"),
        (template(publishes_events=[{"name": "a.b", "conditon": "failed"}]), "publishes_events[0].conditon: unknown key; did you mean `condition`?"),
        (step(handler={"callable": "a", "zzz": 1}), "steps[0].handler.zzz: unknown key; keys known here: callable, initialization"),
        ({"steps": []}, "name: the key is required and missing"),
        ({"name": "t"}, "steps: the key is required and missing"),
        (template(steps=[{"name": "a"}]), "steps[0].handler: the key is required and missing"),
        (step(handler={}), "steps[0].handler.callable: the key is required and missing"),
        (step(handler="x.y"), "steps[0].handler: must be a mapping, it is the text 'x.y'; write handler: {callable: x.y}"),
        (template(steps=None), "steps: must be a list, it is null"),
        (step(dependencies="b"), "steps[0].dependencies: must be a list, it is the text 'b'; write [b]"),
        (template(version=1.5), 'version: must be text, it is 1.5; quote it: "1.5"'),
        (template(version="1.5"), "version: '1.5' is not a semantic version, as 1.4.0"),
        (template(version="01.2.3"), "version: '01.2.3' is not a semantic version, as 1.4.0"),
        (template(name="Check-out"), "name: 'Check-out' is not a name: small letters a–z, digits and _"),
        (template(name="a.b"), "name: 'a.b' is not a name: small letters a–z, digits and _"),
        (template(namespace=""), "namespace: '' is not a name: small letters a–z, digits and _"),
        (step(queue="../x"), "steps[0].queue: '../x' is not a name: small letters a–z, digits and _"),
        (step(handler={"callable": "os.System"}), "steps[0].handler.callable: 'os.System' is not a name: small letters a–z, digits and _, in parts joined by dots"),
        (step(handler={"callable": "a..b"}), "steps[0].handler.callable: 'a..b' is not a name: small letters a–z, digits and _, in parts joined by dots"),
        (template(max_parallel_steps=0), "max_parallel_steps: must be at least 1, it is 0: nothing would ever run; for no limit leave the key out or write null"),
        (template(max_parallel_steps=True), "max_parallel_steps: must be a whole number, it is true"),
        (template(identity="unique"), "identity: must be one of always_unique, caller_provided, context_hash, it is 'unique'; did you mean `always_unique`?"),
        (template(failure_policy="stop"), "failure_policy: must be one of continue, fail_fast, it is 'stop'"),
        (step(retry={"backoff": "exponental"}), "steps[0].retry.backoff: must be one of exponential, linear, fibonacci, none, it is 'exponental'; did you mean `exponential`?"),
        (step(retry={"max_attempts": "3"}), "steps[0].retry.max_attempts: must be a whole number, it is the text '3'; take the quotes away"),
        (step(retry={"max_attempts": 1.5}), "steps[0].retry.max_attempts: must be a whole number, it is 1.5"),
        (step(retry={"max_attempts": -1}), "steps[0].retry.max_attempts: must be at least 0, it is -1"),
        (step(retry={"jitter": 1.1}), "steps[0].retry.jitter: must be at most 1 of the delay, it is 1.1 (bad_jitter)"),
        (step(retry={"retryable": "yes"}), "steps[0].retry.retryable: must be true or false, it is the text 'yes'"),
        (step(retry={"non_retryable": ["X", "X"]}), "steps[0].retry.non_retryable: the code 'X' is there 2 times"),
        (step(retry={"non_retryable": [""]}), "steps[0].retry.non_retryable[0]: the text must have at least 1 character"),
        (step(retry=None), "steps[0].retry: must be a mapping, it is null"),
        (step(timeout_seconds=0), "steps[0].timeout_seconds: must be at least 0.001, it is 0"),
        (step(timeout_seconds=None), "steps[0].timeout_seconds: must be a number, it is null"),
        (step(heartbeat_timeout_seconds="30"), "steps[0].heartbeat_timeout_seconds: must be a number, it is the text '30'; take the quotes away"),
        (template(lifecycle={"retention_hours": 0}), "lifecycle.retention_hours: must be at least 1, it is 0"),
        (template(lifecycle=[]), "lifecycle: must be a mapping, it is a list"),
        (step(type="map"), "steps[0].type: steps of type `map` come with a later release; this one runs `standard` steps"),
        (step(type="standart"), "steps[0].type: there is no step type 'standart'; leave `type` out, or write `standard`"),
        (step(dependencies=["a"]), "steps[0].dependencies[0]: step `a` depends on itself"),
        (template(steps=[STEP, {**STEP, "name": "cart"}, {**STEP, "name": "b", "dependencies": ["cat"]}]), "steps[2].dependencies[0]: there is no step `cat`; did you mean `cart`?"),
        (template(steps=[STEP, {**STEP, "name": "b", "depends_on": ["a", "a"]}]), "steps[1].depends_on[1]: step `a` is named twice"),
        (template(steps=[STEP, STEP]), "steps[1].name: the name `a` is taken by steps[0]; names are unique in a template"),
        (template(steps=[{**STEP, "name": n, "dependencies": [d]} for n, d in ("ab", "bc", "ca")]), "steps[0].dependencies: the steps wait for each other: a → b → c → a (each depends on the next)"),
        (step(depends_on=[], dependencies=[]), "steps[0].depends_on: `depends_on` and `dependencies` are two spellings of one key: write one of them"),
        (template(namespace="a", namespace_name="a"), "namespace_name: `namespace_name` and `namespace` are two spellings of one key: write one of them"),
        (template(output={}), "output: names no results; leave `output` out for the results of the leaf steps"),
        (template(output={"x": "a.id"}), "output.x: 'a.id' is no result path: a path begins with `$.`, as `$.a.id`"),
        (template(output={"x": {"y": "$.b.id"}}), "output.x.y: there is no step `b`; steps known here: a"),
        (template(output={"x": 5}), "output.x: must be a result path, as `$.step_name.field`"),
        (template(output={"x": "$"}), "output.x: `$` alone names no step; write `$.step_name`"),
        (event(name="charged"), "steps[0].publishes_events[0].name: 'charged' is not a name: at least two parts of small letters a–z, digits and _, joined by dots"),
        (event(name="step.done"), "steps[0].publishes_events[0].name: names under `step.` are system events, which the engine reports itself; give the event a name of the business, as `payment.charged`"),
        (event(delivery="durabel"), "steps[0].publishes_events[0].delivery: must be one of fire_and_forget, durable, acknowledged, it is 'durabel'; did you mean `durable`?"),
        (event(condition="completed"), "steps[0].publishes_events[0].condition: must be one of success, failure, retryable_failure, permanent_failure, always, it is 'completed'"),
        (template(publishes_events=[{"name": "a.b", "condition": "success"}]), "publishes_events[0].condition: must be one of completed, failed, cancelled, blocked, resolved_manually, it is 'success'"),
        (step(publishes_events=[{"name": "a.b"}, {"name": "a.b", "condition": "failure"}]), "steps[0].publishes_events[1].name: the event `a.b` is declared by publishes_events[0] already"),
        (event(key="customer_id"), "steps[0].publishes_events[0].key: 'customer_id' is no path: a path begins with `$.`, as `$.customer_id`"),
        (event(version="one"), "steps[0].publishes_events[0].version: 'one' is not an event version, as \"1.0\""),
        (event(version=1.0), 'steps[0].publishes_events[0].version: must be text, it is 1.0; quote it: "1.0"'),
        (event(schema={"type": "strin"}), "steps[0].publishes_events[0].schema.type: no JSON Schema type; did you mean `string`?"),
        (event(schema={"$ref": "http://x/y"}), "steps[0].publishes_events[0].schema.$ref: `http://x/y` is not in this document; only local references, as `#/$defs/name`, are followed"),
        (template(input_schema={"pattern": "(?=a)"}), "input_schema.pattern: not a pattern that runs in linear time: no look-around, back-references or huge repetitions"),
        (step(result_schema={"properties": {"a": {"format": "emial"}}}), "steps[0].result_schema.properties.a.format: unknown format; did you mean `email`?"),
        (template(input_schema=True), "input_schema: must be a mapping, it is true"),
        (template(environments=[]), "environments: must be a mapping of environment names to overlays"),
        ([1], "a template is a mapping, as {name: checkout, steps: []}"),
        (None, "a template is a mapping, as {name: checkout, steps: []}"),
    ],
)  # fmt: skip
def test_messages(document: Any, expected: str) -> None:
    assert message(document) == expected


@pytest.mark.parametrize(
    ("document", "path", "advice"),
    [
        (template(named_steps=["a"]), "named_steps", "the list of `steps` says it"),
        (step(skippable=True), "steps[0].skippable", "bypass_steps"),
        (template(system_dependency="x"), "system_dependency", "metadata"),
        (step(system_dependency="x"), "steps[0].system_dependency", "`queue` of its own"),
        (step(priority=1), "steps[0].priority", "`queue` with workers of its own"),
        (
            step(handler={"callable": "a", "method": "go"}),
            "steps[0].handler.method",
            "register another step handler",
        ),
        (
            step(handler={"callable": "a", "resolver": "x"}),
            "steps[0].handler.resolver",
            "registered name alone",
        ),
        (template(event_subscriptions=[]), "event_subscriptions", "tasker subscriber --config"),
    ],
)
def test_keys_of_the_originals_say_what_to_use(document: Any, path: str, advice: str) -> None:
    found = message(document)
    assert found.startswith(f"{path}: `{path.rpartition('.')[2]}` has no effect here: ")
    assert advice in found


def test_every_refused_key_is_none_that_exists_and_has_advice() -> None:
    for model, keys in REFUSED_KEYS.items():
        assert not set(keys) & {field.alias or name for name, field in model.model_fields.items()}
        assert all(len(advice) > 10 for advice in keys.values())


def test_all_faults_of_a_stage_are_reported_together() -> None:
    error = refused("name: T\nsteps:\n  - name: a\n    handler: {callable: X}\n    tiemout_seconds: 3\n")
    assert str(error).splitlines() == [
        "t.yaml: 3 faults",
        "t.yaml:1: name: 'T' is not a name: small letters a–z, digits and _",
        "t.yaml:4: steps[0].handler.callable: 'X' is not a name: small letters a–z, digits and _, in parts joined by dots",
        "t.yaml:5: steps[0].tiemout_seconds: unknown key; did you mean `timeout_seconds`?",
    ]


def test_a_long_list_of_faults_is_cut_in_the_text_and_whole_in_the_findings() -> None:
    error = refused("name: t\nsteps: []\n" + "".join(f"zz{each}: 1\n" for each in range(80)))
    assert len(error.findings) == 80
    assert str(error).endswith("… and 30 more")


def test_events_may_be_switched_off() -> None:
    (model,) = load_templates(as_yaml(event()), source="t.yaml")
    with pytest.raises(InvalidTemplate) as caught:
        compile_template(model, events_enabled=False)
    assert "steps[0].publishes_events: events are switched off here (events.enabled = false)" in str(
        caught.value
    )
    (model,) = load_templates(as_yaml(template()), source="t.yaml")
    assert compile_template(model, events_enabled=False).steps[0].publishes_events == ()


def test_a_template_and_version_stands_once_in_a_text() -> None:
    one = as_yaml(template())
    assert "default/t 0.1.0 is defined twice in this text" in str(refused(f"{one}\n---\n{one}"))
    other = as_yaml(template(version="0.2.0"))
    assert [each.version for each in load_templates(f"{one}\n---\n{other}", source="t.yaml")] == [
        "0.1.0",
        "0.2.0",
    ]


def test_faults_in_a_later_document_have_their_own_lines() -> None:
    error = refused("name: a\nsteps: []\n---\nname: b\nsteps: []\nx: 1\n")
    assert error.findings[0].line == 6


def test_a_text_without_a_template_is_refused() -> None:
    assert str(refused("")) == "t.yaml: there is no template"
    assert str(refused("# nothing\n")) == "t.yaml: there is no template"


def test_files_that_cannot_be_read_are_template_errors(tmp_path: Any) -> None:
    with pytest.raises(TemplateError, match=r"nothing\.yaml: cannot be read: No such file"):
        load_template_file(tmp_path / "nothing.yaml")
    with pytest.raises(TemplateError, match="cannot be read"):
        load_template_file(tmp_path)
    path = tmp_path / "t.yaml"
    path.write_bytes(b"name: \xff")
    with pytest.raises(TemplateError, match="not UTF-8 at byte 6"):
        load_template_file(path)
    path.write_text("\ufeffname: t\nsteps: []\n", encoding="utf-8")
    assert load_template_file(path)[0].name == "t"


def test_lint_raises_nothing_and_finds_the_same_faults() -> None:
    text = as_yaml(step(priority=1))
    assert [str(each) for each in lint(text, source="t.yaml")] == [str(refused(text))]
    assert lint("[", source="t.yaml")[0].code == "not_yaml"

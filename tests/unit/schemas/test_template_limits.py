"""Every limit of a template at n−1, n and n+1, with the name of its error."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tasker_kafka.schemas.findings import Finding
from tasker_kafka.schemas.identity import plan_json
from tasker_kafka.schemas.schema_check import check_schema
from tasker_kafka.schemas.template import InvalidTemplate, Template, compile_template, lint, load_templates
from tasker_kafka.schemas.template_checks import find_cycle, longest_path

Document = dict[str, Any]


def step(name: str, *parents: str, **keys: Any) -> Document:
    return {"name": name, "handler": {"callable": "h"}, "dependencies": [*parents], **keys}


def codes(document: Document) -> list[str]:
    """Codes of the faults of loading and compiling; none if it is accepted."""
    try:
        (model,) = load_templates(json.dumps(document), source="t.yaml")
        compile_template(model)
    except InvalidTemplate as error:
        return [each.code for each in error.findings]
    return []


def template(**keys: Any) -> Document:
    return {"name": "t", "steps": [], **keys}


def with_steps(count: int) -> Document:
    return template(steps=[step(f"s{each}") for each in range(count)])


def with_edges(count: int) -> Document:
    """100 parents, all of which 50 children depend on: 5,000 edges; the first child has the difference."""
    parents = [f"p{each}" for each in range(100)]
    difference = count - 5_000
    children = [step(f"c{each}", *parents) for each in range(49)]
    last = step("last", *(parents[: 100 + difference] if difference <= 0 else [*parents, "c0"]))
    return template(steps=[*(step(each) for each in parents), *children, last])


def with_fan_out(count: int) -> Document:
    return template(steps=[step("root"), *(step(f"c{each}", "root") for each in range(count))])


def with_depth(count: int) -> Document:
    chain = [step(f"s{each}", *([f"s{each - 1}"] if each else [])) for each in range(count)]
    return template(steps=[*reversed(chain)])


def nested_schema(depth: int) -> Document:
    schema: Document = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


LIMITS: list[tuple[str, int, Callable[[int], Document]]] = [
    ("too_many_steps", 1_000, with_steps),
    ("too_many_edges", 5_000, with_edges),
    ("fan_out_too_large", 500, with_fan_out),
    ("dag_too_deep", 50, with_depth),
    ("name_too_long", 64, lambda n: template(name="n" * n)),
    ("name_too_long", 64, lambda n: template(namespace="n" * n)),
    ("name_too_long", 64, lambda n: template(steps=[step("n" * n)])),
    ("name_too_long", 64, lambda n: template(steps=[step("s", queue="n" * n)])),
    ("name_too_long", 64, lambda n: template(steps=[step("s", handler={"callable": "a." + "n" * (n - 2)})])),
    ("event_name_too_long", 128, lambda n: template(publishes_events=[{"name": "a." + "n" * (n - 2)}])),
    ("too_many_environments", 50, lambda n: template(environments={f"e{each}": {} for each in range(n)})),
    ("too_many_attempts", 100, lambda n: template(steps=[step("s", retry={"max_attempts": n})])),
    ("backoff_too_long", 2_592_000_000, lambda n: template(steps=[step("s", retry={"max_backoff_ms": n})])),
    ("backoff_too_long", 2_592_000_000, lambda n: template(steps=[step("s", retry={"backoff_base_ms": n})])),
    ("duration_too_long", 316_224_000, lambda n: template(steps=[step("s", timeout_seconds=n)])),
    ("duration_too_long", 316_224_000, lambda n: template(lifecycle={"max_duration_seconds": n})),
    ("duration_too_long", 87_840, lambda n: template(lifecycle={"retention_hours": n})),
    ("bad_version", 64, lambda n: template(version="1.0.0-" + "x" * (n - 6))),
    ("bad_length", 128, lambda n: template(steps=[step("s", retry={"non_retryable": ["C" * n]})])),
    ("bad_path", 512, lambda n: template(steps=[step("s")], output={"x": "$.s." + "x" * (n - 4)})),
]


@pytest.mark.parametrize(
    ("code", "maximum", "make"), LIMITS, ids=[f"{row[0]}-{n}" for n, row in enumerate(LIMITS)]
)
def test_a_limit_accepts_n_and_refuses_one_more(
    code: str, maximum: int, make: Callable[[int], Document]
) -> None:
    assert codes(make(maximum - 1)) == []
    assert codes(make(maximum)) == []
    assert codes(make(maximum + 1)) == [code]


def test_schema_depth_ends_at_32() -> None:
    """Asked directly: the document around a schema has levels of its own."""
    for depth, expected in ((31, []), (32, []), (33, ["schema_too_deep"])):
        assert [each.code for each in check_schema(nested_schema(depth))] == expected, depth


def test_depth_of_templates_in_python_ends_at_32_too() -> None:
    for depth, expected in ((30, []), (31, []), (32, ["template_too_deep"])):
        try:
            Template("t", metadata=nested_schema(depth)).compile()
            found: list[str] = []
        except InvalidTemplate as error:
            found = [each.code for each in error.findings]
        assert found == expected, depth


def test_text_depth_ends_at_32() -> None:
    def nested(levels: int) -> str:
        return "name: t\nsteps: []\nmetadata: " + '{"a": ' * (levels - 1) + "1" + "}" * (levels - 1)

    for levels, expected in ((31, []), (32, []), (33, ["template_too_deep"])):
        assert [each.code for each in lint(nested(levels), source="t.yaml")] == expected


def test_text_size_ends_at_one_mib() -> None:
    head = "name: t\nsteps: []\n#"
    for size, expected in ((1_048_575, []), (1_048_576, []), (1_048_577, ["template_too_large"])):
        text = head + "x" * (size - len(head))
        assert [each.code for each in lint(text, source="t.yaml")] == expected


def test_size_is_counted_in_bytes() -> None:
    text = "name: t\nsteps: []\n#" + "é" * 600_000
    assert [each.code for each in lint(text, source="t.yaml")] == ["template_too_large"]


def test_a_plan_ends_at_one_mib() -> None:
    def plan(size: int) -> Document:
        return template(description="x" * size)

    (model,) = load_templates(json.dumps(plan(0)), source="t.yaml")
    empty = len(plan_json(compile_template(model)))
    for total, expected in ((1_048_575, []), (1_048_576, []), (1_048_577, ["plan_too_large"])):
        assert codes(plan(total - empty)) == expected


def test_an_exceeded_limit_says_the_way_out() -> None:
    with pytest.raises(InvalidTemplate) as caught:
        load_templates(json.dumps(with_depth(51)), source="t.yaml")
    (finding,) = caught.value.findings
    assert finding.path == "steps[0]"
    assert finding.message == (
        "the longest path (s0 → s1 → s2 → … → s49 → s50): 51 steps, at most 50 are accepted (dag_too_deep): "
        "join short steps, or let a step submit a further task"
    )


def test_no_template_crashes_for_its_shape() -> None:
    """A thousand steps in a circle, and a thousand in a row: found without recursion."""
    circle = template(steps=[step(f"s{each}", f"s{(each + 1) % 1_000}") for each in range(1_000)])
    assert codes(circle) == ["cycle"]
    assert codes(with_depth(1_000)) == ["dag_too_deep"]


HOSTILE = {
    "unknown keys": {**template(), **{f"key{each}": 1 for each in range(20_000)}},
    "unknown dependencies": template(
        steps=[step(f"s{each}", *(f"x{each}_{at}" for at in range(50))) for each in range(400)]
    ),
    "unknown steps in an overlay": template(
        steps=[step(f"s{each}") for each in range(400)],
        environments={"e": {"steps": [{"name": f"z{each}"} for each in range(20_000)]}},
    ),
    "dangling references": template(
        input_schema={"properties": {f"p{each}": {"$ref": f"#/$defs/d{each}"} for each in range(10_000)}}
    ),
    "unknown variables": template(metadata={"x": ["${NOTHING}"] * 20_000}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_gets_no_more_answers_than_a_person_reads(name: str) -> None:
    """Each answer costs a search for the nearest word; a fault per line must not cost an hour."""
    found = lint(json.dumps(HOSTILE[name]), source="t.yaml")
    assert 0 < len(found) <= 201


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        ({}, ()),
        ({"a": (), "b": ("a",), "c": ("a", "b")}, ()),
        ({"a": ("b",), "b": ("a",)}, ("a", "b", "a")),
        ({"a": (), "b": ("a", "d"), "c": ("b",), "d": ("c",)}, ("b", "d", "c", "b")),
    ],
)
def test_cycles_are_found(graph: dict[str, tuple[str, ...]], cycle: tuple[str, ...]) -> None:
    assert find_cycle(graph) == cycle


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        ({}, ()),
        ({"a": ()}, ("a",)),
        ({"c": ("b", "a"), "b": ("a",), "a": ()}, ("a", "b", "c")),
        ({"a": (), "b": ("a",), "c": ("a",), "d": ("c",), "e": ("b", "d")}, ("a", "c", "d", "e")),
    ],
)
def test_the_longest_path_is_found(graph: dict[str, tuple[str, ...]], path: tuple[str, ...]) -> None:
    assert longest_path(graph) == path


def test_findings_print_their_place() -> None:
    finding = Finding(code="x", path="a[1].b", message="wrong", source="f.yaml", line=3)
    assert str(finding) == "f.yaml:3: a[1].b: wrong"
    assert str(Finding(code="x", path="", message="wrong", source="f.yaml")) == "f.yaml: wrong"

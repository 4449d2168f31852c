"""Templates under random input: whole templates survive the way through YAML, and nothing else ever escapes.

Redaction and strict JSON are held to their promises on random values here as well.
"""

import json
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.schemas.identity import plan_json
from tasker_kafka.schemas.json_strict import InvalidJson, decode_json
from tasker_kafka.schemas.limits import inline_limit
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.redaction import DEFAULT_MASK, Redactor
from tasker_kafka.schemas.template import (
    InvalidTemplate,
    Retry,
    Template,
    compile_template,
    lint,
    load_templates,
)

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=12)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), max_size=12).filter(
    lambda text: "${" not in text
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
RETRIES = st.fixed_dictionaries(
    {},
    optional={
        "retryable": st.booleans(),
        "max_attempts": st.integers(0, 100),
        "backoff": st.sampled_from(["exponential", "linear", "fibonacci", "none"]),
        "backoff_base_ms": st.integers(0, 100_000),
        "jitter": st.floats(0, 1),
        "non_retryable": st.lists(NAMES, unique=True, max_size=3),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A template whose steps depend on earlier names of a random order: always a DAG, never in file order."""
    names = draw(st.lists(NAMES, unique=True, max_size=8))
    steps = []
    for position, name in enumerate(names):
        step: dict[str, Any] = {"name": name, "handler": {"callable": f"h.{name}"}}
        if position and draw(st.booleans()):
            spelling = draw(st.sampled_from(["dependencies", "depends_on"]))
            step[spelling] = draw(st.lists(st.sampled_from(names[:position]), unique=True, max_size=4))
        if draw(st.booleans()):
            step["retry"] = draw(RETRIES)
        if draw(st.booleans()):
            step["handler"]["initialization"] = draw(st.dictionaries(TEXTS, JSON, max_size=3))
        if draw(st.booleans()):
            step["timeout_seconds"] = draw(st.integers(1, 10_000) | st.floats(0.001, 10_000))
        steps.append(step)
    document: dict[str, Any] = {"name": draw(NAMES), "steps": draw(st.permutations(steps))}
    if draw(st.booleans()):
        document["metadata"] = draw(st.dictionaries(TEXTS, JSON, max_size=3))
    if draw(st.booleans()):
        document[draw(st.sampled_from(["namespace", "namespace_name"]))] = draw(NAMES)
    return document


def as_text(document: Any) -> str:
    """As JSON, which is YAML except for escaped surrogate pairs."""
    return json.dumps(document, ensure_ascii=False)


def compiled(text: str) -> Plan:
    (model,) = load_templates(text, source="t.yaml")
    return compile_template(model)


@given(documents())
def test_a_template_survives_the_way_through_yaml(document: dict[str, Any]) -> None:
    plan = compiled(as_text(document))
    assert [step.name for step in plan.steps] == [step["name"] for step in document["steps"]]
    assert plan.inline_limit == inline_limit(len(plan.steps))
    for text in (
        json.dumps(document, ensure_ascii=False, indent=1),
        yaml.dump(document, Dumper=_Writer, sort_keys=True, allow_unicode=True, width=100_000),
    ):
        again = compiled(text)
        assert again == plan
        assert again.hash == plan.hash


@given(documents())
def test_a_plan_survives_its_own_json(document: dict[str, Any]) -> None:
    plan = compiled(as_text(document))
    again = msgspec.json.decode(plan_json(plan), type=Plan)
    assert again == plan
    assert again.hash == plan.hash


@given(documents())
def test_python_and_yaml_agree(document: dict[str, Any]) -> None:
    template = Template(
        document["name"],
        namespace=document.get("namespace", document.get("namespace_name")),
        metadata=document.get("metadata"),
    )
    for step in document["steps"]:
        template.step(
            step["name"],
            handler=step["handler"]["callable"],
            config=step["handler"].get("initialization"),
            depends_on=step.get("dependencies", step.get("depends_on")),
            retry=Retry(**step["retry"]) if "retry" in step else None,
            timeout_seconds=step.get("timeout_seconds"),
        )
    assert template.compile().hash == compiled(as_text(document)).hash


@given(st.text(max_size=300))
def test_arbitrary_text_raises_nothing_but_template_errors(text: str) -> None:
    try:
        load_templates(text, source="t.yaml", environment="live", variables={"A": "1", "B": None})
        assert isinstance(lint(text, source="t.yaml"), list)
    except InvalidTemplate as error:
        _check(error)


def _check(error: InvalidTemplate) -> None:
    assert error.findings
    assert str(error)
    assert all(each.code and each.message and each.source == "t.yaml" for each in error.findings)


_KEYS = [
    "name", "steps", "namespace", "version", "metadata", "input_schema", "output", "identity", "handler", "callable",
    "dependencies", "depends_on", "retry", "max_attempts", "lifecycle", "publishes_events", "schema", "environments",
    "live", "type", "$ref", "properties", "default", "key", "initialization", "timeout_seconds",
]  # fmt: skip
_NEAR = st.recursive(
    SCALARS
    | st.sampled_from(
        ["a", "a.b", "$.a.b", "${A}", "${B:-2}", "1.0.0", "#", "#/$defs/x", "object", "$${", "${"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
    max_leaves=30,
)


@given(
    _NEAR, st.fixed_dictionaries({}, optional={"environments": _NEAR, "steps": _NEAR, "input_schema": _NEAR})
)
def test_documents_that_are_nearly_templates_raise_nothing_else_either(
    near: Any, keys: dict[str, Any]
) -> None:
    for document in (near, {"name": "a", "steps": [], **keys}, {"name": "a", "steps": [near]}):
        text = as_text(document)
        for environment in (None, "live"):
            try:
                (model,) = load_templates(
                    text, source="t.yaml", environment=environment, variables={"A": "1", "B": None}
                )
                assert len(compile_template(model).hash) == 32
            except InvalidTemplate as error:
                _check(error)
        lint(text, source="t.yaml")


@given(JSON)
def test_strict_json_reads_what_json_writes(value: Any) -> None:
    assert decode_json(json.dumps(value), max_bytes=1_000_000) == value


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_strict_json_refuses_or_gives_what_can_be_written_again(data: str | bytes) -> None:
    try:
        value = decode_json(data, max_bytes=1_000)
    except InvalidJson:
        return
    assert decode_json(msgspec.json.encode(value), max_bytes=10_000) == value


_SECRET = "hunter2-Zx9"
_HIDDEN = st.sampled_from(["password", "apiKey", "card_ssn", "X-API-KEY", "db.passwd", "accessToken", "Otp2"])


@given(
    JSON, st.lists(NAMES | _HIDDEN, max_size=4), _HIDDEN, st.sampled_from(["{}", "a {} b", '{{"x": "{}"}}'])
)
def test_a_secret_under_a_hidden_name_never_shows(value: Any, path: list[str], name: str, form: str) -> None:
    nested: Any = {name: {"text": form.format(_SECRET), "list": [_SECRET]}}
    for key in path:
        nested = {key: [value, nested]}
    shown = Redactor().redact(nested)
    assert _SECRET not in str(shown)
    assert DEFAULT_MASK in str(shown)


@given(TEXTS, _HIDDEN, st.sampled_from(["=", ": ", "='", ' : "', "=>"]), TEXTS)
def test_an_assigned_secret_never_shows(before: str, name: str, sign: str, after: str) -> None:
    shown = Redactor().redact_text(f"{before} {name}{sign}{_SECRET} {after}")
    assert _SECRET not in shown


@given(JSON)
def test_redacting_twice_is_as_redacting_once(value: Any) -> None:
    redactor = Redactor()
    once = redactor.redact(value)
    assert redactor.redact(once) == once


class _Writer(yaml.SafeDumper):
    """PyYAML writes by YAML 1.1: what reads otherwise by 1.2 must be quoted or written out."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _quoted(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style='"')


def _float(writer: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    text = repr(number)
    text = text.replace("e", ".0e") if "." not in text else text
    return writer.represent_scalar("tag:yaml.org,2002:float", text)


_Writer.add_representer(str, _quoted)
_Writer.add_representer(float, _float)


@pytest.mark.parametrize("text", ["1e400", "0x", "0o8", "+", "-", ".", "..", "1.", "+.5e-3", "0x" + "f" * 80])
def test_odd_numbers_are_read_or_refused(text: str) -> None:
    for finding in lint(f"name: t\nsteps: []\nmetadata: {{x: {text}}}\n", source="t.yaml"):
        assert finding.code == "bad_number"

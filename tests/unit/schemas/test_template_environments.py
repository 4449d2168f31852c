"""Overlays and variables: how they merge, what they may not do, and where their faults are reported."""
# ruff: noqa: E501 - one row per message

import pytest

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import InvalidTemplate, compile_template, lint, load_templates

TEXT = """\
name: checkout
namespace: shop
max_parallel_steps: 1
metadata: {team: a, tags: [x, y], limits: {low: 1, high: 2}}
steps:
  - name: cart
    handler: {callable: shop.cart, initialization: {url: here, depth: {a: 1, b: 2}}}
    retry: {max_attempts: 2, non_retryable: [A, B]}
  - name: pay
    handler: {callable: shop.pay}
    depends_on: [cart]
environments:
  production:
    max_parallel_steps: null
    metadata: {tags: [z], limits: {high: 9}}
    steps:
      - name: pay
        dependencies: []
        timeout_seconds: 5
      - name: cart
        retry: {non_retryable: [C]}
        handler: {initialization: {url: there, depth: {b: 3}}}
  test:
    steps: []
"""


def plan(environment: str | None) -> Plan:
    (model,) = load_templates(TEXT, source="t.yaml", environment=environment)
    return compile_template(model)


def refused(text: str, environment: str | None = None, variables: dict[str, str | None] | None = None) -> str:
    with pytest.raises(InvalidTemplate) as caught:
        load_templates(text, source="t.yaml", environment=environment, variables=variables)
    return str(caught.value)


def test_mappings_merge_lists_replace_and_steps_merge_by_name() -> None:
    found = plan("production")
    assert found.max_parallel_steps is None
    assert found.metadata == {"team": "a", "tags": ["z"], "limits": {"low": 1, "high": 9}}
    cart, pay = found.steps
    assert (cart.name, cart.handler) == ("cart", "shop.cart")
    assert cart.config == {"url": "there", "depth": {"a": 1, "b": 3}}
    assert (cart.retry.max_attempts, cart.retry.non_retryable) == (2, ("C",))
    assert (pay.timeout_ms, pay.parents) == (5_000, ())


def test_the_base_and_environments_without_overlay_are_the_base() -> None:
    base = plan(None)
    assert base.max_parallel_steps == 1
    assert base.steps[1].parents == ("cart",)
    assert plan("test") == base
    assert plan("elsewhere") == base


def test_a_loaded_template_compiles_for_another_environment() -> None:
    (model,) = load_templates(TEXT, source="t.yaml")
    assert compile_template(model, environment="production") == plan("production")
    (model,) = load_templates(TEXT, source="t.yaml", environment="production")
    assert compile_template(model) == plan("production")
    assert compile_template(model, environment="test") == plan("test")


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("steps: [{name: crat}]", "environments.live.steps[0].name: there is no step `crat` to change; did you mean `cart`?"),
        ("steps: [{retry: {}}]", "environments.live.steps[0]: needs the `name` of the step that it changes"),
        ("steps: [{name: cart}, {name: cart}]", "environments.live.steps[1].name: step `cart` is changed twice"),
        ("steps: {}", "environments.live.steps: must be a list of steps"),
        ("name: other", "environments.live.name: an environment cannot change `name`"),
        ("environments: {}", "environments.live.environments: an environment cannot change `environments`"),
    ],
)  # fmt: skip
def test_an_overlay_of_the_wrong_shape_is_refused_in_every_environment(overlay: str, expected: str) -> None:
    text = TEXT + f"  live:\n    {overlay}\n"
    for environment in (None, "live", "production"):
        assert expected in refused(text, environment)
    assert f"t.yaml:{25 + 1}: {expected}" in refused(text)


def test_an_overlay_that_is_no_mapping_is_refused() -> None:
    assert "environments.live: must be a mapping with the keys to change" in refused(TEXT + "  live: 5\n")


def test_a_fault_in_an_overlay_is_reported_where_it_stands() -> None:
    text = TEXT + "  live:\n    steps:\n      - name: pay\n        retry: {backof: none}\n"
    expected = "t.yaml:28: environments.live.steps[0].retry.backof: unknown key; did you mean `backoff`?"
    assert refused(text, "live") == expected
    assert load_templates(text, source="t.yaml"), "an overlay that is not used is checked by lint"
    assert [str(each) for each in lint(text, source="t.yaml")] == [expected]


def test_a_fault_of_the_base_keeps_its_place_in_every_environment() -> None:
    text = TEXT.replace("callable: shop.pay", "callable: Pay")
    assert refused(text, "production").startswith("t.yaml:10: steps[1].handler.callable: 'Pay' is not a name")


def test_both_spellings_in_one_overlay_are_refused() -> None:
    text = TEXT.replace("        dependencies: []\n", "        dependencies: []\n        depends_on: []\n")
    assert "environments.production.steps[0].depends_on: `depends_on` and `dependencies` are two" in refused(
        text
    )


# ---------------------------------------------------------------- variables


def expanded(value: str, **variables: str | None) -> object:
    text = f"name: t\nsteps: []\nmetadata:\n  x: {value}\n"
    (model,) = load_templates(text, source="t.yaml", variables=variables)
    return model.metadata["x"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${A}", "one"),
        ("'${A}-${B}'", "one-2"),
        ("${B}", 2),
        ("'${B}'", "2"),
        ("${C:-3.5}", 3.5),
        ("${C:-true}", True),
        ("${C:-}", None),
        ("'${C:-}'", ""),
        ("'${C:-a b}'", "a b"),
        ("${A:-unused}", "one"),
        ("$${A}", "${A}"),
        ("'$A and $'", "$A and $"),
    ],
)
def test_variables_are_replaced_and_plain_text_is_read_again(value: str, expected: object) -> None:
    found = expanded(value, A="one", B="2", C=None)
    assert found == expected
    assert type(found) is type(expected)


def test_an_empty_variable_takes_the_default() -> None:
    assert expanded("${A:-x}", A="") == "x"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${HOEM}", "metadata.x: variable `HOEM` is not on the allow-list (setting templates.variables); did you mean `HOME`?"),
        ("${HOEM:-x}", "variable `HOEM` is not on the allow-list"),
        ("${UNSET}", "variable `UNSET` is not set here: set it, or give a default, as `${UNSET:-value}`"),
        ("'${1x}'", "not a variable: write `${NAME}` or `${NAME:-default}`, and `$${` for the characters themselves"),
        ("'${'", "not a variable"),
        ("${BIG}", "the number does not fit into 64 bits"),
        ("'${BROKEN}'", "half of a surrogate pair is no character"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_variable_is_said(value: str, expected: str) -> None:
    variables: dict[str, str | None] = {"HOME": "/", "UNSET": None, "BIG": "9" * 30, "BROKEN": "\udcff"}
    text = f"name: t\nsteps: []\nmetadata:\n  x: {value}\n"
    found = refused(text, variables=variables)
    assert expected in found
    assert found.startswith("t.yaml:4: metadata.x: ")


def test_a_variable_cannot_add_structure() -> None:
    assert expanded("${A}", A="{a: 1}\nname: other") == "{a: 1}\nname: other"


def test_variables_count_only_where_they_are_used() -> None:
    text = "name: t\nsteps: []\nenvironments:\n  live: {metadata: {x: '${SECRET_PLACE}'}}\n"
    assert load_templates(text, source="t.yaml")
    assert "SECRET_PLACE" in refused(text, "live")


def test_keys_are_taken_as_they_are() -> None:
    text = 'name: t\nsteps: []\nmetadata: {"${A}": 1}\n'
    assert load_templates(text, source="t.yaml")[0].metadata == {"${A}": 1}

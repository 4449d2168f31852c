"""Templates in the forms of the first Tasker become ours: they lint, mean the same, and every key is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tasker_kafka.deploy.cli.app import app
from tasker_kafka.deploy.converting import Converted, NoteKind, convert
from tasker_kafka.deploy.converting.words import handler_name
from tasker_kafka.schemas.errors import TemplateError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import compile_template, load_templates
from tasker_kafka.schemas.words import Delivery

ORIGINALS = sorted((Path(__file__).parent / "originals").glob("*.yaml"))
FREE = {
    "input_schema",
    "schema",
    "metadata",
    "initialization",
    "handler_config",
    "task_handler",
    "system_dependencies",
}
"""Keys below which everything is the author's own."""


def converted(name: str) -> Converted:
    """An original of this name."""
    file = next(each for each in ORIGINALS if each.stem == name)
    (found,) = convert(file.read_text(), source=file.name)
    return found


def plan_of(each: Converted, environment: str = "production") -> Plan:
    """The plan it compiles to."""
    (model,) = load_templates(
        each.text, environment=environment, variables={"SHOP_API_KEY": "k"}, source="t.yaml"
    )
    return compile_template(model, default_delivery=Delivery.DURABLE)


def notes(each: Converted, kind: NoteKind) -> dict[str, str]:
    """Path → text of this kind of note."""
    return {note.path: note.text for note in each.notes if note.kind is kind}


def keys(value: Any) -> Iterator[str]:
    """Every key of an original, but for those below what is free."""
    if isinstance(value, list):
        for each in value:
            yield from keys(each)
    elif isinstance(value, dict):
        for key, below in value.items():
            yield key
            if key not in FREE:
                yield from keys(below)


@pytest.mark.parametrize("file", ORIGINALS, ids=lambda file: file.stem)
def test_every_original_converts_and_lints(file: Path) -> None:
    (found,) = convert(file.read_text(), source=file.name)
    assert [str(each) for each in found.findings if each.severity == "error"] == []
    assert plan_of(found).steps


@pytest.mark.parametrize("file", ORIGINALS, ids=lambda file: file.stem)
def test_every_key_is_accounted_for(file: Path) -> None:
    (found,) = convert(file.read_text(), source=file.name)
    kept = set(keys(yaml.safe_load(found.text)))
    noted = {note.path.replace("]", "").replace("[", ".").rpartition(".")[2] for note in found.notes}
    noted |= {
        each for each in ("max_waiting_for_dependencies_minutes",) if "max_waiting_for_…_minutes" in noted
    }
    noted |= {each for each in ("max_waiting_for_retry_minutes",) if "max_waiting_for_…_minutes" in noted}
    environments = {"test", "production", "development"}
    assert set(keys(yaml.safe_load(file.read_text()))) - kept - noted - environments == set()


@pytest.mark.parametrize("file", ORIGINALS, ids=lambda file: file.stem)
def test_graph_budget_and_time_are_the_originals(file: Path) -> None:
    whole = yaml.safe_load(file.read_text())
    (found,) = convert(file.read_text(), source=file.name)
    plan = plan_of(found)
    steps: list[dict[str, Any]] = whole.get("steps") or whole["step_templates"]
    assert [step.name for step in plan.steps] == [each["name"] for each in steps]
    for step, each in zip(plan.steps, steps, strict=True):
        one = each.get("depends_on_step")
        parents = (
            [one]
            if one
            else each.get("depends_on_steps") or each.get("depends_on") or each.get("dependencies")
        )
        assert list(step.parents) == (parents or [])
        retry = each.get("retry") or {}
        limit = each.get("default_retry_limit") or retry.get("limit") or retry.get("max_attempts") or 3
        assert (step.retry.max_attempts, step.retry.retryable) == (limit, each.get("default_retryable", True))
        assert step.timeout_ms == (each.get("timeout_seconds") or 60) * 1000


def test_the_rails_form() -> None:
    found = converted("rails_api_task")
    plan = plan_of(found)
    assert (plan.namespace, plan.name, plan.version) == ("api_tests", "order_flow", "0.1.0")
    assert {step.name: step.parents for step in plan.steps} == {
        "fetch_cart": (),
        "fetch_products": (),
        "validate_products": ("fetch_products", "fetch_cart"),
        "create_order": ("validate_products",),
        "publish_event": ("create_order",),
    }
    assert plan.steps[2].retry.max_attempts == 5
    assert plan.steps[0].config == {
        "type": "api",
        "url": "https://shop.example/cart",
        "params": {"cart_id": 1},
    }
    assert plan_of(found, "test").steps[0].config["params"] == {"cart_id": 1, "test_mode": True}
    assert plan.steps[1].config["params"] == {"api_key": "k"}
    assert set(notes(found, NoteKind.DROPPED)) == {
        "module_namespace",
        "task_handler_class",
        "default_dependent_system",
    }
    assert "[templates] variables" in notes(found, NoteKind.NEEDED)[""]
    event = plan.steps[4].publishes_events[0]
    assert (event.name, event.condition) == ("order.published", "success")


def test_the_rust_form() -> None:
    found = converted("rust_domain_events")
    plan = plan_of(found)
    validated, charged = plan.steps
    assert (validated.handler, validated.timeout_ms) == ("domain_events.validate_order", 30_000)
    assert (charged.retry.max_attempts, charged.retry.backoff) == (2, "linear")
    assert [(each.name, each.delivery, each.condition) for each in charged.publishes_events] == [
        ("payment.processed", "durable", "success"),
        ("payment.failed", "durable", "failure"),
    ]
    assert validated.publishes_events[0].delivery == "fire_and_forget"
    told = plan_of(found, "test").steps
    assert [(each.timeout_ms, each.retry.max_attempts) for each in told] == [(10_000, 1), (5_000, 1)], "ALL"
    assert notes(found, NoteKind.DROPPED).keys() == {"steps[1].handler.method", "task_handler"}
    assert "broadcast" in notes(found, NoteKind.CHANGED)["steps[1].publishes_events[1].delivery_mode"]


def test_the_lifecycle() -> None:
    found = converted("rust_diamond")
    lifecycle = plan_of(found).lifecycle
    assert (lifecycle.max_duration_ms, lifecycle.stale_after_ms, lifecycle.staleness_action) == (
        86_400_000,
        1_800_000,
        "dlq",
    )
    assert "timeout_seconds" in notes(found, NoteKind.DROPPED)["lifecycle.max_steps_in_process_minutes"]


SMALL = """
name: small
namespace_name: tests
steps:
  - name: one
    handler: {callable: OneHandler}
"""


def small(more: str) -> Converted:
    """A template with something more."""
    (found,) = convert(SMALL + more, source="small.yaml")
    return found


@pytest.mark.parametrize(
    ("more", "kind", "path", "text"),
    [
        ("priority: 3", NoteKind.DROPPED, "priority", "in the order of their requests"),
        ("oddity: 3", NoteKind.DROPPED, "oddity", "no meaning here"),
        ("oddity:", NoteKind.EMPTY, "oddity", "said nothing"),
        (
            "    retry: {backoff: fixed, backoff_base_ms: 500}",
            NoteKind.CHANGED,
            "steps[0].retry.backoff",
            "not grow",
        ),
        (
            "    retry: {initial_delay: 2, max_delay: 30}",
            NoteKind.CHANGED,
            "steps[0].retry.initial_delay",
            "2000",
        ),
        ("loaded_from: /x", NoteKind.EMPTY, "loaded_from", "where the file lay"),
        ("concurrent: false", NoteKind.CHANGED, "concurrent", "max_parallel_steps: 1"),
        ("version: '1.2'", NoteKind.CHANGED, "version", "1.2.0"),
        ("identity_strategy: STRICT", NoteKind.CHANGED, "identity_strategy", "context_hash"),
        ("event_subscriptions: [a]", NoteKind.DROPPED, "event_subscriptions", "tasker subscriber"),
    ],
)
def test_what_a_note_says(more: str, kind: NoteKind, path: str, text: str) -> None:
    found = small(more)
    assert text in notes(found, kind)[path]
    assert found.has_losses is (kind is NoteKind.DROPPED)
    assert not [each for each in found.findings if each.severity == "error"]


@pytest.mark.parametrize(
    ("kind", "type_"),
    [("decision", "decision"), ("batchable", "batch"), ("deferred", "deferred_convergence")],
)
def test_steps_that_cannot_run_yet_stay_refused(kind: str, type_: str) -> None:
    """A decision that became an ordinary step would run every branch."""
    (found,) = convert(f"{SMALL}    type: {kind}\n", source="small.yaml")
    assert yaml.safe_load(found.text)["steps"][0]["type"] == type_
    assert found.has_losses
    assert [each.code for each in found.findings if each.severity == "error"] == ["type_to_come"]


def test_a_template_that_loses_nothing() -> None:
    found = small("")
    assert not found.has_losses
    assert {note.kind for note in found.notes} == {NoteKind.RENAMED, NoteKind.CHANGED, NoteKind.NEEDED}


@pytest.mark.parametrize(
    "text", ["0o17", "1_000", "no", "1:30", "2026-01-01", "1e3", "a: b", "${X}", "~", "é\nö"]
)
def test_text_stays_text(text: str) -> None:
    original = {
        "name": "t",
        "steps": [{"name": "a", "handler": {"callable": "a", "initialization": {"x": text}}}],
    }
    (found,) = convert(yaml.safe_dump(original, default_style='"'), source="t.yaml")
    (model,) = load_templates(found.text.replace("${X}", "$${X}"), variables={}, source="t.yaml")
    assert model.steps[0].handler.initialization == {"x": text}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Shop::StepHandlers::ChargeCardHandler", "shop.charge_card"),
        ("ApiTask::StepHandler::CartFetchStepHandler", "api_task.cart_fetch"),
        ("my_crate::step_handlers::diamond::DiamondStartHandler", "my_crate.diamond.diamond_start"),
        ("HTTPHandler", "http"),
        ("charge_card", "charge_card"),
        ("Handler", "handler"),
    ],
)
def test_names_of_handlers(name: str, expected: str) -> None:
    assert handler_name(name) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: [", "line 2"), ("name: x", "no template"), ("- 1", "no template"), ("5", "no template")],
)
def test_what_is_no_template_is_said(text: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        convert(text, source="x.yaml")


JUNK: tuple[Any, ...] = (
    None,
    0,
    True,
    1.5,
    "text",
    "",
    [],
    [1],
    ["a"],
    {},
    {"a": 1},
    {"name": 5},
    [{"name": None}],
    "é" * 200,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document that something else can be put into."""
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from places(below)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rails_api_task", "rust_domain_events"])
def test_whatever_stands_in_an_original_is_converted_or_named(name: str) -> None:
    whole = yaml.safe_load(next(each for each in ORIGINALS if each.stem == name).read_text())
    for number, (container, key) in enumerate([*places(whole)]):
        held = container[key]
        for junk in JUNK[number % 4 :: 4]:  # a quarter of them at each place
            container[key] = junk
            with suppress(TemplateError):
                assert len(convert(yaml.safe_dump(whole, allow_unicode=True), source="junk.yaml")) == 1
        container[key] = held


class TestCommand:
    def run(self, *arguments: str) -> Any:
        """`tasker template convert`."""
        return CliRunner().invoke(app, ["template", "convert", *arguments])

    def test_text_goes_out_and_notes_to_standard_error(self, tmp_path: Path) -> None:
        file = tmp_path / "small.yaml"
        file.write_text(SMALL)
        ran = self.run(str(file))
        assert ran.exit_code == 0
        assert yaml.safe_load(ran.stdout)["namespace"] == "tests"
        assert "needed: steps[0].handler: a step handler registered as 'one'" in ran.stderr

    def test_a_loss_is_exit_code_1(self) -> None:
        assert self.run(str(ORIGINALS[0])).exit_code == 1

    def test_files_are_written_and_not_replaced(self, tmp_path: Path) -> None:
        into = str(tmp_path / "new")
        ran = self.run(*map(str, ORIGINALS), "--folder", into, "--json")
        assert ran.exit_code == 1
        assert len(list((tmp_path / "new").glob("*.yaml"))) == len(ORIGINALS)
        again = self.run(str(ORIGINALS[0]), "--folder", into)
        assert again.exit_code == 78
        assert "--force" in again.stderr
        assert self.run(str(ORIGINALS[0]), "--folder", into, "--force").exit_code == 1

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert self.run(str(tmp_path / "none.yaml")).exit_code == 78

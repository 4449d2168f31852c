"""The acceptance templates: their graphs, their limits, and handlers that fit them."""

from __future__ import annotations

import pytest

from tasker_kafka.deploy import examples
from tasker_kafka.deploy.handler_checks import check_plans, load_registry
from tasker_kafka.deploy.template_files import lint_files, load_plans
from tests.support.example_runs import example_plans

GRAPHS: dict[str, dict[str, set[str]]] = {
    "default/dummy": {"one": set(), "two": set(), "three": {"two"}, "four": {"three"}},
    "ecommerce/checkout": {
        "validate_cart": set(),
        "process_payment": {"validate_cart"},
        "reserve_inventory": {"process_payment"},
        "create_order": {"reserve_inventory"},
        "send_confirmation": {"create_order"},
    },
    "ecommerce/observed_checkout": {
        "validate_cart": set(),
        "process_payment": {"validate_cart"},
        "reserve_inventory": {"process_payment"},
        "create_order": {"reserve_inventory"},
        "send_confirmation": {"create_order"},
    },
    "analytics/data_pipeline": {
        "extract_orders": set(),
        "extract_users": set(),
        "extract_products": set(),
        "transform_customer_metrics": {"extract_orders", "extract_users"},
        "transform_product_metrics": {"extract_orders", "extract_products"},
        "generate_insights": {"transform_customer_metrics", "transform_product_metrics"},
        "update_dashboard": {"generate_insights"},
        "send_notifications": {"update_dashboard"},
    },
    "microservices/user_registration": {
        "create_account": set(),
        "set_up_billing": {"create_account"},
        "initialize_preferences": {"create_account"},
        "send_welcome": {"set_up_billing", "initialize_preferences"},
        "activate_account": {"send_welcome"},
    },
    "customer_success/process_refund": {
        "validate_request": set(),
        "check_policy": {"validate_request"},
        "get_approval": {"check_policy"},
        "request_refund": {"get_approval"},
        "update_ticket": {"request_refund"},
    },
    "payments/process_refund": {
        "check_charge": set(),
        "refund_charge": {"check_charge"},
        "book_refund": {"refund_charge"},
        "notify_customer": {"refund_charge"},
    },
    "payments/process_payment": {
        "check_payment": set(),
        "charge_card": {"check_payment"},
        "book_charge": {"charge_card"},
    },
    "integrations/api_task": {
        "fetch_cart": set(),
        "fetch_products": set(),
        "validate_products": {"fetch_cart", "fetch_products"},
        "create_order": {"validate_products"},
        "publish_event": {"create_order"},
    },
}


def test_these_templates_are_there() -> None:
    assert example_plans().keys() == GRAPHS.keys()


@pytest.mark.parametrize("name", GRAPHS)
def test_graph(name: str) -> None:
    plan = example_plans()[name]
    assert {step.name: set(step.parents) for step in plan.steps} == GRAPHS[name]


@pytest.mark.parametrize("name", GRAPHS)
def test_template_gives_an_output_of_its_own(name: str) -> None:
    assert example_plans()[name].output


def test_checkout_tries_each_step_as_often_as_is_worth_it() -> None:
    steps = example_plans()["ecommerce/checkout"].steps
    assert [step.retry.max_attempts for step in steps] == [3, 3, 2, 3, 5]


def test_the_observed_checkout_is_the_checkout_told_to_others() -> None:
    plans = example_plans()
    observed, plain = plans["ecommerce/observed_checkout"], plans["ecommerce/checkout"]
    assert [(step.handler, step.retry) for step in observed.steps] == [
        (step.handler, step.retry) for step in plain.steps
    ]
    assert observed.output == plain.output
    assert observed.input_schema == plain.input_schema


def test_two_teams_publish_refunds_of_their_own_versions() -> None:
    plans = example_plans()
    assert plans["payments/process_refund"].version == "2.1.0"
    assert plans["customer_success/process_refund"].version == "1.3.0"


def test_templates_have_no_fault_and_no_oddity() -> None:
    assert lint_files([examples.TEMPLATES]) == []


def test_every_step_has_a_handler_that_fits_it() -> None:
    registry = load_registry(["tasker_kafka.deploy.examples"])
    findings = check_plans(load_plans([examples.TEMPLATES]), registry)
    assert [str(each) for each in findings if each.severity == "error"] == []


def test_every_handler_is_used() -> None:
    registry = load_registry(["tasker_kafka.deploy.examples"])
    used = {step.handler for plan in example_plans().values() for step in plan.steps}
    assert set(registry.names) - used == {"shape.flaky", "shape.noop"}

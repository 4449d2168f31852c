"""Which parameter takes what, what absence means, and what is refused when a handler is declared."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import tasker_kafka.handlers as sdk
from tasker_kafka.handlers import (
    HandlerRegistry,
    StepContext,
    StepHandler,
    check_handler,
    result_of,
    step_handler,
    task_context,
)
from tasker_kafka.handlers.definition import definition_of
from tasker_kafka.handlers.execution import run_async, run_plain
from tasker_kafka.handlers.results import Completed, Failed
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.plan import PlanStep

from .sdk_doubles import RecordingServices, make_call

PUBLIC = [
    "BaseSubscriber",
    "DeliveryPolicy",
    "DomainEvent",
    "EventMetadata",
    "EventPublisher",
    "Finding",
    "HandlerDefinition",
    "HandlerRegistry",
    "PermanentError",
    "RetryableError",
    "StepCancelled",
    "StepContext",
    "StepError",
    "StepFailure",
    "StepHandler",
    "Subscriber",
    "Success",
    "check_handler",
    "event_publisher",
    "failure",
    "result_of",
    "safe_get",
    "step_handler",
    "success",
    "task_context",
]


class Item(BaseModel):
    price: float


class Cart(BaseModel):
    items: list[Item]


@dataclass
class Order:
    number: int


def define(function: Any) -> Any:
    definition = definition_of(step_handler("checkout.pay")(function))
    assert definition is not None
    return definition


def run(function: Any, **call: Any) -> Completed | Failed:
    return run_plain(define(function), make_call(**call), RecordingServices())


def test_the_public_surface_is_frozen() -> None:
    assert sdk.__all__ == PUBLIC


async def test_typed_inputs_reach_an_async_handler() -> None:
    seen: list[Any] = []

    async def pay(
        context: StepContext,
        cart: Annotated[Cart, result_of("validate")],
        order: Annotated[Order, task_context()],
        note: Annotated[str | None, result_of("note")],
    ) -> Order:
        seen.extend([context.step, cart, order, note])
        return Order(order.number + 1)

    call = make_call(inputs={"validate": {"items": [{"price": 2}]}, "note": None}, context={"number": 41})
    end = await run_async(define(pay), call, RecordingServices())
    assert end == Completed(b'{"number":42}')
    assert seen == ["pay", Cart(items=[Item(price=2.0)]), Order(41), None]


def test_the_one_unmarked_parameter_is_the_task_context() -> None:
    assert run(lambda: None) == Completed(b"null")

    def take(order: Order, service: str = "left alone") -> str:
        return f"{order.number} {service}"

    assert run(take, context={"number": 1}) == Completed(b'"1 left alone"')


def test_an_invalid_input_is_permanent_and_names_the_path_but_not_the_value() -> None:
    def take(cart: Annotated[Cart, result_of("validate")]) -> None: ...

    end = run(take, inputs={"validate": {"items": [{"price": "4111 1111"}]}})
    assert isinstance(end, Failed)
    assert (end.failure.type, end.failure.code, end.failure.retryable) == (
        "InputError",
        "invalid_input",
        False,
    )
    assert "parameter cart: the result of step validate at $.items.0.price" in end.failure.message
    assert "4111" not in end.failure.message + end.failure.traceback


def test_a_missing_result_needs_an_optional_parameter_or_a_default() -> None:
    def required(cart: Annotated[Cart, result_of("validate")]) -> None: ...

    def default(cart: Annotated[str, result_of("validate")] = "none") -> str:
        return cart

    end = run(required, inputs={"validate": None})
    assert isinstance(end, Failed)
    assert not end.failure.retryable
    assert "step validate was bypassed or resolved by hand" in end.failure.message
    assert run(default, inputs={"validate": None}) == Completed(b'"none"')


def test_a_parent_that_is_none_is_named() -> None:
    def take(cart: Annotated[Cart | None, result_of("validte")]) -> None: ...

    end = run(take, inputs={"validate": {}})
    assert isinstance(end, Failed)
    assert "no direct parent 'validte'; its parents: validate" in end.failure.message


def test_lint_tells_errors_from_warnings() -> None:
    def take(
        a: Annotated[int, result_of("a")],
        b: Annotated[int | None, result_of("b")],
        c: Annotated[int, result_of("gone")],
        d: Annotated[int, result_of("d")],
    ) -> None: ...

    step = PlanStep(name="pay", handler="checkout.pay", queue="q", parents=("a", "b", "d"))
    findings = check_handler(step, define(take), bypassed={"d"})
    assert [(each.severity, "gone" in each.message) for each in findings] == [
        ("error", True),
        ("error", False),
        ("warning", False),
    ]


async def test_a_class_is_a_handler() -> None:
    class Charge(StepHandler):
        name = "payments.charge"

        async def call(self, context: StepContext, amount: Annotated[int, result_of("quote")]) -> int:
            return amount * context.attempt

    class Other(Charge):
        name = "payments.other"

    definition = HandlerRegistry(Charge, Other).get("payments.charge")
    assert definition is not None
    assert definition.is_async
    end = await run_async(definition, make_call(inputs={"quote": 5}, attempt=2), RecordingServices())
    assert end == Completed(b"10")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(a): ...", "parameter a has no annotation"),
        ("def f(a: Order, b: Cart): ...", "a and b would both take the task's context"),
        ("def f(a: Missing): ...", "cannot be resolved"),
        ("def f(a: Order, /): ...", "positional-only"),
        ("def f(a: Annotated[int, result_of('x'), task_context()]): ...", "carries two marks"),
        ("def f(a: StepHandler): ...", "payloads cannot be validated"),
        ("def f():\n    yield", "neither a function nor a coroutine function"),
    ],
)
def test_a_bad_signature_is_refused_with_its_place(source: str, message: str) -> None:
    names: dict[str, Any] = dict(globals())
    exec(source, names)
    with pytest.raises(ConfigurationError, match=message):
        step_handler("checkout.pay")(names["f"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Checkout.Pay"}, "not allowed"),
        ({"name": "a", "memory_mb": 5}, "need a process"),
        ({"name": "a", "isolation": "process"}, "inside a function"),
        ({"name": "a", "isolation": "thread"}, "neither"),
        ({"name": "a", "isolation": "process", "memory_mb": 0}, "greater than 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        step_handler(**options)(lambda: None)


def test_a_decorator_around_a_handler_is_refused() -> None:
    @step_handler("checkout.pay")
    def pay() -> None: ...

    @functools.wraps(pay)
    def wrapped() -> None: ...

    with pytest.raises(ConfigurationError, match="wrapped by another decorator"):
        HandlerRegistry(wrapped)


def test_the_registry_refuses_a_taken_name_and_what_is_no_handler() -> None:
    registry = HandlerRegistry(step_handler("a")(lambda: None))
    with pytest.raises(ConfigurationError, match="is no step handler"):
        registry.register(print)

    @step_handler("a")
    def other() -> None: ...

    with pytest.raises(ConfigurationError, match=r"defined twice: .*lambda.* and .*other"):
        registry.register(other)
    assert registry.names == ("a",)


def test_loading_says_what_is_wrong_with_a_module(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shop_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("from . import steps\n")
    (package / "steps.py").write_text(
        "from tasker_kafka.handlers import step_handler\n\n@step_handler('shop.one')\ndef one(): ...\n"
    )
    (package / "broken.py").write_text("1 / 0\n")
    (package / "needy.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = HandlerRegistry()
    assert registry.load("shop_for_test") == ["shop.one"]
    for module, message in {
        "no_such_module": "there is no module 'no_such_module'",
        "shop_for_test.gone": "there is no module 'shop_for_test.gone'",
        "shop_for_test.broken": "ZeroDivisionError",
        "shop_for_test.needy": "cannot be imported: No module named 'no_such_library'",
        "json": "holds no step handler",
    }.items():
        with pytest.raises(ConfigurationError, match=message):
            registry.load(module)

"""What a `Subscriber` takes, and what it refuses with the place and the way out."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.handlers.subscribing import DomainEvent, Subscriber
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.words import Delivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from collections.abc import Sized as Unknown


class Payment(BaseModel):
    """A payload."""

    amount: int


class Refund(BaseModel):
    """Another."""

    amount: int


async def record(event: DomainEvent[Payment]) -> None:
    """A handler at module level."""


def plain(event: DomainEvent[Any]) -> None:
    """A plain one."""


def test_a_handler_becomes_a_subscription_and_stays_a_function() -> None:
    subscriber = Subscriber("billing-audit")
    policy = DeliveryPolicy(max_attempts=5)
    decorated = subscriber.on(
        "payment.*",
        "refund.made",
        delivery="durable",
        headers={"ce_source": "/tasker/shop"},
        fields={"card.country": "FR"},
        retry=policy,
    )(record)
    assert decorated is record
    spec = subscriber.spec
    [made] = spec.subscriptions
    assert (spec.group, made.name) == ("billing-audit", "record")
    assert made.patterns == ("payment.*", "refund.made")
    assert (made.handler, made.is_async) == (record, True)
    assert (made.delivery, made.model, made.policy) == (Delivery.DURABLE, Payment, policy)
    assert (made.headers, made.fields) == ({"ce_source": "/tasker/shop"}, {"card.country": "FR"})


def test_defaults_leave_the_choice_to_event_and_settings() -> None:
    subscriber = Subscriber("g")
    subscriber.on("**")(plain)
    spec = subscriber.spec
    [made] = spec.subscriptions
    assert (made.delivery, made.model, made.policy, made.isolation) == (None, None, None, "worker")
    assert not made.is_async
    assert (spec.namespaces, spec.topics, spec.ordering) == ((), (), "key")


def test_the_groups_retry_holds_where_a_subscription_has_none() -> None:
    of_group, own = DeliveryPolicy(max_attempts=9), DeliveryPolicy(max_attempts=2)
    subscriber = Subscriber("g", retry=of_group)
    subscriber.on("a.b", name="one")(plain)
    subscriber.on("a.b", name="two", retry=own)(plain)
    assert [each.policy for each in subscriber.spec.subscriptions] == [of_group, own]


def test_callable_objects_partials_and_methods_are_handlers() -> None:
    class Sink:
        async def __call__(self, event: DomainEvent[Payment]) -> None: ...

        def take(self, event: DomainEvent[Payment]) -> None: ...

    def with_client(client: str, event: DomainEvent[Payment]) -> None: ...

    subscriber = Subscriber("g")
    subscriber.on("a.b", name="object")(Sink())
    subscriber.on("a.b", name="method")(Sink().take)
    subscriber.on("a.b", name="partial")(partial(with_client, "c"))
    found = {each.name: (each.is_async, each.model) for each in subscriber.spec.subscriptions}
    assert found == {"object": (True, Payment), "method": (False, Payment), "partial": (False, Payment)}


def test_a_model_of_the_same_function_is_found_by_its_annotation() -> None:
    class Local(BaseModel):
        amount: int

    subscriber = Subscriber("g")

    @subscriber.on("a.b")
    async def take(event: DomainEvent[Local]) -> None: ...

    assert subscriber.spec.subscriptions[0].model is Local


async def test_the_lifespan_frames_the_work() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def clients() -> AsyncIterator[None]:
        seen.append("opened")
        yield
        seen.append("closed")

    subscriber = Subscriber("g", lifespan=clients)
    subscriber.on("a.b")(plain)
    async with subscriber.spec.opened():
        seen.append("at work")
    assert seen == ["opened", "at work", "closed"]


def unresolved(event: DomainEvent[Unknown]) -> None:
    """A handler whose annotation is there for type checkers only."""


def generator(event: object) -> Any:
    """A handler that would never run."""
    yield event


def two(event: object, other: object) -> None:
    """A handler of two arguments."""


async def slow_filter(event: object) -> bool:
    """A filter that would have to be awaited."""
    return True


def local() -> Any:
    """A function inside a function."""

    def inner(event: object) -> None: ...

    return inner


UNTYPED: Any = "keys"
REFUSED: list[tuple[dict[str, Any], Any, str]] = [
    ({"patterns": ()}, plain, "names no event"),
    ({"patterns": ("task.completed",)}, plain, "`condition: completed`"),
    ({"name": "sp ace"}, plain, "subscription 'sp ace' is not allowed"),
    ({"name": None}, partial(plain), "give it a name"),
    ({}, generator, "is a generator"),
    ({}, two, r"exactly one argument.*two\(event"),
    ({}, Payment, "is no function"),
    ({}, unresolved, "cannot be resolved.*Unknown"),
    ({"model": Refund}, record, r"model=Refund, but its handler takes DomainEvent\[Payment\]"),
    ({"model": object()}, plain, "cannot be validated"),
    ({"isolation": "container"}, plain, "neither 'worker' nor 'process'"),
    ({"isolation": "process"}, local(), "child process cannot import"),
    ({"memory_mb": 512}, plain, "needs a process of its own"),
    ({"isolation": "process", "memory_mb": 0}, plain, "greater than 0"),
    ({"delivery": "durabel"}, plain, "did you mean `durable`"),
    ({"headers": {"ce_id": 3}}, plain, "header filter 'ce_id': 3 is not text"),
    ({"fields": {"a..b": 1}}, plain, "field filter 'a..b' is no path"),
    ({"should_process": slow_filter}, plain, "must be a plain function"),
]


@pytest.mark.parametrize(("options", "handler", "words"), REFUSED)
def test_what_cannot_work_is_refused_where_it_is_declared(
    options: dict[str, Any], handler: Any, words: str
) -> None:
    options = dict(options)
    patterns = options.pop("patterns", ("a.b",))
    with pytest.raises(ConfigurationError, match=f"(?s){words}"):
        Subscriber("g").on(*patterns, **options)(handler)


def test_a_model_beside_an_annotation_that_cannot_be_resolved_is_enough() -> None:
    subscriber = Subscriber("g")
    subscriber.on("a.b", model=Payment)(unresolved)
    assert subscriber.spec.subscriptions[0].model is Payment


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Subscriber("Billing"), "group 'Billing' is not allowed"),
        (lambda: Subscriber("g", topics="orders"), r"write topics=\['orders'\]"),
        (lambda: Subscriber("g", namespaces="shop"), r"write namespaces=\['shop'\]"),
        (lambda: Subscriber("g", ordering=UNTYPED), "ordering 'keys'"),
        (lambda: Subscriber("g", concurrency=0), "at least 1"),
        (lambda: Subscriber("g").spec, "has no handler"),
    ],
)
def test_what_a_group_refuses(made: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        made()


def test_two_subscriptions_of_one_name_are_refused() -> None:
    subscriber = Subscriber("g")
    subscriber.on("a.b")(plain)
    with pytest.raises(ConfigurationError, match=r"two subscriptions named plain.*\n.*name="):
        subscriber.on("c.d")(plain)


def test_others_may_use_our_names() -> None:
    foreign = Subscriber("g", topics=["orders"])
    foreign.on("task.completed")(plain)
    with pytest.raises(ConfigurationError, match="system events"):
        Subscriber("g", topics=["orders"], namespaces=["shop"]).on("task.completed")(plain)

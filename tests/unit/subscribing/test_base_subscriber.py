"""The class form: which method takes which event, hooks, config, and what is refused at the start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.handlers.subscribing import BaseSubscriber, DomainEvent, EventMetadata, Subscriber
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.words import Delivery


class Payment(BaseModel):
    """A payload."""

    amount: int


def event(name: str = "payment.charged", payload: Any = None) -> DomainEvent[Any]:
    """A delivery of this event."""
    return DomainEvent(
        event_id="1",
        name=name,
        version="1.0",
        namespace="shop",
        delivery=Delivery.DURABLE,
        key="k",
        payload=payload,
        metadata=EventMetadata(fired_at=datetime(2026, 1, 1, tzinfo=UTC)),
        topic="t",
        partition=0,
        offset=0,
    )


class PaymentAudit(BaseSubscriber):
    """Each kind of entry."""

    subscribe_to = ("payment.charged", "refund.*", "refund.**", "**", "order.placed")
    delivery = "durable"
    headers: ClassVar[Mapping[str, str]] = {"ce_source": "/tasker/shop"}

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    async def handle_payment_charged(self, event: DomainEvent[Payment]) -> None:
        self.seen.append("charged")

    def handle_refund(self, event: DomainEvent[Any]) -> None:
        self.seen.append("refund")

    async def handle_event(self, event: DomainEvent[Any]) -> None:
        self.seen.append("any")


def test_each_entry_has_its_method() -> None:
    spec = PaymentAudit().spec
    found = {each.name: each for each in spec.subscriptions}
    assert spec.group == "payment-audit"
    assert {name: each.patterns for name, each in found.items()} == {
        "PaymentAudit.handle_payment_charged": ("payment.charged",),
        "PaymentAudit.handle_refund": ("refund.*", "refund.**"),
        "PaymentAudit.handle_event": ("**", "order.placed"),
    }
    charged = found["PaymentAudit.handle_payment_charged"]
    assert (charged.is_async, charged.model, charged.delivery) == (True, Payment, Delivery.DURABLE)
    assert charged.headers == {"ce_source": "/tasker/shop"}
    assert charged.should_process is None
    assert not found["PaymentAudit.handle_refund"].is_async


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("PaymentAudit", "payment-audit"),
        ("PaymentAuditSubscriber", "payment-audit"),
        ("HTTPSink", "http-sink"),
        ("Subscriber", "subscriber"),
        ("_Private", "private"),
        ("S3Copy2", "s3-copy2"),
    ],
)
def test_the_group_is_named_after_the_class(name: str, group: str) -> None:
    namespace = {"subscribe_to": ("a.b",), "handle_a_b": lambda self, event: None}
    kind = type(name, (BaseSubscriber,), namespace)
    assert kind().spec.group == group


def test_a_class_may_name_its_group_and_share_one() -> None:
    class Own(BaseSubscriber):
        group = "chosen"
        subscribe_to = ("a.b",)
        namespaces = ("shop",)
        ordering = "none"
        concurrency = 3

        def handle_a_b(self, event: DomainEvent[Any]) -> None: ...

    spec = Own().spec
    assert (spec.group, spec.namespaces, spec.ordering, spec.concurrency) == ("chosen", ("shop",), "none", 3)
    shared = Subscriber("shared", retry=DeliveryPolicy(max_attempts=7)).add(Own()).add(PaymentAudit())
    policies = [each.policy for each in shared.spec.subscriptions]
    assert len(policies) == 4
    assert all(each is not None and each.max_attempts == 7 for each in policies)


def test_events_may_be_chosen_from_outside() -> None:
    [one] = PaymentAudit().subscriptions(events=["payment.charged"], name="eu")
    assert (one.name, one.patterns) == ("eu.handle_payment_charged", ("payment.charged",))


class TestRefused:
    def test_a_missing_method(self) -> None:
        class Audit(BaseSubscriber):
            subscribe_to = ("payment.charged",)

        with pytest.raises(
            ConfigurationError,
            match=r"Audit subscribes to payment.charged and has no method handle_payment_charged(?s:.*)async def",
        ):
            _ = Audit().spec

    def test_a_misspelt_method_even_where_all_others_are_taken(self) -> None:
        class Audit(BaseSubscriber):
            subscribe_to = ("payment.charged",)

            def handle_payment_chargd(self, event: DomainEvent[Any]) -> None: ...

            def handle_event(self, event: DomainEvent[Any]) -> None: ...

        with pytest.raises(ConfigurationError, match="did you mean it by handle_payment_chargd"):
            _ = Audit().spec

    @pytest.mark.parametrize(
        ("events", "words"),
        [((), "subscribes to nothing"), ("payment.charged", r'subscribe_to = \("payment.charg')],
    )
    def test_no_events(self, events: Sequence[str], words: str) -> None:
        kind = type("Audit", (BaseSubscriber,), {"subscribe_to": events})
        with pytest.raises(ConfigurationError, match=words):
            kind().spec  # noqa: B018 - it is the property that refuses

    def test_an_async_hook_of_a_plain_method(self) -> None:
        class Audit(BaseSubscriber):
            subscribe_to = ("a.b",)

            async def before_handle(self, event: DomainEvent[Any]) -> None: ...

            def handle_a_b(self, event: DomainEvent[Any]) -> None: ...

        with pytest.raises(ConfigurationError, match="before_handle is async and handle_a_b is not"):
            _ = Audit().spec

    def test_system_events(self) -> None:
        class Audit(BaseSubscriber):
            subscribe_to = ("step.failed",)

            def handle_step_failed(self, event: DomainEvent[Any]) -> None: ...

        with pytest.raises(ConfigurationError, match="means system events"):
            _ = Audit().spec


class Hooked(BaseSubscriber):
    """Tells what runs."""

    subscribe_to = ("a.fine", "a.bad", "a.plain")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def should_process(self, event: DomainEvent[Any]) -> bool:
        return event.payload is None

    def before_handle(self, event: DomainEvent[Any]) -> None:
        self.seen.append("before")

    def after_handle(self, event: DomainEvent[Any]) -> None:
        self.seen.append("after")

    def on_handle_error(self, event: DomainEvent[Any], error: Exception) -> None:
        self.seen.append(f"error {error}")

    async def handle_a_fine(self, event: DomainEvent[Payment]) -> None:
        self.seen.append("fine")

    async def handle_a_bad(self, event: DomainEvent[Any]) -> None:
        raise ValueError("bad")

    def handle_a_plain(self, event: DomainEvent[Any]) -> None:
        raise ValueError("plain")


class TestHooks:
    async def test_they_frame_the_method_and_the_error_goes_on(self) -> None:
        hooked = Hooked()
        fine, bad, plain = hooked.spec.subscriptions
        await fine.handler(event())
        with pytest.raises(ValueError, match="bad"):
            await bad.handler(event())
        with pytest.raises(ValueError, match="plain"):
            plain.handler(event())
        assert hooked.seen == ["before", "fine", "after", "before", "error bad", "before", "error plain"]

    def test_they_change_neither_kind_nor_model(self) -> None:
        fine, _, plain = Hooked().spec.subscriptions
        assert (fine.is_async, fine.model, plain.is_async) == (True, Payment, False)
        assert fine.should_process is not None
        assert fine.should_process(event())
        assert not fine.should_process(event(payload={}))

    async def test_async_hooks_are_awaited(self) -> None:
        class Audit(BaseSubscriber):
            subscribe_to = ("a.b",)
            seen: ClassVar[list[str]] = []

            async def before_handle(self, event: DomainEvent[Any]) -> None:
                self.seen.append("before")

            async def handle_a_b(self, event: DomainEvent[Any]) -> None:
                self.seen.append("handled")

        [one] = Audit().spec.subscriptions
        await one.handler(event())
        assert Audit.seen == ["before", "handled"]

    async def test_open_and_close_frame_the_groups_work(self) -> None:
        class Audit(BaseSubscriber):
            subscribe_to = ("a.b",)
            seen: ClassVar[list[str]] = []

            async def open(self) -> None:
                self.seen.append("open")

            async def close(self) -> None:
                self.seen.append("close")

            def handle_a_b(self, event: DomainEvent[Any]) -> None: ...

        with pytest.raises(ValueError, match="in between"):
            async with Audit().spec.opened():
                raise ValueError("in between")
        assert Audit.seen == ["open", "close"]


class Threshold(BaseModel):
    """A part of a config."""

    count: int = 1
    per_seconds: float = Field(default=60.0, gt=0)


class AlertConfig(BaseModel):
    """A config that itself would ignore what it does not know."""

    channel: str
    threshold: Threshold | None = None
    routes: list[Threshold] = []
    by_environment: dict[str, str] = {}


class Alerts(BaseSubscriber):
    """Takes a config."""

    config: AlertConfig


@dataclasses.dataclass
class Plain:
    """A config as a dataclass, with a default for everything."""

    depth: int = 3


class WithPlain(BaseSubscriber):
    """Takes a dataclass."""

    config: Plain


class Derived(Alerts):
    """The annotation of the class above holds."""


class ChatConfig(BaseModel):
    """One type of a union."""

    channel: str


class HookConfig(BaseModel):
    """Another."""

    address: str
    retries: int = 0


class UnionConfig(BaseModel):
    """It is sent to one of two, or to nobody."""

    to: ChatConfig | Annotated[HookConfig, Field(description="by HTTP")] | None = None


class WithUnion(BaseSubscriber):
    """Its config has a union of models."""

    subscribe_to = ("payment.charged",)
    config: UnionConfig

    async def handle_payment_charged(self, event: DomainEvent[Any]) -> None:
        """Nothing."""


class TestConfig:
    @pytest.mark.parametrize("kind", [Alerts, Derived])
    def test_it_arrives_as_its_model(self, kind: type[Alerts]) -> None:
        made = kind({"channel": "#a", "threshold": {"count": 3}, "by_environment": {"any": "#b"}})
        assert made.config.threshold == Threshold(count=3)
        assert kind(AlertConfig(channel="#a")).config.channel == "#a"

    def test_one_with_defaults_needs_nothing(self) -> None:
        assert WithPlain().config == Plain()
        assert WithPlain({"depth": 4}).config == Plain(4)

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            (None, "config.channel: Field required"),
            ({"chanel": "#a"}, r"config.chanel: unknown key; did you mean `channel`\?"),
            (
                {"channel": "#a", "threshold": {"cuont": 1}},
                "config.threshold.cuont: unknown key; did you mean `count`",
            ),
            (
                {"channel": "#a", "routes": [{}, {"per_second": 1}]},
                r"config.routes\[1\].per_second: .*`per_seconds`",
            ),
            (
                {"channel": "#a", "threshold": {"per_seconds": 0}},
                "config.threshold.per_seconds: .*greater than 0",
            ),
            (7, "config: Input should be"),
        ],
    )
    def test_each_fault_is_named_with_its_path(self, config: object, words: str) -> None:
        with pytest.raises(ConfigurationError, match=rf"Alerts: (?s:.*){words}"):
            Alerts(config)

    @pytest.mark.parametrize("config", [{"channel": "#a"}, {"address": "https://x", "retries": 2}, None])
    def test_a_key_of_any_type_of_a_union_is_known(self, config: dict[str, object] | None) -> None:
        assert type(WithUnion({"to": config}).config.to) in {ChatConfig, HookConfig, type(None)}

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            (
                {"address": "https://x", "retires": 2},
                r"config.to.retires: unknown key; did you mean `retries`\?",
            ),
            ({"chanel": "#a"}, r"config.to.chanel: unknown key"),
        ],
    )
    def test_an_unknown_key_is_named_as_the_nearest_type_of_a_union_sees_it(
        self, config: dict[str, object], words: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=words):
            WithUnion({"to": config})

    def test_no_value_is_ever_shown(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Alerts({"channel": ["hunter2"]})
        assert "hunter2" not in str(caught.value)

    def test_a_class_without_one_takes_none(self) -> None:
        with pytest.raises(ConfigurationError, match="takes no config"):
            BaseSubscriber({"channel": "#a"})
        assert BaseSubscriber({}).config is None

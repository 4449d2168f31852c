"""Templates in Python: the same keys, the same checks, the same plan as in YAML.

    checkout = (
        Template("checkout", namespace="shop", version="1.0.0")
        .step("validate_cart", handler="shop.validate_cart")
        .step("charge_card", handler="shop.charge_card", depends_on=["validate_cart"], retry=Retry(max_attempts=5))
    )
    plan = checkout.compile()

Nothing is checked before `model()` or `compile()`, which name every fault at once with its path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from .limits import TEMPLATE_DEPTH
from .plan import Plan
from .template_compile import compile_template
from .template_models import TemplateModel
from .template_source import TemplateSource
from .words import Delivery

__all__ = ["Event", "Lifecycle", "Retry", "Template"]

Schema = Mapping[str, Any] | type
"""A JSON Schema, or a pydantic model that has one."""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """When a failed attempt is tried again; None leaves the default (see `template_models.RetryModel`)."""

    retryable: bool | None = None
    max_attempts: int | None = None
    backoff: str | None = None
    backoff_base_ms: int | None = None
    max_backoff_ms: int | None = None
    jitter: float | None = None
    non_retryable: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """What time does to a task; None leaves the default (see `template_models.LifecycleModel`)."""

    max_duration_seconds: float | None = None
    on_blocked: str | None = None
    stale_after_seconds: float | None = None
    staleness_action: str | None = None
    retention_hours: int | None = None
    failed_retention_hours: int | None = None


@dataclass(frozen=True)
class Event:
    """A domain event of a step or of the task; None leaves the default (see `template_models.EventModel`)."""

    name: str
    schema: Schema | None = None
    condition: str | None = None
    delivery: str | None = None
    key: str | None = None
    version: str | None = None
    publisher: str | None = None
    description: str | None = None


class Template:
    """A template under construction. `step`, `event` and `environment` change it and return it."""

    def __init__(
        self,
        name: str,
        *,
        namespace: str | None = None,
        version: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        input_schema: Schema | None = None,
        output: Mapping[str, Any] | None = None,
        identity: str | None = None,
        failure_policy: str | None = None,
        max_parallel_steps: int | None = None,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        """None leaves a key out, so that its default holds; meanings as in `template_models.TemplateModel`."""
        self._document = _given(
            name=name,
            namespace=namespace,
            version=version,
            description=description,
            metadata=metadata,
            input_schema=_schema(input_schema),
            output=output,
            identity=identity,
            failure_policy=failure_policy,
            max_parallel_steps=max_parallel_steps,
            lifecycle=None if lifecycle is None else _given(**asdict(lifecycle)),
        )
        self._document["steps"] = []

    def step(
        self,
        name: str,
        *,
        handler: str,
        depends_on: Sequence[str] | None = None,
        config: Mapping[str, Any] | None = None,
        retry: Retry | None = None,
        timeout_seconds: float | None = None,
        queue_timeout_seconds: float | None = None,
        heartbeat_timeout_seconds: float | None = None,
        queue: str | None = None,
        result_schema: Schema | None = None,
        publishes_events: Sequence[Event] = (),
        description: str | None = None,
    ) -> Self:
        """Add a step. `handler` is a registered name, `config` reaches it as `context.config`."""
        step = _given(
            name=name,
            handler=_given(callable=handler, initialization=config),
            dependencies=_listed(depends_on),
            retry=None if retry is None else _given(**asdict(retry)),
            timeout_seconds=timeout_seconds,
            queue_timeout_seconds=queue_timeout_seconds,
            heartbeat_timeout_seconds=heartbeat_timeout_seconds,
            queue=queue,
            result_schema=_schema(result_schema),
            publishes_events=[_event(each) for each in publishes_events] or None,
            description=description,
        )
        self._document["steps"].append(step)
        return self

    def event(self, event: Event) -> Self:
        """Declare an event of the task itself (`condition` completed, failed, cancelled, blocked, …)."""
        self._document.setdefault("publishes_events", []).append(_event(event))
        return self

    def environment(self, name: str, overlay: Mapping[str, Any]) -> Self:
        """What differs in one environment, with the keys of the YAML form."""
        self._document.setdefault("environments", {})[name] = _plain(overlay)
        return self

    def model(self, *, environment: str | None = None) -> TemplateModel:
        """The checked template. InvalidTemplate names every fault."""
        name = self._document["name"]
        return TemplateSource(self._document, f"template {name}").model(environment)

    def compile(
        self,
        *,
        environment: str | None = None,
        default_delivery: Delivery = Delivery.FIRE_AND_FORGET,
        events_enabled: bool = True,
        deployment: str = "",
    ) -> Plan:
        """The plan; parameters as of `compile_template`. InvalidTemplate names every fault."""
        model = self.model(environment=environment)
        return compile_template(
            model, default_delivery=default_delivery, events_enabled=events_enabled, deployment=deployment
        )


def _given(**values: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any, depth: int = 0) -> Any:
    """Copies, so that what the caller changes later has no effect; tuples and mappings as JSON has them.

    What lies deeper than a template may be is left as it is: the check refuses it.
    """
    if depth <= TEMPLATE_DEPTH.maximum and isinstance(value, Mapping):
        return {key: _plain(each, depth + 1) for key, each in value.items()}
    if depth <= TEMPLATE_DEPTH.maximum and isinstance(value, (list, tuple)):
        return [_plain(each, depth + 1) for each in value]
    return value


def _listed(names: Sequence[str] | None) -> list[str] | str | None:
    return names if names is None or isinstance(names, str) else [*names]


def _event(event: Event) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return _given(**{**values, "schema": _schema(event.schema)})


def _schema(schema: Schema | None) -> Any:
    if isinstance(schema, type):
        make = getattr(schema, "model_json_schema", None)
        return schema if make is None else make()
    return schema

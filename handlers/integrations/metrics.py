"""Events as OpenTelemetry metrics: how many, how long, how often which failure, and business values of payloads.

| instrument | kind, unit | attributes |
|---|---|---|
| `tasker.domain_events` | counter, {event} | event, namespace, template, template_version, step, environment, outcome |
| `tasker.domain_events.duration` | histogram, s | the same |
| `tasker.domain_events.failures` | counter, {failure} | the same, error_category |

Ids are never attributes. An attribute that a payload gives (`measures`) has at most 100 values in a process, the rest
is `other`, so that no payload can make series without end.

Where the metrics go is the process's OpenTelemetry set-up; without one nothing is recorded. Names follow the
OpenTelemetry naming guidance. Delivery is at least once, so a repeated delivery counts again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Self

from opentelemetry import metrics
from opentelemetry.metrics import Meter
from pydantic import Field, model_validator

from tasker_kafka.handlers.subscribing.access import safe_get
from tasker_kafka.handlers.subscribing.base import BaseSubscriber
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.metrics import error_metrics, metric_tags
from tasker_kafka.schemas.settings.section import Section, refuse, setting

from .facts import Facts, Outcome, facts_of
from .options import IntegrationConfig
from .texts import number

__all__ = ["MEASURE_ATTRIBUTE_VALUES", "Measure", "MetricsConfig", "MetricsSubscriber"]

MEASURE_ATTRIBUTE_VALUES: Final = 100
_METER: Final = "tasker_kafka.integrations"
_REST: Final = "other"
_NAME: Final = r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}"
_OWN_PREFIX: Final = "tasker."

Record = Callable[[float, Mapping[str, str]], None]


class Measure(Section):
    """A number of the payload as a metric."""

    name: str = setting(..., "Of the instrument: `shop.order.amount`.", pattern=f"^{_NAME}$")
    path: str = setting(..., "Where the number is in the payload: `total.amount`.", min_length=1)
    kind: Literal["counter", "histogram"] = setting("histogram", "A sum, or a distribution.")
    unit: str = setting("1", "As in UCUM: `EUR`, `By`, `s`.", max_length=63)
    attributes: dict[str, str] = setting({}, "Attribute → path in the payload, of few values: no ids.")


class MetricsConfig(IntegrationConfig):
    """What is measured beside the three instruments."""

    measures: tuple[Measure, ...] = Field(default=(), description="Numbers of payloads.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [each.name.lower() for each in self.measures]
        if len(set(names)) < len(names):
            raise refuse("twice", "two measures have the same name")
        if any(name.startswith(_OWN_PREFIX) for name in names):
            raise refuse("reserved", f"names under `{_OWN_PREFIX}` are Tasker's own")
        return self


class MetricsSubscriber(BaseSubscriber):
    """Records metrics of events. meter: instead of the process's own one."""

    config: MetricsConfig

    def __init__(self, config: object = None, *, meter: Meter | None = None) -> None:
        super().__init__(config)
        meter = metrics.get_meter(_METER) if meter is None else meter
        self._events = meter.create_counter("tasker.domain_events", "{event}", "Domain events handled.")
        self._failures = meter.create_counter(
            "tasker.domain_events.failures", "{failure}", "Domain events that tell a failure."
        )
        self._duration = meter.create_histogram(
            "tasker.domain_events.duration", "s", "How long what an event tells of has taken."
        )
        self._measures = [(each, _recorder(meter, each)) for each in self.config.measures]
        self._few = _FewValues()

    async def handle_event(self, event: DomainEvent[Any]) -> None:
        """Record the event; a value that is missing, or no number, is left out."""
        facts = facts_of(event, self.config.parsed_outcomes)
        if not self.config.is_meant(facts.environment):
            return
        self._record(event, facts)
        for measure, record in self._measures:
            value = number(safe_get(event, measure.path))
            if value is not None:
                record(value, self._attributes(event, measure))

    def _record(self, event: DomainEvent[Any], facts: Facts) -> None:
        tags = metric_tags(event, extra={"outcome": facts.outcome})
        tags.pop("error_category", None)
        self._events.add(1, tags)
        if facts.duration_seconds is not None:
            self._duration.record(facts.duration_seconds, tags)
        if facts.outcome is Outcome.FAILURE:
            self._failures.add(1, {**tags, "error_category": error_metrics(event).category})

    def _attributes(self, event: DomainEvent[Any], measure: Measure) -> dict[str, str]:
        found = metric_tags(event, extra={"outcome": None})
        found = {name: found[name] for name in ("namespace", "environment") if name in found}
        for name, path in measure.attributes.items():
            value = safe_get(event, path)
            if isinstance(value, str | int | bool):
                found[name] = self._few.value(f"{measure.name}\0{name}", str(value)[:100])
        return found


def _recorder(meter: Meter, measure: Measure) -> Record:
    if measure.kind == "counter":
        return meter.create_counter(measure.name, measure.unit).add
    return meter.create_histogram(measure.name, measure.unit).record


class _FewValues:
    """Lets the first values of each attribute through."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def value(self, attribute: str, value: str) -> str:
        known = self._known.setdefault(attribute, set())
        if value not in known and len(known) >= MEASURE_ATTRIBUTE_VALUES:
            return _REST
        known.add(value)
        return value

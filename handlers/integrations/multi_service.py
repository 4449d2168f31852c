"""Several services for one event: on success update, mail, count, clean up; on failure notify, ticket, count.

Each service is a subscription of its own. So each is retried, delayed, given up and redriven by itself: a mail
service that is down sends no update twice and holds no notification back, and the dead letter names the service. The
price is that services do not wait for each other; what must follow another belongs behind that one's own event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Self

from pydantic import StringConstraints, model_validator

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.handlers.subscribing.base import BaseSubscriber
from tasker_kafka.handlers.subscribing.config import config_faults, config_model
from tasker_kafka.handlers.subscribing.declaring import DeliveryName
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import Subscription
from tasker_kafka.schemas.findings import path_text
from tasker_kafka.schemas.settings.section import Section, refuse, setting

from .audit import AuditSubscriber
from .facts import Outcome, outcome_of
from .metrics import MetricsSubscriber
from .options import IntegrationConfig
from .pagerduty import PagerDutySubscriber
from .sender import Sender
from .sentry import SentrySubscriber
from .service import ServiceSubscriber
from .slack import SlackSubscriber
from .teams import TeamsSubscriber
from .webhook import WebhookSubscriber

__all__ = ["MultiServiceConfig", "MultiServiceSubscriber", "ServiceUse"]

_SERVICES: Final[Mapping[str, type[ServiceSubscriber] | type[MetricsSubscriber]]] = {
    "audit": AuditSubscriber,
    "metrics": MetricsSubscriber,
    "pagerduty": PagerDutySubscriber,
    "sentry": SentrySubscriber,
    "slack": SlackSubscriber,
    "teams": TeamsSubscriber,
    "webhook": WebhookSubscriber,
}
_SECTIONS: Final[Mapping[str, Outcome]] = {
    "on_success": Outcome.SUCCESS,
    "on_failure": Outcome.FAILURE,
    "on_cancelled": Outcome.CANCELLED,
    "on_other": Outcome.OTHER,
}
_SHARED: Final = ("environments", "outcomes", "timeout_seconds")


class ServiceUse(Section):
    """One service and its config."""

    use: Literal["audit", "metrics", "pagerduty", "sentry", "slack", "teams", "webhook"] = setting(
        ..., "Which integration."
    )
    config: dict[str, Any] = setting({}, "Its config, as where it stands alone.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        model = config_model(_SERVICES[self.use], BaseSubscriber)
        faults = [
            f"{path_text(('config', *each.path))}: {each.message}"
            for each in config_faults(model, self.config)
        ]
        if faults:
            raise refuse("bad_config", "; ".join(faults))
        return self


Services = dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")], ServiceUse]


class MultiServiceConfig(IntegrationConfig):
    """Name → service, for each outcome. What stands beside them holds for all services that say nothing else."""

    on_success: Services = setting({}, "When it went well.")
    on_failure: Services = setting({}, "When it failed.")
    on_cancelled: Services = setting({}, "When it was cancelled.")
    on_other: Services = setting({}, "When the event says none of these.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(getattr(self, section) for section in _SECTIONS):
            raise refuse("no_service", f"names no service; write one under {', '.join(_SECTIONS)}")
        return self


class MultiServiceSubscriber(BaseSubscriber):
    """Hands events to the services of their outcome.

    sender: of all services that send; default one that they share
    """

    config: MultiServiceConfig

    def __init__(self, config: object = None, *, sender: Sender | None = None) -> None:
        super().__init__(config)
        made = self._made(Sender() if sender is None else sender)
        self._services = {name: (outcome, each) for name, outcome, each in made}

    def _made(self, sender: Sender) -> Iterator[tuple[str, Outcome, ServiceSubscriber | MetricsSubscriber]]:
        shared = {
            name: getattr(self.config, name) for name in _SHARED if name in self.config.model_fields_set
        }
        for section, outcome in _SECTIONS.items():
            for name, service in getattr(self.config, section).items():
                kind = _SERVICES[service.use]
                config = {**shared, **service.config}
                made = kind(config, sender=sender) if issubclass(kind, ServiceSubscriber) else kind(config)
                yield f"{section}.{name}", outcome, made

    def subscriptions(
        self,
        *,
        events: Sequence[str] | None = None,
        name: str | None = None,
        is_foreign: bool = False,
        retry: DeliveryPolicy | None = None,
        delivery: DeliveryName | None = None,
    ) -> list[Subscription]:
        """One for each service, named `<name>.on_failure.<service>`."""
        kind = type(self)
        wanted = kind.subscribe_to if events is None else events
        return [
            replace(each, name=f"{name or kind.__name__}.{service}", should_process=self._is_of(outcome))
            for service, (outcome, made) in self._services.items()
            for each in made.subscriptions(
                events=wanted,
                is_foreign=is_foreign,
                retry=retry or kind.retry,
                delivery=delivery or kind.delivery,
            )
        ]

    def _is_of(self, outcome: Outcome) -> Callable[[DomainEvent[Any]], bool]:
        outcomes = self.config.parsed_outcomes

        def is_of(event: DomainEvent[Any]) -> bool:
            return outcome_of(event, outcomes) is outcome and self.should_process(event)

        return is_of

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open all services, close those that were opened."""
        async with AsyncExitStack() as stack:
            for _, made in self._services.values():
                await stack.enter_async_context(made.lifespan())
            async with super().lifespan():
                yield

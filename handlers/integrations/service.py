"""The frame of a ready-made subscriber: facts of the event, one request made of them, the request sent.

A subclass says what to send (`request_for`), as a pure function of the facts and its config; everything that can wait,
fail or leak is here and in `sender`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tasker_kafka.handlers.subscribing.base import BaseSubscriber
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings.secrets import Secret

from .facts import Facts, Outcome, facts_of
from .options import AlertConfig, IntegrationConfig
from .request import Request
from .sender import Sender
from .threshold import ThresholdCounter

__all__ = ["AlertSubscriber", "ServiceSubscriber", "readable"]


class ServiceSubscriber(BaseSubscriber):
    """Sends at most one request for each event. Which events: `subscribe_to`, or `events` in a subscriptions file.

    A subclass that takes a config annotates it with a type derived from `IntegrationConfig`.

    sender: instead of an own one; its connections are closed after the last event
    """

    def __init__(self, config: object = None, *, sender: Sender | None = None) -> None:
        super().__init__(config)
        self._sender = Sender() if sender is None else sender
        self._common: IntegrationConfig = IntegrationConfig() if self.config is None else self.config

    def request_for(self, event: DomainEvent[Any], facts: Facts) -> Request | None:
        """What to send; None: nothing."""
        raise NotImplementedError

    def check(self) -> None:
        """ConfigurationError when a secret is not there or not of its service's form; runs before the first event."""

    async def handle_event(self, event: DomainEvent[Any]) -> None:
        """Send what the event asks for. PermanentError: no retry helps; RetryableError: a later one may."""
        facts = facts_of(event, self._common.parsed_outcomes)
        if not self._common.is_meant(facts.environment):
            return
        request = self.request_for(event, facts)
        if request is not None:
            await self._sender.send(request, timeout_seconds=self._common.timeout_seconds)

    async def open(self) -> None:
        """Refuse to start with a secret that is missing."""
        self.check()

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.aclose()


class AlertSubscriber(ServiceSubscriber):
    """One whose failures may have to pile up before it sends (`threshold`); its config derives from `AlertConfig`."""

    def __init__(self, config: object = None, *, sender: Sender | None = None) -> None:
        super().__init__(config, sender=sender)
        alert: AlertConfig = AlertConfig() if self.config is None else self.config
        self._counter = ThresholdCounter(alert.threshold)

    def is_alert(self, facts: Facts) -> bool:
        """Count the failure: True when it completes the threshold. Anything but a failure is not counted: True.

        Failures are counted by environment, namespace, template and event name.
        """
        if facts.outcome is not Outcome.FAILURE:
            return True
        subject = "\0".join((facts.environment, facts.namespace, facts.template or "", facts.name))
        return self._counter.is_alert(subject, facts.event_id, facts.fired_at.timestamp())


def readable(secrets: Mapping[str, Secret], environments: Collection[str] = ()) -> list[str]:
    """The secrets that can be read; those of other environments need not be there.

    environments: whose secrets must be; empty: one at least. ConfigurationError names what is missing.
    """
    found: list[str] = []
    missing: ConfigurationError | None = None
    for environment, secret in secrets.items():
        try:
            found.append(secret.read())
        except ConfigurationError as error:
            if environment in environments:
                raise
            missing = missing or error
    if missing is not None and not found:
        raise missing
    return found

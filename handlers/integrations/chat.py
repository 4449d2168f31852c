"""What Slack and Teams share: which events become a message, and which facts it shows."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.settings.section import setting

from .facts import Facts, Outcome
from .options import AlertConfig, SecretByEnvironment, for_environment
from .request import Request, checked_address
from .service import AlertSubscriber, readable
from .texts import duration_text, one_line

__all__ = ["ChatConfig", "ChatSubscriber", "rows_of", "symbol_of"]

_SYMBOLS: Final = {Outcome.SUCCESS: "✅", Outcome.FAILURE: "❌", Outcome.CANCELLED: "🚫"}
_STEPS_SHOWN: Final = 5
_LONGEST_VALUE: Final = 200


class ChatConfig(AlertConfig):
    """Of a chat's webhook."""

    webhook: SecretByEnvironment = setting(
        ..., "Where the channel's webhook URL is: `env:CHAT_WEBHOOK`; or one by environment."
    )
    report: tuple[Outcome, ...] = setting(
        (Outcome.SUCCESS, Outcome.FAILURE, Outcome.CANCELLED, Outcome.OTHER), "Outcomes that are posted."
    )


def symbol_of(facts: Facts) -> str:
    """A sign for the outcome that is seen at a glance."""
    return _SYMBOLS.get(facts.outcome, "🔔")


def rows_of(facts: Facts) -> list[tuple[str, str]]:
    """Name and value of what the message shows, at most eight rows; each value one line of at most 200 characters."""
    failed = list(facts.failed_steps[:_STEPS_SHOWN])
    if len(facts.failed_steps) > _STEPS_SHOWN:
        failed.append(f"and {len(facts.failed_steps) - _STEPS_SHOWN} more")
    rows = [
        ("Environment", facts.environment),
        ("Template", f"{facts.title} {facts.template_version or ''}".strip() if facts.template else None),
        ("Step", facts.step),
        ("Duration", None if facts.duration_seconds is None else duration_text(facts.duration_seconds)),
        ("Failed steps", ", ".join(failed)),
        ("Error", None if facts.error is None else facts.error.code or facts.error.type),
        ("Task", facts.task_id),
        ("Correlation", facts.correlation_id),
    ]
    found = [(name, one_line(value, _LONGEST_VALUE)) for name, value in rows if value]
    return found or [("Key", one_line(facts.key or "–", _LONGEST_VALUE))]


class ChatSubscriber(AlertSubscriber):
    """Posts one message for each event whose outcome is to be reported; its config derives from `ChatConfig`."""

    service: ClassVar[str]

    def check(self) -> None:
        """Every webhook that is there is a URL."""
        config: ChatConfig = self.config
        for url in readable(config.webhook, config.environments):
            checked_address(self.service, url)

    def message(self, event: DomainEvent[Any], facts: Facts, webhook: str) -> Request:
        """The chat's own form."""
        raise NotImplementedError

    def request_for(self, event: DomainEvent[Any], facts: Facts) -> Request | None:
        """The message; None for an outcome, or an environment, that is not posted."""
        config: ChatConfig = self.config
        secret = for_environment(config.webhook, facts.environment)
        if secret is None or facts.outcome not in config.report or not self.is_alert(facts):
            return None
        return self.message(event, facts, checked_address(self.service, secret.read()))

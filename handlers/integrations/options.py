"""What the configs of all integrations share: where secrets are, what depends on the environment, links to the task.

    webhook: env:SLACK_WEBHOOK                                         # one for all environments
    webhook: {production: env:SLACK_ALERTS, default: env:SLACK_DEV}    # or one for each

An environment that has no entry, where there is no `default` either, gets nothing sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.event_patterns import EventPattern, parse_pattern
from tasker_kafka.schemas.settings.secrets import SecretSetting
from tasker_kafka.schemas.settings.section import Section, refuse, setting

from .facts import Facts, Outcome
from .placeholders import TextTemplate, parse_template
from .threshold import Threshold

__all__ = [
    "DEFAULT",
    "AlertConfig",
    "IntegrationConfig",
    "SecretByEnvironment",
    "TextByEnvironment",
    "for_environment",
]

DEFAULT: Final = "default"
"""The entry of every environment that has none of its own."""
_LONGEST_TIMEOUT_SECONDS: Final = 300

T = TypeVar("T")


def _one_for_all(value: Any) -> Any:
    return {DEFAULT: value} if isinstance(value, str) else value


def _not_empty(value: dict[str, T]) -> dict[str, T]:
    if not value:
        raise refuse("no_environment", f"names no environment; write one, or `{DEFAULT}`")
    return value


SecretByEnvironment = Annotated[
    dict[str, SecretSetting], BeforeValidator(_one_for_all), AfterValidator(_not_empty)
]
TextByEnvironment = Annotated[dict[str, str], BeforeValidator(_one_for_all)]


def for_environment(values: Mapping[str, T], environment: str) -> T | None:
    """The environment's own entry, else the default one, else None."""
    found = values.get(environment)
    return values.get(DEFAULT) if found is None else found


class IntegrationConfig(Section):
    """Of every integration."""

    environments: tuple[str, ...] = setting(
        (), "Only events of these environments; empty: of all, also of those that name none."
    )
    outcomes: dict[str, Outcome] = setting(
        {},
        "Patterns of event names → success, failure, cancelled or other, instead of what the payload says.",
    )
    timeout_seconds: float = setting(
        10.0,
        "What one request may take; less than a delivery may.",
        zero="refused: no request could succeed",
        gt=0,
        le=_LONGEST_TIMEOUT_SECONDS,
    )

    @field_validator("outcomes")
    @classmethod
    def _check_outcomes(cls, value: dict[str, Outcome]) -> dict[str, Outcome]:
        for pattern in value:
            try:
                parse_pattern(pattern)
            except TaskerError as error:
                raise refuse("bad_pattern", str(error)) from None
        return value

    @cached_property
    def parsed_outcomes(self) -> tuple[tuple[EventPattern, Outcome], ...]:
        """`outcomes`, ready for `facts_of`."""
        return tuple((parse_pattern(text), outcome) for text, outcome in self.outcomes.items())

    def is_meant(self, environment: str) -> bool:
        """Whether events of this environment are wanted."""
        return not self.environments or environment in self.environments


class AlertConfig(IntegrationConfig):
    """Of integrations that call people."""

    threshold: Threshold = Field(
        default=Threshold(), description="Failures that make one alert; one by default."
    )
    task_url: str | None = setting(
        None, "Where people look at the task: `https://console.example/tasks/{task_id}`."
    )

    @field_validator("task_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is not None:
            _link(value)
        return value

    @cached_property
    def _task_link(self) -> TextTemplate | None:
        return None if self.task_url is None else _link(self.task_url)

    def link(self, facts: Facts) -> str | None:
        """The address of the event's task; None where there is no task, or no `task_url`."""
        if self._task_link is None or facts.task_id is None:
            return None
        return self._task_link.fill_url({"task_id": facts.task_id, "environment": facts.environment})


def _link(text: str) -> TextTemplate:
    found = parse_template(text, roots={"task_id", "environment"})
    if not text.startswith(("https://", "http://")):
        raise refuse("bad_url", "is no http(s) address")
    return found

"""Critical tasks that fail page somebody, and stop paging when they end well.

Wire format: PagerDuty Events API v2, POST /v2/enqueue (`routing_key`, `event_action` trigger or resolve, `dedup_key` of
at most 255 characters, `payload.summary` of at most 1,024, `payload.severity` critical, error, warning or info;
512 KB in all); 202 accepts, 400 refuses for good, 429 and 5xx are to be repeated.

Idempotency: the dedup key is the task's, so a repeated trigger joins the alert that is open and a resolve closes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from tasker_kafka.handlers.subscribing.access import lookup
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.settings.section import Section, refuse, setting

from .document import utc_text
from .facts import Facts, Outcome
from .options import DEFAULT, AlertConfig, SecretByEnvironment, for_environment
from .request import Request, checked_address, json_request
from .service import AlertSubscriber, readable
from .texts import ERROR_LENGTH, bounded_json, duration_text, one_line, shorten

__all__ = ["Critical", "PagerDutyConfig", "PagerDutySubscriber", "dedup_key", "pagerduty_request"]

URL: Final = "https://events.pagerduty.com/v2/enqueue"
_LONGEST_KEY: Final = 255
_LONGEST_SUMMARY: Final = 1_024
_LONGEST_ERROR: Final = 4 * 1024
_LARGEST_PAYLOAD: Final = 16 * 1024

Severity = Literal["critical", "error", "warning", "info"]


class Critical(Section):
    """Which tasks are worth waking somebody; one of the criteria is enough."""

    templates: tuple[str, ...] = setting(
        (), "`namespace/name`; `namespace/*` is all of a namespace, `*` all."
    )
    fields: dict[str, tuple[str | int | bool, ...]] = setting(
        {}, "Path in the payload → values that make it critical: `priority: [high, critical]`."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.templates and not self.fields:
            raise refuse(
                "nothing_critical", 'says of no task that it is critical; write templates: ["*"] for all'
            )
        for each in self.templates:
            namespace, slash, name = each.partition("/")
            if each != "*" and ("*" in namespace or not slash or not name or ("*" in name and name != "*")):
                raise refuse(
                    "bad_template", f"{each!r} is neither `namespace/name` nor `namespace/*` nor `*`"
                )
        return self

    def is_met(self, facts: Facts, payload: object) -> bool:
        """Whether the event's task is critical. payload: as it was declared."""
        wanted = {"*", f"{facts.namespace}/*", f"{facts.namespace}/{facts.template}"}
        if wanted.intersection(self.templates):
            return True
        return any(_is_one_of(lookup(payload, path), values) for path, values in self.fields.items())


def _is_one_of(value: object, values: tuple[str | int | bool, ...]) -> bool:
    # True == 1 in Python, not in a payload.
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)


class PagerDutyConfig(AlertConfig):
    """Whom to page, and for what."""

    routing_key: SecretByEnvironment = setting(
        ..., "Where the integration key of the service is: `env:PAGERDUTY_KEY`; or one by environment."
    )
    critical: Critical = setting(..., "Which tasks are worth waking somebody.")
    severities: dict[str, Severity] = Field(
        default={"production": "critical", "staging": "warning", DEFAULT: "info"},
        description="Severity by environment.",
    )
    resolve: bool = setting(True, "Whether an alert is closed when its task ends well or is cancelled.")
    source: str = setting("tasker", "What PagerDuty shows as affected system.", min_length=1)
    url: str = setting(
        URL, "The service; https://events.eu.pagerduty.com/v2/enqueue for its European region."
    )


def dedup_key(facts: Facts) -> str:
    """One key for all events of a task: `tasker/production/checkout/0199…`; at most 255 characters."""
    key = f"tasker/{facts.environment}/{facts.namespace}/{facts.subject}"
    if len(key) <= _LONGEST_KEY:
        return key
    return "tasker/" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def pagerduty_request(facts: Facts, config: PagerDutyConfig, routing_key: str) -> Request:
    """A trigger for a failure, a resolve for anything else."""
    body: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "trigger" if facts.outcome is Outcome.FAILURE else "resolve",
        "dedup_key": dedup_key(facts),
    }
    if facts.outcome is Outcome.FAILURE:
        body["payload"] = _payload(facts, config)
        body["client"] = "Tasker"
        link = config.link(facts)
        if link is not None:
            body["client_url"] = link
            body["links"] = [{"href": link, "text": "The task"}]
    return json_request("PagerDuty", config.url, body, secrets=(routing_key,))


def _payload(facts: Facts, config: PagerDutyConfig) -> dict[str, Any]:
    error = facts.error
    message = None if error is None else error.message
    summary = facts.headline if message is None else f"{facts.headline}: {one_line(message, ERROR_LENGTH)}"
    details: Mapping[str, object] = {
        "task_id": facts.task_id,
        "template": facts.title,
        "template_version": facts.template_version,
        "environment": facts.environment,
        "state": facts.state,
        "step": facts.step,
        "attempt": facts.attempt,
        "failed_steps": list(facts.failed_steps) or None,
        "error_type": None if error is None else error.type,
        "error_code": None if error is None else error.code,
        "error_message": None if message is None else shorten(message, _LONGEST_ERROR),
        "duration": None if facts.duration_seconds is None else duration_text(facts.duration_seconds),
        "correlation_id": facts.correlation_id,
        "event": facts.name,
        "event_id": facts.event_id,
        "payload": bounded_json(facts.payload, _LARGEST_PAYLOAD),
    }
    return {
        "summary": one_line(summary, _LONGEST_SUMMARY),
        "severity": for_environment(config.severities, facts.environment) or "error",
        "source": config.source,
        "timestamp": utc_text(facts.fired_at),
        "component": facts.title,
        "group": facts.namespace,
        "class": (error.code or error.type if error is not None else None) or facts.name,
        "custom_details": {name: value for name, value in details.items() if value is not None},
    }


class PagerDutySubscriber(AlertSubscriber):
    """Pages for critical tasks. Subscribe it to their good ends, too, so that alerts close by themselves."""

    config: PagerDutyConfig
    group = "pagerduty"

    def check(self) -> None:
        """A routing key is there, and the address is one."""
        checked_address("PagerDuty", self.config.url)
        readable(self.config.routing_key, self.config.environments)

    def request_for(self, event: DomainEvent[Any], facts: Facts) -> Request | None:
        """A trigger, a resolve, or nothing for a task that is not critical or an event that says neither."""
        key = for_environment(self.config.routing_key, facts.environment)
        if key is None or not self.config.critical.is_met(facts, event.payload):
            return None
        if facts.outcome is Outcome.FAILURE:
            is_wanted = self.is_alert(facts)
        else:
            is_wanted = self.config.resolve and facts.outcome in {Outcome.SUCCESS, Outcome.CANCELLED}
            # A step that succeeds does not mend its task.
            is_wanted = is_wanted and facts.step is None
        return pagerduty_request(facts, self.config, key.read()) if is_wanted else None

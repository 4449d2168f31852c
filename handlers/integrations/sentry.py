"""Failures as Sentry issues: level, tags, fingerprint per task, breadcrumbs.

Wire format: develop.sentry.dev, "Envelopes" (POST /api/<project>/envelope/, one `event` item, length-prefixed),
"Authentication" (X-Sentry-Auth, protocol 7), "Event Payloads" (tags below 200 characters, 32 hex digits as id),
"Breadcrumbs Interface" and "Rate Limiting" (429 with Retry-After, else 60 s). The store endpoint is deprecated there.

Idempotency: the issue event's id is made of the domain event's id, so a repeat carries the same one.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import httpx

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings.section import setting

from .document import utc_text
from .facts import Facts, Outcome
from .options import AlertConfig, SecretByEnvironment, for_environment
from .request import Request
from .service import AlertSubscriber, readable
from .texts import bounded_json, json_bytes, one_line, shorten

__all__ = ["Dsn", "SentryConfig", "SentrySubscriber", "Trail", "parse_dsn", "sentry_request"]

CONTENT_TYPE: Final = "application/x-sentry-envelope"
_CLIENT: Final = "tasker-kafka"
_BUSY_SECONDS: Final = 60.0
_LONGEST_TAG: Final = 199
_LONGEST_MESSAGE: Final = 8 * 1024
_LARGEST_PAYLOAD: Final = 16 * 1024
_LONGEST_CRUMB: Final = 500
_MOST_CRUMBS: Final = 50
_MOST_REMEMBERED: Final = 20
_MOST_TASKS: Final = 1_000

Level = Literal["fatal", "error", "warning", "info", "debug"]


class SentryConfig(AlertConfig):
    """How events become issues."""

    dsn: SecretByEnvironment = setting(
        ..., "Where the project's DSN is: `env:SENTRY_DSN`; or one by environment."
    )
    report: tuple[Outcome, ...] = setting(
        (Outcome.FAILURE,), "Outcomes that are sent; others leave a breadcrumb for their task's next issue."
    )
    levels: dict[Outcome, Level] = setting(
        {}, "Outcome → level, instead of error, warning (cancelled) and info."
    )
    group_by: Literal["task", "template", "error"] = setting(
        "task", "What is one issue: a task; a template; or an error code of a step."
    )
    tags: dict[str, str] = setting({}, "Further tags, the same for every event.")
    release: str | None = setting(None, "Release of the application, as Sentry knows it.")


@dataclass(frozen=True, slots=True)
class Dsn:
    """A parsed DSN; shows nothing of itself."""

    url: str
    public_key: str
    secret_key: str | None

    def __repr__(self) -> str:
        return "Dsn(***)"


def parse_dsn(text: str) -> Dsn:
    """`https://<public key>[:<secret>]@<host>[/<path>]/<project>` as endpoint and keys.

    ConfigurationError that repeats nothing of it.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    path, _, project = url.path.rstrip("/").rpartition("/")
    if url.scheme not in {"http", "https"} or not url.host or not url.username or not project.isalnum():
        raise ConfigurationError(
            "the DSN of Sentry is not of the form https://<key>@<host>/<project> (it is a secret and not shown)",
            next_step="copy it from the project's settings, Client Keys (DSN)",
        )
    endpoint = url.copy_with(
        username=None, password=None, query=None, fragment=None, path=f"{path}/api/{project}/envelope/"
    )
    return Dsn(str(endpoint), url.username, url.password or None)


# ----------------------------------------------------------------------------------------- the request


def sentry_request(
    facts: Facts, config: SentryConfig, dsn: Dsn, *, crumbs: Sequence[dict[str, Any]] = (), sent_at: datetime
) -> Request:
    """The envelope with one event. crumbs: what came before, oldest first."""
    event = json_bytes(_event(facts, config, crumbs))
    head = {
        "event_id": _event_id(facts.event_id),
        "sent_at": utc_text(sent_at),
        "sdk": {"name": _CLIENT, "version": "1"},
    }
    item = {"type": "event", "length": len(event), "content_type": "application/json"}
    auth = {"sentry_version": "7", "sentry_client": f"{_CLIENT}/1", "sentry_key": dsn.public_key}
    if dsn.secret_key:
        auth["sentry_secret"] = dsn.secret_key
    return Request(
        service="Sentry",
        url=dsn.url,
        body=b"\n".join((json_bytes(head), json_bytes(item), event, b"")),
        headers={
            "Content-Type": CONTENT_TYPE,
            "X-Sentry-Auth": "Sentry " + ", ".join(f"{name}={value}" for name, value in auth.items()),
        },
        secrets=(dsn.public_key, dsn.secret_key or ""),
        busy_seconds=_BUSY_SECONDS,
    )


def _event(facts: Facts, config: SentryConfig, crumbs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "event_id": _event_id(facts.event_id),
        "timestamp": utc_text(facts.fired_at),
        "platform": "python",
        "level": _level(facts.outcome, config),
        "logger": "tasker",
        "transaction": facts.title if facts.step is None else f"{facts.title}.{facts.step}",
        "environment": facts.environment or "production",
        "tags": _tags(facts, config),
        "fingerprint": _fingerprint(facts, config),
        "breadcrumbs": {"values": [*crumbs, *_own_crumbs(facts)][-_MOST_CRUMBS:]},
        "contexts": _contexts(facts, config),
        "extra": {"payload": bounded_json(facts.payload, _LARGEST_PAYLOAD)},
    }
    if config.release is not None:
        found["release"] = config.release
    if facts.error is None:
        found["logentry"] = {"formatted": facts.headline}
    else:
        kind = facts.error.type or facts.error.code or facts.headline
        value = shorten(facts.error.message or facts.headline, _LONGEST_MESSAGE)
        mechanism = {"type": "tasker", "handled": True}
        found["exception"] = {"values": [{"type": kind, "value": value, "mechanism": mechanism}]}
    return found


def _event_id(event_id: str) -> str:
    try:
        return UUID(event_id).hex
    except ValueError:
        return hashlib.sha256(event_id.encode("utf-8", "replace")).hexdigest()[:32]


def _level(outcome: Outcome, config: SentryConfig) -> Level:
    usual: dict[Outcome, Level] = {Outcome.FAILURE: "error", Outcome.CANCELLED: "warning"}
    return config.levels.get(outcome, usual.get(outcome, "info"))


def _fingerprint(facts: Facts, config: SentryConfig) -> list[str]:
    place = [_CLIENT, facts.environment, facts.namespace]
    if config.group_by == "task":
        return [*place, facts.subject]
    if config.group_by == "template":
        return [*place, facts.title]
    code = None if facts.error is None else facts.error.code or facts.error.type
    return [*place, facts.title, facts.step or "", code or facts.name]


def _tags(facts: Facts, config: SentryConfig) -> dict[str, str]:
    tags = {
        "event": facts.name,
        "outcome": str(facts.outcome),
        "namespace": facts.namespace,
        "template": facts.template,
        "template_version": facts.template_version,
        "task_id": facts.task_id,
        "step": facts.step,
        "attempt": None if facts.attempt is None else str(facts.attempt),
        "error_code": None if facts.error is None else facts.error.code,
        "correlation_id": facts.correlation_id,
        **config.tags,
    }
    return {name: one_line(value, _LONGEST_TAG) for name, value in tags.items() if value}


def _contexts(facts: Facts, config: SentryConfig) -> dict[str, Any]:
    task = {
        "task_id": facts.task_id,
        "state": facts.state,
        "started_at": facts.started_at,
        "completed_at": facts.completed_at,
        "duration_seconds": facts.duration_seconds,
        "failed_steps": list(facts.failed_steps) or None,
        "url": config.link(facts),
    }
    contexts: dict[str, Any] = {"task": {name: value for name, value in task.items() if value is not None}}
    parts = (facts.traceparent or "").split("-")
    if len(parts) >= 4 and len(parts[1]) == 32 and len(parts[2]) == 16:
        contexts["trace"] = {"trace_id": parts[1], "span_id": parts[2]}
    return contexts


# ----------------------------------------------------------------------------------------- breadcrumbs


def crumb_of(facts: Facts) -> dict[str, Any]:
    """The event as a breadcrumb of its task."""
    level = {Outcome.FAILURE: "error", Outcome.CANCELLED: "warning"}.get(facts.outcome, "info")
    found: dict[str, Any] = {
        "timestamp": utc_text(facts.fired_at),
        "category": facts.name,
        "level": level,
        "message": one_line(facts.headline, _LONGEST_CRUMB),
    }
    if facts.error is not None and facts.error.message:
        found["data"] = {"error": one_line(facts.error.message, _LONGEST_CRUMB)}
    return found


def _own_crumbs(facts: Facts) -> list[dict[str, Any]]:
    """What a task's end tells of its way there."""
    found: list[dict[str, Any]] = []
    if facts.started_at is not None:
        found.append({"timestamp": facts.started_at, "category": "task", "message": f"{facts.title} started"})
    for step in facts.failed_steps:
        found.append({"category": "step", "level": "error", "message": f"step {step} failed"})
    return found


class Trail:
    """The last events of the last tasks, as breadcrumbs. In memory: a restart loses them, and no issue with them."""

    def __init__(self, *, tasks: int = _MOST_TASKS, events: int = _MOST_REMEMBERED) -> None:
        self._most_tasks = tasks
        self._most_events = events
        self._crumbs: OrderedDict[str, deque[tuple[str, dict[str, Any]]]] = OrderedDict()

    def add(self, facts: Facts) -> None:
        """Remember the event, once."""
        crumbs = self._crumbs.setdefault(facts.subject, deque(maxlen=self._most_events))
        self._crumbs.move_to_end(facts.subject)
        if all(each != facts.event_id for each, _ in crumbs):
            crumbs.append((facts.event_id, crumb_of(facts)))
        if len(self._crumbs) > self._most_tasks:
            self._crumbs.popitem(last=False)

    def before(self, facts: Facts) -> list[dict[str, Any]]:
        """What came before this event of the same task, oldest first."""
        return [crumb for each, crumb in self._crumbs.get(facts.subject, ()) if each != facts.event_id]


class SentrySubscriber(AlertSubscriber):
    """Reports failures to Sentry. Subscribe it to the other events of a task, too, for breadcrumbs."""

    config: SentryConfig

    def __init__(self, config: object = None, **more: Any) -> None:
        super().__init__(config, **more)
        self._trail = Trail()

    def check(self) -> None:
        """Every DSN that is there is of the right form."""
        for text in readable(self.config.dsn, self.config.environments):
            parse_dsn(text)

    def request_for(self, event: DomainEvent[Any], facts: Facts) -> Request | None:
        """An envelope for a reported outcome; a breadcrumb is kept of every event."""
        self._trail.add(facts)
        secret = for_environment(self.config.dsn, facts.environment)
        if secret is None or facts.outcome not in self.config.report or not self.is_alert(facts):
            return None
        crumbs = self._trail.before(facts)
        return sentry_request(
            facts, self.config, parse_dsn(secret.read()), crumbs=crumbs, sent_at=datetime.now(UTC)
        )

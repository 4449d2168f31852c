"""All settings of an installation, in one immutable value that remembers where each came from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, PrivateAttr

from .cluster import BrokerSettings, TopicSettings
from .console import ConsoleSettings
from .events import EventSettings
from .projection import ProjectionSettings
from .roles import (
    EngineSettings,
    RedactionSettings,
    SubscriberSettings,
    TelemetrySettings,
    TemplateSettings,
    WorkerSettings,
)
from .section import Section, refuse, setting

__all__ = ["DEFAULT_ENVIRONMENT", "DEFAULT_ORIGIN", "Settings", "field_at"]

DEFAULT_ENVIRONMENT: Final = "development"
DEFAULT_ORIGIN: Final = "default"
_PREFIX: Final = re.compile(r"[a-z0-9_-]{1,64}")


def _check_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise refuse(
            "bad_prefix",
            f"{text[:80]!r} cannot begin the names of topics; write 1 to 64 of a–z, 0–9, _ and -",
        )
    return text


class Settings(Section):
    """Every setting. Made by `load_settings`; `Settings()` has the defaults."""

    prefix: Annotated[str, AfterValidator(_check_prefix)] = setting(
        "tasker",
        "Begins the name of every topic, group and transactional id: one prefix is one system (TASKER_PREFIX).",
    )
    broker: BrokerSettings = BrokerSettings()
    topics: TopicSettings = TopicSettings()
    templates: TemplateSettings = TemplateSettings()
    engine: EngineSettings = EngineSettings()
    worker: WorkerSettings = WorkerSettings()
    subscriber: SubscriberSettings = SubscriberSettings()
    events: EventSettings = EventSettings()
    projection: ProjectionSettings = ProjectionSettings()
    console: ConsoleSettings = ConsoleSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    redaction: RedactionSettings = RedactionSettings()

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _environment: str = PrivateAttr(default=DEFAULT_ENVIRONMENT)

    def model_post_init(self, context: Any, /) -> None:
        """Keeps where the values came from, given as the validation context (environment, origins by key)."""
        if context is not None:
            self._environment, self._origins = context

    @property
    def environment(self) -> str:
        """The environment these settings are for (TASKER_ENV)."""
        return self._environment

    def origin(self, key: str) -> str:
        """Where a setting's value came from: `default`, a file or a variable. Keys as `events.enabled`."""
        return self._origins.get(key, DEFAULT_ORIGIN)

    def template_variables(self, environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
        """The allow-list of template variables with their values, as `load_templates` takes it."""
        return {name: environ.get(name) for name in self.templates.variables}


def field_at(key: str, model: type[BaseModel] = Settings) -> Any | None:
    """The pydantic field of a dotted key; None if there is none."""
    found: Any = None
    inside: Any = model
    for part in key.split("."):
        if inside is None or part not in inside.model_fields:
            return None
        found = inside.model_fields[part]
        kind = found.annotation
        inside = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return found

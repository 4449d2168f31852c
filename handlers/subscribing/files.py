"""Subscriptions as YAML: which subscriber classes run, on which events, with which config.

    event_subscriptions:
      - handler: PaymentAlerts          # a class of the loaded modules, or `module:Class`
        events: [payment.failed, refund.*]
        config: {channel: "#payments", threshold: {count: 3, per_seconds: 60}}
        enabled: true

Such a file belongs to an installation, as its settings do, not to a template: who listens is no property of what
happens. Strict, as templates are: every fault is named with file, line and path, unknown keys with what was meant.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.findings import MOST_FAULTS, Fault, Finding, Path, path_text
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.template_yaml import Document, InvalidYaml, read_yaml

__all__ = ["Entry", "InvalidSubscriptions", "load_subscription_files", "read_subscriptions"]

KEY = "event_subscriptions"
_MISSING = "missing"
_UNKNOWN = "extra_forbidden"


class InvalidSubscriptions(ConfigurationError):
    """A subscriptions file is refused; `findings` holds every fault."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))


class Retry(BaseModel):
    """`DeliveryPolicy`, in YAML."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    max_attempts: int | None = None
    delays: list[float] | None = None
    in_place_seconds: float | None = None
    timeout_seconds: float | None = None
    max_age_seconds: float | None = None
    dlq_enabled: bool | None = None
    breaker_failures: int | None = None
    breaker_seconds: float | None = None


class EntryModel(BaseModel):
    """One entry of the list."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    handler: str = Field(description="Class of the loaded modules, or `module:Class`.")
    events: list[str] | None = Field(
        default=None, description="Patterns; default the class's `subscribe_to`."
    )
    config: dict[str, Any] = Field(default={}, description="The class's config.")
    enabled: bool = Field(default=True, description="false: the class does not run here.")
    group: str | None = Field(default=None, description="Consumer group; default the class's.")
    name: str | None = Field(
        default=None, description="Of its subscriptions, for two of a class in a group; default the class's."
    )
    delivery: Literal["fire_and_forget", "durable", "acknowledged"] | None = Field(
        default=None, description="The promise; default the class's, else each event's."
    )
    retry: Retry | None = Field(default=None, description="When a failed delivery is tried again.")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, and where it stands."""

    handler: str
    source: str = "event_subscriptions"
    line: int | None = None
    events: tuple[str, ...] | None = None
    config: Mapping[str, Any] = {}
    enabled: bool = True
    group: str | None = None
    name: str | None = None
    delivery: Literal["fire_and_forget", "durable", "acknowledged"] | None = None
    retry: DeliveryPolicy | None = None

    @property
    def place(self) -> str:
        """`file:line`."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


def load_subscription_files(paths: Iterable[pathlib.Path]) -> list[Entry]:
    """The entries of these files, in order. InvalidSubscriptions names every fault of the first faulty file."""
    found: list[Entry] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError(
                f"the subscriptions file {path} cannot be read: {why}",
                next_step="check the path, which may be relative, and the file's rights",
            ) from None
        found += read_subscriptions(text, source=str(path))
    return found


def read_subscriptions(text: str, *, source: str) -> list[Entry]:
    """The entries of a YAML text. InvalidSubscriptions names every fault with line and path.

    source: names the text in messages, as its file name
    """
    try:
        documents = read_yaml(text)
    except InvalidYaml as error:
        raise InvalidSubscriptions([_finding(error.fault, source, error.line)]) from None
    if len(documents) != 1:
        message = f"a subscriptions file is one YAML document, as `{KEY}: []`; it has {len(documents)}"
        raise InvalidSubscriptions([_finding(Fault((), "not_one_document", message), source, None)])
    [document] = documents
    faults = _outer_faults(document.value)
    entries: list[Entry] = []
    if not faults:
        for position, value in enumerate(document.value[KEY]):
            line = document.line_of((KEY, position))
            below, entry = _entry(value, source, line)
            faults += [each.below((KEY, position)) for each in below]
            entries += [] if entry is None else [entry]
    if faults:
        raise InvalidSubscriptions(_placed(faults[:MOST_FAULTS], document, source))
    return entries


def _outer_faults(value: Any) -> list[Fault]:
    if not isinstance(value, dict) or KEY not in value:
        keys = f"; found: {', '.join(map(str, value))}" if isinstance(value, dict) and value else ""
        return [Fault((), "missing_key", f"a subscriptions file is a mapping with the key `{KEY}`{keys}")]
    found = [
        Fault((key,), "unknown_key", f"unknown key; a subscriptions file has `{KEY}` alone")
        for key in value
        if key != KEY
    ]
    if not isinstance(value[KEY], list):
        found.append(Fault((KEY,), "wrong_type", "must be a list of entries: `- handler: PaymentAlerts`"))
    return found


def _entry(value: Any, source: str, line: int) -> tuple[list[Fault], Entry | None]:
    try:
        model = EntryModel.model_validate(value)
    except ValidationError as error:
        return [_fault(each) for each in error.errors(include_url=False)], None
    retry = None
    if model.retry is not None:
        given: dict[str, Any] = model.retry.model_dump(exclude_none=True)
        if "delays" in given:
            given["delays"] = tuple(given["delays"])
        try:
            retry = DeliveryPolicy(**given)
        except ConfigurationError as error:
            return [Fault(("retry",), "bad_retry", error.message)], None
    return [], Entry(
        handler=model.handler,
        source=source,
        line=line,
        events=None if model.events is None else tuple(model.events),
        config=model.config,
        enabled=model.enabled,
        group=model.group,
        name=model.name,
        delivery=model.delivery,
        retry=retry,
    )


def _fault(error: Any) -> Fault:
    path: Path = tuple(error["loc"])
    if error["type"] == _UNKNOWN:
        known = Retry.model_fields if path[:1] == ("retry",) else EntryModel.model_fields
        return Fault(path, "unknown_key", f"unknown key; {did_you_mean(str(path[-1]), known)}")
    if error["type"] == _MISSING:
        return Fault(path, "missing_key", "the key is required and missing")
    if not path:
        return Fault(path, "wrong_type", "must be a mapping, as {handler: PaymentAlerts}")
    return Fault(path, str(error["type"]), str(error["msg"]))


def _placed(faults: Sequence[Fault], document: Document, source: str) -> list[Finding]:
    return [_finding(each, source, document.line_of(each.path)) for each in faults]


def _finding(fault: Fault, source: str, line: int | None) -> Finding:
    return Finding(
        code=fault.code, path=path_text(fault.path), message=fault.message, source=source, line=line
    )

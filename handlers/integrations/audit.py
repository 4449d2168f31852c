"""An audit log of events: one JSON line for each, in a file or at a collector.

The file is opened for appending and every line is one write, flushed to the disk before the event counts as handled:
several processes may share it, a crash loses nothing that was committed, and a line that a crash has torn is closed
before the next one. Its mode is 0600 when it is made. Rotating by renaming is safe: the file is opened for each line.

Idempotency: delivery is at least once, so an event may have two lines; they have the same `event_id`.
What is written is redacted, since a log is shown to people.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from tasker_kafka.handlers.errors import RetryableError
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings.secrets import SecretSetting
from tasker_kafka.schemas.settings.section import refuse, setting

from .document import event_document
from .facts import Facts, facts_of
from .options import IntegrationConfig
from .request import JSON, MAX_BODY_BYTES, Request, address_secrets, checked_address
from .service import ServiceSubscriber
from .texts import bounded_json, json_bytes

__all__ = ["AuditConfig", "AuditSubscriber", "append_line", "audit_line"]

_LARGEST_PAYLOAD = MAX_BODY_BYTES // 2


class AuditConfig(IntegrationConfig):
    """Where lines go: a file, or a collector's address."""

    file: Path | None = setting(None, "The file; made when it is not there, its folder not.")
    url: SecretSetting | None = setting(None, "Where the collector's address is: `env:AUDIT_URL`.")
    bearer: SecretSetting | None = setting(None, "Where the collector's token is.")
    payload: Literal["redacted", "none"] = setting("redacted", "What is written of the payload.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise refuse("one_place", "give either `file` or `url`")
        if self.bearer is not None and self.url is None:
            raise refuse("no_collector", "`bearer` is the token of a collector; give its `url`")
        return self


def audit_line(event: DomainEvent[Any], facts: Facts, config: AuditConfig) -> bytes:
    """One JSON object on one line: the event's document, where it lies in the log, and the attempt's number."""
    line = event_document(event, facts, redacted=True)
    if config.payload == "none":
        del line["payload"]
    else:
        line["payload"] = bounded_json(line["payload"], _LARGEST_PAYLOAD)
    line["topic"], line["partition"], line["offset"] = event.topic, event.partition, event.offset
    line["delivery_attempt"] = event.delivery_attempt
    line["is_redriven"] = event.is_redriven
    return json_bytes(line) + b"\n"


def append_line(path: Path, line: bytes) -> None:
    """Append and flush to the disk. RetryableError when the file cannot be written."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = os.lseek(descriptor, 0, os.SEEK_END)
            if end and os.pread(descriptor, 1, end - 1) != b"\n":
                line = b"\n" + line
            if os.write(descriptor, line) != len(line):
                raise OSError("not all of the line could be written")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RetryableError(
            f"the audit log {path} cannot be written: {error.strerror or error}", code="audit_log"
        ) from None


class AuditSubscriber(ServiceSubscriber):
    """Writes events to an audit log."""

    config: AuditConfig

    def check(self) -> None:
        """The file's folder, or the collector's address and token, are there."""
        if self.config.file is not None and not self.config.file.parent.is_dir():
            raise ConfigurationError(
                f"the folder of the audit log {self.config.file} does not exist", next_step="make it"
            )
        if self.config.url is not None:
            checked_address("The audit log", self.config.url.read())
        if self.config.bearer is not None:
            self.config.bearer.read()

    async def handle_event(self, event: DomainEvent[Any]) -> None:
        """Append the event's line, or send it."""
        if self.config.file is None:
            await super().handle_event(event)
            return
        facts = facts_of(event, self.config.parsed_outcomes)
        if self.config.is_meant(facts.environment):
            line = audit_line(event, facts, self.config)
            await asyncio.to_thread(append_line, self.config.file, line)

    def request_for(self, event: DomainEvent[Any], facts: Facts) -> Request | None:
        """The line as the body of a request."""
        if self.config.url is None:
            return None
        headers = {"Content-Type": JSON, "Idempotency-Key": event.event_id}
        token = None if self.config.bearer is None else self.config.bearer.read()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = checked_address("The audit log", self.config.url.read())
        return Request(
            service="The audit log",
            url=url,
            body=audit_line(event, facts, self.config),
            headers=headers,
            secrets=(token or "", *address_secrets(url)),
        )

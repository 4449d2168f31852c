"""Events to any HTTP service: a CRM, billing, analytics, a mail or ticket service.

Three forms of body: the event as our JSON document (`document`), as CloudEvents 1.0 in structured mode, or what `body`
says, filled with values of the event. The payload travels as it was declared: it is the contract with the receiver;
`redacted: true` hides what looks like a secret.

Idempotency: every request carries the event's id as `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) and,
signed or not, as `webhook-id` (Standard Webhooks); a receiver that remembers ids takes a repeat for what it is.

Signature: Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 of `id.timestamp.body`, base64, as `v1,…`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Literal, Self

from pydantic import field_validator, model_validator

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings.secrets import Secret, SecretSetting
from tasker_kafka.schemas.settings.section import refuse, setting

from .document import DOCUMENT_KEYS, cloud_event, event_document
from .facts import Facts, Outcome
from .options import IntegrationConfig
from .placeholders import TextTemplate, check_value, fill_value, parse_template
from .request import JSON, Request, address_secrets, checked_address, checked_size
from .service import ServiceSubscriber
from .texts import json_bytes

__all__ = ["WebhookConfig", "WebhookSubscriber", "signature", "webhook_request"]

_OURS: Final = frozenset({"content-type", "content-length", "host", "idempotency-key"})
_CLOUD_EVENTS: Final = "application/cloudevents+json"
_FIXED_PART: Final = re.compile(r"https?://([^/?#{}\s]+)(?:[/?#]|\Z)")
"""Of an address: scheme and host, which no event may choose."""
_SECRET_PREFIX: Final = "whsec_"


class WebhookConfig(IntegrationConfig):
    """Where to, how authenticated, and with which body."""

    url: str | None = setting(
        None, "The address; `{payload.customer_id}` and the like are filled in, percent-encoded."
    )
    secret_url: SecretSetting | None = setting(
        None, "Where the address is, if it is a secret: `env:CRM_WEBHOOK`."
    )
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = setting("POST", "HTTP method.")
    headers: dict[str, str] = setting({}, "Further headers.")
    secret_headers: dict[str, SecretSetting] = setting(
        {}, "Headers whose value is a secret: `X-Api-Key: env:CRM_KEY`."
    )
    bearer: SecretSetting | None = setting(None, "Where the token for `Authorization: Bearer` is.")
    signing_secret: SecretSetting | None = setting(
        None, "Where the key is that signs requests (Standard Webhooks)."
    )
    format: Literal["document", "cloudevents"] = setting("document", "The body, where `body` says nothing.")
    body: Any = setting(None, "The body with places to fill: `{amount: '{payload.amount}'}`.")
    redacted: bool = setting(False, "Whether values that look like secrets are hidden in the payload.")
    report: tuple[Outcome, ...] = setting(tuple(Outcome), "Outcomes that are sent.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parse_template(value, roots=DOCUMENT_KEYS)
        found = _FIXED_PART.match(value)
        if found is None:
            raise refuse("bad_url", "is no http(s) address, or a place to fill stands in its host")
        if "@" in found[1]:
            raise refuse("secret_in_url", "holds a password; write `secret_url: env:NAME`, or `bearer`")
        return value

    @field_validator("body")
    @classmethod
    def _check_body(cls, value: Any) -> Any:
        return check_value(value, roots=DOCUMENT_KEYS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.secret_url is None):
            raise refuse("one_address", "give either `url` or `secret_url`")
        for name in (*self.headers, *self.secret_headers):
            if name.lower() in _OURS or name.lower().startswith("webhook-"):
                raise refuse("our_header", f"the header {name} is made by Tasker")
        if self.redacted and self.format == "cloudevents":
            raise refuse("redacted_cloudevents", "`redacted` needs the format `document`, or a `body`")
        return self

    @cached_property
    def _address(self) -> TextTemplate:
        return parse_template(self.url or "", roots=DOCUMENT_KEYS)

    def address(self, document: Mapping[str, Any]) -> str:
        """The event's address. PermanentError where a value for it is missing or cannot be a part of one."""
        if self.secret_url is not None:
            return checked_address("Webhook", self.secret_url.read())
        return self._address.fill_url(document)


def webhook_request(
    event: DomainEvent[Any],
    facts: Facts,
    config: WebhookConfig,
    *,
    url: str,
    secret_headers: Mapping[str, str],
    signing_key: str | None,
    now: datetime,
) -> Request:
    """The request, its id and signature made for this moment. PermanentError `missing_value`, `too_large`."""
    content_type = JSON
    if config.body is not None:
        document = event_document(event, facts, redacted=config.redacted)
        body = json_bytes(fill_value(config.body, document, roots=DOCUMENT_KEYS))
    elif config.format == "cloudevents":
        body, content_type = json_bytes(cloud_event(event)), _CLOUD_EVENTS
    else:
        body = json_bytes(event_document(event, facts, redacted=config.redacted))
    if config.method == "DELETE" and config.body is None:
        body = b""
    moment = str(int(now.timestamp()))
    headers = {
        "Content-Type": content_type,
        "Idempotency-Key": event.event_id,
        "webhook-id": event.event_id,
        "webhook-timestamp": moment,
        **config.headers,
        **secret_headers,
    }
    if signing_key is not None:
        headers["webhook-signature"] = signature(signing_key, event.event_id, moment, body)
    secrets = tuple(value.removeprefix("Bearer ") for value in secret_headers.values())
    if config.secret_url is not None:
        secrets += address_secrets(url)
    return checked_size(
        Request(service="Webhook", method=config.method, url=url, body=body, headers=headers, secrets=secrets)
    )


def signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    """Of Standard Webhooks: `v1,<base64>`.

    secret: `whsec_` and base64. ConfigurationError, which does not repeat it, when it is anything else.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigurationError(
            "the signing secret of a webhook is no base64 text (it is a secret and not shown)",
            next_step='make one with: python -c "import base64, secrets; '
            "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\"",
        )
    signed = b".".join((event_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class WebhookSubscriber(ServiceSubscriber):
    """Sends events to an HTTP service."""

    config: WebhookConfig

    def check(self) -> None:
        """Every secret is there and of its form."""
        self._secret_headers()
        if self.config.secret_url is not None:
            checked_address("Webhook", self.config.secret_url.read())
        if self.config.signing_secret is not None:
            signature(self.config.signing_secret.read(), "", "", b"")

    def request_for(self, event: DomainEvent[Any], facts: Facts) -> Request | None:
        """The request; None for an outcome that is not sent."""
        config = self.config
        if facts.outcome not in config.report:
            return None
        return webhook_request(
            event,
            facts,
            config,
            url=config.address(event_document(event, facts)),
            secret_headers=self._secret_headers(),
            signing_key=_read(config.signing_secret),
            now=datetime.now(UTC),
        )

    def _secret_headers(self) -> dict[str, str]:
        found = {name: secret.read() for name, secret in self.config.secret_headers.items()}
        token = _read(self.config.bearer)
        if token is not None:
            found["Authorization"] = f"Bearer {token}"
        return found


def _read(secret: Secret | None) -> str | None:
    return None if secret is None else secret.read()

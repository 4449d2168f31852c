"""Webhooks: bodies with places to fill, addresses, signatures, and what a config may not say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from tasker_kafka.handlers import PermanentError
from tasker_kafka.handlers.integrations import Request, WebhookConfig
from tasker_kafka.handlers.integrations.document import DOCUMENT_KEYS, event_document
from tasker_kafka.handlers.integrations.placeholders import fill_value, parse_template
from tasker_kafka.handlers.integrations.webhook import signature, webhook_request
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import ConfigurationError

from .event_samples import EVENT, TASK, event, facts

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "order_id": "A/7 ü",
    "amount": 129.5,
    "customer": {"id": 7, "email": "a@shop.test"},
    "items": [{"sku": "mug"}],
    "note": None,
    "password": "hunter2",
}


def request(
    config: dict[str, Any],
    payload: Any = None,
    *,
    key: str | None = None,
    secret_headers: dict[str, str] | None = None,
    **changes: Any,
) -> Request:
    made: DomainEvent[Any] = event(ORDER if payload is None else payload, name="order.paid", **changes)
    told = facts(made.payload, name="order.paid", **changes)
    read = WebhookConfig.model_validate({"url": "https://crm.example/hook", **config})
    return webhook_request(
        made,
        told,
        read,
        url=read.address(event_document(made, told)),
        secret_headers=secret_headers or {},
        signing_key=key,
        now=NOW,
    )


def body(config: dict[str, Any], payload: Any = None) -> Any:
    return json.loads(request(config, payload).body)


def test_the_document_tells_the_whole_event() -> None:
    found = body({})
    assert found.keys() == DOCUMENT_KEYS
    assert (found["event_id"], found["name"], found["task_id"]) == (EVENT, "order.paid", TASK)
    assert found["fired_at"] == "2026-03-01T12:00:00.250Z"
    assert found["payload"] == ORDER, "as it was declared"


def test_the_document_tells_an_error_redacted_whatever_form_it_had() -> None:
    made = event({"error_code": "boom", "error_message": "login with password=hunter2 failed"})
    document = event_document(made, facts(made.payload))
    assert (document["outcome"], document["error_type"], document["error_code"]) == ("failure", None, "boom")
    assert document["error_message"] == "login with password=[FILTERED] failed"


def test_the_payload_can_be_redacted() -> None:
    assert body({"redacted": True})["payload"]["password"] == "[FILTERED]"
    with pytest.raises(ValidationError, match="redacted"):
        WebhookConfig.model_validate({"url": "https://x.example/", "redacted": True, "format": "cloudevents"})


def test_cloud_events_are_structured_and_their_names_plain() -> None:
    made = request({"format": "cloudevents"})
    found = json.loads(made.body)
    assert made.headers["Content-Type"] == "application/cloudevents+json"
    assert (found["specversion"], found["id"], found["type"]) == ("1.0", EVENT, "order.paid")
    assert (found["source"], found["subject"]) == ("/tasker/shop", TASK)
    assert found["data"] == ORDER
    assert all(name.isalnum() and name.islower() for name in found)


def test_every_request_carries_the_events_id() -> None:
    headers = request({"headers": {"X-One": "1"}}).headers
    assert headers["Idempotency-Key"] == headers["webhook-id"] == EVENT
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert headers["X-One"] == "1"
    assert "webhook-signature" not in headers


def test_a_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's own libraries.
    found = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signed_request_can_be_checked() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    made = request({}, key=f"whsec_{key}")
    signed = f"{EVENT}.{made.headers['webhook-timestamp']}.".encode() + made.body
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert made.headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("secret", ["", "whsec_", "hunter2!", "whsec_hunter2"])
def test_a_signing_secret_of_another_form_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signature(secret, "id", "1", b"")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{payload.amount}", 129.5),
        ("{payload.customer}", {"id": 7, "email": "a@shop.test"}),
        ("{payload.items.0.sku}", "mug"),
        ("Order {payload.order_id}: {payload.amount} ({name})", "Order A/7 ü: 129.5 (order.paid)"),
        ("{{x}} {payload.customer.id}", "{x} 7"),
        ("{payload.missing?}", None),
        ("[{payload.missing?}{payload.note?}]", "[]"),
        ("{payload.items}!", '[{"sku":"mug"}]!'),
        ("plain", "plain"),
        ("", ""),
        (7, 7),
        (None, None),
        ({"a": ["{payload.amount}", {"b": "{key}"}], "c": True}, {"a": [129.5, {"b": TASK}], "c": True}),
    ],
)
def test_places_are_filled(template: Any, filled: Any) -> None:
    made = event(ORDER, name="order.paid")
    document = event_document(made, facts(ORDER, name="order.paid"))
    assert fill_value(template, document, roots=DOCUMENT_KEYS) == filled


@pytest.mark.parametrize(
    "template", ["{payload.missing}", "{payload.note}", "{payload.items.9.sku}", "a {causation_id} b"]
)
def test_a_missing_value_is_permanent_and_named(template: str) -> None:
    with pytest.raises(PermanentError, match=template.strip("ab {}")) as caught:
        request({"body": {"x": template}})
    assert caught.value.code == "missing_value"


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{payload.a", "a single `{`"),
        ("a } b", "a single `}`"),
        ("{}", "no path"),
        ("{payload..a}", "no path"),
        ("{payload a}", "no path"),
        ("{paylod.a}", "did you mean `payload`"),
        ("{payload.a??}", "no path"),
    ],
)
def test_a_bad_place_is_an_error_of_the_config(template: str, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        WebhookConfig.model_validate({"url": "https://x.example/", "body": {"deep": [{"x": template}]}})


@pytest.mark.parametrize(
    ("url", "payload", "found"),
    [
        ("https://crm.example/c/{payload.id}", {"id": 7}, "https://crm.example/c/7"),
        ("https://crm.example/c/{payload.id}?k={key}", {"id": "a b"}, f"https://crm.example/c/a%20b?k={TASK}"),
        ("https://crm.example/c/{payload.id}", {"id": "../admin?x=1#y"}, "https://crm.example/c/..%2Fadmin%3Fx%3D1%23y"),
        ("https://crm.example/c/{payload.id}/", {"id": "a.b"}, "https://crm.example/c/a.b/"),
    ],
)  # fmt: skip
def test_values_in_an_address_are_encoded(url: str, payload: Any, found: str) -> None:
    assert request({"url": url}, payload).url == found


@pytest.mark.parametrize("value", ["", ".", "..", {}, ["a"], None])
def test_a_value_that_would_change_the_path_is_permanent(value: Any) -> None:
    with pytest.raises(PermanentError):
        request({"url": "https://crm.example/c/{payload.id}"}, {"id": value})


def test_a_delete_has_no_body_unless_told() -> None:
    assert request({"method": "DELETE"}).body == b""
    assert json.loads(request({"method": "DELETE", "body": {"id": "{payload.customer.id}"}}).body) == {
        "id": 7
    }


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "either `url` or `secret_url`"),
        ({"url": "https://x.example/", "secret_url": "env:X"}, "either `url` or `secret_url`"),
        ({"url": "x.example/hook"}, "no http"),
        ({"url": "ftp://x.example/"}, "no http"),
        ({"url": "https://{payload.host}/"}, "no http"),
        ({"url": "https://x.{payload.host}/"}, "no http"),
        ({"url": "https://user:hunter2@x.example/"}, "password"),
        ({"secret_url": "https://x.example/hunter2"}, "reference"),
        ({"url": "https://x.example/", "headers": {"Idempotency-Key": "1"}}, "made by Tasker"),
        ({"url": "https://x.example/", "secret_headers": {"webhook-id": "env:X"}}, "made by Tasker"),
        ({"url": "https://x.example/", "bearer": "hunter2"}, "reference"),
        ({"url": "https://x.example/", "timeout_seconds": 0}, "timeout_seconds"),
        ({"url": "https://x.example/", "bodie": {}}, "bodie"),
        ({"url": "https://x.example/", "outcomes": {"task.failed": "failure"}}, "system events"),
        ({"url": "https://x.example/", "outcomes": {"a.b": "bad"}}, "outcomes"),
    ],
)
def test_a_bad_config_is_refused_and_no_secret_repeated(config: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault) as caught:
        WebhookConfig.model_validate(config)
    assert "hunter2" not in str(caught.value)


def test_secret_headers_are_in_the_request_and_in_no_text_of_it() -> None:
    made = request({}, secret_headers={"Authorization": "Bearer hunter2"})
    assert made.headers["Authorization"] == "Bearer hunter2"
    assert made.secrets == ("hunter2",)
    assert "hunter2" not in f"{made!r} {made}"


def test_templates_join_texts() -> None:
    assert parse_template("a{{b}}c", roots=()).pieces == ("a{b}c",)


def test_a_payload_above_the_limit_is_permanent() -> None:
    with pytest.raises(PermanentError) as caught:
        request({}, {"blob": "x" * 600_000})
    assert caught.value.code == "too_large"

"""Requests to Sentry, PagerDuty, Slack and Teams, as their wire formats say: pure functions, so tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tasker_kafka.handlers.integrations import (
    Facts,
    PagerDutyConfig,
    Request,
    SentryConfig,
    SlackConfig,
    TeamsConfig,
)
from tasker_kafka.handlers.integrations.pagerduty import dedup_key, pagerduty_request
from tasker_kafka.handlers.integrations.sentry import Trail, parse_dsn, sentry_request
from tasker_kafka.handlers.integrations.slack import slack_request
from tasker_kafka.handlers.integrations.teams import teams_request
from tasker_kafka.schemas.errors import ConfigurationError

from .event_samples import COMPLETED, EVENT, FAILED, HOSTILE, STEP_FAILED, TASK, facts

SENT = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
DSN = "https://aaaabbbbccccdddd@o42.ingest.sentry.example/7"
KEY = "e93facc04764012d7bfb002500d5d1a6"
HOOK = "https://hooks.slack.example/services/T0/B0/XXXX"


# -------------------------------------------------------------------------------------------- Sentry


def sentry(found: Facts, *, crumbs: list[dict[str, Any]] | None = None, **config: Any) -> Request:
    made = SentryConfig.model_validate({"dsn": "env:SENTRY_DSN", **config})
    return sentry_request(found, made, parse_dsn(DSN), crumbs=crumbs or [], sent_at=SENT)


def envelope(request: Request) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Head, item head and event of an envelope with one item; what follows its length must be the end."""
    head, item, rest = request.body.split(b"\n", 2)
    header = json.loads(item)
    payload, end = rest[: header["length"]], rest[header["length"] :]
    assert end == b"\n"
    return json.loads(head), header, json.loads(payload)


def test_sentry_gets_an_envelope_with_one_event() -> None:
    request = sentry(facts())
    assert request.url == "https://o42.ingest.sentry.example/api/7/envelope/"
    assert request.headers["Content-Type"] == "application/x-sentry-envelope"
    assert request.headers["X-Sentry-Auth"] == (
        "Sentry sentry_version=7, sentry_client=tasker-kafka/1, sentry_key=aaaabbbbccccdddd"
    )
    head, item, found = envelope(request)
    assert (head["event_id"], head["sent_at"]) == (EVENT.replace("-", ""), "2026-03-01T12:00:01.000Z")
    assert item["type"] == "event"
    assert found["event_id"] == head["event_id"]
    assert found["timestamp"] == "2026-03-01T12:00:00.250Z"
    assert (found["level"], found["environment"], found["transaction"]) == (
        "error",
        "production",
        "shop/checkout",
    )
    [exception] = found["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("card_declined", "the bank declined 129.00")


def test_sentry_tags_name_the_task_and_are_short_enough() -> None:
    _, _, found = envelope(
        sentry(facts(STEP_FAILED, step="charge"), tags={"team": "payments", "x": "y\n" * 300})
    )
    tags = found["tags"]
    assert tags["task_id"] == TASK
    assert (tags["step"], tags["attempt"], tags["error_code"]) == ("charge", "2", "gateway_busy")
    assert tags["team"] == "payments"
    assert all(len(value) < 200 and "\n" not in value for value in tags.values())
    assert found["transaction"] == "shop/checkout.charge"


@pytest.mark.parametrize(
    ("group_by", "fingerprint"),
    [
        ("task", ["tasker-kafka", "production", "shop", TASK]),
        ("template", ["tasker-kafka", "production", "shop", "shop/checkout"]),
        ("error", ["tasker-kafka", "production", "shop", "shop/checkout", "", "card_declined"]),
    ],
)
def test_sentry_groups_by_task_unless_told(group_by: str, fingerprint: list[str]) -> None:
    assert envelope(sentry(facts(), group_by=group_by))[2]["fingerprint"] == fingerprint
    assert envelope(sentry(facts()))[2]["fingerprint"][-1] == TASK


@pytest.mark.parametrize(
    ("payload", "levels", "level"),
    [
        (FAILED, {}, "error"),
        ({**COMPLETED, "state": "cancelled"}, {}, "warning"),
        (COMPLETED, {}, "info"),
        (FAILED, {"failure": "fatal"}, "fatal"),
    ],
)
def test_sentry_levels(payload: Any, levels: dict[str, str], level: str) -> None:
    assert envelope(sentry(facts(payload), levels=levels))[2]["level"] == level


def test_sentry_breadcrumbs_are_the_tasks_earlier_events_and_its_own_way() -> None:
    trail = Trail()
    first = facts(STEP_FAILED, name="payment.failed", step="charge_card", event_id="first")
    for each in (first, first, facts(name="order.placed", payload={}, event_id="other", task_id="another")):
        trail.add(each)
    last = facts()
    trail.add(last)
    crumbs = envelope(sentry(last, crumbs=trail.before(last)))[2]["breadcrumbs"]["values"]
    assert [each["category"] for each in crumbs] == ["payment.failed", "task", "step"]
    assert crumbs[0]["level"] == "error"
    assert crumbs[0]["data"] == {"error": "the payment gateway is busy"}
    assert crumbs[2]["message"] == "step charge_card failed"


def test_a_trail_is_bounded_both_ways() -> None:
    trail = Trail(tasks=2, events=3)
    for task in ("a", "b", "c"):
        for number in range(5):
            trail.add(facts(event_id=f"{task}{number}", task_id=task))
    assert trail.before(facts(task_id="a")) == []
    assert len(trail.before(facts(task_id="c"))) == 3


def test_sentry_contexts_tell_the_trace_and_the_task() -> None:
    _, _, found = envelope(sentry(facts(), task_url="https://console.example/tasks/{task_id}"))
    assert found["contexts"]["trace"] == {
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    }
    assert found["contexts"]["task"]["url"] == f"https://console.example/tasks/{TASK}"
    assert found["contexts"]["task"]["duration_seconds"] == 105.25


def test_sentry_without_an_error_has_a_message() -> None:
    _, _, found = envelope(sentry(facts(COMPLETED)))
    assert "exception" not in found
    assert found["logentry"] == {"formatted": "shop/checkout completed"}


def test_an_event_id_of_others_becomes_32_hex_digits() -> None:
    found = envelope(sentry(facts(event_id="order-1/ü")))[2]["event_id"]
    assert len(found) == 32
    assert int(found, 16)
    assert found == found.lower()


def test_sentry_is_left_alone_for_a_minute_where_it_names_no_delay() -> None:
    assert sentry(facts()).busy_seconds == 60


@pytest.mark.parametrize(
    ("dsn", "url", "secret"),
    [
        ("https://k@sentry.example/1", "https://sentry.example/api/1/envelope/", None),
        ("https://k:s@sentry.example:9000/1", "https://sentry.example:9000/api/1/envelope/", "s"),
        ("http://k@10.0.0.1/base/path/12", "http://10.0.0.1/base/path/api/12/envelope/", None),
        ("https://k@sentry.example/1/?x=1", "https://sentry.example/api/1/envelope/", None),
    ],
)
def test_dsn_forms(dsn: str, url: str, secret: str | None) -> None:
    found = parse_dsn(dsn)
    assert (found.url, found.public_key, found.secret_key) == (url, "k", secret)
    assert repr(found) == "Dsn(***)"


@pytest.mark.parametrize(
    "dsn", ["", "hunter2", "https://sentry.example/1", "https://hunter2@sentry.example/", "ftp://hunter2@s.example/1",
            "https://hunter2@a\x00b/1"],
)  # fmt: skip
def test_a_bad_dsn_is_refused_and_not_repeated(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_dsn(dsn)
    assert "hunter2" not in str(caught.value)


# ------------------------------------------------------------------------------------------ PagerDuty


def pagerduty(found: Facts, **config: Any) -> dict[str, Any]:
    given = {"routing_key": "env:KEY", "critical": {"templates": ["*"]}, **config}
    request = pagerduty_request(found, PagerDutyConfig.model_validate(given), KEY)
    body: dict[str, Any] = json.loads(request.body)
    assert len(request.body) < 512 * 1024
    return body


def test_pagerduty_triggers_with_the_tasks_key() -> None:
    body = pagerduty(facts(), task_url="https://console.example/{environment}/{task_id}")
    assert (body["routing_key"], body["event_action"]) == (KEY, "trigger")
    assert body["dedup_key"] == f"tasker/production/shop/{TASK}"
    payload = body["payload"]
    assert payload["summary"] == "shop/checkout failed: the bank declined 129.00"
    assert (payload["severity"], payload["source"], payload["component"]) == (
        "critical",
        "tasker",
        "shop/checkout",
    )
    assert (payload["group"], payload["class"]) == ("shop", "card_declined")
    assert payload["timestamp"] == "2026-03-01T12:00:00.250Z"
    assert payload["custom_details"]["failed_steps"] == ["charge_card"]
    assert payload["custom_details"]["duration"] == "1 min 45 s"
    assert body["links"] == [{"href": f"https://console.example/production/{TASK}", "text": "The task"}]


def test_pagerduty_resolves_with_the_same_key_and_nothing_else() -> None:
    body = pagerduty(facts(COMPLETED))
    assert body == {
        "routing_key": KEY,
        "event_action": "resolve",
        "dedup_key": pagerduty(facts())["dedup_key"],
    }


@pytest.mark.parametrize(
    ("environment", "severity"),
    [("production", "critical"), ("staging", "warning"), ("development", "info"), ("", "info")],
)
def test_pagerduty_severity_by_environment(environment: str, severity: str) -> None:
    assert pagerduty(facts(environment=environment))["payload"]["severity"] == severity


def test_pagerduty_severities_can_be_set() -> None:
    given = {"severities": {"production": "error"}}
    assert pagerduty(facts(), **given)["payload"]["severity"] == "error"
    assert pagerduty(facts(environment="qa"), **given)["payload"]["severity"] == "error"


@pytest.mark.parametrize("length", [10, 200, 254, 255, 5_000])
def test_pagerduty_dedup_keys_are_at_most_255_characters_and_differ(length: int) -> None:
    one, two = (
        dedup_key(facts({}, task_id=None, key="k" * length + end, environment="e" * length)) for end in "ab"
    )
    assert max(len(one), len(two)) <= 255
    assert one != two


def test_pagerduty_texts_are_bounded() -> None:
    body = pagerduty(facts({**HOSTILE, "blob": "x" * 400_000}))
    assert len(body["payload"]["summary"]) <= 1024
    assert len(json.dumps(body)) < 64 * 1024


@pytest.mark.parametrize(
    ("critical", "payload", "met"),
    [
        ({"templates": ["*"]}, {}, True),
        ({"templates": ["shop/*"]}, {}, True),
        ({"templates": ["shop/checkout"]}, {}, True),
        ({"templates": ["shop/refund", "bank/*"]}, {}, False),
        ({"fields": {"priority": ["high"]}}, {"priority": "high"}, True),
        ({"fields": {"order.priority": [1]}}, {"order": {"priority": 1}}, True),
        ({"fields": {"vip": [True]}}, {"vip": 1}, False),
        ({"fields": {"vip": [1]}}, {"vip": True}, False),
        ({"fields": {"priority": ["high"]}}, {"priority": "low"}, False),
        ({"fields": {"priority": ["high"]}}, {}, False),
        ({"fields": {"priority": ["high"]}}, "text", False),
    ],
)
def test_which_tasks_are_critical(critical: Any, payload: Any, met: bool) -> None:
    config = PagerDutyConfig.model_validate({"routing_key": "env:KEY", "critical": critical})
    assert config.critical.is_met(facts(payload), payload) is met


# ---------------------------------------------------------------------------------------- all of them


def all_requests() -> list[Request]:
    found = facts(HOSTILE)
    return [
        sentry(found),
        pagerduty_request(
            found,
            PagerDutyConfig.model_validate({"routing_key": "env:K", "critical": {"templates": ["*"]}}),
            KEY,
        ),
        slack_request(found, SlackConfig.model_validate({"webhook": "env:H"}), HOOK),
        teams_request(found, TeamsConfig.model_validate({"webhook": "env:H"}), HOOK),
    ]


@pytest.mark.parametrize("request_", all_requests(), ids=lambda each: each.service)
def test_a_request_shows_no_secret_and_is_the_same_for_the_same_event(request_: Request) -> None:
    text = f"{request_!r} {request_} {request_.place}"
    for secret in (KEY, "aaaabbbbccccdddd", "/services/", "XXXX"):
        assert secret not in text
    assert request_.body in [each.body for each in all_requests()]


def test_the_payload_in_details_is_redacted() -> None:
    payload = {**FAILED, "password": "hunter2", "card_token": "tok_live_1"}
    for body in (sentry(facts(payload)).body.decode(), json.dumps(pagerduty(facts(payload)))):
        assert "hunter2" not in body
        assert "tok_live_1" not in body
        assert "[FILTERED]" in body

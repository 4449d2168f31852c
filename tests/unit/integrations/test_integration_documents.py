"""Every subscriptions file that the how-to shows runs: loaded as shown, delivered to a local HTTP sink."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tasker_kafka.handlers import PermanentError, RetryableError
from tasker_kafka.handlers.integrations import Sender
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.files import read_subscriptions
from tasker_kafka.handlers.subscribing.loading import load_specs
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.event_patterns import parse_patterns
from tests.support.documents import Block, blocks
from tests.support.http_sink import Answer, HttpSink, Received

from .event_samples import COMPLETED, EVENT, FAILED, STEP_FAILED, TASK, event

PAGE = "docs/how-to/integrations.md"
FILES = {
    Path(block.file).stem: block
    for block in blocks(PAGE)
    if block.file is not None and block.language == "yaml"
}
SECRETS = {
    "SLACK_ALERTS": "https://hooks.slack.example/services/SECRET-1",
    "SLACK_DEVELOPMENT": "https://hooks.slack.example/services/SECRET-2",
    "TEAMS_ALERTS": "https://teams.example/workflows/SECRET-3",
    "TEAMS_STAGING": "https://teams.example/workflows/SECRET-4",
    "PAGERDUTY_KEY": "SECRET-5",
    "SENTRY_DSN": "https://SECRET6@sentry.example/7",
    "CRM_KEY": "SECRET-7",
    "BILLING_WEBHOOK": "https://billing.example/hooks/SECRET-8",
    "BILLING_SIGNING_SECRET": "whsec_" + base64.b64encode(b"SECRET-9").decode(),
    "ANALYTICS_TOKEN": "SECRET-10",
    "MAIL_TOKEN": "SECRET-11",
    "TICKETS_TOKEN": "SECRET-12",
}


class ToSink(httpx.AsyncHTTPTransport):
    """Brings requests to any host to the sink; where they were for is in a header."""

    def __init__(self, sink: HttpSink) -> None:
        super().__init__(verify=False)
        self._sink = sink

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = [*request.headers.raw, (b"X-Meant-For", str(request.url).encode())]
        url = httpx.URL(self._sink.url).copy_with(raw_path=request.url.raw_path)
        moved = httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        return await super().handle_async_request(moved)


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HttpSink]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with HttpSink() as running:
        clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}

        def client(_: Sender) -> httpx.AsyncClient:
            loop = asyncio.get_running_loop()
            return clients.setdefault(loop, httpx.AsyncClient(transport=ToSink(running)))

        monkeypatch.setattr(Sender, "_client", client)
        yield running


def specs_of(text: str) -> tuple[SubscriberSpec, ...]:
    return load_specs([], read_subscriptions(text, source="shown.yaml"))


@asynccontextmanager
async def opened(text: str) -> AsyncIterator[list[Subscription]]:
    specs = specs_of(text)
    async with AsyncExitStack() as stack:
        for spec in specs:
            await stack.enter_async_context(spec.opened())
        yield [each for spec in specs for each in spec.subscriptions]


async def deliver(subscriptions: list[Subscription], made: DomainEvent[Any]) -> None:
    """As a member of the groups does, without retries."""
    for each in subscriptions:
        is_meant = parse_patterns(each.patterns).matches(made.name)
        if is_meant and (each.should_process is None or each.should_process(made)):
            await each.handler(made)


async def told(name: str, *events: DomainEvent[Any]) -> None:
    async with opened(FILES[name].text) as subscriptions:
        for each in events:
            await deliver(subscriptions, each)


def meant_for(received: list[Received]) -> list[str]:
    return [f"{each.method} {each.headers['x-meant-for']}" for each in received]


@pytest.mark.parametrize("block", FILES.values(), ids=FILES)
def test_shown_files_load_and_name_their_groups(block: Block, sink: HttpSink) -> None:
    specs = specs_of(block.text)
    entries = yaml.safe_load(block.text)["event_subscriptions"]
    assert len(specs) == len(entries)
    assert sink.requests == []


def test_every_integration_is_shown() -> None:
    assert set(FILES) == {
        "slack", "teams", "pagerduty", "sentry", "webhooks", "checkout", "metrics", "audit",
    }  # fmt: skip


async def test_slack_goes_to_the_environments_channel(sink: HttpSink) -> None:
    await told(
        "slack", event(FAILED), event(FAILED, environment="qa"), event(COMPLETED, name="order.completed")
    )
    assert meant_for(sink.requests) == [
        f"POST {SECRETS['SLACK_ALERTS']}",
        f"POST {SECRETS['SLACK_DEVELOPMENT']}",
    ]
    assert sink.requests[0].json["text"] == "❌ shop/checkout failed"
    assert f"https://console.example/tasks/{TASK}" in sink.requests[0].body.decode()


async def test_environments_that_are_not_meant_are_left_out(sink: HttpSink) -> None:
    text = FILES["slack"].text.replace("report: [", "environments: [production, staging]\n      report: [")
    async with opened(text) as subscriptions:
        for environment in ("production", "staging", "qa", ""):
            await deliver(subscriptions, event(FAILED, environment=environment))
    assert len(sink.requests) == 2


async def test_teams_is_for_its_environments(sink: HttpSink) -> None:
    await told(
        "teams", event(COMPLETED), event(FAILED, environment="staging"), event(FAILED, environment="qa")
    )
    assert meant_for(sink.requests) == [f"POST {SECRETS['TEAMS_ALERTS']}", f"POST {SECRETS['TEAMS_STAGING']}"]


async def test_pagerduty_triggers_and_resolves_the_same_alert(sink: HttpSink) -> None:
    await told(
        "pagerduty",
        event(FAILED),
        event({**FAILED, "state": "blocked_by_failures"}, name="order.blocked"),
        event(COMPLETED, name="order.completed"),
        event(FAILED, template="newsletter"),
        event({**FAILED, "priority": "high"}, template="newsletter", task_id="vip"),
        event(FAILED, environment="staging"),
    )
    assert meant_for(sink.requests) == ["POST https://events.pagerduty.com/v2/enqueue"] * 4
    bodies = [each.json for each in sink.requests]
    assert [each["event_action"] for each in bodies] == ["trigger", "trigger", "resolve", "trigger"]
    assert len({each["dedup_key"] for each in bodies[:3]}) == 1
    assert bodies[3]["dedup_key"] != bodies[0]["dedup_key"]
    assert {each["routing_key"] for each in bodies} == {SECRETS["PAGERDUTY_KEY"]}


async def test_a_step_that_succeeds_resolves_no_alert_of_its_task(sink: HttpSink) -> None:
    charged = event({"state": "complete"}, name="order.completed", step="charge_card")
    await told("pagerduty", charged)
    assert sink.requests == []


async def test_what_stands_beside_the_services_holds_for_all(sink: HttpSink) -> None:
    text = FILES["checkout"].text.replace("timeout_seconds: 5", "environments: [production]")
    async with opened(text) as subscriptions:
        for environment in ("production", "staging"):
            await deliver(subscriptions, event(COMPLETED, name="order.completed", environment=environment))
    assert len(sink.requests) == 3


async def test_sentry_waits_for_its_threshold_and_brings_breadcrumbs(sink: HttpSink) -> None:
    await told(
        "sentry",
        event({"amount": 7}, name="payment.charged", event_id="0"),
        event(STEP_FAILED, name="payment.failed", step="charge_card", event_id="1"),
        *(event(FAILED, event_id=f"{number}") for number in range(2, 6)),
    )
    [request] = sink.requests
    assert meant_for([request]) == ["POST https://sentry.example/api/7/envelope/"]
    found = json.loads(request.body.split(b"\n")[2])
    assert found["tags"]["team"] == "checkout"
    assert [each["category"] for each in found["breadcrumbs"]["values"]][:2] == [
        "payment.charged",
        "payment.failed",
    ]


async def test_webhooks_each_in_its_own_group(sink: HttpSink) -> None:
    await told("webhooks", event(COMPLETED, name="order.completed"))
    found = dict(zip(meant_for(sink.requests), sink.requests, strict=True))
    assert set(found) == {
        f"PATCH https://crm.example/api/orders/{TASK}",
        f"POST {SECRETS['BILLING_WEBHOOK']}",
        "POST https://analytics.example/v1/track",
    }
    crm = found[f"PATCH https://crm.example/api/orders/{TASK}"]
    assert (crm.headers["x-api-key"], crm.json) == (
        "SECRET-7",
        {"stage": "won", "closed_at": COMPLETED["completed_at"]},
    )
    billing = found[f"POST {SECRETS['BILLING_WEBHOOK']}"]
    assert (billing.json["id"], billing.headers["webhook-id"]) == (EVENT, EVENT)
    assert billing.headers["webhook-signature"].startswith("v1,")
    analytics = found["POST https://analytics.example/v1/track"]
    assert analytics.headers["authorization"] == "Bearer SECRET-10"


async def test_several_services_by_outcome(sink: HttpSink) -> None:
    await told("checkout", event(COMPLETED, name="order.completed"))
    assert meant_for(sink.requests) == [
        f"PUT https://crm.example/api/orders/{TASK}",
        "POST https://mail.example/v1/send",
        f"DELETE https://files.example/tasks/{TASK}",
    ]
    assert sink.requests[1].json["text"] == f"Task {TASK} took 105.25 s."
    sink.requests.clear()
    await told("checkout", event(FAILED))
    assert meant_for(sink.requests) == [
        f"POST {SECRETS['SLACK_ALERTS']}",
        "POST https://tickets.example/rest/issues",
    ]
    assert sink.requests[1].json == {
        "title": "shop/checkout failed",
        "description": "the bank declined 129.00",
        "external_id": TASK,
    }


async def test_a_service_that_fails_is_a_failed_subscription_of_its_own(sink: HttpSink) -> None:
    async with opened(FILES["checkout"].text) as subscriptions:
        names = [each.name for each in subscriptions]
        assert names == [
            "checkout.on_success.update",
            "checkout.on_success.mail",
            "checkout.on_success.metric",
            "checkout.on_success.cleanup",
            "checkout.on_failure.notify",
            "checkout.on_failure.ticket",
            "checkout.on_failure.metric",
        ]
        by_name = dict(zip(names, subscriptions, strict=True))
        done = event(COMPLETED, name="order.completed")
        sink.answers.append(Answer(503, headers={"Retry-After": "9"}))
        with pytest.raises(RetryableError) as caught:
            await by_name["checkout.on_success.mail"].handler(done)
        assert caught.value.retry_after == 9
        await by_name["checkout.on_success.update"].handler(done)
    assert len(sink.requests) == 2


async def test_the_audit_log_has_a_line_for_each_event(sink: HttpSink) -> None:
    await told("audit", event(COMPLETED, name="order.completed"), event({**FAILED, "password": "hunter2"}))
    lines = [json.loads(each) for each in Path("audit.jsonl").read_text().splitlines()]
    assert [each["name"] for each in lines] == ["order.completed", "order.failed"]
    assert lines[1]["payload"]["password"] == "[FILTERED]"
    assert (lines[1]["error_code"], lines[1]["partition"], lines[1]["offset"]) == ("card_declined", 3, 41)
    assert sink.requests == []


SENDING = ["slack", "teams", "pagerduty", "webhooks", "checkout"]


@pytest.mark.parametrize("name", SENDING)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, b"invalid_payload SECRET-1 SECRET-5"), PermanentError),
        (Answer(404), PermanentError),
        (Answer(429, headers={"Retry-After": "5"}), RetryableError),
        (Answer(500), RetryableError),
    ],
    ids=["400", "404", "429", "500"],
)
async def test_what_a_service_answers_decides(
    name: str, answer: Answer, kind: type[PermanentError | RetryableError], sink: HttpSink
) -> None:
    sink.answers.extend([answer] * 10)
    made = event(FAILED) if name != "webhooks" else event(COMPLETED, name="order.completed")
    with pytest.raises(kind) as caught:
        await told(name, made)
    if isinstance(caught.value, RetryableError):
        assert caught.value.retry_after == (5 if answer.status == 429 else None)
    if name == "pagerduty":
        assert "SECRET-5" not in str(caught.value)


@pytest.mark.parametrize("name", [*SENDING, "sentry"])
def test_no_secret_is_in_a_representation(name: str, sink: HttpSink) -> None:
    specs = specs_of(FILES[name].text)
    handlers: list[Any] = [each.handler for spec in specs for each in spec.subscriptions]
    text = f"{specs!r} {[vars(each.__self__) for each in handlers]}"
    assert "webhook" in text or "config" in text
    assert "SECRET" not in text


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("slack", ["SLACK_ALERTS", "SLACK_DEVELOPMENT"]),
        ("teams", ["TEAMS_STAGING"]),
        ("pagerduty", ["PAGERDUTY_KEY"]),
        ("sentry", ["SENTRY_DSN"]),
        ("webhooks", ["BILLING_WEBHOOK"]),
        ("checkout", ["MAIL_TOKEN"]),
    ],
)
async def test_a_missing_secret_is_refused_at_the_start(
    name: str, missing: list[str], sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in missing:
        monkeypatch.delenv(each)
    with pytest.raises(ConfigurationError, match=missing[0]):
        await told(name)


async def test_a_secret_of_another_environment_may_be_missing(
    sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLACK_DEVELOPMENT")
    await told("slack", event(FAILED))
    assert meant_for(sink.requests) == [f"POST {SECRETS['SLACK_ALERTS']}"]


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("slack", ("report: [failure", "report: [failed"), "report"),
        ("slack", ("webhook:", "webhok:"), "did you mean `webhook`"),
        ("slack", ("env:SLACK_ALERTS", "https://hooks.slack.example/x"), "reference"),
        ("pagerduty", ("templates: [shop/checkout", "templates: [checkout"), "namespace/name"),
        ("pagerduty", ("production: critical", "production: loud"), "severities"),
        ("sentry", ("count: 3", "count: 0"), "count"),
        ("sentry", ("per_seconds", "per_second"), "did you mean `per_seconds`"),
        ("webhooks", ("{payload.completed_at}", "{paylod.completed_at}"), "did you mean `payload`"),
        ("checkout", ("use: slack", "use: slak"), "use"),
        ("checkout", ("{webhook: env:SLACK_ALERTS}", "{webhok: env:SLACK_ALERTS}"), "did you mean `webhook`"),
        ("checkout", ("on_failure:", "on_failur:"), "did you mean `on_failure`"),
        ("checkout", ("        mail:", "        send mail:"), "on_success"),
        ("metrics", ("shop.order.amount", "tasker.orders"), "Tasker's own"),
        ("audit", ("file: audit.jsonl", "payload: none"), "either `file` or `url`"),
    ],
)
def test_a_slip_of_the_pen_is_refused(name: str, change: tuple[str, str], fault: str, sink: HttpSink) -> None:
    text = FILES[name].text
    assert change[0] in text
    with pytest.raises(ConfigurationError, match=fault):
        specs_of(text.replace(*change))

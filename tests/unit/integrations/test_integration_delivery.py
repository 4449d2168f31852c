"""Integrations as members of their groups deliver to them: retries, dead letters, redrive; from a task's end on."""

from __future__ import annotations

import json
from collections import Counter, deque

import httpx
import pytest

from tasker_kafka.handlers import PermanentError
from tasker_kafka.handlers.integrations import Sender
from tasker_kafka.handlers.subscribing.files import read_subscriptions
from tasker_kafka.handlers.subscribing.loading import load_specs
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.handlers.testing import EventBus, WorkflowTest, always
from tasker_kafka.schemas.template import load_templates
from tests.support.documents import blocks

from .event_samples import COMPLETED, FAILED

SECRETS = {
    "SLACK_ALERTS": "https://hooks.example/SECRET",
    "MAIL_TOKEN": "SECRET",
    "TICKETS_TOKEN": "SECRET",
    "PAGERDUTY_KEY": "SECRET",
}
SLACK = """
event_subscriptions:
  - handler: tasker_kafka.handlers.integrations:SlackSubscriber
    events: [order.*]
    config: {webhook: env:SLACK_ALERTS}
"""
SHOWN = {block.file: block.text for block in blocks("docs/how-to/integrations.md") if block.file}


class Services:
    """All services there are, without sockets: a virtual clock would wait for those in real time."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: dict[str, deque[httpx.Response]] = {}
        """By host; then every request is accepted."""
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def of(self, host: str) -> list[httpx.Request]:
        return [each for each in self.requests if each.url.host == host]

    def will_answer(self, host: str, *answers: httpx.Response) -> None:
        self.answers[host] = deque(answers)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self.answers.get(request.url.host)
        return answers.popleft() if answers else httpx.Response(200, text="ok")


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    found = Services()
    monkeypatch.setattr(Sender, "_client", lambda _: found.client)
    return found


def specs_of(text: str) -> tuple[SubscriberSpec, ...]:
    return load_specs([], read_subscriptions(text, source="shown.yaml"))


def test_the_delay_that_a_service_asks_for_is_kept(services: Services) -> None:
    services.will_answer("hooks.example", httpx.Response(429, headers={"Retry-After": "40"}))
    with EventBus(*specs_of(SLACK)) as bus:
        bus.publish("order.failed", FAILED, key="task 1")
        bus.settle()
        first, second = bus.delivered()
        assert bus.dead_letters() == []
    assert second.began_at - (first.ended_at or 0) >= 40_000
    assert len(services.requests) == 2


def test_what_a_service_refuses_is_a_dead_letter_at_once_and_tells_no_secret(services: Services) -> None:
    services.will_answer("hooks.example", httpx.Response(404, text="no_service SECRET"))
    with EventBus(*specs_of(SLACK)) as bus:
        bus.publish("order.failed", FAILED, key="task 1")
        bus.publish("order.failed", FAILED, key="task 1")
        bus.settle()
        [letter] = bus.dead_letters()
        assert len(bus.handled()) == 1, "its successor went on"
    assert len(services.requests) == 2, "it was not tried again"
    assert letter.journey.error_type == PermanentError.__name__
    assert letter.journey.message == "Slack (hooks.example) answered 404 Not Found: no_service ***"
    assert "https://hooks.example/SECRET" not in repr(letter.journey)


def test_a_service_that_is_down_holds_up_no_other_and_is_redriven_alone(services: Services) -> None:
    services.will_answer("mail.example", *[httpx.Response(503)] * 3)
    with EventBus(*specs_of(SHOWN["subscriptions/checkout.yaml"])) as bus:
        bus.publish("order.completed", COMPLETED, task_id=b"0123456789abcdef")
        bus.settle()
        [letter] = bus.dead_letters()
        assert letter.journey.subscription == "checkout.on_success.mail"
        hosts = Counter(each.url.host for each in services.requests)
        assert hosts == {"crm.example": 1, "mail.example": 3, "files.example": 1}
        assert bus.redrive() == 1
        bus.settle()
        assert len(bus.handled("checkout.on_success.mail")) == 1
    hosts = Counter(each.url.host for each in services.requests)
    assert hosts == {"crm.example": 1, "mail.example": 4, "files.example": 1}
    keys = {each.headers["Idempotency-Key"] for each in services.requests}
    assert len(keys) == 1, "every request of an event carries its id"


def test_a_task_that_fails_is_told_as_the_how_to_says(services: Services) -> None:
    [template] = [each.text for each in blocks("docs/how-to/integrations.md") if "steps:" in each.text]
    specs = specs_of(SHOWN["subscriptions/checkout.yaml"]) + specs_of(SHOWN["subscriptions/pagerduty.yaml"])
    models = load_templates(template, source="shown.yaml")
    with WorkflowTest(models, subscribers=specs, strict=False) as workflow:
        workflow.replace("shop.charge_card", always({"charge": "ch_1"}))
        done = workflow.run("checkout", namespace="shop").assert_complete()
        workflow.events.settle()
        workflow.replace("shop.charge_card", refuse)
        failed = workflow.run("checkout", namespace="shop")
        workflow.events.settle()
    assert [each.url.path for each in services.of("crm.example")] == [f"/api/orders/{done.task_id}"]
    [ticket] = services.of("tickets.example")
    body = json.loads(ticket.content)
    assert (body["title"], body["external_id"]) == ("shop/checkout failed", failed.task_id)
    [message] = services.of("hooks.example")
    assert json.loads(message.content)["text"] == "❌ shop/checkout failed"


def refuse() -> None:
    raise PermanentError("the bank declined 129.00", code="card_declined")

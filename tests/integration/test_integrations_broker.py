"""Integrations on a real broker with a local HTTP sink: delivered, retried, given up as a subscriptions file says."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tasker_kafka.handlers.subscribing.files import read_subscriptions
from tasker_kafka.handlers.subscribing.loading import load_specs
from tasker_kafka.handlers.testing import EventBus
from tasker_kafka.topics.brokers import Broker
from tests.support.http_sink import Answer, HttpSink

SECRET = "T0B0-very-secret"
FILE = """
event_subscriptions:
  - handler: tasker_kafka.handlers.integrations:SlackSubscriber
    events: [order.*]
    config: {webhook: env:CHAT}
    retry: {delays: [0.2]}
  - handler: tasker_kafka.handlers.integrations:AuditSubscriber
    events: ["**"]
    config: {file: audit.jsonl}
"""


def test_a_file_of_integrations_on_kafka(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    answers = (Answer(503), Answer(200), Answer(404, f"no_service {SECRET}".encode()))
    with HttpSink(*answers) as sink:
        monkeypatch.setenv("CHAT", f"{sink.url}/services/{SECRET}")
        specs = load_specs([], read_subscriptions(FILE, source="file.yaml"))
        with EventBus(*specs, broker=kafka.bootstrap_servers) as bus:
            for number in (1, 2):
                bus.publish("order.failed", {"state": "error", "number": number}, key="task 1")
            bus.settle()
            [letter] = bus.dead_letters()
    assert len(sink.requests) == 3
    assert letter.original.value is not None
    assert b'"number":2' in letter.original.value
    assert letter.journey.subscription == "SlackSubscriber.handle_event"
    assert letter.journey.message == "Slack (127.0.0.1) answered 404 Not Found: no_service ***"
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["payload"]["number"] for line in lines] == [1, 2]
    assert SECRET not in caplog.text

"""Metrics and the audit log: what is recorded, and what a hostile payload cannot do to either."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic import ValidationError

from tasker_kafka.handlers import RetryableError
from tasker_kafka.handlers.integrations import (
    AuditConfig,
    AuditSubscriber,
    MetricsConfig,
    MetricsSubscriber,
    Outcome,
)
from tasker_kafka.handlers.integrations.audit import append_line
from tasker_kafka.handlers.integrations.metrics import MEASURE_ATTRIBUTE_VALUES
from tasker_kafka.schemas.errors import ConfigurationError
from tests.support.http_sink import Answer, HttpSink

from .event_samples import COMPLETED, EVENT, FAILED, STEP_FAILED, TASK, event


class Recorded:
    """A metrics subscriber and what it has recorded."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self._reader = InMemoryMetricReader()
        meter = MeterProvider(metric_readers=[self._reader]).get_meter("test")
        self.subscriber = MetricsSubscriber(config or {}, meter=meter)

    def points(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Instrument → (attributes, sum) of each series."""
        found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        data = self._reader.get_metrics_data()
        for resource in [] if data is None else data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value = getattr(point, "sum", getattr(point, "value", None))
                        found.setdefault(metric.name, []).append((dict(point.attributes or {}), value))
        return found


async def test_events_failures_and_durations_are_counted_without_ids() -> None:
    recorded = Recorded()
    for made in (
        event(COMPLETED, name="order.completed"),
        event(FAILED),
        event(STEP_FAILED, step="charge_card"),
        event({"amount": 1}, name="payment.charged"),
    ):
        await recorded.subscriber.handle_event(made)
    points = recorded.points()
    events = Counter[tuple[str, str]]()
    for tags, value in points["tasker.domain_events"]:
        events[tags["event"], tags["outcome"]] += value
    assert events == {
        ("order.completed", Outcome.SUCCESS): 1,
        ("order.failed", Outcome.FAILURE): 2,
        ("payment.charged", Outcome.OTHER): 1,
    }
    assert not any("error_category" in tags for tags, _ in points["tasker.domain_events"])
    failures = points["tasker.domain_events.failures"]
    assert sum(value for _, value in failures) == 2
    assert all("error_category" in tags for tags, _ in failures)
    assert sum(value for _, value in points["tasker.domain_events.duration"]) == 2 * 105.25
    text = str(points)
    assert TASK not in text
    assert EVENT not in text
    assert "corr-1" not in text


MEASURE = {
    "name": "shop.amount",
    "path": "amount",
    "unit": "EUR",
    "attributes": {"currency": "money.currency"},
}


async def test_numbers_of_payloads_are_measures() -> None:
    recorded = Recorded(
        {
            "measures": [MEASURE, {"name": "shop.orders", "path": "n", "kind": "counter"}],
            "environments": ["production"],
        }
    )
    payloads: list[Any] = [
        {"amount": 12.5, "money": {"currency": "EUR"}, "n": 2},
        {"amount": 7, "money": {"currency": "CHF"}, "n": 3},
        {"amount": "many", "n": -1},
        {"amount": True},
        {"amount": {"x": 1}},
        [],
    ]
    for payload in payloads:
        await recorded.subscriber.handle_event(event(payload))
    await recorded.subscriber.handle_event(event({"amount": 1_000}, environment="staging"))
    points = recorded.points()
    assert {(tags["currency"], value) for tags, value in points["shop.amount"]} == {("EUR", 12.5), ("CHF", 7)}
    assert sum(value for _, value in points["shop.orders"]) == 5


async def test_no_payload_makes_series_without_end() -> None:
    recorded = Recorded({"measures": [MEASURE]})
    for number in range(MEASURE_ATTRIBUTE_VALUES + 50):
        payload = {"amount": 1, "money": {"currency": f"c{number}"}}
        await recorded.subscriber.handle_event(event(payload))
    series = recorded.points()["shop.amount"]
    assert len(series) == MEASURE_ATTRIBUTE_VALUES + 1
    assert [value for tags, value in series if tags["currency"] == "other"] == [50]


@pytest.mark.parametrize(
    ("measures", "fault"),
    [
        ([MEASURE, MEASURE], "same name"),
        ([{**MEASURE, "name": "Tasker.x"}], "Tasker's own"),
        ([{**MEASURE, "name": "1x"}], "name"),
        ([{**MEASURE, "kind": "gauge"}], "kind"),
        ([{**MEASURE, "path": ""}], "path"),
    ],
)
def test_measures_that_cannot_be_are_refused(measures: list[Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        MetricsConfig.model_validate({"measures": measures})


# ------------------------------------------------------------------------------------------ the audit log


def lines(path: Path) -> list[Any]:
    return [json.loads(each) for each in path.read_bytes().splitlines()]


async def test_the_log_is_private_and_only_grows(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    subscriber = AuditSubscriber({"file": str(path), "environments": ["production"]})
    async with subscriber.lifespan():
        await subscriber.handle_event(event(COMPLETED, delivery_attempt=2))
        before = path.read_bytes()
        await subscriber.handle_event(event(FAILED))
        await subscriber.handle_event(event(FAILED, environment="staging"))
    assert path.read_bytes().startswith(before)
    assert [each["outcome"] for each in lines(path)] == ["success", "failure"]
    assert (lines(path)[0]["delivery_attempt"], lines(path)[0]["event_id"]) == (2, EVENT)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_the_payload_can_be_left_out_and_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    await AuditSubscriber({"file": path, "payload": "none"}).handle_event(event(FAILED))
    await AuditSubscriber({"file": path}).handle_event(event({"blob": "x" * 1_000_000}))
    first, second = lines(path)
    assert "payload" not in first
    assert second["payload"]["bytes"] > 1_000_000
    assert len(json.dumps(second)) < 300_000


def test_a_torn_line_is_closed_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"a":1}\n{"torn":')
    append_line(path, b'{"b":2}\n')
    append_line(path, b'{"c":3}\n')
    assert path.read_bytes().splitlines() == [b'{"a":1}', b'{"torn":', b'{"b":2}', b'{"c":3}']


def test_a_renamed_log_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    append_line(path, b"1\n")
    path.rename(tmp_path / "audit.1")
    append_line(path, b"2\n")
    assert path.read_bytes() == b"2\n"


def test_a_line_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acts: list[str] = []
    real_write, real_sync = os.write, os.fsync

    def write(descriptor: int, data: bytes) -> int:
        acts.append("write")
        return real_write(descriptor, data)

    def sync(descriptor: int) -> None:
        acts.append("sync")
        real_sync(descriptor)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", sync)
    append_line(tmp_path / "audit.jsonl", b"1\n")
    assert acts == ["write", "sync"]


async def test_a_log_that_cannot_be_written_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber = AuditSubscriber({"file": tmp_path / "audit.jsonl"})

    def full(descriptor: int, data: bytes) -> int:
        return len(data) // 2

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RetryableError, match="cannot be written"):
        await subscriber.handle_event(event(FAILED))
    with pytest.raises(RetryableError):
        append_line(tmp_path, b"1\n")


async def test_a_folder_that_is_missing_is_refused_at_the_start(tmp_path: Path) -> None:
    subscriber = AuditSubscriber({"file": tmp_path / "missing" / "audit.jsonl"})
    with pytest.raises(ConfigurationError, match="does not exist"):
        async with subscriber.lifespan():
            pass


async def test_a_collector_gets_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpSink(Answer(202), Answer(401, b"bad token hunter2")) as sink:
        monkeypatch.setenv("AUDIT_URL", f"{sink.url}/ingest")
        monkeypatch.setenv("AUDIT_TOKEN", "hunter2")
        subscriber = AuditSubscriber({"url": "env:AUDIT_URL", "bearer": "env:AUDIT_TOKEN"})
        async with subscriber.lifespan():
            await subscriber.handle_event(event(FAILED))
            with pytest.raises(Exception, match="401") as caught:
                await subscriber.handle_event(event(FAILED))
    assert "hunter2" not in str(caught.value)
    found = sink.requests[0]
    assert (found.json["event_id"], found.headers["idempotency-key"]) == (EVENT, EVENT)
    assert found.headers["authorization"] == "Bearer hunter2"


@pytest.mark.parametrize(
    "config",
    [{}, {"file": "a", "url": "env:X"}, {"file": "a", "bearer": "env:X"}, {"url": "https://x.example/"}],
)
def test_an_audit_log_has_one_place(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuditConfig.model_validate(config)

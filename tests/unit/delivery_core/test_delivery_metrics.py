"""What delivery tells OpenTelemetry: counters and the histogram, without ids, bounded in series."""

from __future__ import annotations

import asyncio
from typing import Any

from tasker_kafka.handlers.delivery.settings import settings_from
from tasker_kafka.handlers.errors import PermanentError
from tasker_kafka.handlers.event_metrics import MOST_LABELS, EventMetrics
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.settings.events import EventSettings, MetricSettings
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.memory import run_virtual
from tests.support.delivery_world import Seen, World, envelope, on, policy_of, spec_of
from tests.support.recorded_metrics import RecordedMetrics

EVENT, GROUP, MODE, NAMESPACE = "payment.charged", "audit", "durable", "shop"
SERIES = (EVENT, GROUP, MODE, NAMESPACE)


def fail_some(event: DomainEvent[Any]) -> None:
    """The first event fails once, the second one for good."""
    number = event.payload["number"]
    if number == 0 and event.delivery_attempt == 1:
        raise ValueError("once")
    if number == 1:
        raise PermanentError("for good")


def test_deliveries_are_counted_by_event_mode_and_group() -> None:
    recorded = RecordedMetrics()

    async def scene() -> None:
        async with World.in_memory() as world:
            said = on(Seen(fail_some), policy=policy_of(60.0))
            async with world.member(spec_of(said), meter=recorded.meter) as member:
                fired = world.log.now_ms() - 250
                lossy = {"delivery": Delivery.FIRE_AND_FORGET, "fired_at": fired}
                await world.publish(
                    *(envelope(number, f"k{number}", fired_at=fired) for number in range(3)),
                    envelope(3, "k3", **lossy),
                )
                await world.write(b"no event")
                await world.settled()
                figures = member.figures
        for name, counted in {
            "delivered": figures.delivered,
            "retried": figures.retried,
            "dead_lettered": figures.dead,
        }.items():
            assert recorded.total(f"tasker.events.{name}.total") == counted

    run_virtual(scene())
    lossy_series = (EVENT, GROUP, "fire_and_forget", NAMESPACE)
    assert recorded.counts("tasker.events.delivered.total") == {SERIES: 2, lossy_series: 1}
    assert recorded.counts("tasker.events.retried.total") == {SERIES: 1}
    assert recorded.counts("tasker.events.dead_lettered.total") == {SERIES: 1, (GROUP,): 1}
    durations = {
        attributes["mode"]: point for attributes, point in recorded.points("tasker.events.delivery.duration")
    }
    assert 0.25 <= durations["fire_and_forget"].sum < 1.0
    assert 60.25 <= durations[MODE].sum < 65.0, "one of them was retried after a minute"
    assert tuple(durations[MODE].explicit_bounds) == MetricSettings().histogram_buckets


def test_drops_are_counted() -> None:
    recorded = RecordedMetrics()

    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            hanging = Seen(lambda _: asyncio.sleep(3_600))
            spec = spec_of(on(hanging, delivery=Delivery.FIRE_AND_FORGET), queued=20, concurrency=5)
            async with world.member(spec, meter=recorded.meter, revoke_seconds=0.5) as member:
                await world.publish(*(envelope(number) for number in range(20)))
                await asyncio.sleep(0.5)
                await world.publish(*(envelope(number) for number in range(20, 100)))
                await asyncio.sleep(5.0)
                assert recorded.total("tasker.events.dropped.total") == member.figures.dropped == 80
            assert recorded.total("tasker.events.dropped.total") == member.figures.dropped == 100

    run_virtual(scene())


def test_strange_names_make_no_series_without_end() -> None:
    recorded = RecordedMetrics()
    metrics = EventMetrics("audit", meter=recorded.meter)
    for number in range(MOST_LABELS + 100):
        metrics.delivered(envelope(number, name=f"strange.name_{number}"), Delivery.DURABLE, 0.1)
    counts = recorded.counts("tasker.events.delivered.total")
    assert len(counts) <= MOST_LABELS + 1
    assert sum(counts.values()) == MOST_LABELS + 100
    assert counts["other", GROUP, MODE, "other"] == 100


def test_settings_say_the_buckets_or_that_nothing_is_measured() -> None:
    buckets = (0.5, 2.0)
    on_ = EventSettings(metrics=MetricSettings(histogram_buckets=buckets))
    off = EventSettings(metrics=MetricSettings(enabled=False))
    assert settings_from(on_).latency_buckets == buckets
    assert settings_from(off).latency_buckets is None
    recorded = RecordedMetrics()
    EventMetrics("audit", buckets=None, meter=recorded.meter).delivered(envelope(1), Delivery.DURABLE, 1.0)
    assert recorded.counts("tasker.events.delivered.total") == {}

"""What the checker says of events: a good log is good, and every kind of damage is reported under its invariant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.checker import Ledger, LedgerWriter, RawLog, RawRecord, check, read_ledger
from tests.checker.ledger import Handled
from tests.checker.wire import Wire

EVENTS, DLQ, RETRY = "t.domain-events.shop.v1", "t.domain-events.shop.dlq.v1", "t.retry.audit.30s.v1"
DEAD, PARKED, GARBAGE = 6, 3, 8
"""Offsets: one that was given up, one that was parked first, one that nobody can read."""
COUNT = 12


class Stage:
    """A log of twelve events of three keys, and a group that took them."""

    def __init__(self, folder: Path) -> None:
        self.raw = RawLog("t")
        self.wire = Wire()
        for offset in range(COUNT):
            self.put(
                EVENTS, offset, f"k{offset % 3}".encode(), self.event(offset), (("ce_id", b"%d" % offset),)
            )
        self.letter(DLQ, 0, DEAD, "all")
        self.letter(DLQ, 1, GARBAGE, "")
        self.letter(RETRY, 0, PARKED, "all")
        self.raw.groups["t-subscriber-audit"] = {EVENTS: {0: COUNT}}
        ledger = LedgerWriter(folder, "test")
        ledger.subscribed("audit", "all", EVENTS)
        ledger.close()
        self.ledger = read_ledger(folder)
        self.handled(folder)

    def event(self, offset: int) -> bytes:
        if offset == GARBAGE:
            return b"garbage"
        fields = {
            "event_id": offset.to_bytes(16, "big"),
            "name": "order.paid",
            "version": "1.0",
            "namespace": "shop",
            "delivery": "durable",
            "key": f"k{offset % 3}",
            "payload": b"{}",
            "fired_at": 1000 + offset,
            "fired_by": "test",
            "environment": "",
        }
        optional = ("task_id", "step_id", "step_name", "attempt", "template", "template_version")
        return self.wire.encode(
            "DomainEvent", fields | dict.fromkeys((*optional, "correlation_id", "causation_id"))
        )

    def put(
        self,
        topic: str,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
    ) -> None:
        partition = self.raw.partition(topic, 0)
        partition.records.append(RawRecord(offset, 1000 + offset, key, value, headers))
        partition.end = offset + 1

    def letter(self, topic: str, offset: int, original: int, subscription: str) -> None:
        record = self.raw.partitions[EVENTS][0].records[original]
        journey = {
            "group": "audit",
            "subscription": subscription,
            "topic": EVENTS,
            "partition": 0,
            "offset": original,
            "timestamp": record.timestamp,
        }
        ours = [("tasker-journey", json.dumps(journey).encode())]
        ours += [
            (f"kafka_dlt-original-{name}", str(journey[name]).encode())
            for name in ("topic", "partition", "offset", "timestamp")
        ]
        headers = (*record.headers, *ours, ("tasker-wrapped", b"%d" % (len(ours) + 1)))
        self.put(topic, offset, record.key, record.value, headers)

    def handled(self, folder: Path) -> None:
        for offset in range(COUNT):
            if offset in {DEAD, GARBAGE}:
                continue
            for outcome in ("begun", "success"):
                self.ledger.handled.append(
                    Handled(
                        "audit",
                        "all",
                        offset.to_bytes(16, "big").hex(),
                        EVENTS,
                        0,
                        offset,
                        1,
                        outcome,
                        2000 + offset * 10 + (outcome == "success"),
                    )
                )

    def change(self, topic: str, offset: int, **fields: object) -> None:
        records = self.raw.partitions[topic][0].records
        records[offset] = msgspec.structs.replace(records[offset], **fields)


def found(stage: Stage, *, settled: bool = True) -> set[str]:
    return {each.invariant for each in check(stage.raw, stage.ledger, settled=settled).violations}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_good_log_is_good(stage: Stage) -> None:
    report = check(stage.raw, stage.ledger, settled=True)
    assert not report.violations, str(report)
    assert report.figures["deliveries"] == COUNT - 2
    assert report.figures["deliveries_repeated"] == 0
    assert (report.figures["events_dead"], report.figures["events_parked"]) == (2, 1)
    assert not found(stage, settled=False)


def test_a_repeat_is_counted_and_is_no_violation(stage: Stage) -> None:
    stage.ledger.handled.append(msgspec.structs.replace(stage.ledger.handled[3], at=9000))
    report = check(stage.raw, stage.ledger, settled=True)
    assert not report.violations
    assert report.figures["deliveries_repeated"] == 1


def lose_a_handling(stage: Stage) -> None:
    stage.ledger.handled = [each for each in stage.ledger.handled if each.offset != PARKED]


def lose_a_success(stage: Stage) -> None:
    stage.ledger.handled = [
        each for each in stage.ledger.handled if (each.offset, each.outcome) != (4, "success")
    ]


def lose_a_dead_letter(stage: Stage) -> None:
    del stage.raw.partitions[DLQ][0].records[0]


def lose_what_nobody_can_read(stage: Stage) -> None:
    del stage.raw.partitions[DLQ][0].records[1]


def bury_for_another_subscription(stage: Stage) -> None:
    record = stage.raw.partitions[DLQ][0].records[0]
    headers = tuple(
        (name, value.replace(b'"all"', b'"other"') if name == "tasker-journey" else value)
        for name, value in record.headers
    )
    stage.change(DLQ, 0, headers=headers)


def overtake(stage: Stage) -> None:
    stage.ledger.handled = [
        msgspec.structs.replace(each, at=each.at - 35) if each.offset == 7 else each
        for each in stage.ledger.handled
    ]


def change_a_value(stage: Stage) -> None:
    stage.change(DLQ, 0, value=b"other")


def change_a_key(stage: Stage) -> None:
    stage.change(RETRY, 0, key=None)


def lose_a_header(stage: Stage) -> None:
    stage.change(DLQ, 0, headers=stage.raw.partitions[DLQ][0].records[0].headers[1:])


def miscount_the_headers(stage: Stage) -> None:
    headers = stage.raw.partitions[DLQ][0].records[0].headers
    stage.change(DLQ, 0, headers=(*headers[:-1], ("tasker-wrapped", b"99")))


def change_the_time(stage: Stage) -> None:
    stage.change(EVENTS, DEAD, timestamp=5)


def name_what_never_was(stage: Stage) -> None:
    record = stage.raw.partitions[RETRY][0].records[0]
    headers = tuple(
        (name, value.replace(b'"offset": 3', b'"offset": 77') if name == "tasker-journey" else value)
        for name, value in record.headers
    )
    headers = tuple(
        (name, b"77" if name == "kafka_dlt-original-offset" else value) for name, value in headers
    )
    stage.change(RETRY, 0, headers=headers)


DAMAGE: dict[Callable[[Stage], None], str] = {
    lose_a_handling: "I10",
    lose_a_success: "I10",
    lose_a_dead_letter: "I10",
    lose_what_nobody_can_read: "I10",
    bury_for_another_subscription: "I10",
    overtake: "I10",
    change_a_value: "I11",
    change_a_key: "I11",
    lose_a_header: "I11",
    miscount_the_headers: "I11",
    change_the_time: "I11",
    name_what_never_was: "I11",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_to_deliveries_is_reported(stage: Stage, damage: Callable[[Stage], None]) -> None:
    damage(stage)
    assert DAMAGE[damage] in found(stage)


def test_a_commit_beyond_an_event_that_is_nowhere_is_reported(stage: Stage) -> None:
    lose_a_handling(stage)
    assert not found(stage, settled=False), "it is parked"
    lose_a_success(stage)
    assert found(stage, settled=False) == {"I12"}
    stage.raw.groups["t-subscriber-audit"][EVENTS][0] = 4
    assert not found(stage, settled=False)


def test_an_event_that_was_published_twice_is_handled_once(stage: Stage) -> None:
    stage.put(EVENTS, COUNT, b"k1", stage.event(1), (("ce_id", b"1"),))
    stage.raw.groups["t-subscriber-audit"][EVENTS][0] = COUNT + 1
    assert not found(stage)


def test_what_may_be_lost_is_not_missed(stage: Stage) -> None:
    fields = stage.wire.decode(stage.event(1))[1] | {"delivery": "fire_and_forget", "event_id": bytes(16)}
    stage.put(EVENTS, COUNT, b"k1", stage.wire.encode("DomainEvent", fields), ())
    assert not found(stage)


def test_a_ledger_keeps_what_subscribers_did(tmp_path: Path) -> None:
    ledger = LedgerWriter(tmp_path / "other", "test")
    ledger.handled("audit", "all", bytes(16), EVENTS, 0, 5, "begun")
    kept: Ledger = read_ledger(tmp_path / "other")
    assert [(each.group, each.offset, each.outcome) for each in kept.handled] == [("audit", 5, "begun")]

"""The groups' lag beside a task's events: which groups, one read for all who look, and what is said when it fails."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from tasker_kafka.deploy.console.pages.group_lags import GroupLags, lag_section, lags_of
from tasker_kafka.deploy.reading.subscriber_rows import GroupRow
from tasker_kafka.schemas.errors import BrokerUnavailable, TaskerError
from tests.support.page_rows import hostile_event
from tests.support.page_world import HOSTILE


def group(name: str, *, lag: int = 0, seconds: float = 0.0, retrying: int = 0) -> GroupRow:
    return GroupRow(
        group=name,
        is_announced=True,
        members=1,
        lag=lag,
        lag_seconds=seconds,
        lost=0,
        retry_depth=retrying,
        dead_letters=None,
        left_out=None,
        oldest_dead_at=None,
        suspects=0,
        version="1",
        announced_at=0,
    )


class Groups:
    """A backend that counts how often it is asked for groups."""

    def __init__(self, *rows: GroupRow, error: TaskerError | None = None) -> None:
        self.rows = list(rows)
        self.error = error
        self.asked = 0

    async def groups(self) -> list[GroupRow]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.rows


def lags(backend: Groups) -> GroupLags:
    return GroupLags(cast("Any", backend))


async def test_many_pages_and_events_ask_the_broker_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Groups(group("audit"))
    shared = lags(backend)
    await asyncio.gather(*(lag_section(shared, [hostile_event()] * 50) for _ in range(20)))
    assert backend.asked == 1
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    await lag_section(shared, [hostile_event()])
    assert backend.asked == 2, "what was read is not kept for ever"


async def test_groups_that_took_an_event_or_are_behind_are_shown() -> None:
    rows = (
        group(HOSTILE),
        group("behind", lag=1_200, seconds=34.6),
        group("retrying", retrying=3),
        group("idle"),
    )
    drawn = await lag_section(lags(Groups(*rows)), [hostile_event()])
    assert "1,200 records" in drawn
    assert "35 s" in drawn
    assert 'href="/console/subscribers/retrying"' in drawn
    assert 'href="/console/subscribers/%3C%2Fscript%3E' in drawn, "it has answered for the event"
    assert "idle" not in drawn
    assert "1 more group has no lag" in drawn


async def test_without_events_nobody_is_asked() -> None:
    backend = Groups(group("audit"))
    assert await lag_section(lags(backend), []) == ""
    assert backend.asked == 0


async def test_a_lag_that_cannot_be_read_is_said_to_be_unknown_and_asked_for_again() -> None:
    backend = Groups(group("audit", lag=1), error=BrokerUnavailable("the broker is away"))
    shared = lags(backend)
    assert "lag is not known: the broker is away" in await lag_section(shared, [hostile_event()])
    backend.error = None
    assert "1 record" in await lag_section(shared, [hostile_event()])


def test_a_backend_has_one() -> None:
    one, other = cast("Any", Groups()), cast("Any", Groups())
    assert lags_of(one) is lags_of(one)
    assert lags_of(other) is not lags_of(one)

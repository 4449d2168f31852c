"""Durable events, three groups, and processes that die: each event is handled by every group, or is a dead letter.

Processes are killed at random moments and at every named crash point, stopped for longer than their session, and told
to end while they start; the broker is killed, too. Order per key, dead letters, receipts and the sample sink's effects
are judged from the log and the ledger alone.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasker_kafka.handlers.delivery.crash_points import DeliveryCrashPoint
from tasker_kafka.topics.names import TopicNames
from tests.checker import read_ledger, read_raw
from tests.faults.event_faults import FAULTS, POINTS_OF, die_at, restart_broker
from tests.faults.event_handlers import GROUPS
from tests.faults.event_judging import Verdict, judge
from tests.faults.event_rig import Bite, EventRig
from tests.support.brokers import OwnBroker

pytestmark = pytest.mark.timeout(1_200)

SEED = int(os.environ.get("EVENT_RUN_SEED", "2"))
"""Of the campaign; another one makes another run."""

Plan = Sequence[str | DeliveryCrashPoint]
"""Faults of one group, in order."""


class Campaign:
    """A run: faults in each group one after the other, the groups beside each other, and load all the time."""

    def __init__(self, rig: EventRig, *, rate: float, least: int) -> None:
        self.rig = rig
        self._rate = rate
        self._least = least
        self._bites: list[Bite] = []
        self._is_over = False

    async def run(self, plans: dict[str, Plan], *, broker_restarts: int, pause: float) -> Verdict:
        """Inject everything, let it settle, end every member, judge."""
        rig = self.rig
        await rig.start()
        publishing = asyncio.create_task(
            rig.publish(rate=self._rate, enough=lambda count: self._is_over and count >= self._least)
        )
        async with asyncio.TaskGroup() as tasks:
            for group, plan in plans.items():
                tasks.create_task(self._harm(group, plan, pause))
            tasks.create_task(self._harm_broker(broker_restarts))
        self._is_over = True
        await publishing
        await rig.settled()
        for group in GROUPS:
            assert await rig.until(lambda group=group: rig.is_whole(group))  # type: ignore[misc]  # default binds
        await asyncio.gather(*map(rig.terminate, rig.fleet.roles))
        raw = await read_raw(rig.broker.bootstrap_servers, rig.names.prefix)
        ledger = read_ledger(rig.ledger_folder)
        verdict, report = judge(
            raw, ledger, bites=self._bites, ends=rig.fleet.ends, numbers=rig.numbers, sink=rig.sink
        )
        print(report)
        for bite in self._bites:
            print(bite)
        print(verdict, f"repeated: {verdict.repeated_share:.2%}")
        return verdict

    async def _harm(self, group: str, plan: Plan, pause: float) -> None:
        dice = random.Random(f"{self.rig.seed} {group}")
        for fault in plan:
            if isinstance(fault, DeliveryCrashPoint):
                bite = await die_at(self.rig, group, dice, fault)
            else:
                bite = await FAULTS[fault](self.rig, group, dice)
            self._bites.append(bite)
            await asyncio.sleep(dice.uniform(0.0, 2 * pause))  # load between faults is part of the run

    async def _harm_broker(self, times: int) -> None:
        dice = random.Random(f"{self.rig.seed} broker")
        for _ in range(times):
            await asyncio.sleep(dice.uniform(2.0, 40.0))  # as above
            self._bites.append(await restart_broker(self.rig, dice))


def plans_of(seed: int, kinds: Sequence[str]) -> dict[str, Plan]:
    """Every crash point once and these faults in each group, in the seed's order."""
    dice = random.Random(seed)
    plans: dict[str, Plan] = {}
    for group, points in POINTS_OF.items():
        plan = [*points, *kinds]
        dice.shuffle(plan)
        plans[group] = plan
    return plans


async def play(
    own_broker: OwnBroker,
    prefix: str,
    folder: Path,
    plans: dict[str, Plan],
    *,
    seed: int,
    rate: float,
    least: int,
    broker_restarts: int,
    pause: float,
) -> Verdict:
    """Run it; nothing that was started stays."""
    broker = await asyncio.to_thread(own_broker)
    rig = EventRig(broker, folder, TopicNames(prefix), seed)
    try:
        campaign = Campaign(rig, rate=rate, least=least)
        verdict = await campaign.run(plans, broker_restarts=broker_restarts, pause=pause)
    finally:
        await rig.close()
    assert not verdict.failures, "\n".join(verdict.failures)
    return verdict


async def test_killed_subscribers_lose_no_event(own_broker: OwnBroker, prefix: str, tmp_path: Path) -> None:
    plans: dict[str, Plan] = {
        "audit": ["terminate", "zombie"],
        "billing": [DeliveryCrashPoint.RECEIPT_WRITTEN, "kill_early"],
        "flaky": ["kill", "kill_all"],
    }
    verdict = await play(
        own_broker, prefix, tmp_path, plans, seed=1, rate=60.0, least=0, broker_restarts=0, pause=0.5
    )
    assert verdict.points == [DeliveryCrashPoint.RECEIPT_WRITTEN]
    assert verdict.parked


@pytest.mark.long
async def test_ten_thousand_events_survive_kills_and_broker_restarts(
    own_broker: OwnBroker, prefix: str, tmp_path: Path
) -> None:
    kinds = ["kill"] * 6 + ["kill_early"] * 2 + ["kill_all", "zombie", "zombie", "terminate", "terminate"]
    verdict = await play(
        own_broker,
        prefix,
        tmp_path,
        plans_of(SEED, kinds),
        seed=SEED,
        rate=60.0,
        least=10_000,
        broker_restarts=3,
        pause=2.0,
    )
    assert verdict.events >= 10_000
    assert verdict.points == sorted(DeliveryCrashPoint)
    assert verdict.parked_through_kills
    assert verdict.repeated_share < 0.01

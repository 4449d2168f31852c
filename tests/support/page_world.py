"""Tasks as the pages see them, told by `Rig` and folded by the backend's own functions; no broker, no database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

import msgspec

from tasker_kafka.deploy.console.backend import BrokerReach, Outcome, StoreReach, TaskDetails
from tasker_kafka.deploy.console.backend.details import Life, details_of
from tasker_kafka.deploy.console.backend.shapes import Source
from tasker_kafka.deploy.reading.waiting import find_waits
from tasker_kafka.deploy.reading.workers import Workforce
from tasker_kafka.schemas.records import Failure
from tasker_kafka.schemas.words import OperatorAction, StepStatus
from tasker_kafka.schemas.words import Outcome as Ended
from tasker_kafka.streams.projection import Changes
from tasker_kafka.topics.history import AcceptedRecord

from .tasks import START, TASK_ID, Rig, plan_of, reach_step

__all__ = ["HOSTILE", "details_of_rig", "hostile_task", "step_in", "story", "wide_task"]

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&`${1+1}"
"""Free text as somebody unfriendly would write it."""

SHOP: Mapping[str, tuple[str, ...]] = {
    "validate_cart": (),
    "reserve_stock": ("validate_cart",),
    "charge_card": ("validate_cart",),
    "fraud_check": ("charge_card",),
    "create_order": ("reserve_stock", "fraud_check"),
    "send_receipt": ("create_order",),
    "book_parcel": ("create_order",),
    "tell_customer": ("send_receipt", "book_parcel"),
}


def details_of_rig(rig: Rig, *, now: int | None = None, upto: int | None = None) -> TaskDetails:
    """What the backend would give of this task, up to its record number `upto`."""
    records = tuple(
        AcceptedRecord(100 + number, record.at, record) for number, record in enumerate(rig.records[:upto])
    )
    life = Life(TASK_ID, 3, rig.plan, records, (rig.life,), Source.PROJECTION, True, 0.0)
    at = rig.now + 2000 if now is None else now
    details = details_of(life, {}, at)
    waits = find_waits(details.report, rig.plan, Workforce(()), at)
    return msgspec.structs.replace(details, report=msgspec.structs.replace(details.report, waiting=waits))


def story() -> Rig:
    """An order whose payment failed for good after three attempts, while the rest went on as far as it could."""
    rig = Rig(plan_of(SHOP, lifecycle={"on_blocked": "wait"}))
    rig.start(
        context=b'{"cart": [{"sku": "A-17", "count": 2}], "customer": {"id": 4711}, "token": "secret"}',
        initiator="web",
        reason="order 4711",
        tags=("vip", "eu"),
        correlation_id="order-4711",
    )
    rig.report("validate_cart")
    rig.succeed("validate_cart", "reserve_stock")
    for _ in range(3):
        failure = Failure(
            type="CardError",
            code="CARD_DECLINED",
            message="the bank said no",
            retryable=True,
            traceback='Traceback (most recent call last):\n  File "pay.py", line 12, in charge\nCardError: no',
        )
        rig.do(rig.result("charge_card", Ended.FAILURE, failure=failure))
        if rig.step("charge_card").state is StepStatus.WAITING_FOR_RETRY:
            rig.fire()
    return rig


def step_in(state: StepStatus) -> TaskDetails:
    """A task whose step `a` rests in this state."""
    return details_of_rig(reach_step(state))


def hostile_task() -> TaskDetails:
    """A task in which every free text is hostile: context, reason, tags, result, error, actor."""
    rig = Rig(plan_of({"a": (), "b": ("a",), "c": ("b",)}, lifecycle={"on_blocked": "wait"}))
    text = msgspec.json.encode({HOSTILE: HOSTILE})
    rig.start(context=text, reason=HOSTILE, initiator=HOSTILE, source_system=HOSTILE, tags=(HOSTILE,),
              correlation_id=HOSTILE)  # fmt: skip
    rig.do(rig.result("a", result=text, worker_id=HOSTILE, metadata=text))
    failure = Failure(type=HOSTILE, code=HOSTILE, message=HOSTILE, retryable=False, traceback=HOSTILE)
    rig.do(rig.result("b", Ended.FAILURE, failure=failure, worker_id=HOSTILE))
    rig.operate(OperatorAction.SET_REASON, text=HOSTILE, actor=HOSTILE, reason=HOSTILE)
    return details_of_rig(rig)


def wide_task(width: int, done: int = 0) -> Rig:
    """One step, `width` after it of which `done` are complete, one after them all."""
    names = [f"part_{number}" for number in range(width)]
    edges: dict[str, Iterable[str]] = {"start": (), **dict.fromkeys(names, ("start",)), "join": names}
    rig = Rig(plan_of(edges))
    rig.start()
    rig.succeed("start", *names[:done])
    return rig


class FakeBackend:
    """As much of the backend as the task's pages call, over rigs in memory. `commands` are what was operated."""

    def __init__(self, rigs: Mapping[bytes, Rig]) -> None:
        self.rigs = dict(rigs)
        self.commands: list[dict[str, Any]] = []
        self.reach = Reachable()
        self._moved = asyncio.Event()

    def move(self) -> None:
        """Tell whoever listens that something moved."""
        self._moved.set()
        self._moved = asyncio.Event()

    def now_ms(self) -> int:
        """The time of the newest rig."""
        return max((each.now for each in self.rigs.values()), default=START) + 2000

    async def task(self, task_id: bytes, *, life: int | None = None) -> TaskDetails:
        return details_of_rig(self.rigs[task_id])

    async def as_of(self, task_id: bytes, *, offset: int, life: int | None = None) -> TaskDetails:
        return details_of_rig(self.rigs[task_id], upto=offset - 99)

    async def events_of(self, task_id: bytes) -> tuple[()]:
        return ()

    async def changes(self) -> AsyncGenerator[Changes, None]:
        while True:
            yield Changes(positions={}, tasks=(), is_cut=True)
            await self._moved.wait()

    async def operate(self, task_id: bytes, action: OperatorAction, **asked: Any) -> Outcome:
        self.commands.append({"action": action, **asked})
        return Outcome(
            task_id=task_id, command_id=asked["command_id"], written=None, code="accepted", message="done"
        )


class Reachable:
    """Everything answers."""

    broker = BrokerReach(is_reachable=True, since_at=START)
    store = StoreReach(is_readable=True, since_at=START, records_behind=0, seconds_behind=0.0)

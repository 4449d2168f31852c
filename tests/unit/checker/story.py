"""A good log with everything in it that the checker has a rule for, and the ledger that belongs to it.

Two partitions, requests through intake, retries, failures, timers, operators' orders, owners that die and come back as
zombies, poison, repeats, forgetting and second lives. Everything that varies comes from the seed.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import task_id_for
from tasker_kafka.schemas.plan import Lifecycle, Plan, RetryPolicy
from tasker_kafka.schemas.records import (
    CHECKPOINT_KEY,
    Checkpoint,
    Dispatch,
    Failure,
    Heartbeat,
    OperatorCommand,
    Reconcile,
    RequestPlace,
    StartTask,
    StepStarted,
    TaskRequest,
)
from tasker_kafka.schemas.words import Identity, OperatorAction, Outcome
from tasker_kafka.topics.log import Reader, TopicPartition
from tasker_kafka.topics.memory import run_virtual
from tests.checker import Ledger, RawLog
from tests.checker.ledger import Acked, Ended, OperatorAcked, Started
from tests.support.lane_world import LaneWorld, Owner, plan_of

from .making import raw_of_cluster

__all__ = ["good_log", "running_logs"]

PARTITIONS = 2
HOUR = 3600
RETRY = RetryPolicy(max_attempts=3, backoff_base_ms=200, max_backoff_ms=1000, non_retryable=("fatal",))
BLOCKING = Lifecycle(on_blocked="wait", stale_after_ms=300_000, staleness_action="dlq", retention_hours=1)
SHORT = Lifecycle(retention_hours=1, failed_retention_hours=2)
PLANS = (
    plan_of("chain", {"a": (), "b": ("a",), "c": ("b",)}, retry=RETRY),
    plan_of("diamond", {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, retry=RETRY, lifecycle=SHORT),
    plan_of("narrow", {f"s{n}": () for n in range(4)}, retry=RETRY, max_parallel_steps=2),
    plan_of(
        "strict", {"a": (), "b": (), "c": ("a",)}, retry=RETRY, failure_policy="fail_fast", lifecycle=SHORT
    ),
    plan_of("patient", {"a": (), "b": ("a",)}, retry=RETRY, lifecycle=BLOCKING),
    plan_of("keyed", {"a": ()}, identity=Identity.CALLER_PROVIDED, lifecycle=SHORT),
    plan_of("hashed", {"a": ()}, identity=Identity.CONTEXT_HASH),
    plan_of("empty", {}),
)
BY_NAME = {plan.name: plan for plan in PLANS}


@cache
def good_log(seed: int) -> tuple[RawLog, Ledger]:
    """The log and ledger of a seed. Shared: copy before you damage it."""
    return run_virtual(_Story(seed).tell())


def running_logs(seed: int) -> list[tuple[RawLog, Ledger]]:
    """The same story as somebody saw it who looked in between."""
    story = _Story(seed, look=True)
    run_virtual(story.tell())
    return story.seen


class _Story:
    def __init__(self, seed: int, *, look: bool = False) -> None:
        self.seen: list[tuple[RawLog, Ledger]] = []
        self._look = look
        self.dice = random.Random(seed)
        self.world = LaneWorld(*PLANS, partitions=PARTITIONS)
        self.ledger = Ledger()
        self.owners: list[Owner] = []
        self.tasks: list[bytes] = []
        self.is_over = False
        self._intake: dict[int, Reader] = {}

    async def tell(self) -> tuple[RawLog, Ledger]:
        await self.world.open()
        for number in range(PARTITIONS):
            self.owners.append(await self.world.owner(number))
        for chapter in range(3):
            await self.requests()
            await self.orders(4)
            await self.garbage()
            await self.bustle(rounds=2)
            await self.orders(8)
            await self.bustle()
            await self.orders(4)
            await self.succession(zombie=chapter % 2 == 1)
        await self.oblivion()
        return await self.close()

    # ------------------------------------------------------------------------------------------- requests

    async def requests(self) -> None:
        """A few of every template; some twice, some that must be rejected."""
        for plan in PLANS:
            for _ in range(self.dice.randrange(1, 3)):
                await self.request(plan)
        await self.request(self.dice.choice(PLANS), name="nobody_knows_it")
        await self.take_in()

    async def request(self, plan: Plan, **fields: object) -> None:
        request_id = self.dice.randbytes(16)
        given: dict[str, Any] = {
            "name": plan.name,
            "context": b'{"n": %d}' % self.dice.randrange(6),
            "request_id": request_id,
            "idempotency_key": f"key-{self.dice.randrange(6)}" if plan.name == "keyed" else None,
            "not_before": self.world.log.now_ms() + 1500 if self.dice.random() < 0.2 else None,
            "bypass_steps": ("a",) if plan.name == "chain" and self.dice.random() < 0.3 else (),
            **fields,
        }
        request = TaskRequest(**given)
        value, number = codec.encode(request), self.dice.randrange(PARTITIONS)
        topic = self.world.names.task_requests
        for _ in range(self.dice.choice([1, 1, 1, 2])):
            offset = await self.world.raw(topic, None, value, partition=number)
            task_id = task_id_for(
                identity=plan.identity,
                namespace="default",
                name=request.name,
                version_text=None,
                context=request.context,
                idempotency_key=request.idempotency_key,
                request_id=request_id,
            )
            self.tasks.append(task_id)
            acked = Acked(
                request_id.hex(), task_id.hex(), topic, number, offset, hashlib.sha256(value).hexdigest()
            )
            self.ledger.acked.append(acked)

    async def take_in(self) -> None:
        """Intake reads what is new."""
        for number, owner in enumerate(self.owners):
            place = TopicPartition(self.world.names.task_requests, number)
            if number not in self._intake:
                self._intake[number] = await self.world.log.reader({place: 0})
            batch = (await self._intake[number].fetch(timeout=0)).get(place)
            if batch is not None:
                await owner.intake.process(batch)
                await owner.flush()

    async def garbage(self) -> None:
        """Poison, a stray, a command that must be ignored, and one that lies in the wrong partition."""
        topic = self.world.names.commands
        for number in range(PARTITIONS):
            await self.world.raw(topic, self.dice.randbytes(16), b"\xff\x00junk", partition=number)
            known = self.world.records(topic, number)
            again = self.dice.choice(known)
            await self.world.raw(topic, again.key, again.value, partition=number)
            await self.world.raw(topic, again.key, again.value, partition=1 - number)
        task_id = self.dice.choice(self.tasks)
        await self.world.command(task_id, Heartbeat(life=0, step="a", attempt=1))
        await self.world.command(task_id, Reconcile(life=0, kind="evaluate"))

    # --------------------------------------------------------------------------------------------- work

    async def bustle(self, rounds: int = 40) -> None:
        """Decide and work until nothing moves, checkpoints and timers in between."""
        for _ in range(rounds):
            moved = sum([await owner.pump() for owner in self.owners])
            for owner in self.owners:
                await owner.flush()
                await owner.lane.tick()
                if self.dice.random() < 0.3:
                    await owner.lane.checkpoint()
            if self._look and self.dice.random() < 0.05:
                self.seen.append(self.log())
            for dispatch in await self.world.dispatches():
                moved += 1
                await self.run(dispatch)
            await asyncio.sleep(0.3)
            if not moved and all(owner.lane.next_command for owner in self.owners) and _ > 8:
                return

    async def run(self, dispatch: Dispatch) -> None:
        """A worker takes a dispatch: now and then it reports the start, dies, fails, or answers twice."""
        place: dict[str, Any] = {
            "task_id": dispatch.task_id.hex(),
            "life": dispatch.life,
            "step": dispatch.step,
            "attempt": dispatch.attempt,
            "attempt_id": "",
            "worker": 1,
            "at": self.world.log.now_ms(),
        }
        self.ledger.started.append(Started(**place))
        if self.dice.random() < 0.15 and not self.is_over:
            started = StepStarted(
                life=dispatch.life,
                step=dispatch.step,
                attempt=dispatch.attempt,
                worker_id="w",
                started_at=self.world.log.now_ms(),
            )
            await self.world.command(dispatch.task_id, started)
            if self.dice.random() < 0.3:
                return  # the worker is lost
        roll = self.dice.random()
        outcome, failure = Outcome.SUCCESS, None
        if roll < 0.15:
            outcome, failure = Outcome.FAILURE, Failure(type="E", code="flaky", message="it broke")
        elif roll < 0.2:
            outcome, failure = Outcome.FAILURE, Failure(type="E", code="fatal", message="it broke")
        elif roll < 0.23:
            outcome = self.dice.choice([Outcome.GIVEN_BACK, Outcome.RETURNED])
        self.world.answer = lambda _: (outcome, failure)
        self.ledger.ended.append(Ended(**place, outcome="success"))
        for _ in range(self.dice.choice([1, 1, 1, 2])):
            await self.world.finish(dispatch)

    async def orders(self, count: int) -> None:
        """Operators do this and that, also to tasks that are closed or unknown, and repeat themselves."""
        steps: Sequence[str] = ("a", "b", "s1")
        for _ in range(count):
            action = self.dice.choice(list(OperatorAction))
            needs_step = action.endswith("_step") or action is OperatorAction.SET_MAX_ATTEMPTS
            command = OperatorCommand(
                command_id=self.dice.randbytes(16),
                action=action,
                actor="ada",
                reason="because",
                steps=(self.dice.choice(steps),) if needs_step else (),
                result=b"7" if action is OperatorAction.COMPLETE_STEP else None,
                max_attempts=5 if action is OperatorAction.SET_MAX_ATTEMPTS else None,
                text="why" if action is OperatorAction.SET_REASON else None,
                tags=("t",) if action is OperatorAction.SET_TAGS else None,
            )
            task_id = self.dice.choice([*self.tasks[-14:], self.dice.randbytes(16)])
            for _ in range(self.dice.choice([1, 1, 2])):
                offset = await self.world.command(task_id, command)
                acked = OperatorAcked(
                    command.command_id.hex(),
                    task_id.hex(),
                    action.value,
                    self.world.names.commands,
                    self.world.partition_of(task_id),
                    offset,
                )
                self.ledger.operator_acked.append(acked)

    # ------------------------------------------------------------------------------------------- owners

    async def succession(self, *, zombie: bool) -> None:
        """Both partitions get new owners: after a kill, or beside one that only stood still, amid a checkpoint."""
        faults = self.world.cluster.faults
        for number, owner in enumerate(self.owners):
            for _ in range(3):
                await self.direct(PLANS[0])
            await owner.pump()
            writer = self.world.names.engine_writer(number)
            if not zombie:
                await owner.kill()
                self.owners[number] = await self.world.owner(number)
                continue
            faults.hold_commits(writer)
            background = [asyncio.create_task(owner.lane.checkpoint())]
            await asyncio.sleep(0.01)
            await self.direct(PLANS[0])
            background.append(asyncio.create_task(owner.pump()))
            await asyncio.sleep(0)
            owner.log.pause()
            faults.release_commits(writer)
            self.owners[number] = await self.world.owner(number)
            owner.log.resume()
            await asyncio.sleep(0.1)
            await owner.kill()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def direct(self, plan: Plan) -> None:
        """A StartTask without a request, as a tool might write it."""
        task_id = self.dice.randbytes(16)
        self.tasks.append(task_id)
        body = StartTask(
            plan_hash=plan.hash,
            request_id=task_id,
            context=b"{}",
            request=RequestPlace(77, 0, self.world.log.now_ms()),
        )
        await self.world.command(task_id, body)

    async def oblivion(self) -> None:
        """Hours pass: stubs go, failed tasks shrink, keys may be used again."""
        for hours in (1.1, 1.1, 2.1):
            for owner in self.owners:
                await owner.stop()  # those who stay would poll all the while
            await asyncio.sleep(hours * HOUR)
            self.owners = [await self.world.owner(number) for number in range(PARTITIONS)]
            await self.bustle()
            await self.request(BY_NAME["keyed"])
            await self.request(BY_NAME["diamond"])
            await self.take_in()
            await self.bustle()

    async def close(self) -> tuple[RawLog, Ledger]:
        """No worker is lost any more; what waits for one that was is mended by its timers, and all is saved."""
        self.is_over = True
        await asyncio.sleep(120)
        await self.bustle()
        for owner in self.owners:
            await owner.lane.checkpoint()
        await self.world.quiet()
        log = self.log()
        await self.world.close()
        return log

    def log(self) -> tuple[RawLog, Ledger]:
        """What is there now."""
        raw = raw_of_cluster(self.world.cluster)
        raw.groups["tasker-engine"] = {
            self.world.names.commands: {n: self.saved(n) for n in range(PARTITIONS)},
            self.world.names.task_requests: {
                n: owner.intake.next_request or 0 for n, owner in enumerate(self.owners)
            },
        }
        seen = self.ledger
        return raw, Ledger(list(seen.acked), list(seen.operator_acked), list(seen.started), list(seen.ended))

    def saved(self, number: int) -> int:
        """Up to where the last checkpoint of a partition is."""
        for record in reversed(self.world.records(self.world.names.task_state, number)):
            if record.key == CHECKPOINT_KEY:
                return codec.decode(record.value, Checkpoint).next_command
        return 0

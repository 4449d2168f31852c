"""Good tasks at work on engine and intake lanes in memory, with bad records between them.

The same seed without noise gives the same good tasks: their requests, ids and workers' answers are drawn from a
generator of their own. Every round submits good tasks to every partition, lets some bad records in between, and must
see all of them completed before the next; now and then an owner is killed without a checkpoint, so that the next one
replays what the bad records have left in the log.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace

from tasker_kafka.schemas.codec import encode
from tasker_kafka.schemas.errors import RecordTooLarge
from tasker_kafka.schemas.identity import task_id_for
from tasker_kafka.schemas.records import Dispatch, Failure, Heartbeat, StepResult, StepStarted, TaskRequest
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import Outcome, TaskStatus
from tasker_kafka.topics.log import TopicPartition, Write
from tests.support.lane_world import LaneWorld, Owner

from .noise import Noise, make
from .samples import CHECKED, DIAMOND, FLAKY, KEYED, LONG, PLANS, Material, request

__all__ = ["PARTITIONS", "Ledger", "Scene", "Stopped", "task_id_of"]

PARTITIONS = 3
GOOD = (DIAMOND, FLAKY, CHECKED, KEYED)
BEATS = 5
"""Slices of a round: write, decide, answer."""
ROUND_SECONDS = 5
LONG_ROUNDS = 9
"""How long a long step runs: longer than its heartbeat timeout, shorter than its run timeout."""
MOST_BEATS = 60
BATCH = 400


class Stopped(AssertionError):
    """A lane raised, or a good task did not complete."""


class Ledger(msgspec.Struct):
    """What was written beside the lanes: place → class."""

    noise: dict[tuple[str, int, int], str] = msgspec.field(default_factory=dict)
    refused: dict[str, int] = msgspec.field(default_factory=dict)
    """Records that the topic did not take, by class."""
    kept: dict[tuple[str, int, int], Noise] = msgspec.field(default_factory=dict)
    """The records themselves, of the slice that is being judged."""


class Scene:
    """One run. `noise` bad records per round; 0 for the run that it is compared with."""

    def __init__(self, seed: int, *, noise: int, only: str = "") -> None:
        self.world = LaneWorld(*PLANS, partitions=PARTITIONS)
        self.ledger = Ledger()
        self.material = Material()
        self.good: list[bytes] = []
        self.rounds = 0
        self.takeovers = 0
        self._noise = noise
        self._only = only
        self._good_rng = Random(f"good {seed}")
        self._noise_rng = Random(f"noise {seed}")
        self._owners: list[Owner] = []
        self._requests_at = [0] * PARTITIONS
        self._long: dict[bytes, tuple[Dispatch, int]] = {}
        """Running long steps, and the round in which they end."""
        self._waiting: set[bytes] = set()
        self._good_ids: set[bytes] = set()
        self.world.answer = _answer

    async def open(self) -> Scene:
        """Topics, templates, and an owner for each partition."""
        await self.world.open()
        for number in range(PARTITIONS):
            self._owners.append(await self.world.owner(number))
        return self

    async def round(self) -> None:
        """Good tasks and bad records; returns when the good ones are complete. Stopped when they cannot."""
        self.rounds += 1
        self._waiting = set()
        share = -(-self._noise // BEATS)
        for beat in range(BEATS):
            if beat < 2:
                await self._submit_good(long=beat == 0 and self.rounds % 12 == 1)
            if self._noise:
                await self._disturb(share)
            await self._turn()
        await self._run_long()
        for _ in range(MOST_BEATS):
            if not self._unfinished():
                break
            await self._turn()
        else:
            late = sorted(each.hex() for each in self._unfinished())
            raise Stopped(f"round {self.rounds}: good tasks do not complete: {late}")
        await self._rest()
        await self._save_or_fail()
        self.ledger.kept.clear()

    async def finish(self) -> None:
        """Complete what runs, and save everything."""
        while self._long:
            await self._turn()
            await self._run_long()
            await self._rest()
            self.rounds += 1
        for _ in range(10):
            await self._turn()
        for owner in self._owners:
            await owner.flush()
            await owner.lane.checkpoint()
            await owner.intake.checkpoint()
        await self.world.quiet()

    async def close(self) -> None:
        """End the world."""
        await self.world.close()

    @property
    def owners(self) -> list[Owner]:
        """Today's owner of each partition."""
        return self._owners

    # ------------------------------------------------------------------------------------- good tasks

    async def _submit_good(self, *, long: bool) -> None:
        """One good task in each partition; with `long`, one whose step needs heartbeats."""
        rng = self._good_rng
        for partition in range(PARTITIONS):
            plan = LONG if long and partition == self.rounds % PARTITIONS else rng.choice(GOOD)
            made = request(rng, plans=[plan], idempotency_key=None)
            if plan is KEYED:
                made = replace(made, idempotency_key=rng.randbytes(8).hex())
            while self.world.partition_of(task_id_of(made)) != partition:
                made = replace(made, request_id=rng.randbytes(16), idempotency_key=self._other_key(made))
            task_id = task_id_of(made)
            self.good.append(task_id)
            self._good_ids.add(task_id)
            if plan is LONG:
                self._long[task_id] = (_NOT_YET, self.rounds + LONG_ROUNDS)
                self.world.muted.add(task_id)
            else:
                self._waiting.add(task_id)
            value = encode(made)
            await self.world.raw(self.world.names.task_requests, task_id, value, partition=partition)
            self.material.good_tasks.append(task_id)
            self.material.good_requests.append(value)

    def _other_key(self, made: TaskRequest) -> str | None:
        return None if made.idempotency_key is None else self._good_rng.randbytes(8).hex()

    async def _run_long(self) -> None:
        """Start, keep alive, and at last end the long steps."""
        for task_id, (dispatch, until) in list(self._long.items()):
            if dispatch is _NOT_YET:
                continue
            place: dict[str, Any] = {
                "life": dispatch.life,
                "step": dispatch.step,
                "attempt": dispatch.attempt,
            }
            if self.rounds >= until:
                await self.world.finish(dispatch)
                del self._long[task_id]
                self._waiting.add(task_id)
            elif self.rounds == until - LONG_ROUNDS:
                started = StepStarted(**place, worker_id="worker", started_at=dispatch.dispatched_at)
                await self.world.command(task_id, started)
            else:
                await self.world.command(task_id, Heartbeat(**place))

    def _unfinished(self) -> set[bytes]:
        done = {
            task_id
            for task_id in self._waiting
            if isinstance(state := self._state(task_id), Stub) and state.outcome is TaskStatus.COMPLETE
        }
        self._waiting -= done
        return self._waiting

    def _state(self, task_id: bytes) -> object:
        return self._owners[self.world.partition_of(task_id)].lane.table.get(task_id)

    # ----------------------------------------------------------------------------------------- lanes

    async def _turn(self) -> None:
        """Intake, engine, workers, timers: once each."""
        for owner in self._owners:
            await self._take_in(owner)
        for owner in self._owners:
            await self._decide(owner)
            await owner.flush()
        await self._work()
        await asyncio.sleep(0.02)
        for owner in self._owners:
            await owner.lane.tick()
            if owner.failures:
                raise Stopped(f"an output of partition {owner.partition} failed: {owner.failures[0]!r}")

    async def _take_in(self, owner: Owner) -> None:
        place = TopicPartition(self.world.names.task_requests, owner.partition)
        while self._requests_at[owner.partition] < await owner.log.end_offset(place):
            reader = await owner.log.reader({place: self._requests_at[owner.partition]})
            batch = (await reader.fetch(timeout=0, max_records=BATCH))[place]
            await reader.close()
            try:
                await owner.intake.process(batch)
            except Exception as error:
                raise Stopped(self._blame("intake", error, place, batch.first_position)) from error
            self._requests_at[owner.partition] = batch.next_position
        await owner.flush()

    async def _decide(self, owner: Owner) -> None:
        place = TopicPartition(self.world.names.commands, owner.partition)
        while (batch := await owner.fetch(timeout=0)) is not None:
            try:
                await owner.lane.process(batch)
            except Exception as error:
                raise Stopped(
                    self._blame(
                        "the engine",
                        error,
                        place,
                        owner.lane._live.owned.next_command if owner.lane._live else 0,
                    )
                ) from error

    def _blame(self, lane: str, error: Exception, place: TopicPartition, offset: int) -> str:
        """Which record it was, whole, so that it can be kept as a test."""
        found = self.ledger.kept.get((place.topic, place.partition, offset))
        return f"{lane} stopped at {place} offset {offset} with {error!r}; the record: {found!r}"

    async def _work(self) -> None:
        """Answer good tasks' dispatches; those of victims become material."""
        for dispatch in await self.world.dispatches():
            task_id = dispatch.task_id
            if task_id in self._long:
                self._long[task_id] = (dispatch, self._long[task_id][1])
                self.material.long_dispatches.append(dispatch)
            elif task_id not in self._good_ids:
                self.material.victim_dispatches.append(dispatch)
                continue
            elif task_id in self._waiting:
                await self._answer_good(dispatch)
            self.material.good_dispatches.append(dispatch)

    async def _answer_good(self, dispatch: Dispatch) -> None:
        outcome, failure = _answer(dispatch)
        now = self.world.log.now_ms()
        result = StepResult(
            life=dispatch.life, step=dispatch.step, attempt=dispatch.attempt, outcome=outcome, worker_id="worker",
            started_at=now, finished_at=now, result=b'{"x": 1}' if outcome is Outcome.SUCCESS else None,
            failure=failure,
        )  # fmt: skip
        offset = await self.world.command(dispatch.task_id, result)
        place = TopicPartition(self.world.names.commands, self.world.partition_of(dispatch.task_id))
        record = self.world.cluster.store(place).at(offset)
        assert record is not None, "it was just written"
        assert record.value is not None, "it is a command"
        self.material.good_results.append((dispatch.task_id, record.value))

    async def _rest(self) -> None:
        """Some seconds, without a stall that would forgive silent handlers."""
        for _ in range(ROUND_SECONDS):
            await asyncio.sleep(1)
            for owner in self._owners:
                await owner.lane.tick()

    async def _save_or_fail(self) -> None:
        """Checkpoints every third round; an owner dies in every seventh, and the next one must see the same tasks."""
        if self.rounds % 3 == 0:
            for owner in self._owners:
                await owner.lane.checkpoint()
        if self.rounds % 7 == 0:
            number = self.rounds // 7 % PARTITIONS
            before = dict(self._owners[number].lane.table.items())
            await self._owners[number].flush()
            await self._owners[number].kill()
            self._owners[number] = await self.world.owner(number)
            self.takeovers += 1
            after = dict(self._owners[number].lane.table.items())
            for task_id in before.keys() | after.keys():
                if before.get(task_id) != after.get(task_id):
                    raise Stopped(
                        f"round {self.rounds}: the next owner of partition {number} has task {task_id.hex()} as "
                        f"{after.get(task_id)!r}, the one before had {before.get(task_id)!r}"
                    )

    # ----------------------------------------------------------------------------------------- noise

    async def _disturb(self, count: int) -> None:
        """Write this many bad records, and a few victims' requests."""
        rng = self._noise_rng
        for _ in range(3):
            made = request(rng)
            await self._write(
                Noise(kind="a victim's request", topic="task_requests", key=None, value=encode(made))
            )
            self.material.victims.append(task_id_of(made))
        await asyncio.gather(*(self._write(make(rng, self.material, self._only)) for _ in range(count)))

    async def _write(self, noise: Noise) -> None:
        topic = getattr(self.world.names, noise.topic)
        partition = noise.partition
        if partition is None:
            partition = (
                self._noise_rng.randrange(PARTITIONS)
                if noise.key is None
                else self.world.partition_of(noise.key)
            )
        try:
            place = await self.world.outbox.write(
                Write(topic, noise.key, noise.value, noise.headers, partition)
            )
        except RecordTooLarge:
            self.ledger.refused[noise.kind] = self.ledger.refused.get(noise.kind, 0) + 1
            return
        self.ledger.noise[place.topic, place.partition, place.offset] = noise.kind
        self.ledger.kept[place.topic, place.partition, place.offset] = noise


def task_id_of(made: TaskRequest) -> bytes:
    """The task that a request of ours means."""
    plan = next(each for each in PLANS if each.name == made.name)
    assert made.request_id is not None, "requests of ours have one"
    return task_id_for(
        identity=plan.identity,
        namespace=made.namespace,
        name=made.name,
        version_text=made.version,
        context=made.context,
        idempotency_key=made.idempotency_key,
        request_id=made.request_id,
    )


def _answer(dispatch: Dispatch) -> tuple[Outcome, Failure | None]:
    """The flaky plan's first attempts fail; everything else succeeds."""
    if dispatch.handler.startswith("flaky") and dispatch.attempt == 1:
        return Outcome.FAILURE, Failure(type="E", code="e")
    return Outcome.SUCCESS, None


_NOT_YET = Dispatch(
    task_id=bytes(16), life=0, step="", attempt=0, last_attempt=False, plan_hash=bytes(32), handler="", context=None,
    inputs=(), dispatched_at=0, queue_deadline=None, correlation_id="", traceparent=None,
)  # fmt: skip

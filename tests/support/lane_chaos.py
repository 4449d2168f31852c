"""The lane simulation: a few hundred tasks under random crashes, zombies, lost acknowledgements and rebalances.

Everything runs on a virtual clock and one seed decides everything: two runs of a seed write the same bytes (a test
compares them), so a failing seed is a test. `python -m tests.support.lane_chaos 0 500` runs a range of seeds and
names those that fail; `--digest SEED` prints the digest of what one run writes.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import traceback

from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import Dispatch, Failure, Heartbeat, OperatorCommand, StepStarted
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import OperatorAction, Outcome, TaskStatus
from tasker_kafka.streams.lane import CrashPoint
from tasker_kafka.topics.log import Isolation, TopicPartition
from tasker_kafka.topics.memory import run_virtual
from tests.support.crash_at import Crash, CrashAt
from tests.support.lane_checks import Judged, judge, same_states
from tests.support.lane_world import LaneWorld, Owner, plan_of
from tests.support.seeded import seeded

__all__ = ["Chaos", "digest_of", "simulate", "simulated"]

TASKS = 120
RETRY = RetryPolicy(jitter=0.1, backoff_base_ms=200, max_backoff_ms=2000, max_attempts=4)
PLANS = (
    plan_of("chain", {"a": (), "b": ("a",), "c": ("b",)}, retry=RETRY),
    plan_of(
        "fan",
        {"a": (), **{f"m{n}": ("a",) for n in range(6)}, "z": tuple(f"m{n}" for n in range(6))},
        retry=RETRY,
    ),
    plan_of("narrow", {f"s{n}": () for n in range(5)}, retry=RETRY, max_parallel_steps=2),
    plan_of("strict", {"a": (), "b": (), "c": ("a",)}, retry=RETRY, failure_policy="fail_fast"),
)
CLOSED = {TaskStatus.COMPLETE, TaskStatus.ERROR, TaskStatus.CANCELLED}


class Chaos:
    """One simulated system. Every choice comes from `self.dice`."""

    def __init__(self, world: LaneWorld, seed: int) -> None:
        self.world = world
        self.dice = random.Random(seed)
        self.owners: dict[int, Owner] = {}
        self.zombies: list[Owner] = []
        self.tasks: list[bytes] = []
        self.is_over = False
        self.bitten = 0

    # ------------------------------------------------------------------------------------ owners

    async def own(self, partition: int) -> None:
        """A new owner, which may die at any point of its life."""
        crash = CrashAt()
        if not self.is_over and self.dice.random() < 0.5:
            crash = CrashAt(self.dice.choice(list(CrashPoint)), self.dice.randrange(1, 60))
        owner = await self.world.prepared(
            partition, crash=crash, checkpoint_interval_ms=self.dice.choice([50, 300])
        )
        try:
            await owner.acquire()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            self.bitten += 1
            return
        owner.run()
        self.owners[partition] = owner

    async def supervise(self) -> None:
        """Restart what is dead."""
        while True:
            for partition in range(self.world.partitions):
                owner = self.owners.get(partition)
                if owner is None or owner.error is not None:
                    await self.own(partition)
            await asyncio.sleep(0.05)

    async def disturb(self) -> None:
        """Kills, zombies, clean hand-overs and lost acknowledgements, one after the other."""
        while not self.is_over:
            await asyncio.sleep(self.dice.uniform(0.05, 0.6))
            partition = self.dice.randrange(self.world.partitions)
            owner = self.owners.get(partition)
            if owner is None or not owner.is_alive:
                continue
            await self.dice.choice([self.kill, self.pause, self.hand_over, self.storm, self.slow])(owner)
            self.bitten += 1

    async def kill(self, owner: Owner) -> None:
        await owner.kill()

    async def pause(self, owner: Owner) -> None:
        """Stands still while a new owner works; then goes on as if nothing had happened."""
        owner.log.pause()
        self.zombies.append(owner)
        del self.owners[owner.partition]
        delay = self.dice.uniform(0.1, 1.5)
        asyncio.get_running_loop().call_later(delay, owner.log.resume)

    async def hand_over(self, owner: Owner) -> None:
        """A clean rebalance, in which the owner may still die: at the checkpoint that closes its life."""
        del self.owners[owner.partition]
        try:
            await owner.stop()
        except (Exception, Crash):
            await owner.kill()

    async def storm(self, owner: Owner) -> None:
        """Owners that are replaced as soon as they are live."""
        for _ in range(3):
            await owner.kill()
            await self.own(owner.partition)
            following = self.owners.get(owner.partition)
            if following is None:
                return
            owner = following

    async def slow(self, owner: Owner) -> None:
        """Writes that arrive late, or whose acknowledgements are lost (the barrier then never passes)."""
        faults, names = self.world.cluster.faults, self.world.names
        roll = self.dice.random()
        if roll < 0.3:
            faults.lose_acknowledgements(names.transitions, partition=owner.partition)
            await asyncio.sleep(0.2)
            await owner.kill()
        elif roll < 0.6:
            # Its outputs are lost, its decisions are not: as if it had died between two sends.
            faults.lose_writes(self.dice.choice([names.steps("default"), names.rejections, names.control]))
            await asyncio.sleep(0.2)
            for each in self.world.owners:
                if each.is_alive:
                    await each.kill()
            faults.clear()
        else:
            topic = self.dice.choice([names.transitions, names.steps("default"), names.commands])
            faults.delay_writes(self.dice.uniform(0.01, 0.5), topic, count=3)

    # ------------------------------------------------------------------------------ clients, workers

    async def submit(self) -> None:
        """Start tasks, some twice, some cancelled."""
        for _ in range(TASKS):
            plan = self.dice.choice(PLANS)
            task_id = await self.world.start(plan)
            self.tasks.append(task_id)
            if self.dice.random() < 0.05:
                command = OperatorCommand(
                    command_id=new_request_id(self.world.log.now_ms()),
                    action=OperatorAction.CANCEL_TASK,
                    actor="sim",
                    reason="chaos",
                )
                await self.world.command(task_id, command)
                await self.world.command(task_id, command)
            await asyncio.sleep(self.dice.uniform(0, 0.05))

    async def work(self) -> None:
        """Answer dispatches: late, twice, with failures, with starts and heartbeats."""
        running: set[asyncio.Task[None]] = set()
        while True:
            for dispatch in await self.world.dispatches(timeout=0.2):
                task = asyncio.create_task(self.answer(dispatch))
                running.add(task)
                task.add_done_callback(running.discard)

    async def answer(self, dispatch: Dispatch) -> None:
        await asyncio.sleep(self.dice.uniform(0, 0.1))
        if self.dice.random() < 0.1:
            started = StepStarted(
                life=dispatch.life,
                step=dispatch.step,
                attempt=dispatch.attempt,
                worker_id="w",
                started_at=self.world.log.now_ms(),
            )
            await self.world.command(dispatch.task_id, started)
            beat = Heartbeat(life=dispatch.life, step=dispatch.step, attempt=dispatch.attempt)
            await self.world.command(dispatch.task_id, beat)
            await asyncio.sleep(0.2)
        for _ in range(self.dice.choice([1, 1, 1, 2])):
            await self.world.finish(dispatch)

    def outcome(self, _: Dispatch) -> tuple[Outcome, Failure | None]:
        """Some attempts fail, a few for good."""
        roll = self.dice.random()
        if roll < 0.1:
            return Outcome.FAILURE, Failure(type="E", code="flaky")
        if roll < 0.11:
            return Outcome.FAILURE, Failure(type="E", code="fatal", retryable=False)
        return Outcome.SUCCESS, None

    async def garbage(self) -> None:
        """Poison, strays and repeated commands."""
        names = self.world.names
        while not self.is_over:
            await asyncio.sleep(self.dice.uniform(0.05, 0.3))
            known = self.world.records(names.commands)
            again = self.dice.choice(known) if known else None
            if again is not None and self.dice.random() < 0.7:
                await self.world.raw(names.commands, again.key, again.value, partition=again.partition)
            else:
                partition = self.dice.randrange(self.world.partitions)
                await self.world.raw(
                    names.commands, self.dice.randbytes(16), self.dice.randbytes(20), partition=partition
                )


async def simulate(seed: int) -> tuple[LaneWorld, Judged, Chaos]:
    """One run: chaos, then quiet, then the verdict."""
    world = await LaneWorld(*PLANS, partitions=2, latency=0.002, marker_delay=seed % 3 * 0.01).open()
    chaos = Chaos(world, seed)
    world.answer = chaos.outcome
    background = [
        asyncio.create_task(each)
        for each in (chaos.supervise(), chaos.work(), chaos.disturb(), chaos.garbage())
    ]
    await chaos.submit()
    await asyncio.sleep(2)
    chaos.is_over = True
    world.cluster.faults.clear()
    await asyncio.sleep(20)
    for task in background:
        assert not task.done() or task.exception() is None, task
        task.cancel()
    for owner in chaos.owners.values():
        assert owner.error is None, owner.error
        await owner.lane.checkpoint()
    await world.quiet()
    judged = judge(world)
    same_states(world, judged)
    return world, judged, chaos


def _check(world: LaneWorld, judged: Judged, chaos: Chaos, least: int) -> None:
    found = [judged.states[world.partition_of(each)][each] for each in chaos.tasks]
    ends = [each.outcome if isinstance(each, Stub) else each.state for each in found]
    assert set(ends) <= CLOSED, "I2: a task is stuck"
    for zombie in chaos.zombies:
        has_nothing_to_save = zombie.error is None and zombie.lane.checkpoint_age == 0
        assert zombie.error is not None or has_nothing_to_save, (
            "a zombie still believes that it owns its partition"
        )
    mended = [owner.lane.metrics.reconciled for owner in chaos.owners.values()]
    assert not any(mended), "the reconciler had to mend something"
    assert chaos.bitten >= least, f"disturbed {chaos.bitten} times only"


def digest_of(world: LaneWorld) -> str:
    """SHA-256 over every record of every topic, aborted ones included, with their offsets and times."""
    found = hashlib.sha256()
    for topic in sorted(world.cluster.topics):
        for number in range(world.cluster.partitions(topic)):
            store = world.cluster.store(TopicPartition(topic, number))
            for record in store.read(0, 1_000_000, Isolation.UNCOMMITTED)[0]:
                found.update(repr(record).encode())
    return found.hexdigest()


def simulated(seed: int, *, least: int = 1) -> str:
    """Run one seed to its end; the digest of what it wrote. AssertionError names the promise that was broken.

    least: how often the run must have been disturbed, at least. A seed that somebody chose may be a calm one; those
    that a test runs every time are known not to be.
    """

    async def run() -> str:
        world, judged, chaos = await simulate(seed)
        _check(world, judged, chaos, least)
        digest = digest_of(world)
        await world.close()
        return digest

    with seeded(seed):
        return run_virtual(run())


def _main() -> int:
    parser = argparse.ArgumentParser(description="Run seeds of the lane simulation.")
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("last", type=int, nargs="?", default=500, help="not run itself any more")
    parser.add_argument("--digest", type=int, metavar="SEED", help="print the digest of one run's log")
    asked = parser.parse_args()
    if asked.digest is not None:
        print(simulated(asked.digest))
        return 0
    failed: list[int] = []
    for seed in range(asked.first, asked.last):
        try:
            simulated(seed)
        except (Exception, Crash):
            failed.append(seed)
            print(f"seed {seed} failed", flush=True)
            traceback.print_exc()
    print(f"{asked.last - asked.first - len(failed)} passed, {len(failed)} failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(_main())

"""What the loss of a worker costs its other steps: those that are done are not run again, those beside live on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasker_kafka.schemas.records import AttemptEnded
from tasker_kafka.schemas.template import Retry
from tasker_kafka.schemas.words import Outcome
from tasker_kafka.topics.brokers import Broker

from .recovery_handlers import HOW_TO_DIE
from .recovery_runs import RUNS, WORKER_SESSION_SECONDS
from .recovery_scenes import one_step, opened, repeats_across, starts_of, starts_of_task

SHORT_STEPS = 10_000
LONG_SECONDS = 20.0
"""Longer than all short steps together take; the worker that runs it is told to report nothing before a minute."""
NEIGHBOURS = 60
LOOKAHEAD, CONCURRENCY = 400, 100
"""The worker's defaults: what may have been started since its last commit, and what runs at once."""
LETHAL = ("segfault", "abort", "exit")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def _short_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKER_WORKER__SESSION_TIMEOUT_MS", str(round(1000 * WORKER_SESSION_SECONDS)))


@pytest.mark.campaign
async def test_a_long_step_does_not_make_its_short_neighbours_run_again(
    kafka: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKER_WORKER__START_REPORT_SECONDS", "60")
    ledger = tmp_path / "ledger"
    short = one_step("short", ledger)
    long = one_step("long", ledger, config={"seconds": LONG_SECONDS})
    async with opened(kafka.bootstrap_servers, prefix, tmp_path, [short, long]) as scene:
        (long_id,) = await scene.submit(long, 1)
        await scene.watch.until(lambda: scene.watch.granted == 1)
        await scene.submit(short, SHORT_STEPS)
        worker = scene.start_worker(0)
        await scene.watch.until(lambda: len(scene.watch.closed) >= SHORT_STEPS * 3 // 4)
        assert long_id not in scene.watch.closed
        scene.system.kill(worker)
        scene.system.restart(worker)
        await scene.all_closed()
        starts = starts_of(ledger)
        assert starts_of_task(starts, long_id) == 2
        assert len(starts) == SHORT_STEPS + 1
        # One worker was lost. What it ran again itself, it had lost before: its session is short, machines are slow.
        again = repeats_across(ledger)
        assert again <= LOOKAHEAD + CONCURRENCY, f"{again} of {SHORT_STEPS} steps ran in both workers"


@pytest.mark.campaign
async def test_steps_that_end_their_worker_are_given_up_and_their_neighbours_complete(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    neighbour = one_step("neighbour", ledger, config={"seconds": 0.05})
    lethal = [one_step(how, ledger, handler="recovery.die", config={"how": how}) for how in LETHAL]
    async with opened(kafka.bootstrap_servers, prefix, tmp_path, [neighbour, *lethal]) as scene:
        first = await scene.submit(neighbour, NEIGHBOURS // 2)
        killers = set().union(*[await scene.submit(plan, 1) for plan in lethal])
        neighbours = first | await scene.submit(neighbour, NEIGHBOURS // 2)
        async with scene.supervised(scene.start_worker(0)) as codes:
            await scene.all_closed()
        records = await scene.system.wait_closed(scene.submitted)
        ends = {
            task_id: [
                (each.data.outcome, each.data.counted)
                for record in records[task_id]
                for each in record.transitions
                if isinstance(each.data, AttemptEnded)
            ]
            for task_id in scene.submitted
        }
        assert {tuple(ends[each]) for each in killers} == {((Outcome.WORKER_LOST, False),)}
        assert {tuple(outcome for outcome, _ in ends[each]) for each in neighbours} == {(Outcome.SUCCESS,)}
        starts = starts_of(ledger)
        # One may end the worker before the others of its delivery have begun: those count as delivered all the same.
        assert {starts_of_task(starts, each) for each in killers} <= {1, 2, 3}
        assert max(starts.values()) == 3
        # One delivery of several can end one worker for all of them; at most three workers go for each.
        assert len(LETHAL) <= len(codes) <= 3 * len(LETHAL)


async def test_what_a_handler_does_to_its_own_process_its_worker_survives(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    neighbour = one_step("neighbour", ledger)
    once = Retry(max_attempts=1)
    lethal = [
        one_step(how, ledger, handler="recovery.die_apart", config={"how": how}, retry=once)
        for how in HOW_TO_DIE
    ]
    async with opened(kafka.bootstrap_servers, prefix, tmp_path, [neighbour, *lethal]) as scene:
        worker = scene.start_worker(0)
        killers = {how: await scene.submit(plan, 1) for how, plan in zip(HOW_TO_DIE, lethal, strict=True)}
        neighbours = await scene.submit(neighbour, NEIGHBOURS)
        await scene.all_closed()
        assert scene.system.roles[worker].poll() is None
        starts = starts_of(ledger)
        assert {starts_of_task(starts, each) for each in neighbours} == {1}
        records = await scene.system.wait_closed(scene.submitted)
        codes = {
            how: [
                each.data.failure.code
                for record in records[next(iter(ids))]
                for each in record.transitions
                if isinstance(each.data, AttemptEnded) and each.data.failure is not None
            ]
            for how, ids in killers.items()
        }
        assert codes == {how: ["memory_limit" if how == "allocate" else "process_died"] for how in HOW_TO_DIE}


@pytest.mark.campaign
async def test_neighbours_of_dying_processes_are_measured(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    print(await RUNS["dying_apart"](kafka.bootstrap_servers, prefix, tmp_path))

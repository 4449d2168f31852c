"""Whatever happened to a system, its log is without violations: kills, zombies, lost acknowledgements, compaction."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tasker_kafka.topics.memory import run_virtual
from tests.checker import RULES_CHANGED, Ledger, RawLog, RawPartition, RawRecord, check
from tests.checker.ledger import Fault
from tests.support.lane_chaos import simulate
from tests.support.recording import RECORDINGS, Recording

from .bench import Bench
from .making import raw_of_cluster, raw_of_recording
from .outside_damage import dispatch_what_was_not_granted, start_what_was_not_granted
from .story import good_log, running_logs
from .table_damage import repeat_a_decision_otherwise


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_story_with_everything_in_it(seed: int) -> None:
    report = check(*good_log(seed), settled=True)
    assert not report.violations, str(report)
    figures = Counter(report.figures)
    assert figures["tasks"] > 40
    assert figures["tasks_forgotten"] > 5
    assert figures["owners"] > 10
    assert figures["aborted_transactions"] > 0
    assert figures["transitions_repeated"] > 0
    assert figures["redeliveries"] > 0
    assert figures["rejections"] > 5
    assert figures["starts"] == figures["dispatches"]


@pytest.mark.slow
def test_chaos() -> None:
    world, _, chaos = run_virtual(simulate(20))
    report = check(raw_of_cluster(world.cluster), Ledger(), settled=True)
    assert not report.violations, str(report)
    assert report.figures["tasks"] == len(chaos.tasks)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.gz")), ids=lambda path: path.name)
def test_a_recording(path: object) -> None:
    name = str(path).rpartition("/")[2].removesuffix(".jsonl.gz")
    report = check(raw_of_recording(Recording(name)), Ledger(), settled=True)
    assert not report.violations, str(report)
    assert report.figures["tasks"] > 0


def test_a_system_that_is_running() -> None:
    logs = running_logs(6)
    assert len(logs) >= 3
    for raw, ledger in logs:
        report = check(raw, ledger, settled=False)
        assert not report.violations, str(report)


def test_compaction_leaves_nothing_to_report() -> None:
    raw, ledger = good_log(0)
    dice = random.Random(1)
    whole = check(raw, ledger, settled=True).figures["records_task-state"]
    for _ in range(3):
        bench = Bench(raw, ledger, 0)
        for partition in bench.raw.of("task-state").values():
            compact(partition, dice.randrange(len(partition.records)))
        report = check(bench.raw, ledger, settled=True)
        assert not report.violations, str(report)
        assert report.figures["records_task-state"] < whole


def compact(partition: RawPartition, upto: int) -> None:
    """Keep of the first records the newest of each key, as a broker does."""
    newest = {each.key: each for each in partition.records[:upto] if each.committed}
    kept: list[RawRecord] = [each for each in partition.records[:upto] if newest.get(each.key) is each]
    partition.records[:upto] = kept


@pytest.mark.parametrize(
    ("damage", "figure"),
    [
        (dispatch_what_was_not_granted, "dispatches_unrecorded"),
        (start_what_was_not_granted, "starts_unrecorded"),
        (repeat_a_decision_otherwise, "transitions_differing"),
    ],
)
def test_where_rules_have_changed_the_honest_limit_is_counted(damage: object, figure: str) -> None:
    bench = Bench(*good_log(0), 0)
    assert callable(damage)
    damage(bench)
    bench.ledger.faults = [Fault(RULES_CHANGED, {}, 0)]
    report = check(bench.raw, bench.ledger, settled=True)
    assert not report.violations, str(report)
    assert report.figures[figure] == 1


def test_an_empty_log_is_good() -> None:
    assert not check(RawLog("tasker"), Ledger(), settled=True).violations

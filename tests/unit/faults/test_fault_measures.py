"""Recovery and repeats, from records and starts made up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tasker_kafka.schemas.identity import dispatch_key, new_request_id
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tests.checker.ledger import Fault, Ledger, Started
from tests.faults.fleet import End
from tests.faults.injection import CRASH_POINT_FAULT
from tests.faults.measures import Injected, Starts, percentile, recoveries, repeats
from tests.faults.observer import Observer
from tests.faults.rig import Outcome
from tests.faults.role_logs import unplanned_ends, unplanned_words

PARTITIONS = 4


def observed(accepted: list[tuple[int, int]]) -> Observer:
    """An observer of partition 0 with these accepted records: time and owner."""
    observer = Observer(KafkaLog("127.0.0.1:1"), TopicNames("t"), PARTITIONS)
    view = observer.views[0]
    view.accepted_at = [at for at, _ in accepted]
    view.accepted_owner = [owner for _, owner in accepted]
    return observer


def started(at: int, worker: int, *, task: bytes, step: str = "a", attempt: int = 1) -> Started:
    """A handler's start."""
    return Started(task.hex(), 1, step, attempt, "", worker, at)


def test_recovery_ends_with_the_first_record_of_a_later_owner() -> None:
    observer = observed([(90, 5), (110, 5), (150, 9), (160, 9)])
    killed = Injected("kill", Outcome(True, {}, 100, {0: 5}))
    paused = Injected("pause", Outcome(True, {}, 100, {0: -1}, since=115))
    assert recoveries([killed, paused], observer, Starts([], PARTITIONS)) == {"kill": [50], "pause": [50]}


def test_a_partition_that_does_not_go_on_gives_no_figure() -> None:
    lost = Injected("kill", Outcome(True, {}, 100, {0: 5}))
    assert recoveries([lost], observed([(90, 5), (110, 5)]), Starts([], PARTITIONS)) == {}


def test_recovery_of_a_worker_ends_with_anothers_start_in_its_partition() -> None:
    task = new_request_id()
    mine = partition_for(dispatch_key(task, "a"), PARTITIONS)
    other = next(
        f"s{number}"
        for number in range(100)
        if partition_for(dispatch_key(task, f"s{number}"), PARTITIONS) != mine
    )
    starts = Starts(
        [
            started(90, 1, task=task),
            started(110, 1, task=task),  # a zombie's
            started(150, 2, task=task),
            started(95, 2, task=task, step=other),
            started(101, 2, task=task, step=other),
        ],
        PARTITIONS,
    )
    assert starts.recoveries(1, 100) == [50]


def test_repeats_are_counted_against_the_last_fault() -> None:
    task = new_request_id()
    ledger = Ledger()
    ledger.started = [
        started(10, 1, task=task),
        started(120, 2, task=task),
        started(130, 2, task=task, attempt=2),
        started(230, 2, task=task, attempt=2),
    ]
    faults = [Injected("kill", Outcome(True, {}, 100)), Injected("pause", Outcome(True, {}, 200))]
    counted = repeats(ledger, faults)
    assert (counted.starts, counted.attempts, counted.total) == (4, 2, 2)
    assert counted.by_fault == Counter({"kill": 1, "pause": 1})


def test_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7], 0.95) == 7
    assert percentile(list(range(100)), 0.95) == 95


def end(code: int, wanted: str = "", *, pid: int = 1, was_away: bool = False, lived: float = 60.0) -> End:
    """The end of a role."""
    return End("orchestrator-0", pid, code, 0.0, wanted, lived, was_away)


def test_only_ends_that_nobody_planned_are_findings() -> None:
    ledger = Ledger()
    ledger.faults = [Fault(CRASH_POINT_FAULT, {"pid": 7}, 0)]
    planned = [
        end(-9, "kill"),
        end(-9, "crash", pid=7),
        end(0, "term"),
        end(75),
        end(76),
        end(77, was_away=True),
        end(-15, "term", lived=1.0),
    ]
    assert unplanned_ends(planned, ledger) == []
    unplanned = [end(-9), end(0), end(70), end(77), end(78), end(1), end(70, "term"), end(-15, "term")]
    assert len(unplanned_ends(unplanned, ledger)) == len(unplanned)


def test_tracebacks_are_found(tmp_path: Path) -> None:
    (tmp_path / "worker-0.log").write_text(
        "fine\nTraceback (most recent call last):\n  File x\nValueError: no\n"
    )
    (tmp_path / "worker-1.log").write_text("all is well\n")
    (found,) = unplanned_words(tmp_path)
    assert found.startswith("worker-0.log")
    assert "ValueError: no" in found

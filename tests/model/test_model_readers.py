"""What the model says that readers accept is so: whole logs, in the twin's partition, by the real rule."""

from __future__ import annotations

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import OWNER_KEY, OwnerMarker
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Isolation, Record, Write
from tasker_kafka.topics.memory.store import PartitionStore, Transaction, TransactionState
from tests.model.design import CODE
from tests.model.domain import TASK_ID
from tests.model.logs import ABORTED, COMMITTED, Log, number_and_owner, owner_of_marker
from tests.model.machine import Machine
from tests.model.scope import Scope
from tests.model.search import explore

MARKER = codec.encode(OwnerMarker(at=0, instance="model", version="0"))


@pytest.fixture(scope="module")
def machine() -> Machine:
    """One that has seen every log of a small scope, aborted markers included."""
    machine = Machine(CODE, Scope("chain-2", (0, 1), 2))
    explore(machine, most_states=40_000)
    return machine


def written(machine: Machine, log: Log) -> PartitionStore:
    """A partition with the entries of a log."""
    store = PartitionStore("transitions", 0)
    transaction = Transaction()
    for entry in log.entries:
        if entry in (COMMITTED, ABORTED):
            state = TransactionState.COMMITTED if entry == COMMITTED else TransactionState.ABORTED
            transaction.end(state, 0)
            transaction = Transaction()
            continue
        if entry < 0:
            write, within = Write("transitions", OWNER_KEY, MARKER), transaction
        else:
            number, owner = number_and_owner(entry)
            own = for_owner(log.numbers[owner])
            write, within = Write("transitions", TASK_ID, machine.domain.records[number], own), None
        store.append([write], now_ms=0, append_time=False, transaction=within)
    return store


def accepted(records: list[Record], history: AcceptedHistory) -> list[bytes]:
    """The values that a reader takes."""
    found = []
    for each in records:
        assert each.value is not None
        if history.accept(each, codec.decode_transition_record(each.value)):
            found.append(each.value)
    return found


@pytest.mark.slow
def test_all_readers_of_a_log_accept_what_the_model_says(machine: Machine) -> None:
    aborted = 0
    for log in machine.logs.all:
        aborted += ABORTED in log.entries
        store = written(machine, log)
        assert store.end == len(log.entries)
        assert store.last_stable == log.last_stable
        records, _ = store.read(0, 1_000, Isolation.COMMITTED)
        expected = [machine.domain.records[each] for each in machine.logs.accepted(log.stable).records]
        assert accepted(records, AcceptedHistory()) == expected
        for middle in range(len(records) + 1):
            reader = AcceptedHistory()
            first = accepted(records[:middle], reader)
            assert [*first, *accepted(records[middle:], AcceptedHistory(reader.snapshot()))] == expected
    assert len(machine.logs.all) > 100
    assert aborted > 10


@pytest.mark.slow
def test_the_readers_part_of_a_log_never_changes(machine: Machine) -> None:
    by_entries = {log.entries: log for log in machine.logs.all}
    for log in machine.logs.all[1:]:
        before = by_entries[log.entries[:-1]]
        old, new = (machine.logs.accepted(each.stable).records for each in (before, log))
        assert new[: len(old)] == old


@pytest.mark.slow
def test_markers_name_their_owners(machine: Machine) -> None:
    for log in machine.logs.all:
        for owner, number in enumerate(log.numbers):
            assert number < 0 or owner_of_marker(log.entries[number]) == owner

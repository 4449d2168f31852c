"""Logs recorded from real runs still fold to their recorded states, and today's rules still decide the same bytes.

A recording is of a released schema; it is never made anew because of a change here. When the rules change on purpose,
`DECIDED_OTHERWISE` says so for the recordings of before: they must fold all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Command, StartTask, TaskCreated, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.streams.domain import Decision, Ignored, Moment, decide, fold
from tests.support.recording import RECORDINGS, Recording

NAMES = sorted(path.name.removesuffix(".jsonl.gz") for path in RECORDINGS.glob("*.jsonl.gz"))
DECIDED_OTHERWISE: set[str] = set()

State = TaskState | Stub | None


@pytest.fixture(scope="module", params=NAMES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param)


def test_there_is_a_recording() -> None:
    assert NAMES


def plan_hash_of(state: State, command: Command) -> bytes | None:
    return (
        command.body.plan_hash if isinstance(command.body, StartTask) else getattr(state, "plan_hash", None)
    )


def disagreements(
    records: Iterable[tuple[bytes, Transitions]], plans: dict[bytes, Plan], values: dict[bytes, bytes]
) -> set[bytes]:
    """The tasks whose records do not fold, without a gap, to the table's value."""
    states: dict[bytes, State] = {}
    wrong: set[bytes] = set()
    seen: dict[bytes, int] = {}
    for key, record in records:
        if not record.seq:
            continue
        if record.seq != seen.get(key, 0) + 1:
            wrong.add(key)
            continue
        seen[key] = record.seq
        before = states.get(key)
        created = record.transitions[0].data if before is None else None
        plan = plans[getattr(created or before, "plan_hash")]  # noqa: B009 - one of two types
        states[key] = fold(before, record, plan)
    found = {key: codec.encode(state) for key, state in states.items() if state is not None}
    return wrong | {key for key in found.keys() | values.keys() if found.get(key) != values.get(key)}


def saved_history(recording: Recording, partition: int) -> list[tuple[bytes, Transitions]]:
    """The accepted records below the last checkpoint."""
    _, checkpoint = recording.table(partition)
    history = recording.history(partition)
    return [history[offset] for offset in sorted(history) if offset < checkpoint.next_command]


def test_history_folds_to_the_table(recording: Recording) -> None:
    plans = recording.plans()
    for partition in recording.records["transitions"]:
        values, _ = recording.table(partition)
        records = saved_history(recording, partition)
        assert len(records) > 30
        assert not disagreements(records, plans, values)


def test_commands_are_decided_as_recorded(recording: Recording, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["recording"] in DECIDED_OTHERWISE:
        return
    plans = recording.plans()
    for partition, commands in recording.records["commands"].items():
        history = recording.history(partition)
        states: dict[bytes, State] = {}
        for record in commands:
            try:
                command = codec.decode(record.value or b"", Command)
            except DecodeError:
                assert history[record.offset][1].transitions == (), (
                    "poison is answered by a record of its own"
                )
                continue
            before = states.get(command.task_id)
            plan = plans.get(plan_hash_of(before, command) or b"")
            decided = decide(before, command, Moment(partition, record.offset, record.timestamp, plan))
            if isinstance(decided, Ignored):
                assert record.offset not in history, decided
                continue
            assert isinstance(decided, Decision)
            states[command.task_id] = decided.state
            assert encoded(decided.record) == encoded(history[record.offset][1])


def encoded(record: Transitions) -> bytes:
    """Without the list of ignored offsets, which is the lane's and not the decision's."""
    return codec.encode(replace(record, ignored=()))


def test_poison_is_in_the_recordings(recording: Recording) -> None:
    answers = [
        record.answer
        for partition in recording.records["transitions"]
        for _, record in recording.history(partition).values()
        if record.seq == 0 and record.answer is not None
    ]
    assert len(answers) >= 3 * len(recording.records["commands"])


@pytest.mark.parametrize("damage", ["lost", "swapped", "altered"])
def test_a_poisoned_history_is_noticed(recording: Recording, damage: str) -> None:
    plans = recording.plans()
    partition = min(recording.records["transitions"])
    values, _ = recording.table(partition)
    records = saved_history(recording, partition)
    key = next(key for key, record in records if record.seq == 3)
    places = [index for index, (each, _) in enumerate(records) if each == key]
    if damage == "lost":
        del records[places[1]]
    elif damage == "swapped":
        records[places[1]], records[places[2]] = records[places[2]], records[places[1]]
    else:
        first = records[places[0]][1]
        data = first.transitions[0].data
        assert isinstance(data, TaskCreated)
        created = replace(first.transitions[0], data=replace(data, request_id=bytes(16)))
        records[places[0]] = (key, replace(first, transitions=(created, *first.transitions[1:])))
    assert disagreements(records, plans, values) == {key}

"""Ways to damage the table's changelog and what owners say of themselves, each with the invariant to be reported."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from tests.checker.wire import CHECKPOINT_KEY

from .bench import Bench, Found

__all__ = ["TABLE"]


def _is_state(found: Found) -> bool:
    return found.name == "TaskState"


def flip_a_byte(bench: Bench) -> None:
    found = bench.one_of("task-state", lambda found: found.record.key != CHECKPOINT_KEY)
    value = bytearray(found.record.value or b"")
    value[bench.dice.randrange(10, len(value))] ^= 1 << bench.dice.randrange(8)
    bench.replace(found, value=bytes(value))


def leave_a_value_out(bench: Bench) -> None:
    """Not of the first two checkpoints: there it could have been compacted."""
    later = {number: bench.checkpoints(number)[2].record.offset for number in bench.raw.of("task-state")}

    def fits(found: Found) -> bool:
        return found.record.key != CHECKPOINT_KEY and found.record.offset > later[found.partition.partition]

    bench.drop(bench.one_of("task-state", fits))


def keep_a_stale_value(bench: Bench) -> None:
    states = list(bench.records("task-state"))
    pairs = [
        (older, newer)
        for older in states
        for newer in states
        if older.record.key == newer.record.key != CHECKPOINT_KEY
        and older.partition is newer.partition
        and older.place < newer.place
        and older.record.value != newer.record.value
    ]
    older, newer = bench.choose(pairs)
    bench.replace(newer, value=older.record.value)


def save_another_result(bench: Bench) -> None:
    def has_result(found: Found) -> bool:
        return _is_state(found) and any(step["result"] for step in found.datum["steps"])

    found = bench.one_of("task-state", has_result)
    next(step for step in found.datum["steps"] if step["result"])["result"] = b'"another"'
    bench.change(found)


def forget_a_timer(bench: Bench) -> None:
    found = bench.one_of("task-state", lambda found: _is_state(found) and found.datum["next_due"] is not None)
    bench.change(found, next_due=None)


def keep_a_stub_longer(bench: Bench) -> None:
    found = bench.one_of("task-state", lambda found: found.name == "Stub")
    bench.change(found, forget_at=found.datum["forget_at"] + 1)


def leave_a_tombstone_out(bench: Bench) -> None:
    places = [
        (partition, index)
        for partition in bench.raw.of("task-state").values()
        for index, record in enumerate(partition.records)
        if record.value is None
    ]
    partition, index = bench.choose(places)
    del partition.records[index]


def bury_a_living_task(bench: Bench) -> None:
    bench.replace(bench.one_of("task-state", lambda found: found.name != "Checkpoint"), value=None)


def save_outside_a_checkpoint(bench: Bench) -> None:
    found = bench.one_of("task-state", _is_state)
    bench.append("task-state", found.partition.partition, found.record.key, found.record.value)


def lose_the_last_checkpoints(bench: Bench) -> None:
    number = bench.dice.randrange(2)
    partition = bench.raw.of("task-state")[number]
    places = [each.place for each in bench.checkpoints(number)]
    del partition.records[places[len(places) // 2] + 1 :]


def save_as_an_older_owner(bench: Bench) -> None:
    number = bench.dice.randrange(2)
    saved = bench.checkpoints(number)
    bench.change(saved[-1], owner=saved[0].datum["owner"])


def save_after_a_newer_owner_began(bench: Bench) -> None:
    number = bench.dice.randrange(2)
    saved = bench.checkpoints(number)
    newer = next(each for each in saved if each.datum["owner"] > saved[0].datum["owner"])
    bench.change(saved[0], next_transition=newer.datum["owner"] + 1)


def save_as_nobody(bench: Bench) -> None:
    found = bench.choose(bench.checkpoints())
    bench.change(found, owner=found.datum["owner"] + 1)


def go_back(bench: Bench) -> None:
    saved = bench.checkpoints(bench.dice.randrange(2))
    bench.change(saved[-1], next_command=saved[0].datum["next_command"] - 1)


def point_beyond_the_table(bench: Bench) -> None:
    number = bench.dice.randrange(2)
    saved = bench.checkpoints(number)
    same = [
        (one, two)
        for one, two in pairwise(saved)
        if one.datum["owner"] == two.datum["owner"]
        and one.datum["next_transition"] < two.datum["next_transition"]
    ]
    one, two = bench.choose(same)
    bench.change(one, next_transition=two.datum["next_transition"])


def move_the_saved_horizon(bench: Bench) -> None:
    found = bench.checkpoints(bench.dice.randrange(2))[-1]
    bench.change(found, horizon=found.datum["horizon"] + 1)


def count_other_partitions(bench: Bench) -> None:
    bench.change(bench.choose(bench.checkpoints()), partition_count=3)


def write_without_an_owner(bench: Bench) -> None:
    bench.replace(bench.one(), headers=())


def write_as_nobody(bench: Bench) -> None:
    found = bench.one()
    number = int(dict(found.record.headers)["tasker-owner"]) + 1
    bench.replace(found, headers=(("tasker-owner", b"%d" % number),))


def take_the_record_of_an_older_owner(bench: Bench) -> None:
    """A zombie decided otherwise, and the table was made of what it said: readers skip it."""
    found = bench.one(lambda found: any(each["event"] == "completed" for each in found.edges))
    older = min(each.record.offset for each in bench.records("transitions") if each.name == "OwnerMarker")
    newest = max(
        each.record.offset
        for each in bench.records("transitions")
        if each.name == "OwnerMarker"
        and each.partition is found.partition
        and each.record.offset < found.record.offset
    )
    if newest == older:
        raise LookupError("no owner before this one")
    bench.replace(found, headers=(("tasker-owner", b"%d" % older),))


def repeat_a_decision_otherwise(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] > 1)
    bench.add_record(found, command_offset=found.datum["command_offset"], at=found.datum["at"] + 1)


def damage_a_record(bench: Bench) -> None:
    found = bench.one()
    bench.replace(found, value=(found.record.value or b"")[:-1])


TABLE: dict[Callable[[Bench], None], str] = {
    flip_a_byte: "I8",
    leave_a_value_out: "I8",
    keep_a_stale_value: "I8",
    save_another_result: "I8",
    forget_a_timer: "I8",
    keep_a_stub_longer: "I8",
    leave_a_tombstone_out: "I8",
    bury_a_living_task: "I8",
    save_outside_a_checkpoint: "I8",
    lose_the_last_checkpoints: "I8",
    point_beyond_the_table: "I8",
    move_the_saved_horizon: "I8",
    save_as_an_older_owner: "I14",
    save_after_a_newer_owner_began: "I14",
    save_as_nobody: "I14",
    go_back: "I14",
    count_other_partitions: "I14",
    write_without_an_owner: "I14",
    write_as_nobody: "I14",
    take_the_record_of_an_older_owner: "I15",
    repeat_a_decision_otherwise: "I15",
    damage_a_record: "raw",
}

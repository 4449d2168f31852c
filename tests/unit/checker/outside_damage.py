"""Ways to damage what lies around the history: requests, commands' accounts, dispatches, rejections, the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tests.checker.ledger import Acked, Started
from tests.checker.wire import partition_of

from .bench import Bench, Found

__all__ = ["OUTSIDE"]

TOPIC = "tasker.task-requests.v1"


# --------------------------------------------------------------------------------------------- requests


def lose_an_acked_request(bench: Bench) -> None:
    number = bench.dice.randrange(2)
    end = bench.raw.of("task-requests")[number].end
    bench.ledger.acked.append(Acked("ab" * 16, "ab" * 16, TOPIC, number, end))


def lose_the_task_of_a_request(bench: Bench) -> None:
    """The request is in the log and was read, but nothing came of it."""
    number = bench.dice.randrange(2)
    offset = bench.append("task-requests", number, None, b"whatever")
    bench.raw.groups["tasker-engine"][TOPIC][number] = offset + 1
    bench.ledger.acked.append(Acked("ab" * 16, None, TOPIC, number, offset))


def change_an_acked_request(bench: Bench) -> None:
    index = bench.dice.randrange(len(bench.ledger.acked))
    bench.ledger.acked[index] = msgspec.structs.replace(bench.ledger.acked[index], sha="0" * 64)


def pass_a_request_by(bench: Bench) -> None:
    number = bench.dice.randrange(2)
    offset = bench.append("task-requests", number, None, b"whatever")
    bench.raw.groups["tasker-engine"][TOPIC][number] = offset + 1


def leave_a_request_unread(bench: Bench) -> None:
    bench.append("task-requests", bench.dice.randrange(2), None, b"whatever")


def lose_a_rejection(bench: Bench) -> None:
    bench.drop(bench.one_of("rejections", lambda found: found.datum["topic"] == TOPIC))


def make_two_tasks_of_a_request(bench: Bench) -> None:
    found = _start(bench)
    task_id = bench.dice.randbytes(16)
    while partition_of(task_id, 2) != found.partition.partition:
        task_id = bench.dice.randbytes(16)
    value = bench.wire.encode("Command", {**found.datum, "task_id": task_id})
    bench.append("commands", found.partition.partition, task_id, value)


def start_a_request_otherwise(bench: Bench) -> None:
    found = _start(bench)
    name, body = found.datum["body"]
    value = bench.wire.encode("Command", {**found.datum, "body": (name, {**body, "reason": "another"})})
    bench.append("commands", found.partition.partition, found.record.key, value)


def _start(bench: Bench) -> Found:
    return bench.one_of(
        "commands",
        lambda found: (
            found.datum["body"][0].endswith("StartTask")
            and found.datum["body"][1]["request"]["partition"] < 2
            and bench.raw.of("commands")[found.partition.partition] is found.partition
        ),
    )


# --------------------------------------------------------------------------------------------- accounts


def lose_an_ignored_range(bench: Bench) -> None:
    """What one record listed as ignored is listed nowhere."""
    found = bench.one_of("transitions", lambda found: bool(found.datum.get("ignored")))
    lost = {(each["first"], each["last"]) for each in found.datum["ignored"]}
    for each in [*bench.records("transitions"), *bench.records("task-state")]:
        if each.partition.partition == found.partition.partition and each.datum.get("ignored"):
            kept = [own for own in each.datum["ignored"] if (own["first"], own["last"]) not in lost]
            bench.change(each, ignored=[own for own in kept if not _touches(own, lost)])


def _touches(own: dict[str, int], lost: set[tuple[int, int]]) -> bool:
    return any(own["first"] <= last and first <= own["last"] for first, last in lost)


def commit_past_a_command(bench: Bench) -> None:
    number = bench.dice.randrange(2)
    offset = bench.append("commands", number, b"k" * 16, b"whatever")
    bench.raw.groups["tasker-engine"]["tasker.commands.v1"][number] = offset + 1


def leave_a_command_undecided(bench: Bench) -> None:
    bench.append("commands", bench.dice.randrange(2), b"k" * 16, b"whatever")


def ignore_what_was_decided(bench: Bench) -> None:
    found = bench.one()
    later = bench.choose(
        [
            each
            for each in bench.accepted()
            if each.partition is found.partition
            and each.datum["command_offset"] > found.datum["command_offset"]
        ]
    )
    offset = found.datum["command_offset"]
    bench.change(later, ignored=[*later.datum["ignored"], {"first": offset, "last": offset}])


def ignore_a_result(bench: Bench) -> None:
    """The last accepted result of a partition is listed as ignored instead."""
    number = bench.dice.randrange(2)
    results = [
        each
        for each in bench.accepted()
        if each.partition.partition == number and any(edge["event"] == "completed" for edge in each.edges)
    ]
    found = results[-1]
    bench.drop(found)
    saved = bench.checkpoints(number)[-1]
    offset = found.datum["command_offset"]
    for each in bench.of_task(found):
        if each.datum["command_offset"] > offset:
            bench.drop(each)
    later = [
        each
        for each in bench.accepted()
        if each.partition.partition == number and each.datum["command_offset"] > offset
    ]
    target = later[0] if later else saved
    bench.change(target, ignored=[*target.datum["ignored"], {"first": offset, "last": offset}])


def lose_an_answer(bench: Bench) -> None:
    """An operator's command has no record: nobody learns what became of it."""
    found = bench.one_of(
        "transitions",
        lambda found: (
            found.name == "Transitions"
            and found.datum["seq"] == 0
            and found.datum["answer"]["code"] not in {"undecodable", "misrouted"}
        ),
    )
    bench.drop(found)


def refuse_without_an_answer(bench: Bench) -> None:
    found = bench.one_of("transitions", lambda found: found.name == "Transitions" and found.datum["seq"] == 0)
    bench.change(found, answer=None)


def decide_what_is_not_there(bench: Bench) -> None:
    found = bench.one()
    commands = bench.raw.of("commands")[found.partition.partition]
    record = commands.at(found.datum["command_offset"])
    assert record is not None
    commands.records.remove(record)


def lose_an_engines_rejection(bench: Bench) -> None:
    bench.drop(bench.one_of("rejections", lambda found: found.datum["topic"] != TOPIC))


def reject_in_other_words(bench: Bench) -> None:
    found = bench.one_of("rejections")
    value = bench.wire.encode("Rejection", {**found.datum, "message": "another"})
    bench.append("rejections", found.partition.partition, found.record.key, value)


# ------------------------------------------------------------------------------------ dispatches, starts


def dispatch_otherwise(bench: Bench) -> None:
    found = bench.one_of("steps.default")
    value = bench.wire.encode("Dispatch", {**found.datum, "handler": "another"})
    bench.append("steps.default", found.partition.partition, found.record.key, value)


def give_another_input(bench: Bench) -> None:
    """Every copy of a dispatch names another result of a parent than is recorded."""
    found = bench.one_of("steps.default", lambda found: any(each["value"] for each in found.datum["inputs"]))
    copies = [each for each in bench.records("steps.default") if each.record.value == found.record.value]
    for each in copies:
        each.datum["inputs"][0]["value"] = b'"another"'
        bench.change(each)


def dispatch_what_was_not_granted(bench: Bench) -> None:
    found = bench.one_of("steps.default")
    value = bench.wire.encode("Dispatch", {**found.datum, "attempt": found.datum["attempt"] + 5})
    bench.append("steps.default", found.partition.partition, found.record.key, value)


def lose_a_dispatch(bench: Bench) -> None:
    bench.drop(bench.one_of("steps.default"))


def commit_past_a_dispatch(bench: Bench) -> None:
    found = bench.one_of("steps.default")
    place = tuple(found.datum[field] for field in ("life", "step", "attempt"))
    for number, partition in bench.raw.of("commands").items():
        lost = [
            each.record
            for each in bench.records("commands")
            if each.partition.partition == number
            and each.datum["task_id"] == found.datum["task_id"]
            and tuple(each.datum["body"][1].get(field) for field in ("life", "step", "attempt")) == place
        ]
        partition.records[:] = [each for each in partition.records if each not in lost]
    topic = found.partition.topic
    bench.raw.groups["tasker-worker-default"] = {topic: {found.partition.partition: found.record.offset + 1}}


def start_what_was_not_dispatched(bench: Bench) -> None:
    started = bench.ledger.started[bench.dice.randrange(len(bench.ledger.started))]
    bench.ledger.started.append(msgspec.structs.replace(started, attempt=started.attempt + 9))


def start_what_was_not_granted(bench: Bench) -> None:
    found = bench.one_of("steps.default")
    fields: dict[str, Any] = {**found.datum, "attempt": found.datum["attempt"] + 7}
    value = bench.wire.encode("Dispatch", fields)
    bench.append("steps.default", found.partition.partition, found.record.key, value)
    place = fields["task_id"].hex(), fields["life"], fields["step"], fields["attempt"]
    bench.ledger.started.append(Started(*place, attempt_id="", worker=1, at=0))


def cancel_in_other_words(bench: Bench) -> None:
    found = bench.one_of("control")
    value = bench.wire.encode("Cancellation", {**found.datum, "reason": "another"})
    bench.append("control", found.partition.partition, found.record.key, value)


# ------------------------------------------------------------------------------------------------ stuck


def leave_a_task_stuck(bench: Bench) -> None:
    """The last record of an open step is missing: the task rests where nobody is waited for."""
    found = bench.one(
        lambda found: (
            found.datum["seq"] > 1
            and any(each["event"] == "all_steps_done" for each in found.edges)
            and any(each["event"] == "completed" for each in found.edges)
        )
    )
    bench.drop(found)


OUTSIDE: dict[Callable[[Bench], None], str] = {
    lose_an_acked_request: "I1",
    lose_the_task_of_a_request: "I1",
    change_an_acked_request: "I1",
    pass_a_request_by: "I12",
    leave_a_request_unread: "I12",
    lose_a_rejection: "I12",
    make_two_tasks_of_a_request: "I9",
    start_a_request_otherwise: "I15",
    lose_an_ignored_range: "I12",
    commit_past_a_command: "I12",
    leave_a_command_undecided: "I12",
    ignore_what_was_decided: "I12",
    ignore_a_result: "I12",
    lose_an_answer: "I12",
    refuse_without_an_answer: "I4",
    decide_what_is_not_there: "I12",
    lose_an_engines_rejection: "I12",
    reject_in_other_words: "I15",
    dispatch_otherwise: "I15",
    give_another_input: "I15",
    dispatch_what_was_not_granted: "I5",
    lose_a_dispatch: "I5",
    commit_past_a_dispatch: "I12",
    start_what_was_not_dispatched: "I5",
    start_what_was_not_granted: "I5",
    cancel_in_other_words: "I15",
    leave_a_task_stuck: "I2",
}

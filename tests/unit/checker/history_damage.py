"""Ways to damage the history of tasks (transitions), each with the invariant that must be reported."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from tests.checker.edges import FINAL_TASK

from .bench import Bench, Found

__all__ = ["HISTORY"]


def _has(event: str, step: bool | None = None) -> Callable[[Found], bool]:
    """Records with a transition of this event."""

    def fits(found: Found) -> bool:
        return any(
            each["event"] == event and step in (None, each["step"] is not None) for each in found.edges
        )

    return fits


def _is_final(found: Found) -> bool:
    return any(each["step"] is None and each["to_state"] in FINAL_TASK for each in found.edges)


def _is_inner(found: Found) -> bool:
    """Neither the first nor the last record of a task."""
    return found.datum["seq"] > 1 and bool(found.edges) and not _is_final(found)


# ---------------------------------------------------------------------------------------------- seq, lives


def drop_a_record(bench: Bench) -> None:
    found = bench.one(_is_inner)
    if found.datum["seq"] == bench.of_task(found)[-1].datum["seq"]:
        raise LookupError("nothing follows it: nobody can miss it in the history alone")
    bench.drop(found)


def drop_the_first_record(bench: Bench) -> None:
    bench.drop(bench.one(lambda found: found.datum["seq"] == 1 and not _is_final(found)))


def repeat_a_seq(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] > 1)
    bench.change(found, seq=found.datum["seq"] - 1)


def leave_a_seq_out(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] > 1)
    bench.change(found, seq=found.datum["seq"] + 1)


def mix_two_lives(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] > 1)
    bench.change(found, life=found.datum["life"] + 1)


def create_a_task_again(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] == 1 and not _is_final(found))
    bench.add_record(found)


def begin_a_life_elsewhere(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] == 1)
    for each in bench.of_task(found):
        bench.change(each, life=each.datum["life"] - 1)


def give_two_tasks_one_key(bench: Bench) -> None:
    def keyed(found: Found) -> bool:
        return found.datum["seq"] == 1 and found.edges[0]["data"]["idempotency_key"] is not None

    found = bench.one(keyed)
    other = bench.one(lambda each: keyed(each) and each.record.key != found.record.key)
    other.edges[0]["data"]["idempotency_key"] = found.edges[0]["data"]["idempotency_key"]
    bench.change(other)


def forget_too_much(bench: Bench) -> None:
    found = bench.one_of("transitions", lambda found: found.name == "Forgotten")
    bench.change(found, horizon=found.datum["horizon"] + 1)


def move_to_another_partition(bench: Bench) -> None:
    found = bench.one()
    other = bench.raw.of("transitions")[1 - found.partition.partition]
    bench.add_record(found._replace(partition=other))


# ------------------------------------------------------------------------------------------- edges, ends


def take_an_illegal_edge(bench: Bench) -> None:
    found = bench.one(_has("completed", step=True))
    found.edge("completed")["event"] = "lost"
    bench.change(found)


def come_from_another_state(bench: Bench) -> None:
    found = bench.one(_has("enqueue_requested"))
    found.edge("enqueue_requested")["from_state"] = "waiting_for_retry"
    bench.change(found)


def leave_a_transition_out(bench: Bench) -> None:
    found = bench.one(lambda found: _has("execution_requested")(found) and len(found.edges) > 1)
    found.edges.remove(found.edge("execution_requested"))
    bench.change(found)


def leave_a_step_uninitialized(bench: Bench) -> None:
    found = bench.one(_has("initialize_requested", step=True))
    found.edges.remove([each for each in found.edges if each["event"] == "initialize_requested"][-1])
    bench.change(found)


def end_twice(bench: Bench) -> None:
    found = bench.one(_is_final)
    last = deepcopy(
        next(each for each in found.edges if each["step"] is None and each["to_state"] in FINAL_TASK)
    )
    found.edges.append({**last, "from_state": last["to_state"]})
    bench.change(found)


def go_on_after_the_end(bench: Bench) -> None:
    found = bench.one(_is_final)
    bench.add_record(found, seq=found.datum["seq"] + 1, transitions=[], answer=None)


def reopen_without_an_order(bench: Bench) -> None:
    def reopens(found: Found) -> bool:
        return any(
            each["step"] is None and each["from_state"] == "error" and each["cause"] == "operator"
            for each in found.edges
        )

    found = bench.one(reopens)
    for each in found.edges:
        each["cause"] = "evaluation"
    bench.change(found)


# ------------------------------------------------------------------------------------ attempts, results


def grant_before_the_parents(bench: Bench) -> None:
    def releases(found: Found) -> bool:
        events = [each["event"] for each in found.edges]
        return "completed" in events and events[-1] == "enqueue_requested" and len(events) == 3

    found = bench.one(releases)
    found.edges.insert(0, found.edges.pop())
    bench.change(found)


def repeat_an_attempt_number(bench: Bench) -> None:
    found = bench.one(_second_grant)
    found.edge("enqueue_requested")["data"]["attempt"] -= 1
    bench.change(found)


def skip_an_attempt_number(bench: Bench) -> None:
    found = bench.one(_has("enqueue_requested"))
    found.edge("enqueue_requested")["data"]["attempt"] += 1
    bench.change(found)


def move_the_budget(bench: Bench) -> None:
    found = bench.one(_second_grant)
    found.edge("enqueue_requested")["data"]["base"] += 1
    bench.change(found)


def retry_over_the_limit(bench: Bench) -> None:
    found = bench.one(
        lambda found: _has("failed", step=True)(found) and found.edge("failed")["cause"] == "result"
    )
    edge = found.edge("failed")
    edge.update(event="retry_backoff_started", to_state="waiting_for_retry")
    edge["data"]["next_retry_at"] = edge["at"] + 1000
    bench.change(found)


def _second_grant(found: Found) -> bool:
    return any(
        each["event"] == "enqueue_requested" and each["data"]["attempt"] > 1 for each in found.edges
    ) and (found.edge("enqueue_requested")["data"]["attempt"] > 1)


def accept_a_result_twice(bench: Bench) -> None:
    found = bench.one(_has("completed", step=True))
    found.edges.append(deepcopy(found.edge("completed")))
    bench.change(found)


def accept_another_result(bench: Bench) -> None:
    found = bench.one(_has("completed", step=True))
    found.edge("completed")["data"]["result"] = b'"another"'
    bench.change(found)


def end_another_attempt(bench: Bench) -> None:
    found = bench.one(_has("completed", step=True))
    found.edge("completed")["data"]["attempt"] += 1
    bench.change(found)


# ----------------------------------------------------------------------------------------------- purity


def decide_at_another_time(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] > 1)
    bench.change(found, at=found.datum["at"] + 1)


def name_another_cause(bench: Bench) -> None:
    found = bench.one(_has("completed", step=True))
    found.edge("completed")["cause"] = "timer"
    bench.change(found)


def decide_another_tasks_command(bench: Bench) -> None:
    found = bench.one(lambda found: found.datum["seq"] > 1)
    other = bench.raw.of("commands")[found.partition.partition]
    record = other.at(found.datum["command_offset"])
    assert record is not None
    stranger = bench.one_of(
        "commands", lambda each: each.partition is other and each.record.key != found.record.key
    )
    place = other.records.index(record)
    bench.replace(Found(other, place, record, "", {}), key=stranger.record.key, value=stranger.record.value)


HISTORY: dict[Callable[[Bench], None], str] = {
    drop_a_record: "I4",
    drop_the_first_record: "I4",
    repeat_a_seq: "I4",
    leave_a_seq_out: "I4",
    mix_two_lives: "I9",
    create_a_task_again: "I9",
    begin_a_life_elsewhere: "I9",
    give_two_tasks_one_key: "I9",
    forget_too_much: "I9",
    move_to_another_partition: "I4",
    take_an_illegal_edge: "I4",
    come_from_another_state: "I4",
    leave_a_transition_out: "I4",
    leave_a_step_uninitialized: "I4",
    end_twice: "I3",
    go_on_after_the_end: "I3",
    reopen_without_an_order: "I3",
    grant_before_the_parents: "I5",
    repeat_an_attempt_number: "I6",
    skip_an_attempt_number: "I6",
    move_the_budget: "I6",
    retry_over_the_limit: "I6",
    accept_a_result_twice: "I7",
    accept_another_result: "I7",
    end_another_attempt: "I7",
    decide_at_another_time: "I15",
    name_another_cause: "I15",
    decide_another_tasks_command: "I15",
}

"""Judges what engine lanes have left in the log: the invariants that need nothing but the topics.

It reads every record from offset 0 and keeps the readers' rule; the states it compares with are what its own fold
gives. Numbers are those of the delivery promises (I3 and so on).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    CHECKPOINT_KEY,
    AttemptEnded,
    AttemptGranted,
    Checkpoint,
    Command,
    Dispatch,
    Forgotten,
    IgnoredRange,
    OwnerMarker,
    Rejection,
    StartTask,
    TaskCreated,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    DONE_STEP_STATES,
    FINAL_TASK_STATES,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.streams.domain import fold, forget, retire_at
from tasker_kafka.topics.headers import owner_of
from tasker_kafka.topics.history import AcceptedHistory
from tests.support.lane_world import LaneWorld

__all__ = ["Judged", "judge", "same_states"]

State = TaskState | Stub


@dataclass
class Judged:
    """The folded states, and what was counted on the way."""

    states: dict[int, dict[bytes, State]] = field(default_factory=lambda: defaultdict(dict))
    """Partition → task → state."""
    accepted: dict[int, list[tuple[bytes, Transitions | Forgotten]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    ended: dict[bytes, TaskStatus] = field(default_factory=dict)
    """How each task ended that is final, forgotten ones included."""
    skipped: int = 0
    """Records of the transitions topic that do not count."""
    repeated_dispatches: int = 0
    unrecorded_dispatches: int = 0
    """Dispatches of decisions that were never recorded (rules that changed between two owners)."""


def judge(world: LaneWorld, *, rules_changed: bool = False) -> Judged:
    """Read everything and assert every invariant; `rules_changed` allows unrecorded outputs (the honest limit)."""
    plans = {plan.hash: plan for plan in world.published}
    judged = Judged()
    for partition in range(world.partitions):
        _fold_partition(world, partition, plans, judged)
        _check_accounts(world, partition, judged)
        _check_checkpoints(world, partition)
    _check_dispatches(world, judged, rules_changed)
    _check_rejections(world, judged)
    return judged


def _fold_partition(world: LaneWorld, partition: int, plans: dict[bytes, Plan], judged: Judged) -> None:
    history = AcceptedHistory()
    horizon = -1
    states = judged.states[partition]
    tracks: dict[tuple[bytes, int], _Track] = {}
    for record in world.records(world.names.transitions, partition):
        decoded = codec.decode_transition_record(record.value)
        if not history.accept(record, decoded):
            judged.skipped += not isinstance(decoded, OwnerMarker)
            continue
        assert not isinstance(decoded, OwnerMarker)
        assert record.key is not None
        judged.accepted[partition].append((record.key, decoded))
        if isinstance(decoded, Forgotten):
            horizon = _forget(decoded, horizon, states, plans)
            continue
        before = states.get(record.key)
        plan = _plan_of(before, decoded, plans)
        after = fold(before, decoded, plan)
        if after is not None:
            states[record.key] = after
        if isinstance(after, Stub):
            judged.ended[record.key] = after.outcome
        if decoded.seq:
            track = tracks.setdefault((record.key, decoded.life), _Track(record.key, plan))
            track.take(decoded)


def _plan_of(before: State | None, record: Transitions, plans: dict[bytes, Plan]) -> Plan | None:
    if before is not None:
        return plans.get(before.plan_hash)
    created = record.transitions[0].data if record.transitions else None
    return plans.get(created.plan_hash) if isinstance(created, TaskCreated) else None


def _forget(record: Forgotten, horizon: int, states: dict[bytes, State], plans: dict[bytes, Plan]) -> int:
    found = forget(
        record.until,
        now=record.at,
        command_offset=record.command_offset,
        horizon=horizon,
        stubs=[each for each in states.values() if isinstance(each, Stub)],
        failed=[
            (each, plans[each.plan_hash])
            for each in states.values()
            if isinstance(each, TaskState) and retire_at(each, plans[each.plan_hash]) is not None
        ],
    )
    for task_id in found.dropped:
        del states[task_id]
    for stub in found.retired:
        states[stub.task_id] = stub
    assert record.horizon == found.record.horizon
    return record.horizon


class _Track:
    """One life of one task: I3 to I7."""

    def __init__(self, task_id: bytes, plan: Plan | None) -> None:
        self.task_id = task_id
        self.plan = plan
        self.seq = 0
        self.is_final = False
        self.steps: dict[str, StepStatus] = {}
        self.granted: dict[str, list[int]] = defaultdict(list)
        self.completed: set[tuple[str, int]] = set()

    def take(self, record: Transitions) -> None:
        name = format_id(self.task_id)
        assert record.seq == self.seq + 1, f"I4: task {name} has seq {record.seq} after {self.seq}"
        self.seq = record.seq
        assert not self.is_final or not record.transitions, f"I3: task {name} moves after its end"
        for each in record.transitions:
            if each.step is None:
                self.is_final = each.to_state in FINAL_TASK_STATES
                continue
            if each.event is TransitionEvent.ENQUEUE_REQUESTED:
                self._granted(each.step, each.data)
            if each.event is TransitionEvent.COMPLETED and isinstance(each.data, AttemptEnded):
                key = (each.step, each.data.attempt)
                assert key not in self.completed, f"I7: task {name} accepted {key} twice"
                self.completed.add(key)
            assert isinstance(each.to_state, StepStatus)
            self.steps[each.step] = each.to_state

    def _granted(self, step: str, data: object) -> None:
        assert isinstance(data, AttemptGranted)
        attempts = self.granted[step]
        assert not attempts or data.attempt == attempts[-1] + 1, (
            f"I6: attempt {data.attempt} after {attempts}"
        )
        attempts.append(data.attempt)
        assert self.plan is not None
        planned = self.plan.steps[self.plan.index[step]]
        assert data.attempt - data.base <= max(1, planned.retry.max_attempts), "I6: over the limit"
        for parent in planned.parents:
            assert self.steps[parent] in DONE_STEP_STATES, f"I5: {step} before {parent}"


def _check_accounts(world: LaneWorld, partition: int, judged: Judged) -> None:
    """I12: every command below N has a record or is listed as ignored."""
    recorded = [record.command_offset for _, record in judged.accepted[partition]]
    assert recorded == sorted(set(recorded))
    accounted = set(recorded)
    ranges: list[IgnoredRange] = [each for _, record in judged.accepted[partition] for each in record.ignored]
    checkpoint = _checkpoints(world, partition)[-1:]
    ranges += [each for saved in checkpoint for each in saved.ignored]
    for each in ranges:
        accounted.update(range(each.first, each.last + 1))
    upto = max([saved.next_command for saved in checkpoint] + [offset + 1 for offset in recorded], default=0)
    for record in world.records(world.names.commands, partition):
        if record.offset < upto:
            assert record.offset in accounted, f"I12: command {record.offset} of {partition} is unaccounted"
    assert not accounted.intersection(recorded) - set(recorded)


def _checkpoints(world: LaneWorld, partition: int) -> list[Checkpoint]:
    found = world.records(world.names.task_state, partition)
    return [codec.decode(each.value, Checkpoint) for each in found if each.key == CHECKPOINT_KEY]


def _check_checkpoints(world: LaneWorld, partition: int) -> None:
    """I14: an older owner's checkpoint never follows a newer one's, and N never goes back."""
    saved = _checkpoints(world, partition)
    assert [each.owner for each in saved] == sorted(each.owner for each in saved), "I14: an older owner saved"
    assert [each.next_command for each in saved] == sorted(each.next_command for each in saved)


def _check_dispatches(world: LaneWorld, judged: Judged, rules_changed: bool) -> None:
    """Every granted attempt was dispatched; every dispatch was granted; copies are byte-identical.

    A redispatch is another record of the same attempt: it says another time.
    """
    granted, again = _granted_attempts(judged)
    copies: dict[tuple[bytes, int, str, int], set[bytes]] = defaultdict(set)
    for topic in {world.names.steps(queue) for plan in world.published for queue in plan.queues}:
        for found in world.records(topic):
            assert owner_of(found.headers) is not None
            dispatch = codec.decode(found.value, Dispatch)
            place = (dispatch.task_id, dispatch.life, dispatch.step, dispatch.attempt)
            judged.repeated_dispatches += place in copies
            copies[place].add(found.value or b"")
    unrecorded = set(copies) - granted
    judged.unrecorded_dispatches = len(unrecorded)
    assert rules_changed or not unrecorded, "a dispatch that was never granted"
    assert not granted - set(copies), "a granted attempt was never dispatched"
    different = [
        place for place, values in copies.items() if len(values) > 1 + again[place[:3]] and place in granted
    ]
    assert rules_changed or not different, "two dispatches of one attempt differ"


def _granted_attempts(
    judged: Judged,
) -> tuple[set[tuple[bytes, int, str, int]], Counter[tuple[bytes, int, str]]]:
    """The attempts of the accepted history, and how often each step was redispatched."""
    granted: set[tuple[bytes, int, str, int]] = set()
    again: Counter[tuple[bytes, int, str]] = Counter()
    for accepted in judged.accepted.values():
        for key, record in accepted:
            if isinstance(record, Forgotten):
                continue
            for each in record.transitions:
                if isinstance(each.data, AttemptGranted):
                    granted.add((key, record.life, each.step or "", each.data.attempt))
                again[key, record.life, each.step or ""] += each.event is TransitionEvent.REDISPATCHED
    return granted, again


def _check_rejections(world: LaneWorld, judged: Judged) -> None:
    """Every answer that refuses a request or a record has its rejection."""
    found = {
        (each.topic, each.partition, each.offset)
        for each in (codec.decode(raw.value, Rejection) for raw in world.records(world.names.rejections))
    }
    for partition, accepted in judged.accepted.items():
        commands = {each.offset: each for each in world.records(world.names.commands, partition)}
        for _, record in accepted:
            if not isinstance(record, Transitions) or record.answer is None:
                continue
            if _refuses(commands[record.command_offset].value):
                assert (world.names.commands, partition, record.command_offset) in found, "a lost rejection"


def _refuses(value: bytes | None) -> bool:
    try:
        return isinstance(codec.decode(value, Command).body, StartTask)
    except Exception:  # poison
        return True


def same_states(world: LaneWorld, judged: Judged) -> None:
    """I8: the tables of living owners, and the changelog under a checkpoint that is up to date, are the folded log."""
    for owner in world.owners:
        if owner.error is None and owner.lane.is_live:
            assert dict(owner.lane.table.items()) == judged.states[owner.partition]
    for partition in range(world.partitions):
        saved = _checkpoints(world, partition)
        recorded = [record.command_offset for _, record in judged.accepted[partition]]
        if saved and saved[-1].next_command > max(recorded, default=-1):
            assert _changelog(world, partition) == judged.states[partition]


def _changelog(world: LaneWorld, partition: int) -> dict[bytes, State]:
    found: dict[bytes, State] = {}
    for record in world.records(world.names.task_state, partition):
        assert record.key is not None
        if record.key == CHECKPOINT_KEY:
            continue
        if record.value is None:
            found.pop(record.key, None)
        else:
            state = codec.decode_state(record.value)
            assert not isinstance(state, Checkpoint)
            found[record.key] = state
    return found

"""Says what is different about one task: as much as it takes to find the record that is missing or wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from tasker_kafka.schemas.codec import decode_state, encode
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.state import StepState, Stub, TaskState

from .rebuild_fold import FoldedPartition
from .rebuild_log import Accepted, Saved

__all__ = [
    "FieldDifference",
    "RebuildDifference",
    "canonical",
    "count_differences",
    "explain",
    "field_text",
    "first_difference",
    "state_fields",
    "step_fields",
]

ID_BYTES = 16
LONGEST = 80
HIDDEN = frozenset({"context", "result"})
"""Fields that hold what people sent: shown by size and digest."""


class FieldDifference(msgspec.Struct, frozen=True):
    """One field that differs, as text; null where that side has none."""

    field: str
    in_log: str | None
    in_table: str | None


class RebuildDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Where log and table disagree."""

    partition: int
    task_id: bytes | None
    """None: the partition's horizon."""
    kind: str
    """only_in_log, only_in_table, behind (the table misses the last records), ahead (it has more), differs,
    unfoldable (the log is damaged), unreadable (the table's value is), or horizon."""
    message: str
    life: int | None = None
    transitions: tuple[int, ...] = ()
    """Offsets of the task's records in the transitions partition, below the checkpoint."""
    changelog_offset: int | None = None
    """Where the table's value lies."""
    fields: tuple[FieldDifference, ...] = ()


_Found_co = TypeVar("_Found_co", covariant=True)


class ComparedPartition(Protocol[_Found_co]):
    """One partition that was compared, with whatever."""

    @property
    def differences(self) -> int:
        """How many tasks (and what else is compared) differ."""
        ...

    @property
    def first(self) -> _Found_co | None:
        """The first difference."""
        ...


def count_differences(partitions: Iterable[ComparedPartition[object]]) -> int:
    """How many differ in all."""
    return sum(each.differences for each in partitions)


def first_difference(partitions: Iterable[ComparedPartition[_Found_co]]) -> _Found_co | None:
    """The first of the first partition that has one."""
    return next((each.first for each in partitions if each.first is not None), None)


def canonical(data: bytes) -> bytes:
    """A state of any released schema in the encoding of today."""
    return encode(decode_state(data))


def explain(
    partition: int,
    task_id: bytes,
    records: Sequence[Accepted],
    saved: Saved | None,
    folded: FoldedPartition,
) -> RebuildDifference:
    """The difference of one task.

    records: its accepted records below the checkpoint, and the partition's Forgotten
    folded: an empty fold
    """
    own = [each for each in records if each.key == task_id]
    behind: Accepted | None = None
    table = None if saved is None else _readable(saved.data)
    for each in records:
        folded.take(each)
        if each.key == task_id and table is not None and folded.value(task_id) == encode(table):
            behind = each
    value = folded.value(task_id)
    log = None if value is None else decode_state(value)
    assert isinstance(log, TaskState | Stub | None), "only states were folded"
    unfoldable = folded.unfoldable.get(task_id)
    kind, message = _verdict(log, table, saved=saved, unfoldable=unfoldable, behind=behind, own=own)
    shown = log or table
    return RebuildDifference(
        partition=partition,
        task_id=task_id,
        kind=kind,
        message=f"task {format_id(task_id)}: {message}",
        life=None if shown is None else shown.life,
        transitions=tuple(each.offset for each in own),
        changelog_offset=None if saved is None else saved.offset,
        fields=tuple(_differing(log, table)) if log is not None and table is not None else (),
    )


def _readable(data: bytes) -> TaskState | Stub | None:
    try:
        state = decode_state(data)
    except DecodeError:
        return None
    return state if isinstance(state, TaskState | Stub) else None


def _verdict(
    log: TaskState | Stub | None,
    table: TaskState | Stub | None,
    *,
    saved: Saved | None,
    unfoldable: str | None,
    behind: Accepted | None,
    own: Sequence[Accepted],
) -> tuple[str, str]:
    """Kind and text."""
    if unfoldable is not None:
        return "unfoldable", unfoldable
    if saved is not None and table is None:
        return "unreadable", f"the table's value at offset {saved.offset} is no state"
    if table is None:
        return "only_in_log", f"{_state_text(log)} in the log, not in the table"
    if behind is not None:
        missing = [each.offset for each in own if each.offset > behind.offset]
        after = f"as it was after the record at offset {behind.offset}"
        if missing:
            return "behind", f"the table holds it {after}; {_records_text(missing)} missing from it"
        return "behind", f"the table holds it {after}; by the log it was forgotten, or retired, since"
    if log is None:
        return (
            "only_in_table",
            f"{_state_text(table)} in the table; the log has no record of life {table.life}",
        )
    if isinstance(log, TaskState) and isinstance(table, TaskState) and table.seq > log.seq:
        return "ahead", f"the table holds it after record {table.seq}, the log ends with record {log.seq}"
    return "differs", f"{_state_text(log)} in the log, {_state_text(table)} in the table"


def _records_text(offsets: Sequence[int]) -> str:
    if len(offsets) == 1:
        return f"the one at offset {offsets[0]} is"
    return f"the {len(offsets)} records at offsets {offsets[0]} to {offsets[-1]} are"


def _state_text(state: TaskState | Stub | None) -> str:
    if state is None:
        return "absent"
    if isinstance(state, Stub):
        return f"{state.outcome} (a stub of life {state.life})"
    return f"{state.state} (life {state.life}, record {state.seq})"


# ------------------------------------------------------------------------------------------------ fields


def _differing(log: TaskState | Stub, table: TaskState | Stub) -> Iterator[FieldDifference]:
    """Field by field; steps by their names."""
    ours, theirs = dict(state_fields(log)), dict(state_fields(table))
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        if one != other or (name in ours) != (name in theirs):
            yield FieldDifference(
                name,
                field_text(name, one) if name in ours else None,
                field_text(name, other) if name in theirs else None,
            )


def state_fields(state: TaskState | Stub) -> Iterator[tuple[str, Any]]:
    """Every field of a state by name, steps by theirs: `steps[charge].attempt`."""
    yield "kind", type(state).__name__
    for name in state.__struct_fields__:
        value = getattr(state, name)
        if name != "steps":
            yield name, value
            continue
        for position, step in enumerate(value):
            yield f"steps[{position}]", step.name
            yield from ((f"steps[{step.name}].{field}", each) for field, each in step_fields(step))


def step_fields(step: StepState) -> Iterator[tuple[str, Any]]:
    """Every field of a step by name."""
    for name in step.__struct_fields__:
        yield name, getattr(step, name)


def field_text(field: str, value: Any) -> str:
    """A field's value in a line; what people sent is told by size and digest only."""
    if isinstance(value, bytes):
        if field.rpartition(".")[2] in HIDDEN:
            return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:12]}"
        return format_id(value) if len(value) == ID_BYTES else value.hex()
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

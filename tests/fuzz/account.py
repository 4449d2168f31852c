"""Where every record of requests and commands has gone, read from the log alone.

A request becomes one StartTask that names its place, or one rejection that does. A command has one accepted record of
the transitions, or is listed once as ignored; if it was refused without a decision, there is a rejection for it, too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Protocol

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.records import (
    CHECKPOINT_KEY,
    Checkpoint,
    Command,
    Forgotten,
    OwnerMarker,
    Rejection,
    StartTask,
    Transitions,
)
from tasker_kafka.schemas.words import RejectionCode
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Record
from tasker_kafka.topics.names import TopicNames

from .scene import Ledger

__all__ = ["Accounts", "Logged", "account"]

NO_TASK = bytes(16)
SOUND = "(sound: of clients, intake, workers, owners)"
Place = tuple[str, int, int]


class Logged(Protocol):
    """A system's log, to be read: a `LaneWorld`, or what was loaded from a broker."""

    @property
    def names(self) -> TopicNames:
        """Its topics."""
        ...

    @property
    def partitions(self) -> int:
        """How many the engine's topics have."""
        ...

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """Every committed record of a topic, by partition and offset."""
        ...


@dataclass
class Accounts:
    """What has become of every record, and what is wrong with that."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(class, outcome) → how many."""
    faults: list[str] = field(default_factory=list)
    """Unaccounted records, records accounted for twice, rejections without a code or a message."""
    requests: int = 0
    commands: int = 0


def account(world: Logged, ledger: Ledger) -> Accounts:
    """Judge the log of a scene that has come to rest."""
    made = Accounts()
    rejections = _rejections(world, made)
    starts = _starts(world, ledger)
    for partition in range(world.partitions):
        _requests(world, ledger, partition, starts, rejections, made)
        _commands(world, ledger, partition, rejections, made)
    for kind, count in ledger.refused.items():
        made.outcomes[kind, "refused by the broker"] += count
    return made


def _rejections(world: Logged, made: Accounts) -> dict[Place, list[Rejection]]:
    found: dict[Place, list[Rejection]] = defaultdict(list)
    for record in world.records(world.names.rejections):
        rejection = codec.decode(record.value, Rejection)
        place = (rejection.topic, rejection.partition, rejection.offset)
        if rejection not in found[place]:  # a new owner repeats outputs, byte by byte the same
            found[place].append(rejection)
        if rejection.code not in set(RejectionCode) or not rejection.message:
            made.faults.append(f"{place}: a rejection without a code or a message: {rejection!r}")
    return found


def _starts(world: Logged, ledger: Ledger) -> Counter[Place]:
    """How many StartTasks intake wrote for each request; noise writes StartTasks, too, and does not count."""
    found: Counter[Place] = Counter()
    for record in world.records(world.names.commands):
        if (record.topic, record.partition, record.offset) in ledger.noise:
            continue
        body = codec.decode(record.value, Command).body
        if isinstance(body, StartTask):
            found[world.names.task_requests, body.request.partition, body.request.offset] += 1
    return found


def _requests(  # noqa: PLR0917 - both sides of the account
    world: Logged,
    ledger: Ledger,
    partition: int,
    starts: Counter[Place],
    rejections: dict[Place, list[Rejection]],
    made: Accounts,
) -> None:
    for record in world.records(world.names.task_requests, partition):
        place = (record.topic, partition, record.offset)
        refused = rejections.get(place, [])
        made.requests += 1
        if starts[place] + len(refused) != 1:
            made.faults.append(f"{place}: {starts[place]} StartTasks and {len(refused)} rejections")
        for each in refused:
            if each.value is not None and each.value != record.value:
                made.faults.append(f"{place}: the rejection holds other bytes")
        outcome = f"rejected: {refused[0].code}" if refused else "a StartTask"
        made.outcomes[ledger.noise.get(place, SOUND), outcome] += 1


def _commands(
    world: Logged, ledger: Ledger, partition: int, rejections: dict[Place, list[Rejection]], made: Accounts
) -> None:
    decided, ignored = _decided(world, partition)
    for record in world.records(world.names.commands, partition):
        place = (record.topic, partition, record.offset)
        made.commands += 1
        answers = decided.get(record.offset, [])
        if len(answers) + ignored[record.offset] != 1:
            made.faults.append(f"{place}: {len(answers)} records, {ignored[record.offset]} times ignored")
            continue
        outcome = "ignored"
        if answers:
            outcome = _outcome(*answers[0])
            refused = rejections.get(place, [])
            if outcome.startswith("rejected") and [each.code for each in refused] != [outcome.split(": ")[1]]:
                made.faults.append(f"{place}: {outcome}, and its rejections are {refused!r}")
            if _is_refused_start(record.value, *answers[0]) and len(refused) != 1:
                made.faults.append(f"{place}: a StartTask was refused without a rejection")
        made.outcomes[ledger.noise.get(place, SOUND), outcome] += 1


def _decided(
    world: Logged, partition: int
) -> tuple[dict[int, list[tuple[bytes, Transitions | Forgotten]]], Counter[int]]:
    """Command offset → accepted records, and how often each offset is listed as ignored."""
    history = AcceptedHistory()
    decided: dict[int, list[tuple[bytes, Transitions | Forgotten]]] = defaultdict(list)
    ignored: Counter[int] = Counter()
    for record in world.records(world.names.transitions, partition):
        decoded = codec.decode_transition_record(record.value)
        if not history.accept(record, decoded) or isinstance(decoded, OwnerMarker):
            continue
        decided[decoded.command_offset].append((record.key or b"", decoded))
        for each in decoded.ignored:
            ignored.update(range(each.first, each.last + 1))
    saved = [each for each in world.records(world.names.task_state, partition) if each.key == CHECKPOINT_KEY]
    for each in codec.decode(saved[-1].value, Checkpoint).ignored:
        ignored.update(range(each.first, each.last + 1))
    return decided, ignored


def _outcome(key: bytes, record: Transitions | Forgotten) -> str:
    if isinstance(record, Forgotten):
        return "forgotten"
    answer = record.answer
    if answer is None:
        return "decided"
    if key == NO_TASK and answer.command_id == NO_TASK and not record.seq:
        return f"rejected: {answer.code}"
    return f"answered: {answer.code if not answer.code.startswith('already') else 'already'}"


def _is_refused_start(value: bytes | None, key: bytes, record: Transitions | Forgotten) -> bool:
    """Whether it is a StartTask that was answered."""
    try:
        is_start = isinstance(codec.decode(value, Command).body, StartTask)
    except DecodeError:
        return False
    return is_start and isinstance(record, Transitions) and record.answer is not None

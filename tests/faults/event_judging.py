"""The verdict on a run of events: what the checker finds, and what only the run itself can know."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tasker_kafka.schemas.exits import ExitCode
from tests.checker import Ledger, RawLog, Report, check
from tests.checker.ledger import Handled
from tests.checker.letters import Letter, letters_of
from tests.checker.report import Findings
from tests.checker.wire import Wire
from tests.faults.event_handlers import ALL, GROUPS, is_hopeless
from tests.faults.event_rig import Bite
from tests.faults.fleet import End
from tests.faults.injection import CRASH_POINT_FAULT
from tests.faults.measures import percentile

__all__ = ["Verdict", "judge"]


class Verdict(msgspec.Struct, kw_only=True):
    """What a run was and what it has shown. It passes when `failures` is empty."""

    events: int
    deliveries: int
    """Handlers that ended well."""
    repeated: int
    """Of them for an event that its subscription had handled already."""
    repeated_after: dict[str, int]
    """By the kind of the last fault of the group, or of the broker, before."""
    faults: dict[str, int]
    recovery_ms: dict[str, tuple[int, int | None, int | None]]
    """By fault: samples, p50 and most, from the fault to the first delivery of a lost partition by another process.

    Those during which the broker was away are apart: they tell of the broker.
    """
    points: list[str]
    """Crash points at which a process has died."""
    ends: dict[int, int]
    """Processes by exit code."""
    sink: dict[str, int]
    receipts: int
    parked: int
    parked_through_kills: int
    """Those whose owner was taken away before they were due."""
    dead: int
    failures: list[str]

    @property
    def repeated_share(self) -> float:
        """Of the deliveries."""
        return self.repeated / max(1, self.deliveries)


def judge(
    raw: RawLog,
    ledger: Ledger,
    *,
    bites: Sequence[Bite],
    ends: Sequence[End],
    numbers: Mapping[str, int],
    sink: Path,
) -> tuple[Verdict, Report]:
    """Everything that was promised, after all has settled."""
    report = check(raw, ledger, settled=True)
    effects = _count(sink, "effects")
    acknowledged = _acknowledged(raw)
    dead = _dead(raw)
    repeats = _repeats(ledger, bites)
    failures = [str(each) for each in report.violations] + _unplanned(bites, ends)
    if effects != len(numbers):
        failures.append(f"{len(numbers)} events, {effects} effects")
    if missing := numbers.keys() - acknowledged:
        failures.append(f"{len(missing)} events without receipt, such as {sorted(missing)[:3]}")
    failures += _early(parked := _parked(raw), ledger)
    hopeless = {("flaky", each) for each, number in numbers.items() if is_hopeless(number)}
    if dead != hopeless:
        failures.append(f"dead letters: {sorted(dead ^ hopeless)[:5]} are too many or missing")
    verdict = Verdict(
        events=len(numbers),
        deliveries=report.figures["deliveries"],
        repeated=report.figures["deliveries_repeated"],
        repeated_after=dict(repeats),
        faults=dict(Counter(each.kind for each in bites)),
        recovery_ms=_recoveries(ledger, bites),
        points=sorted({each.detail["point"] for each in ledger.faults if each.fault == CRASH_POINT_FAULT}),
        ends=dict(Counter(end.code for end in ends)),
        sink={"tries": _count(sink, "tries"), "effects": effects},
        receipts=len(acknowledged),
        parked=len(parked),
        parked_through_kills=sum(_outlives(each, bites) for each in parked),
        dead=len(dead),
        failures=failures,
    )
    return verdict, report


def _unplanned(bites: Sequence[Bite], ends: Sequence[End]) -> list[str]:
    found = [f"{each.kind} of {each.group} did not bite: {each.proof}" for each in bites if not each.bit]
    return found + [f"{end.name} ended with {end.code}" for end in ends if not _is_planned(end)]


def _is_planned(end: End) -> bool:
    """A supervisor starts those again that miss the broker; nothing else may end by itself."""
    return bool(end.wanted) or end.code == ExitCode.BROKER


def _count(sink: Path, table: str) -> int:
    with sqlite3.connect(sink) as opened:
        return int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _acknowledged(raw: RawLog) -> set[str]:
    """The events that a receipt of `billing` says are handled."""
    wire, found = Wire(), set()
    for partition in raw.of("receipts").values():
        for record in partition.records:
            if record.value is None:
                continue
            _, receipt = wire.decode(record.value)
            if (receipt["group"], receipt["subscription"], receipt["outcome"]) == ("billing", ALL, "handled"):
                found.add(_hex(receipt["event_id"]))
    return found


def _dead(raw: RawLog) -> set[tuple[str, str]]:
    """Groups and the events that they gave up."""
    wire, found = Wire(), set()
    for partitions in raw.topics_of("domain-events.").values():
        for partition in partitions.values():
            if not partition.topic.endswith(".dlq.v1"):
                continue
            for letter in letters_of(partition, Findings()):
                _, event = wire.decode(letter.record.value)
                found.add((letter.group, _hex(event["event_id"])))
    return found


def _parked(raw: RawLog) -> list[Letter]:
    """What waited in retry topics for a time, successors of such left out."""
    letters = [
        letter
        for partitions in raw.topics_of("retry.").values()
        for partition in partitions.values()
        for letter in letters_of(partition, Findings())
    ]
    return [each for each in letters if each.due_at]


def _early(parked: Sequence[Letter], ledger: Ledger) -> list[str]:
    """What was begun after it had been parked and before it was due."""
    begun: dict[tuple[str, str, int, int], list[int]] = defaultdict(list)
    for each in ledger.handled:
        if each.outcome == "begun":
            begun[each.group, each.topic, each.partition, each.offset].append(each.at)
    return [
        f"{letter.original} was begun {letter.due_at - at} ms before it was due"
        for letter in parked
        for at in begun[letter.group, *letter.original]
        if letter.record.timestamp < at < letter.due_at
    ]


def _outlives(letter: Letter, bites: Sequence[Bite]) -> bool:
    """Whether the process that had parked it, or waited for its time, was killed meanwhile."""
    number = letter.original[1]
    return any(
        bite.group == letter.group
        and letter.record.timestamp < bite.at < letter.due_at
        and any(partition == number for partition, _ in bite.lost)
        for bite in bites
    )


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value).replace("-", "")


def _repeats(ledger: Ledger, bites: Sequence[Bite]) -> Counter[str]:
    moments: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for bite in sorted(bites, key=lambda one: one.at):
        for group in (bite.group,) if bite.group else GROUPS:
            moments[group].append((bite.at, bite.kind))
    seen: set[tuple[str, str]] = set()
    found: Counter[str] = Counter()
    for each in sorted(ledger.handled, key=lambda one: one.at):
        if each.outcome != "success":
            continue
        if (each.group, each.event_id) in seen:
            before = moments[each.group]
            place = bisect_right(before, each.at, key=lambda moment: moment[0])
            found[before[place - 1][1] if place else "none"] += 1
        seen.add((each.group, each.event_id))
    return found


def _recoveries(ledger: Ledger, bites: Sequence[Bite]) -> dict[str, tuple[int, int | None, int | None]]:
    begun: dict[tuple[str, int], list[Handled]] = defaultdict(list)
    for each in sorted(ledger.handled, key=lambda one: one.at):
        if each.outcome == "begun":
            begun[each.group, each.partition].append(each)
    away = [(bite.at, bite.at + bite.proof["down_ms"]) for bite in bites if bite.kind == "broker"]
    samples: dict[str, list[int]] = defaultdict(list)
    for bite in bites:
        for partition, pid in bite.lost:
            deliveries = begun[bite.group, partition]
            place = bisect_right(deliveries, bite.at, key=lambda one: one.at)
            after = next((each.at for each in deliveries[place:] if each.worker != pid), None)
            if after is not None:
                is_apart = any(begin < after and bite.at < end for begin, end in away)
                samples[f"{bite.kind} and broker" if is_apart else bite.kind].append(after - bite.at)
    return {kind: (len(found), percentile(found, 0.5), max(found)) for kind, found in sorted(samples.items())}

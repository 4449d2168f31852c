"""Events and those who were to get them: each reached every subscription or its dead letters, in order per key.

I10, I11, and I12 for the groups of subscribers. The ledger says who subscribed to what and who handled what; the log
says what there was, what was parked and what is dead.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import msgspec

from .ledger import Handled, Ledger, Subscribed
from .letters import Letter, Original, check_original, letters_of, original_place
from .raw import RawLog, RawPartition, RawRecord
from .report import Findings, place_of
from .wire import Wire, WireError

__all__ = ["check_deliveries"]

_LOSSY: Final = "fire_and_forget"


class _Event(msgspec.Struct, frozen=True):
    original: Original
    event_id: str | None
    """None: nothing of Tasker's, so that it must be a dead letter."""
    name: str
    key: bytes | None


class _Story(msgspec.Struct):
    """What one subscription did with one event."""

    begun: int | None = None
    """First time that it was begun."""
    done: int | None = None
    """First time that it was handled."""
    successes: int = 0


def check_deliveries(raw: RawLog, wire: Wire, ledger: Ledger, findings: Findings, *, settled: bool) -> None:
    """Everything about events. `settled`: whoever could handle something has, so nothing may be missing."""
    letters = _Letters(raw, findings)
    handled = _handled(ledger)
    for subscribed in ledger.subscribed:
        deliveries = _Deliveries(subscribed, handled, letters, findings)
        group = raw.groups.get(f"{raw.prefix}-subscriber-{subscribed.group}", {})
        for number, partition in sorted(raw.partitions.get(subscribed.topic, {}).items()):
            events = _events(partition, wire, subscribed)
            # Of an unsettled log, only what a commit says to be done with must have got somewhere.
            bound = partition.end if settled else group.get(subscribed.topic, {}).get(number, 0)
            for event in events:
                if event.original[2] < bound:
                    deliveries.check_reached(event, is_committed=not settled)
            if subscribed.is_ordered:
                deliveries.check_order(events)
    successes = [each for each in ledger.handled if each.outcome == "success"]
    findings.count("deliveries", len(successes))
    distinct = {(each.group, each.subscription, each.event_id) for each in successes}
    findings.count("deliveries_repeated", len(successes) - len(distinct))


class _Letters:
    """Who has parked and who has buried what; each is compared with its original."""

    def __init__(self, raw: RawLog, findings: Findings) -> None:
        self.dead: dict[tuple[str, Original], list[Letter]] = defaultdict(list)
        self.parked: dict[tuple[str, Original], list[Letter]] = defaultdict(list)
        for topic, partitions in raw.partitions.items():
            is_dead = topic.endswith(".dlq.v1") or topic.startswith(f"{raw.prefix}.dlq.")
            is_parked = topic.startswith(f"{raw.prefix}.retry.")
            if not (is_dead or is_parked):
                continue
            for number, partition in partitions.items():
                for letter in letters_of(partition, findings):
                    where = place_of(topic, number, letter.record.offset)
                    check_original(letter, where, raw, findings)
                    (self.dead if is_dead else self.parked)[letter.group, letter.original].append(letter)
                    findings.count("events_dead" if is_dead else "events_parked")

    def is_dead(self, subscribed: Subscribed, original: Original) -> bool:
        """Whether the subscription, or the whole group, has a dead letter of it."""
        return _has(self.dead, subscribed, original)

    def is_parked(self, subscribed: Subscribed, original: Original) -> bool:
        """Whether it ever lay in a retry topic."""
        return _has(self.parked, subscribed, original)


def _has(
    letters: dict[tuple[str, Original], list[Letter]], subscribed: Subscribed, original: Original
) -> bool:
    found = letters.get((subscribed.group, original), ())
    return any(each.subscription in {"", subscribed.subscription} for each in found)


class _Deliveries:
    """One subscription's."""

    def __init__(
        self,
        subscribed: Subscribed,
        handled: dict[tuple[str, str], dict[str, _Story]],
        letters: _Letters,
        findings: Findings,
    ) -> None:
        self._subscribed = subscribed
        self._stories = handled.get((subscribed.group, subscribed.subscription), {})
        self._letters = letters
        self._findings = findings
        self._who = f"{subscribed.group}/{subscribed.subscription}"

    def check_reached(self, event: _Event, *, is_committed: bool) -> None:
        """I10, or I12 where the group has committed beyond it: handled, or dead; parked will do for a commit."""
        story = self._stories.get(event.event_id or "")
        if story is not None and story.done is not None:
            return
        if self._letters.is_dead(self._subscribed, event.original):
            return
        if is_committed and self._letters.is_parked(self._subscribed, event.original):
            return
        what = "is neither handled nor a dead letter"
        if is_committed:
            self._findings.add(
                "I12", original_place(event.original), f"{self._who} has committed beyond it; it {what}"
            )
        else:
            self._findings.add("I10", original_place(event.original), f"of {self._who} it {what}")

    def check_order(self, events: list[_Event]) -> None:
        """I10: of one key, none is begun before those in front of it are handled, or given up."""
        last: dict[bytes | None, tuple[_Event, int]] = {}
        first = {event.event_id: event for event in reversed(events)}
        for event in events:
            story = self._stories.get(event.event_id or "")
            if (
                story is None
                or first[event.event_id] is not event
                or self._letters.is_dead(self._subscribed, event.original)
            ):
                continue
            former = last.get(event.key)
            if former is not None and story.begun is not None and story.begun < former[1]:
                text = (
                    f"{self._who} began it {former[1] - story.begun} ms before "
                    f"{original_place(former[0].original)} of the same key was handled"
                )
                self._findings.add("I10", original_place(event.original), text)
            if story.done is not None:
                last[event.key] = (event, max(story.done, former[1] if former else 0))


def _handled(ledger: Ledger) -> dict[tuple[str, str], dict[str, _Story]]:
    found: dict[tuple[str, str], dict[str, _Story]] = defaultdict(dict)
    for each in sorted(ledger.handled, key=_time):
        story = found[each.group, each.subscription].setdefault(each.event_id, _Story())
        if each.outcome == "begun":
            story.begun = each.at if story.begun is None else story.begun
        elif each.outcome == "success":
            story.done = each.at if story.done is None else story.done
            story.successes += 1
    return found


def _time(entry: Handled) -> int:
    return entry.at


def _events(partition: RawPartition, wire: Wire, subscribed: Subscribed) -> list[_Event]:
    found = []
    for record in partition.records:
        event = _event(partition, record, wire)
        if event is not None and (
            not subscribed.names or event.name in subscribed.names or not event.event_id
        ):
            found.append(event)
    return found


def _event(partition: RawPartition, record: RawRecord, wire: Wire) -> _Event | None:
    """None: nothing that anybody was promised."""
    if not record.committed:
        return None
    original = (partition.topic, partition.partition, record.offset)
    try:
        name, datum = wire.decode(record.value)
    except WireError:
        return _Event(original, None, "", record.key)
    if name != "DomainEvent":
        return _Event(original, None, "", record.key)
    if datum["delivery"] == _LOSSY:
        return None
    return _Event(original, datum["event_id"].hex(), datum["name"], record.key)

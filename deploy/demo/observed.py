"""The demo's second half: who heard of the observed checkout, what could not be delivered, and how it was redriven.

Everything is read from the log (events, dead letters, receipts) and from the service to which the subscribers write;
nothing is asked of the subscribers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tasker_kafka.deploy.examples.shop import Shop
from tasker_kafka.handlers.delivery.decoding import decode_event
from tasker_kafka.handlers.delivery.letters import (
    DeadLetter,
    LetterFilter,
    LetterState,
    letter_queues,
    letters_of,
)
from tasker_kafka.handlers.delivery.redrive import ActOrder, redrive
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.subscriptions import Receipt
from tasker_kafka.topics.log import Record, TopicPartition

from .screen import Screen
from .stage import ACTOR, Stage

__all__ = ["Heard", "Mark", "hear_of", "print_heard"]

NAMESPACE: Final = "ecommerce"
BOOKS: Final = "checkout-books"
REASON: Final = "the books are open again"
OPERATOR_SECONDS: Final = 0.3
"""Before the operator acts, so that people see the dead letter."""
POLL_SECONDS: Final = 0.05

TOLD: Final = frozenset({"told"})
EXPECTED: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "payment.delayed": {"checkout-notifier": TOLD},
    "payment.charged": {"checkout-audit": TOLD},
    "order.placed": {"checkout-audit": TOLD, BOOKS: TOLD | {"dead letter", "redriven"}},
    "confirmation.sent": {"checkout-notifier": TOLD},
    "checkout.completed": {
        "checkout-audit": TOLD | {"receipt"},
        "checkout-performance": TOLD | {"receipt"},
    },
}
"""Event → group → what must have become of it."""


@dataclass
class Mark:
    """What became of one event at one group."""

    is_told: bool = False
    """The service has what the subscriber writes."""
    has_receipt: bool = False
    letter: DeadLetter | None = None

    @property
    def words(self) -> frozenset[str]:
        """As `EXPECTED` says it."""
        said = {
            "told": self.is_told,
            "receipt": self.has_receipt,
            "dead letter": self.letter is not None,
            "redriven": self.letter is not None and self.letter.state is LetterState.REDRIVEN,
        }
        return frozenset(word for word, is_so in said.items() if is_so)


@dataclass(frozen=True)
class Heard:
    """Who heard of a task: its events in the order they were fired, and by event id and group what became of them."""

    events: Sequence[DomainEvent[Any]]
    marks: Mapping[tuple[str, str], Mark]

    @property
    def faults(self) -> list[str]:
        """What is not as the demo expects it; empty: all is."""
        found: list[str] = []
        names = [event.name for event in self.events]
        if sorted(names) != sorted(EXPECTED):
            found.append(f"the events are {', '.join(names) or 'none'}; expected are {', '.join(EXPECTED)}")
        for event in self.events:
            for group in sorted({group for expected in EXPECTED.values() for group in expected}):
                wanted = EXPECTED.get(event.name, {}).get(group, frozenset())
                words = self.marks.get((event.event_id, group), Mark()).words
                if words != wanted:
                    found.append(f"{event.name} at {group}: {_said(words)}; expected is {_said(wanted)}")
        return found

    @property
    def letters(self) -> Iterator[DeadLetter]:
        """What could not be delivered at first."""
        return (mark.letter for mark in self.marks.values() if mark.letter is not None)


async def hear_of(task_id: bytes, stage: Stage, shop: Shop, screen: Screen) -> Heard:
    """From the end of the task until all is told, the operator's redrive included; waits as long as that takes."""
    look = _Looking(stage, shop, format_id(task_id))
    await look.until(lambda heard: any(heard.letters))
    screen.say(f"observed checkout: order.placed is a dead letter of {BOOKS}, whose books are closed")
    await asyncio.sleep(OPERATOR_SECONDS)
    shop.open_books(is_open=True)
    screen.say("observed checkout: the books are opened; the operator redrives the dead letter")
    order = ActOrder(actor=ACTOR, reason=REASON)
    await redrive(stage.log, stage.names, LetterFilter(group=BOOKS), order)
    return await look.until(lambda heard: not heard.faults)


class _Looking:
    """Reads again and again what has become of one task's events."""

    def __init__(self, stage: Stage, shop: Shop, task_id: str) -> None:
        self._stage = stage
        self._shop = shop
        self._task_id = task_id

    async def until(self, is_enough: Callable[[Heard], bool]) -> Heard:
        while not is_enough(heard := await self._look()):  # noqa: ASYNC110 - topics are polled
            await asyncio.sleep(POLL_SECONDS)
        return heard

    async def _look(self) -> Heard:
        names = self._stage.names
        found = [decode_event(record) for record in await self._read(names.domain_events(NAMESPACE))]
        events = sorted(
            (event for event in found if event.metadata.task_id == self._task_id),
            key=lambda event: (event.metadata.fired_at, event.offset),
        )
        marks: dict[tuple[str, str], Mark] = {}
        for book in ("audit", "notifications", "ledger"):
            for event_id, entry in self._shop.written(book).items():
                marks.setdefault((event_id, str(entry.get("by"))), Mark()).is_told = True
        for record in await self._read(names.receipts):
            receipt = codec.decode(record.value, Receipt)
            marks.setdefault((receipt.event_id, receipt.group), Mark()).has_receipt = True
        async for letter in self._letters():
            marks.setdefault((letter.journey.event_id or "", letter.journey.group), Mark()).letter = letter
        return Heard(events, marks)

    async def _letters(self) -> AsyncIterator[DeadLetter]:
        log, names = self._stage.log, self._stage.names
        wanted = LetterFilter(task_id=self._task_id, states=frozenset(LetterState))
        for queue in await letter_queues(log, names, [NAMESPACE]):
            for partition in range(await log.partition_count(queue.topic)):
                async for letter in letters_of(log, queue, partition, wanted):
                    yield letter

    async def _read(self, topic: str) -> list[Record]:
        """Everything in a topic by now."""
        log = self._stage.log
        places = [TopicPartition(topic, number) for number in range(await log.partition_count(topic))]
        ends = {place: end for place in places if (end := await log.end_offset(place))}
        if not ends:
            return []
        found: list[Record] = []
        reader = await log.reader(dict.fromkeys(ends, 0))
        try:
            while any(reader.position(place) < end for place, end in ends.items()):
                for batch in (await reader.fetch()).values():
                    found += batch.records
        finally:
            await reader.close()
        return found


# --------------------------------------------------------------------------------------------- shown


def print_heard(console: Console, heard: Heard) -> None:
    """A table of events and groups, and what was done about each dead letter."""
    groups = sorted({group for _, group in heard.marks})
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("event", "delivery", *groups):
        table.add_column(column, header_style="dim", overflow="fold")
    for event in heard.events:
        marks = [heard.marks.get((event.event_id, group)) for group in groups]
        table.add_row(event.name, Text(event.delivery, style="dim"), *map(_shown, marks))
    console.print()
    console.print(
        Text.assemble(("observed checkout", "bold"), ": its events, and the groups that heard of them")
    )
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    for letter in heard.letters:
        journey = letter.journey
        lines = (
            f"dead letter {letter.place}: {letter.event} for {journey.group}, after {journey.attempts} deliveries, "
            f"{journey.error_type}",
            f"{ACTOR}: {letter.state}, because {REASON}",
        )
        for line in lines:
            console.print(Text(f"  {line}"), soft_wrap=True)


def _shown(mark: Mark | None) -> Text:
    if mark is None:
        return Text()
    parts = [Text("✓", style="green")] if mark.is_told else []
    if mark.letter is not None:
        parts.insert(0, Text(f"✗ dead letter, {mark.letter.state}", style="red"))
    if mark.has_receipt:
        parts.append(Text("receipt", style="dim"))
    return Text(" ").join(parts)


def _said(words: frozenset[str]) -> str:
    return ", ".join(sorted(words)) or "nothing"

"""Dead letters on both sides of the port: read with what was done about them, redriven, purged."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tasker_kafka.handlers.delivery.edits import EditFault, parse_assignment
from tasker_kafka.handlers.delivery.journey import FailureClass, Journey, wrap
from tasker_kafka.handlers.delivery.letters import (
    DeadLetter,
    LetterFilter,
    LetterPlace,
    LetterState,
    acts_on,
    letter_queues,
)
from tasker_kafka.handlers.delivery.redrive import ActOrder, Edit, purge, redrive
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import FencedError, NotFoundError, TopicsDrifted
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.topics.log import Record, TopicPartition, Write
from tests.support.dead_letter_world import NAMESPACE, LetterWorld, event, original
from tests.support.log_sides import Side, contract, drain

BY = ActOrder(actor="ann", reason="the ledger is back")
EVERY = LetterFilter()
ANY_STATE = LetterFilter(states=frozenset(LetterState))


@contract
async def test_what_was_published_comes_back_byte_for_byte(side: Side) -> None:
    """Also a null key, a null and an empty value, equal names of headers, and headers that look like ours."""
    world = await LetterWorld.make(side)
    plain = original(world.names, 0)
    journey_like = wrap(plain, (await _journey_of(world, plain)))
    strange = [
        plain,
        original(world.names, 1, key=None),
        original(world.names, 2, key=b""),
        original(world.names, 3, value=None),
        original(world.names, 4, value=b""),
        original(world.names, 5, headers=()),
        original(world.names, 6, headers=(("a", b"1"), ("b", b""), ("a", b"2"), ("a", b"1"))),
        original(world.names, 7, headers=journey_like),
        original(world.names, 8, headers=(("tasker-dlq-act", b"purged"), ("tasker-wrapped", b"2"))),
        original(world.names, 9, value=b"\x00\xff no event", key=b"\xff"),
    ]
    for each in strange:
        await world.die(each, failure=FailureClass.DECODE)

    report = await redrive(world.log, world.names, EVERY, BY)

    assert report.letters == len(strange) + 1, "the first one died twice"
    assert report.repeats == 1
    assert [record for record, _ in await world.redriven()] == strange


async def _journey_of(world: LetterWorld, record: Record) -> Journey:
    await world.die(record, failure=FailureClass.DECODE)
    (letter,) = await world.letters()
    return letter.journey


@contract
async def test_a_redriven_letter_is_open_no_more_and_only_its_group_gets_it(side: Side) -> None:
    """The act lies beside the letter, in its partition and under its key, and says who did it and why."""
    world = await LetterWorld.make(side, groups=("audit", "billing"))
    first = await world.die(original(world.names, 4, partition=1), group="audit")
    other = await world.die(original(world.names, 4, partition=1), group="billing")

    report = await redrive(world.log, world.names, LetterFilter(group="audit"), BY)

    assert report.groups == {"audit": 1}
    ((record, journey),) = await world.redriven(group="audit")
    assert record == original(world.names, 4, partition=1)
    assert (journey.redrive_count, journey.attempts, journey.due_at) == (1, 0, 0)
    assert await world.redriven(group="billing") == []
    source = TopicPartition(world.names.domain_events(NAMESPACE), 1)
    assert await drain(world.log, source) == [], "a redriven event never goes to the source"
    assert [each.place for each in await world.letters()] == [other]
    (queue,) = await letter_queues(world.log, world.names)
    (act,) = await acts_on(world.log, queue, first)
    assert (act.actor, act.reason, act.group, act.offset) == (
        "ann",
        "the ledger is back",
        "audit",
        first.offset,
    )
    (*_, written) = await drain(world.log, TopicPartition(world.topic, 1))
    assert written.key == b"customer 1"


@contract
async def test_a_lane_returns_in_its_original_order(side: Side) -> None:
    """Also where its head was redriven alone, died again, and so lies behind its successors."""
    world = await LetterWorld.make(side)
    head = await world.die(original(world.names, 1))
    for number in (2, 3, 4):
        await world.die(original(world.names, number), failure=FailureClass.BLOCKED_BY_KEY)
    await redrive(world.log, world.names, LetterFilter(places=frozenset({head})), BY)
    ((again, journey),) = await world.redriven()
    await world.die(again, redrive_count=journey.redrive_count)
    assert [each.journey.offset for each in await world.letters()] == [1, 4, 3, 2]

    await redrive(world.log, world.names, LetterFilter(key=b"customer 1"), BY)

    assert [record.offset for record, _ in await world.redriven()] == [1, 1, 2, 3, 4]
    assert (await world.redriven())[1][1].redrive_count == 2
    assert await world.letters() == []


@contract
async def test_the_same_redrive_again_does_nothing(side: Side) -> None:
    """A letter that was redriven is skipped and named; asked for explicitly it is redriven again."""
    world = await LetterWorld.make(side)
    place = await world.die(original(world.names, 1))
    here = LetterFilter(places=frozenset({place}))
    await redrive(world.log, world.names, here, BY)

    second = await redrive(world.log, world.names, here, BY)
    every = await redrive(world.log, world.names, EVERY, BY)
    again = await redrive(world.log, world.names, msgspec.structs.replace(ANY_STATE, places=here.places), BY)

    assert (second.letters, second.skipped) == (0, [(place, LetterState.REDRIVEN)])
    assert every.letters == 0
    assert again.letters == 1
    assert len(await world.redriven()) == 2


@contract
async def test_of_several_letters_of_one_event_the_last_is_redriven(side: Side) -> None:
    """As it died last: edited before, it is not handed back as it was at first."""
    world = await LetterWorld.make(side)
    await world.die(original(world.names, 1))
    edit = Edit(assignments=(parse_assignment("amount=8"),))
    await redrive(world.log, world.names, EVERY, msgspec.structs.replace(BY, edit=edit))
    ((edited, journey),) = await world.redriven()
    await world.die(edited, redrive_count=journey.redrive_count)

    report = await redrive(world.log, world.names, ANY_STATE, BY)

    assert (report.letters, report.repeats) == (2, 1)
    (_, (record, journey)) = await world.redriven()
    assert (record, journey.redrive_count) == (edited, 2)


@contract
async def test_a_run_that_ends_between_two_slices_is_gone_on_with(side: Side) -> None:
    """What was written before is redriven and says so; nothing is lost and nothing is redriven twice."""
    world = await LetterWorld.make(side)
    for number in range(250):
        await world.die(original(world.names, number))
    done: list[DeadLetter] = []

    def die_after_the_first_slice(letter: DeadLetter) -> None:
        done.append(letter)
        if len(done) == 130:
            raise SystemExit("killed")

    with pytest.raises(SystemExit):
        await redrive(world.log, world.names, EVERY, BY, progress=die_after_the_first_slice)
    second = await redrive(await side.log(), world.names, EVERY, BY)

    assert second.letters == 50, "two slices of 100 were written"
    assert [record.offset for record, _ in await world.redriven()] == list(range(250))
    assert await world.letters() == []


@contract
async def test_whoever_acts_later_fences_the_earlier(side: Side) -> None:
    """Two operators at once: what the first had done stays done, nothing is done twice."""
    world = await LetterWorld.make(side)
    for number in range(4):
        await world.die(original(world.names, number))
    second_log = await side.log()
    slow = ActOrder(actor="ann", reason="", per_second=1)
    begun = asyncio.Event()
    first = asyncio.create_task(
        redrive(world.log, world.names, EVERY, slow, progress=lambda letter: begun.set())
    )
    await begun.wait()

    second = await redrive(second_log, world.names, EVERY, BY)

    with pytest.raises(FencedError, match="somebody else"):
        await first
    assert second.letters < 4
    assert [record.offset for record, _ in await world.redriven()] == [0, 1, 2, 3]


@contract
async def test_a_crash_leaves_the_event_and_its_act_or_neither(side: Side) -> None:
    """The slice in flight is undone as a whole; the same redrive again does the rest."""
    world = await LetterWorld.make(side)
    places = [await world.die(original(world.names, number)) for number in range(3)]
    crashed = ((original(world.names, 0).key, b"half done"),)
    await side.leave_open(
        world.names.dead_letter_writer(world.topic),
        [Write(world.names.retry("audit", "redrive"), key, value, partition=0) for key, value in crashed],
    )

    report = await redrive(world.log, world.names, EVERY, BY)

    assert report.letters == len(places)
    assert [record.offset for record, _ in await world.redriven()] == [0, 1, 2]


@contract
async def test_purged_letters_are_open_no_more(side: Side) -> None:
    """They are given up, not redriven, and stay to be looked at."""
    world = await LetterWorld.make(side)
    kept = await world.die(original(world.names, 1))
    await world.die(original(world.names, 2), failure=FailureClass.DECODE)

    report = await purge(world.log, world.names, LetterFilter(failure_class=FailureClass.DECODE), BY)

    assert report.groups == {"audit": 1}
    assert [each.place for each in await world.letters()] == [kept]
    states = {each.journey.offset: each.state for each in await world.letters(ANY_STATE)}
    assert states == {1: LetterState.OPEN, 2: LetterState.PURGED}
    assert await world.redriven() == []


@contract
async def test_a_dry_run_writes_nothing_and_fences_nobody(side: Side) -> None:
    """It tells the letters in the order in which they would go."""
    world = await LetterWorld.make(side)
    for number in (3, 1, 2):
        await world.die(original(world.names, number))
    ends = [await world.log.end_offset(TopicPartition(world.topic, number)) for number in (0, 1)]
    told: list[int] = []

    order = msgspec.structs.replace(BY, is_dry_run=True)
    report = await redrive(
        world.log, world.names, EVERY, order, progress=lambda letter: told.append(letter.journey.offset)
    )

    assert (report.letters, told) == (3, [1, 2, 3])
    assert [await world.log.end_offset(TopicPartition(world.topic, number)) for number in (0, 1)] == ends
    assert await world.redriven() == []


@contract
async def test_an_edit_changes_the_payload_and_nothing_else(side: Side) -> None:
    """The act names the paths, never the values."""
    world = await LetterWorld.make(side)
    place = await world.die(original(world.names, 1))
    edit = Edit(assignments=(parse_assignment("amount=9"), parse_assignment('$["mail"]=ann@example.org')))

    await redrive(world.log, world.names, EVERY, msgspec.structs.replace(BY, edit=edit))

    ((record, _),) = await world.redriven()
    changed = codec.decode(record.value, DomainEvent)
    assert changed == msgspec.structs.replace(event(1), payload=b'{"amount":9,"mail":"ann@example.org"}')
    assert msgspec.structs.replace(record, value=None) == original(world.names, 1, value=None)
    (queue,) = await letter_queues(world.log, world.names)
    (act,) = await acts_on(world.log, queue, place)
    assert act.changes == ("amount", '$["mail"]')


@contract
async def test_an_edit_that_does_not_fit_stops_there(side: Side) -> None:
    """Nothing of the slice is written, and the letter is named."""
    world = await LetterWorld.make(side)
    await world.die(original(world.names, 1))
    place = await world.die(original(world.names, 2, value=b"no event", headers=()))
    edit = Edit(assignments=(parse_assignment("amount=9"),))

    with pytest.raises(EditFault, match=str(place)):
        await redrive(world.log, world.names, EVERY, msgspec.structs.replace(BY, edit=edit))

    assert await world.redriven() == []
    whole = msgspec.structs.replace(BY, edit=Edit(value=codec.encode(event(2))))
    await redrive(world.log, world.names, LetterFilter(places=frozenset({place})), whole)
    assert [record.value for record, _ in await world.redriven()] == [codec.encode(event(2))]


@contract
async def test_nothing_is_written_where_something_is_missing(side: Side) -> None:
    """No letter at a place, no queue of a name, no topic to redrive to."""
    world = await LetterWorld.make(side)
    place = await world.die(original(world.names, 1))
    await world.die(original(world.names, 2), group="gone")
    nowhere = LetterPlace(NAMESPACE, 0, 77)
    cases = {
        LetterFilter(places=frozenset({place, nowhere})): NotFoundError,
        LetterFilter(queues=frozenset({"nobody"})): NotFoundError,
        LetterFilter(): TopicsDrifted,
    }
    for wanted, error in cases.items():
        with pytest.raises(error):
            await redrive(world.log, world.names, wanted, BY)
    assert await world.redriven() == []
    assert len(await world.letters()) == 2

"""What may be started when, who is a suspect, and what the commit says about both."""

from __future__ import annotations

from tasker_kafka.handlers.watermark import Restored, decode_metadata
from tasker_kafka.handlers.worker.partition import PartitionWork, QueueDelivery
from tasker_kafka.topics.log import Batch, Record, TopicPartition

PLACE = TopicPartition("q", 0)


def make(
    restored: Restored | None = None, *, position: int = 0, end: int = 0, lookahead: int = 200
) -> PartitionWork:
    return PartitionWork(
        PLACE,
        position=position,
        end=end,
        restored=restored or Restored(),
        lookahead=lookahead,
        on_finished=lambda delivery: None,
    )


def fill(work: PartitionWork, first: int, end: int) -> None:
    records = tuple(Record("q", 0, offset, 0, None, None) for offset in range(first, end))
    work.take_in(Batch(first, end, records))


def commit(work: PartitionWork, *, is_open: bool = True) -> Restored:
    entry = work.commit(is_open=is_open)
    assert entry is not None
    work.committed(*entry)
    restored = decode_metadata(entry[0].offset, entry[0].metadata)
    assert restored is not None
    return restored


def start_all(work: PartitionWork) -> list[QueueDelivery]:
    found = []
    while work.may_start:
        found.append(work.start())
    return found


def test_nothing_starts_before_a_commit_says_how_far() -> None:
    work = make()
    fill(work, 0, 100)
    assert not work.may_start
    assert work.wants_reach
    restored = commit(work)
    assert restored.is_open
    assert restored.reach == 16
    assert len(start_all(work)) == 16
    assert work.wants_reach


def test_the_reach_grows_with_the_pace_up_to_the_lookahead() -> None:
    work = make(lookahead=50)
    fill(work, 0, 1000)
    counts = []
    for _ in range(5):
        commit(work)
        started = start_all(work)
        counts.append(len(started))
        for delivery in started:
            delivery.finish()
    assert counts == [16, 48, 50, 50, 50]


def test_a_commit_soon_after_another_leaves_the_reach_as_it_was() -> None:
    work = make()
    fill(work, 0, 1000)
    for _ in range(5):
        commit(work)
        for delivery in start_all(work):
            delivery.finish()
    begun = work.watermark.offset
    assert commit(work).reach - begun == 200
    work.start().finish()
    assert commit(work).reach - begun > 100


def test_every_started_record_lies_below_the_reach_of_the_last_commit() -> None:
    work = make()
    fill(work, 0, 500)
    commit(work)
    running = start_all(work)
    for delivery in running[3:]:
        delivery.finish()
    restored = commit(work)
    started = [each.record.offset for each in start_all(work)]
    assert max(started) < restored.reach
    assert restored.finished == ((3, 16),)


def test_a_lower_reach_binds_before_its_commit_is_acknowledged() -> None:
    work = make()
    fill(work, 0, 300)
    for _ in range(3):
        commit(work)
        for delivery in start_all(work):
            delivery.finish()
    commit(work)
    entry = work.commit(is_open=True)
    assert entry is not None
    assert all(
        work.start().record.offset < entry[1]
        for _ in range(entry[1] - work.watermark.offset)
        if work.may_start
    )


def test_suspects_are_the_unfinished_that_could_have_been_started() -> None:
    restored = Restored(is_open=True, reach=10, finished=((3, 5),))
    work = make(restored, position=2, end=8)
    fill(work, 2, 12)
    commit(work)
    suspects = []
    while work.may_start and work.next_is_suspect:
        suspects.append(work.start().record.offset)
    assert suspects == [2, 5, 6, 7]
    assert work.may_start


def test_a_partition_given_up_cleanly_has_no_suspects() -> None:
    work = make()
    fill(work, 0, 3)
    commit(work)
    start_all(work)
    work.close()
    restored = commit(work, is_open=False)
    assert not restored.is_open
    after = make(restored, position=0, end=3)
    fill(after, 0, 3)
    assert not after.next_is_suspect


def test_suspects_that_were_not_run_yet_stay_suspects_for_the_next_owner() -> None:
    work = make(Restored(is_open=True, reach=6, deliveries=((4, 2),)), end=6)
    fill(work, 0, 6)
    commit(work)
    work.start().finish()
    work.close()
    restored = commit(work, is_open=False)
    assert (restored.is_open, restored.reach, restored.deliveries) == (True, 6, ((4, 2),))


def test_a_delivery_counts_from_its_commit_until_it_ends_in_any_other_way() -> None:
    work = make(Restored(is_open=True, reach=3, deliveries=((0, 2),)), end=3)
    fill(work, 0, 3)
    commit(work)
    assert work.next_deliveries == 2
    first, second, third = start_all(work)
    for delivery in (first, second, third):
        delivery.count_again()
    assert [each.count for each in (first, second, third)] == [3, 2, 2]
    assert commit(work).deliveries == ((0, 3), (1, 2), (2, 2))
    first.drop()
    second.drop()
    third.finish()
    assert commit(work).deliveries == ((0, 2),)


def test_metadata_that_do_not_fit_stop_the_partition_until_they_do() -> None:
    work = make(lookahead=10_000)
    fill(work, 0, 4000)
    started: list[QueueDelivery] = []
    while len(started) < 4000:
        commit(work)
        started += start_all(work)
    for delivery in started[1::2]:
        delivery.finish()
    assert work.commit(is_open=True) is None
    assert work.is_full
    for delivery in started[::2]:
        delivery.finish()
    assert work.commit(is_open=True) is not None
    assert not work.is_full


def test_a_closed_partition_takes_nothing_in_and_keeps_nothing_waiting() -> None:
    work = make()
    fill(work, 0, 3)
    work.close()
    fill(work, 3, 6)
    assert not work.waiting
    assert work.watermark.position == 3


def test_answers_that_nobody_has_acknowledged_take_from_the_reach() -> None:
    work = make(lookahead=40)
    fill(work, 0, 1000)
    for _ in range(4):
        commit(work)
        for delivery in start_all(work):
            delivery.finish()
    first = commit(work).reach
    started = start_all(work)
    for delivery in started[:30]:
        delivery.handler_ended()
    assert commit(work).reach == first + 10, "forty beyond those that run still, thirty of them used"
    more = start_all(work)
    for delivery in (*started, *more):
        delivery.handler_ended()
    assert not work.wants_reach, "a commit would name the same reach"
    for delivery in (*started, *more):
        delivery.finish()
    assert work.unheard == 0
    assert work.wants_reach


def test_a_worker_lost_at_any_moment_leaves_no_more_than_the_lookahead_to_run_again() -> None:
    work = make(lookahead=60)
    fill(work, 0, 5000)
    most = 0
    known, base = commit(work), 0
    unheard: list[QueueDelivery] = []
    for turn in range(300):
        for delivery in start_all(work):
            delivery.handler_ended()
            unheard.append(delivery)
        begun = range(base, unheard[-1].record.offset + 1) if unheard else range(0)
        most = max(most, sum(not any(run[0] <= each < run[1] for run in known.finished) for each in begun))
        if turn % 3 == 2:  # the log has them
            for delivery in unheard:
                delivery.finish()
            unheard.clear()
        if work.wants_reach:
            known, base = commit(work), work.watermark.offset
    assert 40 <= most <= 60
    assert base > 3000

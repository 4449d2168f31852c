"""Whatever order records finish in and wherever a worker crashes, no unfinished record is skipped and no
finished one that was committed runs again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tasker_kafka.handlers.watermark import (
    MAX_METADATA_CHARACTERS,
    Restored,
    Watermark,
    decode_metadata,
)


class Partition(RuleBasedStateMachine):
    """A log with gaps, read, finished in any order, committed, crashed and restored; against plain sets."""

    @initialize(start=st.integers(0, 2**40))
    def begin(self, start: int) -> None:
        self.log: list[int] = []
        self.end = self.read = start
        self.mark = Watermark(start)
        self.done: set[int] = set()
        self.open: set[int] = set()
        self.counts: dict[int, int] = {}
        self.committed: tuple[int, str, set[int], int, dict[int, int]] | None = None

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=20), tail=st.integers(0, 2))
    def arrive(self, gaps: list[int], tail: int) -> None:
        for gap in gaps:
            self.log.append(self.end + gap)
            self.end += gap + 1
        self.end += tail

    @rule(count=st.integers(1, 30))
    def take_in(self, count: int) -> None:
        waiting = [offset for offset in self.log if offset >= self.read]
        records, behind = waiting[:count], waiting[count:]
        following = behind[0] if behind else self.end
        new = self.mark.extend(records, following)
        self.read = following
        assert new == [offset for offset in records if offset not in self.done]
        self.open |= set(new)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.open:
            offset = data.draw(st.sampled_from(sorted(self.open)))
            self.open.discard(offset)
            self.done.add(offset)
            self.counts.pop(offset, None)
            self.mark.finish(offset)

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        if self.open:
            offset = data.draw(st.sampled_from(sorted(self.open)))
            self.counts[offset] = self.counts.get(offset, 1) + 1
            assert self.mark.count_delivery(offset) == self.counts[offset]

    @rule(ahead=st.integers(0, 100))
    def commit(self, ahead: int) -> None:
        reach = self.mark.lookahead(ahead)
        text = self.mark.metadata(is_open=True, reach=reach)
        assert text is not None
        assert text.isascii()
        self.committed = (self.mark.offset, text, set(self.done), reach, dict(self.counts))

    @rule()
    def crash(self) -> None:
        if self.committed is None:
            return
        offset, text, done, reach, counts = self.committed
        restored = decode_metadata(offset, text)
        assert restored is not None
        assert restored.is_open
        assert restored.reach == max(reach, offset)
        self.mark = Watermark(offset, restored)
        self.read = offset
        self.done = set(done)
        self.open = set()
        self.counts = dict(counts)

    @invariant()
    def the_mark_is_the_lowest_unfinished(self) -> None:
        assert self.mark.offset == min(self.open, default=self.read)
        assert self.mark.unfinished == len(self.open)
        assert not [each for each in self.log if each < self.mark.offset and each not in self.done]
        assert all(self.mark.deliveries(each) == self.counts.get(each, 1) for each in self.open)


TestPartition = Partition.TestCase


@given(
    base=st.integers(0, 2**50),
    gaps=st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), max_size=40),
    is_open=st.booleans(),
)
def test_metadata_come_back_as_written(base: int, gaps: list[tuple[int, int]], is_open: bool) -> None:
    runs, place = [], base
    for gap, length in gaps:
        runs.append((place + gap, place + gap + length))
        place += gap + length
    restored = Restored(is_open, base + 5, tuple(runs))
    mark = Watermark(base, restored)
    mark.extend([base], base + 1)
    text = mark.metadata(is_open=is_open, reach=base + 5)
    assert text is not None
    assert decode_metadata(base, text) == restored


@given(st.text(max_size=40))
def test_foreign_metadata_are_told_from_ours(text: str) -> None:
    found = decode_metadata(7, text)
    assert found is None or isinstance(found, Restored)


def test_an_empty_text_means_nothing_known() -> None:
    assert decode_metadata(7, "") == Restored()


def test_metadata_that_would_not_fit_are_refused_and_fit_again_later() -> None:
    mark = Watermark(0)
    mark.extend(range(10_000), 10_000)
    for offset in range(0, 10_000, 2):
        mark.finish(offset)
    assert mark.metadata(is_open=True, reach=10_000) is None
    for offset in range(1, 9_001, 2):
        mark.finish(offset)
    text = mark.metadata(is_open=True, reach=10_000)
    assert text is not None
    assert len(text) <= MAX_METADATA_CHARACTERS
    assert mark.offset == 9_001

"""Fire-and-forget events that find no room wait for a moment, and are dropped only then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.handlers.delivery.room import LooseRoom


def test_a_full_room_pauses_reading_and_drops_nothing_that_was_read() -> None:
    room = LooseRoom(10, 1.0)
    room.look(10, now=5.0)
    assert room.is_waiting
    assert all(room.take() for _ in range(100))


def test_after_its_patience_it_takes_what_fits() -> None:
    room = LooseRoom(10, 1.0)
    room.look(12, now=5.0)
    room.look(7, now=6.0)
    assert not room.is_waiting
    assert [room.take() for _ in range(5)] == [True, True, True, False, False]
    room.look(12, now=6.1)
    assert not room.take()


def test_with_half_of_it_free_patience_begins_anew() -> None:
    room = LooseRoom(10, 1.0)
    room.look(10, now=0.0)
    room.look(10, now=2.0)
    assert not room.is_waiting
    room.look(5, now=3.0)
    assert all(room.take() for _ in range(100))
    room.look(10, now=4.0)
    assert room.is_waiting


def test_a_room_of_one() -> None:
    room = LooseRoom(1, 1.0)
    room.look(1, now=0.0)
    assert room.is_waiting
    room.look(0, now=0.5)
    assert not room.is_waiting


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30), st.floats(0.0, 2.0)), max_size=30))
def test_it_never_waits_longer_than_its_patience(limit: int, looks: list[tuple[int, float]]) -> None:
    room, now, since = LooseRoom(limit, 1.0), 0.0, None
    for waiting, passed in looks:
        now += passed
        room.look(waiting, now)
        if room.is_waiting:
            since = now if since is None else since
            assert now - since < 1.0
            assert waiting > room.low
        elif waiting <= room.low:
            since = None

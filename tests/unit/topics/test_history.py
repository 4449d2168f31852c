"""Readers skip deposed owners and repeated commands, and go on from a mark as if they had never stopped."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.schemas.records import FORGOTTEN_KEY, OWNER_KEY, Forgotten, OwnerMarker, Transitions
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.history import AcceptedHistory, HistoryMark
from tasker_kafka.topics.log import Headers, Record

TASK = bytes(16)
Pair = tuple[Record, Transitions | OwnerMarker | Forgotten]


def record(offset: int, key: bytes = TASK, headers: Headers = ()) -> Record:
    return Record("transitions", 0, offset, 0, key, b"", headers)


def marker(offset: int) -> Pair:
    return record(offset, OWNER_KEY), OwnerMarker(0, "a", "1")


def decided(offset: int, owner: int | None, command: int) -> Pair:
    headers = () if owner is None else for_owner(owner)
    return record(offset, headers=headers), Transitions(
        life=0, seq=1, command_offset=command, at=0, transitions=()
    )


def accepted(log: Iterable[Pair], history: AcceptedHistory | None = None) -> list[int]:
    history = AcceptedHistory() if history is None else history
    return [each.offset for each, decoded in log if history.accept(each, decoded)]


def test_markers_are_no_history() -> None:
    assert accepted([marker(0), decided(1, 0, 10), marker(2), decided(3, 2, 11)]) == [1, 3]


def test_a_zombie_is_skipped_after_the_marker() -> None:
    assert accepted([marker(0), decided(1, 0, 10), marker(2), decided(3, 0, 11), decided(4, 2, 11)]) == [1, 4]


def test_a_record_raises_the_owner_as_a_marker_does() -> None:
    assert accepted([decided(5, 3, 10), decided(6, 2, 11), decided(7, 3, 11)]) == [5, 7]


def test_the_first_record_of_a_command_counts() -> None:
    assert accepted(
        [marker(0), decided(1, 0, 10), decided(2, 0, 10), decided(3, 0, 9), decided(4, 0, 12)]
    ) == [1, 4]


def test_a_zombies_record_does_not_use_up_the_command() -> None:
    log = [marker(0), marker(1), decided(2, 0, 50), decided(3, 1, 10)]
    assert accepted(log) == [3]


def test_nobodys_record_never_counts() -> None:
    assert accepted([decided(0, None, 1), marker(1), decided(2, None, 2), decided(3, 1, 2)]) == [3]


def test_forgetting_is_a_decision_too() -> None:
    forgotten = record(2, FORGOTTEN_KEY, for_owner(0)), Forgotten(11, 0, 5, 5)
    assert accepted([marker(0), decided(1, 0, 10), forgotten, decided(3, 0, 11)]) == [1, 2]


def test_see_needs_no_decoding() -> None:
    history = AcceptedHistory()
    assert [history.see(each) for each, _ in [marker(4), decided(5, 4, 1), decided(6, 3, 2)]] == [
        True,
        True,
        False,
    ]
    assert history.snapshot() == HistoryMark(position=7, owner=4, command_offset=-1)


@st.composite
def logs(draw: st.DrawFn) -> list[Pair]:
    owners: list[int] = []
    found = []
    for offset in range(draw(st.integers(0, 20))):
        if not owners or draw(st.integers(0, 4)) == 0:
            owners.append(offset)
            found.append(marker(offset))
        else:
            found.append(decided(offset, draw(st.sampled_from(owners)), draw(st.integers(0, 12))))
    return found


@given(logs(), st.integers(0, 20))
def test_stopping_and_going_on_changes_nothing(log: list[Pair], cut: int) -> None:
    history = AcceptedHistory()
    first = accepted(log[:cut], history)
    again = AcceptedHistory(history.snapshot())
    assert first + accepted(log[cut:], again) == accepted(log)


@given(logs())
def test_owners_and_commands_only_rise(log: list[Pair]) -> None:
    kept = set(accepted(log))
    decisions = [(each, decoded) for each, decoded in log if each.offset in kept]
    owners = [int(each.headers[0][1]) for each, _ in decisions]
    commands = [decoded.command_offset for _, decoded in decisions if not isinstance(decoded, OwnerMarker)]
    assert owners == sorted(owners)
    assert commands == sorted(set(commands))


def test_a_mark_is_kept_by_position() -> None:
    history = AcceptedHistory(HistoryMark(7, 3, 20))
    assert (history.position, history.owner, history.command_offset) == (7, 3, 20)
    assert not history.accept(*decided(7, 3, 20))
    assert history.position == 8

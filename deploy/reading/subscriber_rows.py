"""What is told of a subscriber group: the shapes that `tasker subscriber` prints and the API promises."""

from __future__ import annotations

import msgspec

__all__ = ["DeadRow", "GroupReport", "GroupRow", "MemberRow", "PartitionRow", "RetryRow", "SubscriptionRow"]


class PartitionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One partition that a group reads."""

    topic: str
    partition: int
    member_id: str | None
    """Who has it; None: nobody."""
    committed: int | None
    """The lowest offset that is not finished; None: nothing was committed yet."""
    end: int
    lag: int
    """Offsets that are not finished; those finished above `committed` do not count. A transaction's marker is one."""
    lag_seconds: float
    """Age of the oldest of them; 0 when there is none."""
    lost: int
    """Offsets that retention removed before the group had finished them. Events were lost."""


class RetryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tier of a group's retries."""

    tier: str
    topic: str
    depth: int
    """Events that wait there, parked successors included. Above 5,000 in a partition it counts offsets instead, a
    transaction's marker being one, too."""
    oldest_at: int | None
    """When the oldest of them was put there."""
    next_due_at: int | None
    """When the first of them is due; None: at once, or there is none."""


class DeadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group's open dead letters of one class."""

    failure_class: str
    letters: int
    left_out: int
    """Of these: those that hold the original's place instead of its bytes, which their queue does not take."""
    oldest_at: int


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the group, as the broker has it."""

    member_id: str
    client_id: str
    host: str
    partitions: tuple[int, ...]
    """Numbers of its partitions; it has these of every topic of the group."""


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription, as the group announced it."""

    name: str
    patterns: tuple[str, ...]
    delivery: str | None
    """None: as each event was published."""
    since: int


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One group in one line."""

    group: str
    is_announced: bool
    """Whether it is in the registry; one that is not owes no receipts."""
    members: int
    lag: int
    lag_seconds: float
    lost: int
    retry_depth: int
    dead_letters: int | None
    """Open ones; None: not read."""
    left_out: int | None
    """Of these: those that hold the original's place instead of its bytes. None: not read."""
    oldest_dead_at: int | None
    """When the oldest of them died."""
    suspects: int
    """Events that may have ended their process: they are delivered alone, or given up after some more such ends."""
    version: str | None
    announced_at: int | None


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """One group in full."""

    row: GroupRow
    ordering: str | None
    subscriptions: list[SubscriptionRow]
    members: list[MemberRow]
    partitions: list[PartitionRow]
    retries: list[RetryRow]
    dead_letters: list[DeadRow]

"""The errors with which a lane ends its process. They say what is lost, what is not, and what to do."""

from __future__ import annotations

from tasker_kafka.schemas.errors import FencedError, PartitionLost, SchemaUnknown, TaskerError

__all__ = ["newer_release", "partition_lost"]


def partition_lost(partition: int, what: str, error: BaseException) -> TaskerError:
    """`error` as the end of a partition. Being fenced keeps its own kind: nothing is lost, somebody else goes on."""
    if isinstance(error, FencedError):
        return FencedError(
            f"partition {partition}: {what}: a newer owner has taken over ({error})",
            next_step="nothing is lost: the new owner goes on from the last checkpoint and the recorded history",
        )
    return PartitionLost(
        f"partition {partition} is lost: {what}: {type(error).__name__}: {error}",
        next_step="nothing is retried here, because it is not known what was written; the next owner reads it. "
        "Look at the brokers if it comes back",
    )


def newer_release(topic: str, partition: int, offset: int, error: SchemaUnknown) -> SchemaUnknown:
    """A record of a release that is newer than this one: only that one may judge it."""
    return SchemaUnknown(
        f"{topic} [{partition}] offset {offset} was written by a newer release: {error.message}",
        next_step="upgrade this process; the partition waits, nothing is lost",
    )

"""What must hold before a partition is taken: otherwise the lane would go on with half of the truth.

Each of these happens in real life (a topic recreated, retention shorter than an outage, partitions added), and each
would otherwise be silent: commands that are never decided, or histories that contradict themselves.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import Checkpoint

__all__ = ["Extent", "assert_takeable"]

_log = logging.getLogger("tasker.lane")


@dataclass(frozen=True, slots=True)
class Extent:
    """The first available and the end offsets of the partition's two logs, and the partition counts."""

    commands_begin: int
    commands_end: int
    transitions_begin: int
    transitions_end: int
    partition_count: int


def assert_takeable(
    partition: int, checkpoint: Checkpoint | None, extent: Extent, *, accept_loss: bool
) -> None:
    """ConfigurationError with the reason and the way out, unless everything fits; with `accept_loss` it is logged."""
    found = _findings(checkpoint, extent)
    if not found:
        return
    text = f"partition {partition} cannot be taken: " + "; ".join(found)
    if not accept_loss:
        raise ConfigurationError(
            text,
            next_step="restore the topics, or, if what is missing may be given up, start once with --accept-loss: "
            "commands that are gone are never decided, commands below the checkpoint are skipped",
        )
    _log.error("%s; taken all the same, because accept_loss is set", text)


def _findings(checkpoint: Checkpoint | None, extent: Extent) -> list[str]:
    next_command = 0 if checkpoint is None else checkpoint.next_command
    next_transition = 0 if checkpoint is None else checkpoint.next_transition
    found: list[str] = []
    if next_command > extent.commands_end:
        found.append(
            f"the checkpoint says the next command is {next_command}, but the commands end at {extent.commands_end} "
            "(the topic was recreated or truncated)"
        )
    if extent.commands_begin > next_command:
        found.append(
            f"commands {next_command} to {extent.commands_begin - 1} are gone before they were decided "
            "(retention was shorter than the outage)"
        )
    if next_transition > extent.transitions_end:
        found.append(
            f"the checkpoint was written when the transitions ended at {next_transition} or later, but they end at "
            f"{extent.transitions_end} (the topic was recreated or truncated)"
        )
    if extent.transitions_begin > next_transition:
        found.append(
            f"transitions {next_transition} to {extent.transitions_begin - 1} are gone and were not in a checkpoint "
            "(retention was shorter than the outage, or the changelog was recreated)"
        )
    if checkpoint is not None and checkpoint.partition_count != extent.partition_count:
        found.append(
            f"the topics had {checkpoint.partition_count} partitions and have {extent.partition_count}: tasks would "
            "no longer be where their commands go (partitions cannot be added; start a new prefix)"
        )
    return found

"""What can be seen of a state from outside: two grains of the model must be able to show the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .control import Status
from .logs import owner_of_marker
from .machine import Machine, State

__all__ = ["Observed", "observe"]


class Observed(NamedTuple):
    """Commands, the accepted history, the Checkpoint, and the outputs that have arrived."""

    commands: tuple[int, ...]
    accepted: tuple[int, ...]
    saved: tuple[int, int, int, int]
    """N, the table, what is listed as ignored, and which owner wrote it."""
    outputs: int


def observe(machine: Machine, states: Iterable[State]) -> set[Observed]:
    """What states show; a marker whose commit is acknowledged counts as visible."""
    logs, found = machine.logs, set()
    for log, commands, checkpoint, outputs, control, *_ in states:
        is_committing = machine.all_controls[control].status is Status.COMMITTING
        history = logs.eventual(log) if is_committing else logs.all[log].stable
        saved = machine.all_checkpoints[checkpoint]
        by = -1 if saved.owner < 0 else owner_of_marker(logs.all[log].entries[saved.owner])
        found.add(
            Observed(
                machine.all_commands[commands],
                logs.accepted(history).records,
                (saved.next, saved.table, saved.ignored, by),
                machine.all_outputs[outputs],
            )
        )
    return found

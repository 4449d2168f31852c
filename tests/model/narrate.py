"""Tells a way through the model so that a person can follow it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import Dispatch, StartTask, StepResult

from .domain import bits
from .logs import ABORTED, COMMITTED, number_and_owner, owner_of_marker
from .machine import OWNERS_AT, Machine, State

__all__ = ["narrate"]


def narrate(machine: Machine, trace: Sequence[State]) -> list[str]:
    """One line for each step: what happened, and what it changed that others can see."""
    lines = []
    for before, after in pairwise(trace):
        label = next(text for text, state in machine.successors(before) if state == after)
        details = "; ".join(_details(machine, before, after))
        lines.append(f"{label} ({details})" if details else label)
    return lines


def _details(machine: Machine, before: State, after: State) -> list[str]:
    found = []
    old, new = machine.logs.all[before[0]].entries, machine.logs.all[after[0]].entries
    found += [f"transitions {offset}: {_entry(machine, new[offset])}" for offset in range(len(old), len(new))]
    if before[2] != after[2]:
        saved = machine.all_checkpoints[after[2]]
        found.append(f"Checkpoint: N {saved.next}, read on from {saved.position}")
    if before[3] != after[3]:
        arrived = machine.all_outputs[after[3]] & ~machine.all_outputs[before[3]]
        found += [_output(machine, bit) for bit in bits(arrived)]
    for who in range(machine.count):
        found += _decided(machine, before, after, OWNERS_AT + who)
    return found


def _decided(machine: Machine, before: State, after: State, at: int) -> list[str]:
    """What an owner has decided, or taken over."""
    old, new = machine.all_owners[before[at]], machine.all_owners[after[at]]
    live = machine.owners.live
    if new.takeover != live or old == new:
        return []
    if old.takeover < live:
        return [f"goes on at command {new.next}"]
    if new.next != old.next + 1:
        return []
    command = machine.all_commands[after[1]][old.next]
    what = "ignored" if new.ignored >> old.next & 1 else "accepted"
    return [f"command {old.next}, {_command(machine, command)}: {what}"]


def _command(machine: Machine, command: int) -> str:
    body = machine.domain.commands[command].body
    if isinstance(body, StartTask):
        return "the start"
    assert isinstance(body, StepResult)
    return f"a result of {body.step}, attempt {body.attempt}, from {body.worker_id!r}"


def _output(machine: Machine, output: int) -> str:
    topic, _, value = machine.domain.outputs[output]
    if value is None or not machine.domain.is_dispatch(topic):
        return f"a record of {topic}"
    found = codec.decode(value, Dispatch)
    return f"dispatch of {found.step}, attempt {found.attempt}"


def _entry(machine: Machine, entry: int) -> str:
    if entry in (COMMITTED, ABORTED):
        return "commit" if entry == COMMITTED else "abort"
    if entry < 0:
        return f"marker of owner {owner_of_marker(entry)}"
    number, owner = number_and_owner(entry)
    return f"record of owner {owner} on command {machine.domain.decoded[number].command_offset}"

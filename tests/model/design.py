"""The protocol as data: the steps of a takeover and of a checkpoint, in order, and what is trusted on the way.

`CODE` is the order of `streams.lane` with every effect a step of its own, and everything that was sent arriving at any
time. The coarser grains leave out what nobody else can tell (docs/model.md says why); that they show the same is
tested, not believed. A planted mistake is a `Design` that differs from `CODE` in one thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from .logs import ReadersRule

__all__ = ["CODE", "GRAINS", "Arrival", "Design", "Step"]


class Step(StrEnum):
    """One step of an owner, between which it may be slow, or die."""

    FENCE = "start the transactional writer: older ones are refused"
    MARK_WRITE = "write the owner marker in a transaction"
    MARK_END = "ask for the commit of the marker"
    MARK_PLAINLY = "write the owner marker by the plain producer"
    LOAD = "load the changelog and its Checkpoint"
    READ = "read the history up to the own marker, evolve it, repeat its outputs; live"
    READ_EARLY = "read the history up to its end"
    GO_LIVE = "evolve what was read, repeat its outputs; live"
    TAKE = "fence, and commit the owner marker, which can be seen at once"
    LOAD_AND_READ = "load the changelog, read the history, repeat its outputs; live"

    ASK_END = "checkpoint: ask where the transitions end"
    CUT = "checkpoint: take the cut"
    BARRIER = "checkpoint: what was sent is acknowledged"
    WRITE = "checkpoint: write it in a transaction"
    END = "checkpoint: ask for the commit"
    SAVE = "checkpoint: acknowledged, written and committed"
    SAVE_AT_ONCE = "checkpoint: all of it"
    SAVE_PLAINLY = "checkpoint: written by the plain producer"
    COMMIT_OFFSET = "commit the group's offset"


class Arrival(StrEnum):
    """When what was sent arrives."""

    ANY_TIME = "at any time after it was sent, or never"
    OUTPUTS_SETTLED = "outputs when they are sent, or never; records at any time"
    SETTLED = "when it is sent, or never"


@dataclass(frozen=True, slots=True)
class Design:
    """One protocol. The defaults are the product's."""

    takeover: tuple[Step, ...] = (Step.FENCE, Step.MARK_WRITE, Step.MARK_END, Step.LOAD, Step.READ)
    checkpoint: tuple[Step, ...] = (Step.ASK_END, Step.CUT, Step.BARRIER, Step.WRITE, Step.END)
    readers: ReadersRule = ReadersRule.RULE
    owners_reading: ReadersRule = ReadersRule.RULE
    """How a new owner reads the history."""
    crashes: bool = True
    """Crashes and transaction timeouts are steps. Without, an owner that never goes on stands for one that died."""
    arrival: Arrival = Arrival.ANY_TIME
    drops_late: bool = False
    """Records that arrive behind a newer owner's marker are left out of the log, where no reader would accept them."""
    fence_waits: bool = True
    """A writer has started only when the transaction of the older one has ended, its control record included."""
    markers: bool = True
    """Without, an owner's number is its place in the order of fencing, and readers learn of it by its records."""
    keeps_recorded: bool = True
    """A recorded command is evolved as recorded, not decided again."""
    keeps_ignored: bool = True
    """A command without a record, below a recorded one, stays ignored."""
    repeats_outputs: bool = True
    mark_has_owner: bool = True
    """The Checkpoint keeps the owner's number for those who read on from it."""
    saves_ignored: bool = True
    """The Checkpoint lists ignored offsets that no record has listed."""
    trusts_offset: bool = False
    """The group's offset decides where to go on, not the N of the Checkpoint."""


CODE: Final = Design()
SETTLED: Final = replace(CODE, arrival=Arrival.OUTPUTS_SETTLED, drops_late=True)
MERGED: Final = replace(
    SETTLED,
    takeover=(Step.TAKE, Step.LOAD_AND_READ),
    checkpoint=(Step.ASK_END, Step.CUT, Step.SAVE),
    crashes=False,
)
FUSED: Final = replace(MERGED, checkpoint=(Step.SAVE_AT_ONCE,), arrival=Arrival.SETTLED)

GRAINS: Final[dict[str, Design]] = {"code": CODE, "settled": SETTLED, "merged": MERGED, "fused": FUSED}
"""The product's protocol, from fine to coarse: each shows the same from outside, with fewer states on the way."""

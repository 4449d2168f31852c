"""One owner of the partition, seen from inside: what it has in memory, and how each of its steps changes that.

Nothing here touches what others can see; `machine` does. What an owner has sent and what has not yet arrived is part
of it: the transitions in order, the outputs in any order (they go to many partitions). What it sends in one go is
queued in one step: a crash half-way leaves what a crash leaves before the rest has arrived.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tasker_kafka.topics.history import HistoryMark

from .design import Arrival, Design, Step
from .domain import BROKEN, EMPTY, Domain, bits
from .logs import Accepted
from .scope import Scope

__all__ = ["DEAD", "NEW", "NO_CHECKPOINT", "Checkpoint", "Owner", "Owners", "Saving", "Sent"]


class Checkpoint(NamedTuple):
    """What a Checkpoint record says, with the table that is saved beside it."""

    next: int
    """N: offset of the first command that is not in the table."""
    position: int
    """Where to read on in the transitions."""
    owner: int
    """Number of the owner who wrote it."""
    table: int
    ignored: int
    """Ignored offsets that no record has listed yet (bit set)."""


NO_CHECKPOINT: Final = Checkpoint(0, 0, -1, EMPTY, 0)


class Saving(NamedTuple):
    """A checkpoint in the making."""

    done: int = 0
    """How many of its steps are done."""
    position: int = -1
    next: int = -1
    """N of the cut; -1: it is not taken yet."""
    table: int = EMPTY
    ignored: int = 0
    records_left: int = 0
    """Of the records sent before the cut: how many have not arrived."""
    outputs_left: int = 0


class Owner(NamedTuple):
    """The memory of one process. `takeover`: how many steps of it are done; beyond them it is live."""

    takeover: int
    table: int = EMPTY
    next: int = 0
    queue: tuple[int, ...] = ()
    """Records sent that have not arrived, in order."""
    flying: int = 0
    """Outputs sent that have not arrived (bit set)."""
    saved: int = 0
    """N of the last checkpoint."""
    ignored: int = 0
    loaded: Checkpoint | None = None
    read: Accepted | None = None
    saving: Saving | None = None
    is_deposed: bool = False
    """Nothing it writes to the transitions counts any more; only its outputs can still be noticed."""


NEW: Final = Owner(0)
DEAD: Final = Owner(-1)


class Sent(NamedTuple):
    """One way in which a step's writes may end: records and outputs that arrive with it, and the owner after it."""

    records: tuple[int, ...]
    outputs: int
    owner: Owner


class Owners:
    """Steps of an owner, each a pure function."""

    def __init__(self, domain: Domain, design: Design, scope: Scope) -> None:
        self._domain = domain
        self._design = design
        self._releases = scope.releases
        self._length = scope.length
        self.live = len(design.takeover)

    # ------------------------------------------------------------------------------------------ taking

    def go_live(self, who: int, owner: Owner, commands: tuple[int, ...], offset: int) -> Owner:
        """Step (4): what was recorded is evolved and its outputs are sent again, what was ignored stays so."""
        loaded, read = owner.loaded, owner.read
        assert loaded is not None
        assert read is not None
        begin = offset if self._design.trusts_offset else loaded.next
        fresh = Owner(
            self.live,
            loaded.table,
            begin,
            saved=loaded.next,
            ignored=loaded.ignored,
            is_deposed=owner.is_deposed,
        )
        if not self._design.keeps_recorded:
            return fresh
        recorded = {self._domain.decoded[each].command_offset: each for each in read.records}
        for at in range(begin, read.command_offset + 1):
            if at in recorded:
                fresh = self._evolve(fresh, recorded[at])
            elif not self._design.keeps_ignored:
                fresh = self.decide(who, fresh._replace(next=at), commands[at])
        return fresh._replace(next=max(fresh.next, read.command_offset + 1))

    def _evolve(self, owner: Owner, record: int) -> Owner:
        table = self._domain.fold(owner.table, record)
        sent = self._domain.outputs_of(owner.table, record) if self._design.repeats_outputs else 0
        return owner._replace(table=table, flying=owner.flying | sent, ignored=0)

    def mark_of(self, loaded: Checkpoint, offset: int) -> HistoryMark:
        """From where and as what a new owner reads the history."""
        number = loaded.owner if self._design.mark_has_owner else -1
        begin = offset if self._design.trusts_offset else loaded.next
        return HistoryMark(loaded.position, number, begin - 1)

    # ------------------------------------------------------------------------------------------ living

    def decide(self, who: int, owner: Owner, command: int) -> Owner:
        """Decide the next command; its records are on their way."""
        at = owner.next
        found = self._domain.decide(owner.table, command, at, self._releases[who], owner.ignored)
        if found is None:
            return owner._replace(next=at + 1, ignored=owner.ignored | 1 << at)
        return owner._replace(
            table=found.table,
            next=at + 1,
            queue=(*owner.queue, found.record),
            flying=owner.flying | found.outputs,
            ignored=0,
        )

    def depose(self, owner: Owner) -> Owner:
        """What is left of an owner once no record of it counts any more."""
        if owner.takeover < self.live:
            return owner._replace(is_deposed=True)
        if owner.next == self._length:
            return DEAD
        return Owner(self.live, owner.table, owner.next, is_deposed=True)

    # ------------------------------------------------------------------------------------------ arriving

    def sent(self, before: Owner, after: Owner) -> tuple[Sent, ...]:
        """What may have arrived of what a step has sent, by the time of the next step.

        Unless arrivals are steps of their own: then nothing has.
        """
        arrival = self._design.arrival
        if arrival is Arrival.ANY_TIME:
            return (Sent((), 0, after),)
        fresh = bits(after.flying & ~before.flying)
        found = []
        for chosen in range(1 << len(fresh)):
            arrived = sum(1 << bit for at, bit in enumerate(fresh) if chosen >> at & 1)
            owner = after._replace(flying=after.flying & ~arrived)
            if after.is_deposed:
                found.append(Sent((), arrived, self.depose(owner)))
            elif arrival is Arrival.OUTPUTS_SETTLED or not after.queue:
                found.append(Sent((), arrived, owner))
            else:
                found.append(Sent(after.queue, arrived, owner._replace(queue=())))
                found.append(Sent((), arrived, self.depose(owner)))
        return tuple(dict.fromkeys(found))

    def record_arrived(self, owner: Owner) -> Owner:
        """The first of the queue has arrived."""
        saving = owner.saving
        if saving is not None and saving.records_left:
            saving = saving._replace(records_left=saving.records_left - 1)
        return owner._replace(queue=owner.queue[1:], saving=saving)

    def outputs_arrive(self, owner: Owner) -> tuple[tuple[int, Owner], ...]:
        """Each output that may arrive next, and the owner after it; () where arrivals are settled when sent."""
        if self._design.arrival is not Arrival.ANY_TIME:
            return ()
        return tuple((1 << bit, self._output_arrived(owner, 1 << bit)) for bit in bits(owner.flying))

    def _output_arrived(self, owner: Owner, output: int) -> Owner:
        saving = owner.saving
        if saving is not None:
            saving = saving._replace(outputs_left=saving.outputs_left & ~output)
        return owner._replace(flying=owner.flying & ~output, saving=saving)

    # ------------------------------------------------------------------------------------------ saving

    def next_step(self, owner: Owner) -> Step | None:
        """The step of a checkpoint that a live owner may do next; it may still have to wait."""
        steps, saving = self._design.checkpoint, owner.saving
        if owner.is_deposed:
            return None
        if steps[0] is Step.SAVE_AT_ONCE and (owner.queue or owner.flying):
            return None
        if saving is None:
            return steps[0] if owner.next != owner.saved else None
        step = steps[saving.done]
        if step in (Step.BARRIER, Step.SAVE) and not self._is_acknowledged(owner, saving):
            return None
        return step

    @staticmethod
    def _is_acknowledged(owner: Owner, saving: Saving) -> bool:
        if saving.next < 0:  # no cut yet: everything that was sent so far
            return not owner.queue and not owner.flying
        return not saving.records_left and not saving.outputs_left

    def ask_end(self, owner: Owner, end: int) -> Owner:
        """Learn where the transitions end now."""
        return owner._replace(saving=(owner.saving or Saving())._replace(position=end))

    def cut(self, owner: Owner) -> Owner:
        """Step (0): N, the table, what was sent so far, what no record has listed."""
        saving = (owner.saving or Saving())._replace(
            next=owner.next,
            table=owner.table,
            ignored=owner.ignored if self._design.saves_ignored else 0,
            records_left=len(owner.queue),
            outputs_left=owner.flying,
        )
        return owner._replace(saving=saving)

    def proceed(self, owner: Owner) -> Owner:
        """One step of the checkpoint is done; after the last one it is over."""
        saving = owner.saving
        assert saving is not None
        saving = saving._replace(done=saving.done + 1)
        if saving.done < len(self._design.checkpoint):
            return owner._replace(saving=saving)
        return owner._replace(saving=None, saved=saving.next)

    @staticmethod
    def content(saving: Saving, number: int) -> Checkpoint:
        """What the checkpoint writes."""
        return Checkpoint(saving.next, saving.position, number, saving.table, saving.ignored)

    @staticmethod
    def is_broken(owner: Owner) -> bool:
        """Whether it could not fold what it read."""
        return owner.table == BROKEN

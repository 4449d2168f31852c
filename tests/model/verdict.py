"""What must hold in every state, and where everything has come to rest.

- **One history.** What readers accept folds, with seq 1, 2, 3 and so on. The owner with the newest marker believes
  exactly what readers have accepted or will accept of it: nothing is lost, nothing is decided twice or otherwise.
- **A Checkpoint is true.** Its table is the fold of the accepted history below N; all outputs of that history have
  arrived; every command below N has a record or is listed as ignored, never both; who reads on from its mark, or
  from any earlier place with it, accepts the rest of the history. A later one is never replaced by an earlier one.
- **At rest** the last owner has decided or ignored every command, readers know it all, and every output has arrived.
- Where all owners have the same rules, all that was ever written for a command is byte-identical.

An output that arrived although history says otherwise is the honest limit of the design: it needs rules that changed
between two owners. Such ends are counted, not hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasker_kafka.topics.history import HistoryMark

from .control import Status
from .design import Arrival
from .domain import BROKEN
from .logs import number_and_owner
from .machine import Machine, State
from .owners import DEAD, Checkpoint, Owner

__all__ = ["Counts", "Verdict"]


@dataclass
class Counts:
    """States at rest, and those among them with an output that no accepted decision has."""

    settled: int = 0
    unrecorded_outputs: int = 0


class Verdict:
    """Judges the states of one machine; what it has judged before it remembers."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._has_one_release = len(set(machine.scope.releases)) == 1
        self._checkpoints: dict[tuple[int, int, int, bool], str | None] = {}
        self._beliefs: dict[tuple[int, int, int, int], str | None] = {}
        self._logs: list[str | None] = []
        self.counts = Counts()

    def judge(self, state: State) -> str | None:
        """What is wrong with a state; None: nothing."""
        machine = self._machine
        log, _, checkpoint, outputs, control, *_ = state
        while len(self._logs) <= log:
            self._logs.append(self._judge_log(len(self._logs)))
        wrong = self._logs[log]
        if wrong is None and checkpoint:
            is_committing = machine.all_controls[control].status is Status.COMMITTING
            key = (log, checkpoint, outputs, is_committing)
            if key not in self._checkpoints:
                self._checkpoints[key] = self._judge_checkpoint(*key)
            wrong = self._checkpoints[key]
        if wrong is None:
            wrong = self._judge_newest(state)
        return wrong or self._judge_rest(state)

    def judge_step(self, before: State, after: State) -> str | None:
        """What is wrong with a step that replaces the Checkpoint, whatever is wrong with the state after it."""
        old, new = (self._machine.all_checkpoints[state[2]] for state in (before, after))
        if new.next < old.next or new.owner < old.owner:
            return f"the Checkpoint with N {old.next} is replaced by an older one with N {new.next}"
        return None

    def _judge_newest(self, state: State) -> str | None:
        """The owner with the newest marker, if it is live."""
        machine = self._machine
        log, _, _, outputs, control, *owners = state
        numbers = machine.logs.all[log].numbers
        who = max(range(len(numbers)), key=numbers.__getitem__)
        if not machine.design.markers:
            who = machine.all_controls[control].epoch // 2 - 1
        if not 0 <= who < machine.count:
            return None
        belief = (log, outputs, who, owners[who])
        if belief not in self._beliefs:
            self._beliefs[belief] = self._judge_belief(*belief)
        return self._beliefs[belief]

    # ------------------------------------------------------------------------------------------ parts

    def _judge_log(self, log: int) -> str | None:
        """The accepted history by itself."""
        machine = self._machine
        found = machine.logs.all[log]
        if machine.logs.place(found.stable, machine.scope.length).table == BROKEN:
            return "the accepted history does not fold"
        if self._has_one_release:
            records = {number_and_owner(entry)[0] for entry in found.entries if entry >= 0}
            offsets = {machine.domain.decoded[each].command_offset for each in records}
            if len(records) != len(offsets):
                return "two records of one command differ, though all owners have the same rules"
        return None

    def _judge_checkpoint(self, log: int, number: int, outputs: int, is_committing: bool) -> str | None:
        machine = self._machine
        saved, found = machine.all_checkpoints[number], machine.logs.all[log]
        history = machine.logs.eventual(log) if is_committing else found.stable
        place = machine.logs.place(history, saved.next)
        if place.table != saved.table:
            return "the Checkpoint's table is not the fold of the accepted history below N"
        if place.outputs & ~machine.all_outputs[outputs]:
            return "an output of a command below N has not arrived, and nobody will send it again"
        if place.offsets & saved.ignored:
            return "a command is listed as ignored and has a record"
        if (place.offsets | place.listed | saved.ignored) & (1 << saved.next) - 1 != (1 << saved.next) - 1:
            return "a command below N has no record and is not listed as ignored"
        return self._judge_mark(log, saved)

    def _judge_mark(self, log: int, saved: Checkpoint) -> str | None:
        """Whether readers may go on from the Checkpoint's place."""
        machine = self._machine
        found = machine.logs.all[log]
        records = machine.logs.accepted(found.stable).records
        rest = tuple(each for each in records if machine.domain.decoded[each].command_offset >= saved.next)
        owner = saved.owner if machine.design.mark_has_owner else -1
        # Where the end is asked for and the cut is taken in one step, it may have been asked for any time before.
        first = 0 if machine.design.arrival is not Arrival.ANY_TIME else saved.position
        for position in range(first, saved.position + 1):
            mark = HistoryMark(position, owner, saved.next - 1)
            if machine.logs.rest(machine.design.readers, log, found.last_stable, mark).records != rest:
                return (
                    f"who reads on from offset {position} with the Checkpoint's mark accepts another history"
                )
        return None

    def _judge_belief(self, log: int, outputs: int, who: int, number: int) -> str | None:
        """The owner with the newest marker, and what readers will know once all it sent has arrived."""
        machine = self._machine
        owner = machine.all_owners[number]
        if owner.takeover < machine.owners.live or owner.is_deposed:
            return None
        if owner.table == BROKEN:
            return f"owner {who} cannot fold what it read"
        logs = machine.logs
        own = logs.all[log].numbers[who]
        history = logs.following(logs.eventual(log), own, owner.queue)
        place = logs.place(history, machine.scope.length)
        if place.table == BROKEN:
            return "the accepted history will not fold"
        if place.table != owner.table or logs.accepted(history).command_offset >= owner.next:
            return f"owner {who} believes another history than its readers will have accepted"
        if place.outputs & ~(machine.all_outputs[outputs] | owner.flying):
            return "an output of an accepted decision is neither sent nor on its way"
        return self._judge_accounts(owner, place.offsets, place.listed)

    @staticmethod
    def _judge_accounts(owner: Owner, offsets: int, listed: int) -> str | None:
        ignored = listed | owner.ignored
        if ignored >> owner.next:
            return "a command was ignored, and is read again"
        if offsets & ignored:
            return "a command was ignored, and is decided now"
        if offsets | ignored != (1 << owner.next) - 1:
            return "a command has no record, and nobody knows that it was ignored"
        return None

    # ------------------------------------------------------------------------------------------ the end

    def _judge_rest(self, state: State) -> str | None:
        if not self._is_settled(state):
            return None
        machine = self._machine
        log, commands, _, outputs, _, *owners = state
        last = machine.all_owners[owners[-1]]
        place = machine.logs.place(machine.logs.all[log].stable, machine.scope.length)
        arrived = machine.all_outputs[outputs]
        if place.table != last.table:
            return "at rest: readers have folded another table than the last owner has"
        if place.outputs & ~arrived:
            return "at rest: an output of an accepted decision never arrived"
        if place.offsets | place.listed | last.ignored != (1 << len(machine.all_commands[commands])) - 1:
            return "at rest: a command is neither decided nor ignored"
        self.counts.settled += 1
        if arrived & ~place.outputs:
            self.counts.unrecorded_outputs += 1
            if self._has_one_release:
                return (
                    "at rest: an output that no accepted decision has, though all owners have the same rules"
                )
        return None

    def _is_settled(self, state: State) -> bool:
        """Whether the last owner is live, has read everything there is, and all it sent has arrived."""
        machine = self._machine
        owner = machine.all_owners[state[-1]]
        if owner.takeover < machine.owners.live or owner.is_deposed or owner.queue or owner.flying:
            return False
        control = machine.all_controls[state[4]]
        if control.status is not Status.NONE or not control.is_newest(machine.count - 1):
            return False
        return not machine.readable(state[1], owner.next, state[3])

    def judge_end(self, state: State) -> str | None:
        """What is wrong with a state that nothing follows."""
        machine = self._machine
        owner, control = machine.all_owners[state[-1]], machine.all_controls[state[4]]
        if self._is_settled(state) or not control.is_newest(machine.count - 1):
            return None
        if machine.design.arrival is not Arrival.ANY_TIME and (
            owner.flying or owner.is_deposed or owner == DEAD
        ):
            return None  # what is lost when it is sent is lost by an owner that died
        return "nothing can happen any more, and the last owner has not come to rest"

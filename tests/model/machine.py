"""The whole partition as a transition system: its topics, the transaction coordinator, and the owners' steps.

A state is a tuple of small numbers; `successors` gives every step that anybody can take next. What the broker does:

- A plain record, once sent, arrives some time or never, also long after its owner was deposed. Of one owner's
  records of the transitions, those sent before it have arrived by then.
- A transaction is refused from the moment at which a newer writer of the same id was started; one that was open is
  aborted. The commit is acknowledged before its control record is written, and only one transaction is in the making.
- Readers see the committed below the last stable offset.

The commands partition is chosen lazily: what lies at an offset is settled when an owner first reads it, among all that
could have been written by then. Nobody can tell that from an earlier write.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .control import Control, Status, Subject
from .design import Design, Step
from .domain import Domain
from .logs import ABORTED, COMMITTED, Logs, marker, plain_marker, record
from .numbers import Numbers
from .owners import DEAD, NEW, NO_CHECKPOINT, Checkpoint, Owner, Owners
from .scope import Scope

__all__ = ["OWNERS_AT", "Machine", "State", "Successors"]

State = tuple[int, ...]
"""Log, commands, Checkpoint, outputs that arrived, control, then the owners: each a number in the machine's lists."""
Successors = list[tuple[str, State]]
"""What happens, and the state after it."""

OWNERS_AT: Final = 5
_NEW: Final = 0
_DEAD: Final = 1


class _Moves(NamedTuple):
    """What a live owner can do next, whatever the others do."""

    record: int
    """The entry that arrives next; -1: none."""
    after_record: int
    outputs: tuple[tuple[int, int], ...]
    next: int
    step: Step | None


class _Arrived(NamedTuple):
    """`owners.Sent`, in numbers."""

    entries: tuple[int, ...]
    outputs: int
    owner: int


class Machine:
    """Numbers states and gives their successors. Machines with one domain name the same things by the same numbers."""

    def __init__(self, design: Design, scope: Scope, domain: Domain | None = None) -> None:
        self.design = design
        self.scope = scope
        self.count = len(scope.releases)
        self.domain = Domain(scope.shape) if domain is None else domain
        self.logs = Logs(self.domain, self.count + 1, design.readers, markers=design.markers)
        self.owners = Owners(self.domain, design, scope)
        self.all_commands: Numbers[tuple[int, ...]] = Numbers(())
        self.all_checkpoints: Numbers[Checkpoint] = Numbers(NO_CHECKPOINT)
        self.all_outputs: Numbers[int] = Numbers(0)
        self.all_controls: Numbers[Control] = Numbers(Control())
        self.all_owners: Numbers[Owner] = Numbers(NEW, DEAD)
        self._moves: dict[tuple[int, int], _Moves] = {}
        self._decided: dict[tuple[int, int, int], tuple[_Arrived, ...]] = {}
        self._offers: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
        self._joined: dict[tuple[int, int], int] = {}
        self._deposed: dict[int, int] = {_NEW: _NEW, _DEAD: _DEAD}
        self._labels = [_labels(who) for who in range(self.count)]

    # ------------------------------------------------------------------------------------------ the beginning

    def initial(self) -> State:
        """Nothing, or the first commands of the task recorded, saved and sent by an owner who is gone."""
        domain, founder = self.domain, self.count
        log, table, sent = 0, NO_CHECKPOINT.table, 0
        commands: tuple[int, ...] = ()
        if not self.scope.prefix:
            return (0,) * (OWNERS_AT + self.count)
        for entry in (marker(founder), COMMITTED):
            log = self.logs.append(log, entry)
        for at in range(self.scope.prefix):
            offered = [each for each in domain.offered(at, sent) if each not in commands]
            command, found = next(
                (each, found)
                for each in offered
                if (found := domain.decide(table, each, at, 0, 0)) is not None
            )
            commands, table, sent = (*commands, command), found.table, sent | found.outputs
            log = self.logs.append(log, record(found.record, founder))
        saved = Checkpoint(len(commands), len(self.logs.all[log].entries), 0, table, 0)
        head = (log, self.all_commands(commands), self.all_checkpoints(saved), self.all_outputs(sent))
        return (*head, self.all_controls(Control(offset=len(commands))), *(_NEW,) * self.count)

    # ------------------------------------------------------------------------------------------ steps

    def successors(self, state: State) -> Successors:
        """Every next step."""
        found: Successors = []
        control = self.all_controls[state[4]]
        if control.subject:
            self._broker(state, control, found)
        live = self.owners.live
        for who in range(self.count):
            number = state[OWNERS_AT + who]
            if number == _DEAD:
                continue
            if self.all_owners[number].takeover < live:
                self._take(state, control, who, found)
                if number == _NEW:
                    break  # those after it come after it
            else:
                self._live(state, control, who, number, found)
            if self.design.crashes and who < self.count - 1:
                found.append((self._labels[who]["crash"], self._with(state, who, _DEAD)))
        return found

    def _broker(self, state: State, control: Control, found: Successors) -> None:
        log, commands, checkpoint, outputs, _, *owners = state
        if control.status is Status.OPEN:
            if self.design.crashes and control.owner < self.count - 1:
                after = self.all_controls(control.timed_out())
                found.append(("the open transaction times out", (*state[:4], after, *owners)))
            return
        is_commit = control.status is Status.COMMITTING
        if control.subject is Subject.MARKER:
            log = self.logs.append(log, COMMITTED if is_commit else ABORTED)
        elif is_commit:
            checkpoint = control.content
        after = self.all_controls(control.ended())
        label = "the commit can be seen" if is_commit else "the abort can be seen"
        found.append((label, (log, commands, checkpoint, outputs, after, *owners)))

    def _live(self, state: State, control: Control, who: int, number: int, found: Successors) -> None:
        moves = self._moves.get((who, number))
        if moves is None:
            moves = self._moves[who, number] = self._find_moves(who, number)
        labels = self._labels[who]
        log, commands, checkpoint, outputs, controls, *_ = state
        at = OWNERS_AT + who
        before, behind = state[OWNERS_AT:at], state[at + 1 :]
        if moves.record >= 0:
            grown = self.logs.append(log, moves.record)
            after = (grown, commands, checkpoint, outputs, controls, *before, moves.after_record, *behind)
            found.append((labels["record"], after))
        for output, owner in moves.outputs:
            after = (
                log,
                commands,
                checkpoint,
                self._join(outputs, output),
                controls,
                *before,
                owner,
                *behind,
            )
            found.append((labels["output"], after))
        for command, written in self.readable(commands, moves.next, outputs):
            for entries, arrived, owner in self._decide(who, number, command):
                grown = log
                for entry in entries:
                    grown = self.logs.append(grown, entry)
                joined = self._join(outputs, arrived) if arrived else outputs
                after = (grown, written, checkpoint, joined, controls, *before, owner, *behind)
                found.append((labels["decide"], after))
        if moves.step is not None:
            self._save(state, control, who, moves.step, found)

    def _decide(self, who: int, number: int, command: int) -> tuple[_Arrived, ...]:
        key = (who, number, command)
        found = self._decided.get(key)
        if found is None:
            before = self.all_owners[number]
            after = self.owners.decide(who, before, command)
            found = self._decided[key] = self._arrivals(who, before, after)
        return found

    def _arrivals(self, who: int, before: Owner, after: Owner) -> tuple[_Arrived, ...]:
        return tuple(
            _Arrived(
                tuple(record(each, who) for each in sent.records), sent.outputs, self.all_owners(sent.owner)
            )
            for sent in self.owners.sent(before, after)
        )

    def readable(self, commands: int, at: int, outputs: int) -> tuple[tuple[int, int], ...]:
        """Commands that an owner may find at an offset, each with the commands partition after it."""
        written = self.all_commands[commands]
        if at < len(written):
            return ((written[at], commands),)
        if at >= self.scope.length:
            return ()
        key = (commands, outputs)
        found = self._offers.get(key)
        if found is None:
            offered = self.domain.offered(at, self.all_outputs[outputs])
            found = tuple((each, self.all_commands((*written, each))) for each in offered)
            self._offers[key] = found
        return found

    def _join(self, outputs: int, arrived: int) -> int:
        key = (outputs, arrived)
        found = self._joined.get(key)
        if found is None:
            found = self._joined[key] = self.all_outputs(self.all_outputs[outputs] | arrived)
        return found

    def _find_moves(self, who: int, number: int) -> _Moves:
        owner, owners = self.all_owners[number], self.owners
        has_record = bool(owner.queue)
        return _Moves(
            record=record(owner.queue[0], who) if has_record else -1,
            after_record=self.all_owners(owners.record_arrived(owner)) if has_record else 0,
            outputs=tuple((output, self.all_owners(after)) for output, after in owners.outputs_arrive(owner)),
            next=owner.next,
            step=owners.next_step(owner),
        )

    # ------------------------------------------------------------------------------------------ taking

    def _take(self, state: State, control: Control, who: int, found: Successors) -> None:
        """The next step of a takeover."""
        owner = self.all_owners[state[OWNERS_AT + who]]
        step, labels = self.design.takeover[owner.takeover], self._labels[who]
        if step in (Step.MARK_WRITE, Step.MARK_END) and not control.is_newest(who):
            found.append((labels["fenced"], self._with(state, who, _DEAD)))
            return
        if control.subject and self._waits(owner.takeover, step):
            return
        log, after = state[0], control
        if step in (Step.FENCE, Step.TAKE):
            after = control.fenced_by(who)
        if step in (Step.MARK_WRITE, Step.TAKE):
            log = self.logs.append(log, marker(who))
        if step is Step.MARK_PLAINLY:
            log = self.logs.append(log, plain_marker(who))
        elif step is Step.MARK_WRITE:
            after = control.begun(Subject.MARKER, who)
        elif step is Step.MARK_END:
            after = control.committing()
        elif step is Step.TAKE:
            log = self.logs.append(log, COMMITTED)
        changed = (log, *state[1:])
        taken = self._taking(state, owner, who, step)._replace(takeover=owner.takeover + 1)
        for entries, arrived, number in self._arrivals(who, owner, taken):
            assert not entries
            now = self._with(
                (*changed[:3], self._join(changed[3], arrived), *changed[4:]), who, number, after
            )
            found.append(
                (labels[step], self._depose(now, who) if step in (Step.TAKE, Step.MARK_END) else now)
            )

    def _waits(self, done: int, step: Step) -> bool:
        """Whether a step of the takeover waits while a transaction is in the making."""
        if step in (Step.MARK_WRITE, Step.TAKE):
            return True
        return self.design.fence_waits and done > 0 and self.design.takeover[done - 1] is Step.FENCE

    def _taking(self, state: State, owner: Owner, who: int, step: Step) -> Owner:
        """What a step of the takeover changes in the owner."""
        log, offset = self.logs.all[state[0]], self.all_controls[state[4]].offset
        if step in (Step.LOAD, Step.LOAD_AND_READ):
            owner = owner._replace(loaded=self.all_checkpoints[state[2]])
        if step in (Step.READ, Step.READ_EARLY, Step.LOAD_AND_READ):
            assert owner.loaded is not None
            is_early = step is Step.READ_EARLY or not self.design.markers
            end = log.last_stable if is_early else log.numbers[who]
            mark = self.owners.mark_of(owner.loaded, offset)
            owner = owner._replace(read=self.logs.rest(self.design.owners_reading, state[0], end, mark))
        if step in (Step.READ, Step.LOAD_AND_READ, Step.GO_LIVE):
            owner = self.owners.go_live(who, owner, self.all_commands[state[1]], offset)
        return owner

    def _depose(self, state: State, who: int) -> State:
        """All older owners have lost their say."""
        if not self.design.drops_late:
            return state
        older = []
        for number in state[OWNERS_AT : OWNERS_AT + who]:
            if number not in self._deposed:
                self._deposed[number] = self.all_owners(self.owners.depose(self.all_owners[number]))
            older.append(self._deposed[number])
        return (*state[:OWNERS_AT], *older, *state[OWNERS_AT + who :])

    # ------------------------------------------------------------------------------------------ saving

    def _save(self, state: State, control: Control, who: int, step: Step, found: Successors) -> None:
        """The next step of a checkpoint."""
        owners, owner = self.owners, self.all_owners[state[OWNERS_AT + who]]
        if step in (Step.WRITE, Step.END, Step.SAVE) and not control.is_newest(who):
            if self.design.crashes:
                found.append((self._labels[who]["fenced"], self._with(state, who, _DEAD)))
            return
        if step in (Step.WRITE, Step.SAVE) and control.subject:
            return
        log, checkpoint, after = self.logs.all[state[0]], state[2], control
        if step in (Step.ASK_END, Step.SAVE_AT_ONCE):
            owner = owners.ask_end(owner, log.last_stable)
        if step in (Step.CUT, Step.SAVE_AT_ONCE):
            owner = owners.cut(owner)
        saving = owner.saving
        assert saving is not None
        if step not in (Step.ASK_END, Step.CUT):
            content = self.all_checkpoints(owners.content(saving, log.numbers[who]))
            if step is Step.WRITE:
                after = control.begun(Subject.CHECKPOINT, who, content)
            elif step is Step.END:
                after = control.committing()
            elif step is Step.COMMIT_OFFSET:
                after = control._replace(offset=saving.next)
            elif step is not Step.BARRIER:
                checkpoint = content
        changed = (*state[:2], checkpoint, *state[3:])
        owner = owners.proceed(owner)
        found.append((self._labels[who][step], self._with(changed, who, self.all_owners(owner), after)))

    def _with(self, state: State, who: int, owner: int, control: Control | None = None) -> State:
        """The state with another owner, and perhaps another control."""
        at = OWNERS_AT + who
        controls = state[4] if control is None else self.all_controls(control)
        return (*state[:4], controls, *state[OWNERS_AT:at], owner, *state[at + 1 :])


def _labels(who: int) -> dict[str, str]:
    own = {
        "record": "its first record on the way arrives",
        "output": "an output arrives",
        "decide": "decides the next command",
        "crash": "dies; what has not arrived is lost",
        "fenced": "is refused as fenced, and dies",
    }
    return {each: f"owner {who}: {text}" for each, text in [*own.items(), *((str(s), str(s)) for s in Step)]}

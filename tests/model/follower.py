"""Follows a tape through the model: is what real lanes did a way that the model knows?"""

from __future__ import annotations

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import CHECKPOINT_KEY, OWNER_KEY, Checkpoint
from tasker_kafka.topics.log import Record

from .domain import TASK_ID
from .logs import number_and_owner, owner_of_marker
from .machine import OWNERS_AT, Machine, State
from .owners import Owner
from .tape import Effect, Tape

__all__ = ["Follower"]


class Follower:
    """The model's state beside the real one."""

    def __init__(self, machine: Machine, commands: list[int]) -> None:
        self._machine = machine
        self._commands = commands
        """What lies in the commands partition, by offset."""
        self.state: State = machine.initial()

    def follow(self, tape: Tape) -> None:
        """Every effect must be a step of the model."""
        for number, effect in enumerate(tape.effects):
            label = effect.what if effect.who < 0 else f"owner {effect.who}: {effect.what}"
            possible = [after for text, after in self._machine.successors(self.state) if text == label]
            fitting = [after for after in possible if self._fits(effect, after)]
            assert fitting, self._explain(tape, number, label)
            assert len(set(fitting)) == 1
            self.state = fitting[0]

    def owner(self, at: int) -> Owner:
        """What the model says that an owner has in memory."""
        return self._machine.all_owners[self.state[at]]

    def _fits(self, effect: Effect, after: State) -> bool:
        machine, detail = self._machine, effect.detail
        if effect.what.startswith("its first record"):
            entry = machine.logs.all[after[0]].entries[-1]
            return machine.domain.records[number_and_owner(entry)[0]] == detail
        if effect.what.startswith("an output"):
            before = self._machine.all_owners[self.state[OWNERS_AT + effect.who]].flying
            gone = before & ~machine.all_owners[after[OWNERS_AT + effect.who]].flying
            return machine.domain.outputs[gone.bit_length() - 1] == detail
        if effect.what.startswith("decides"):
            assert isinstance(detail, int)
            return machine.all_commands[after[1]][detail] == self._commands[detail]
        return True

    def _explain(self, tape: Tape, number: int, label: str) -> str:
        done = "\n".join(f"  {each.who}: {each.what} {each.detail!r:.80}" for each in tape.effects[:number])
        known = "\n".join(f"  {text}" for text, _ in self._machine.successors(self.state))
        return f"after\n{done}\nthe lanes did\n  {label}\nand the model knows only\n{known}"

    # ------------------------------------------------------------------------------------------ comparing

    def compare_log(self, everything: list[Record | None]) -> None:
        """The transitions partition, offset by offset; None: a control record."""
        machine = self._machine
        entries = machine.logs.all[self.state[0]].entries
        assert len(entries) == len(everything)
        for offset, (entry, found) in enumerate(zip(entries, everything, strict=True)):
            if found is None:
                assert entry <= -100
            elif found.key == OWNER_KEY:
                assert machine.logs.all[self.state[0]].numbers[owner_of_marker(entry)] in (offset, -1)
            else:
                assert machine.domain.records[number_and_owner(entry)[0]] == found.value

    def compare_changelog(self, records: list[Record]) -> None:
        """The newest Checkpoint and the state beside it."""
        machine = self._machine
        saved = machine.all_checkpoints[self.state[2]]
        newest = {each.key: each.value for each in records}
        if not newest:
            assert self.state[2] == 0
            return
        found = newest[CHECKPOINT_KEY]
        assert found is not None
        decoded = codec.decode(found, Checkpoint)
        ignored = sum(1 << at for each in decoded.ignored for at in range(each.first, each.last + 1))
        assert (decoded.next_command, decoded.next_transition, decoded.owner, ignored) == (
            saved.next,
            saved.position,
            saved.owner,
            saved.ignored,
        )
        state = machine.domain.state(saved.table)
        assert newest.get(TASK_ID) == (None if state is None else codec.encode(state))

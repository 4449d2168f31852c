"""Every command's whereabouts: decided, listed as ignored, or refused with a reason (I12); what was ignored had no
effect to have; and repeats of a decision by other owners say the same bytes (I15).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from .commands import Command, Commands, may_be_ignored
from .history import Entry, History
from .raw import RawRecord
from .report import Findings, place_of
from .tables import Table
from .tasks import Tasks
from .wire import Datum

__all__ = ["Accounts"]


class Accounts:
    """One partition of commands, judged while the history is walked."""

    def __init__(self, commands: Commands, findings: Findings) -> None:
        self._commands = commands
        self._findings = findings
        self._ignored: list[tuple[int, int]] = []
        self._saved: list[tuple[int, int]] = []
        self._accepted: dict[int, RawRecord] = {}
        self.refused: list[Entry] = []
        """Records that refuse a command for good: a rejection must say so, too."""

    def take(self, entry: Entry, tasks: Tasks) -> Command | None:
        """Enter a record before it is folded; its command, if the log still has it."""
        self._accepted[entry.command_offset] = entry.record
        self._enter(entry.datum["ignored"], self._ignored, before=entry.command_offset)
        for each in entry.datum["ignored"]:
            for offset in range(each["first"], each["last"] + 1):
                self._check_ignored(offset, tasks)
        command = self._commands.at(entry.command_offset)
        if command is None:
            if entry.command_offset >= self._commands.start:
                self._add("I12", entry.command_offset, "a decision about a command that is not in the log")
            return None
        if entry.name == "Transitions" and entry.datum["seq"] == 0:
            if command.is_refused or command.kind == "StartTask":
                self.refused.append(entry)
        elif command.is_refused:
            self._add("I12", command.record.offset, "a record that had to be refused was decided")
        return command

    def finish(
        self, history: History, table: Table, tasks: Tasks, committed: int | None, *, settled: bool
    ) -> None:
        """Every record is folded: settle the accounts. `committed`: where the consumer group stands."""
        saved = table.checkpoints[-1] if table.checkpoints else None
        for checkpoint in table.checkpoints:
            self._enter(checkpoint.datum["ignored"], self._saved)
        last = history.commands[-1] if history.commands else -1
        for each in saved.datum["ignored"] if saved else ():
            for offset in range(max(each["first"], last + 1), each["last"] + 1):
                self._check_ignored(offset, tasks)
        self._check_overlaps(history)
        reached = max(last + 1, saved.next_command if saved else 0)
        recorded, kept = _Ranges(self._ignored), _Ranges(self._saved)
        for record in self._commands.records:
            offset = record.offset
            if offset in self._accepted:
                continue
            if offset in recorded or (offset > last and offset in kept):
                self._findings.count("commands_ignored")
            elif offset in kept:
                self._add("I12", offset, "ignored as checkpoints say, but no record lists it")
            elif offset < reached:
                self._add("I12", offset, "neither decided nor ignored, but the partition has gone on")
            elif committed is not None and offset < committed:
                text = f"neither decided nor ignored, but the group has committed {committed}"
                self._add("I12", offset, text)
            elif settled:
                self._add("I12", offset, "neither decided nor ignored in a system that has settled")
        if saved is not None and committed is not None and committed > saved.next_command:
            text = f"the group has committed {committed}, the table ends before {saved.next_command}"
            self._add("I12", None, text)

    def check_repeats(self, history: History, *, rules_changed: bool) -> None:
        """Records that readers skip repeat the accepted decision byte by byte, unless the rules have changed."""
        end = history.commands[-1] if history.commands else -1
        for entry in history.skipped:
            accepted = self._accepted.get(entry.command_offset)
            if accepted is None and entry.command_offset > end:
                self._findings.count("transitions_late")
            elif accepted is not None and _same(accepted, entry.record):
                self._findings.count("transitions_repeated")
            else:
                self._findings.count("transitions_differing")
                if not rules_changed:
                    text = f"owner {entry.owner} decided command {entry.command_offset} otherwise than is recorded"
                    where = place_of(history.topic, history.number, entry.record.offset, entry.record.key)
                    self._findings.add("I15", where, text)

    # ------------------------------------------------------------------------------------------ ignored

    def _enter(
        self, ranges: Iterable[Datum], known: list[tuple[int, int]], before: int | None = None
    ) -> None:
        for each in ranges:
            first, last = each["first"], each["last"]
            if first > last or (before is not None and last >= before):
                self._add("I12", first, f"{first} to {last} cannot be ignored commands before {before}")
            else:
                known.append((first, last))

    def _check_ignored(self, offset: int, tasks: Tasks) -> None:
        command = self._commands.at(offset)
        if command is None or may_be_ignored(command, tasks.lives.get(command.task_id)):
            return
        what = command.kind or "record that must be refused"
        self._add("I12", offset, f"a {what} was ignored that had an effect to have", command.task_id)

    def _check_overlaps(self, history: History) -> None:
        for first, last in {*self._ignored, *self._saved}:
            low, high = bisect_left(history.commands, first), bisect_right(history.commands, last)
            for offset in history.commands[low:high]:
                self._add("I12", offset, "both decided and listed as ignored")

    def _add(self, invariant: str, offset: int | None, text: str, task_id: bytes | None = None) -> None:
        place = place_of(self._commands.topic, self._commands.number, offset, task_id)
        self._findings.add(invariant, place, text)


def _same(one: RawRecord, other: RawRecord) -> bool:
    return (one.key, one.value) == (other.key, other.value)


class _Ranges:
    """Whether an offset lies in one of some inclusive ranges."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(last, self._lasts[-1])
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, offset: int) -> bool:
        place = bisect_right(self._firsts, offset) - 1
        return place >= 0 and offset <= self._lasts[place]

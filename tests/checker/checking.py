"""The whole verdict: partition by partition, then what ties them together.

A partition is walked once: accepted transitions in order, beside them the commands they decide and the checkpoints
that save them. Only folded states, grants and ids are kept, so memory is that of the raw log and about as much again.
"""

from __future__ import annotations

from typing import Final

from .accounts import Accounts
from .attempts import Attempts
from .commands import Commands
from .deliveries import check_deliveries
from .edges import CLOSED_TASK, WAITING_TASK
from .fold import Life
from .history import History
from .ledger import Ledger
from .outputs import Attempt, Dispatches, Rejections, check_repeats
from .raw import RawLog, RawPartition
from .report import Findings, Report, place_of
from .requests import Requests
from .starts import check_starts, check_worker_commits
from .tables import Table
from .tasks import Tasks
from .wire import Datum, Wire, WireError, plan_of

__all__ = ["RULES_CHANGED", "check"]

RULES_CHANGED: Final = "rules_changed"
"""A fault of this name in the ledger: the run changed the decider's rules, so decisions that were never recorded may
have been sent out (the honest limit). They are counted instead of reported."""

OVERDUE_MS: Final = 15_000
"""A timer that is due for longer at the end of a settled log was forgotten; an owner repeats one after 5 s."""


def check(raw: RawLog, ledger: Ledger, *, settled: bool) -> Report:
    """Every violation in this log, and figures.

    settled: faults have stopped, everything that could move has moved, and the last checkpoints are written; then
    nothing may be stuck, undecided or unsaved. Otherwise only what is already wrong counts.
    """
    return _Check(raw, ledger, settled=settled).run()


class _Check:
    def __init__(self, raw: RawLog, ledger: Ledger, *, settled: bool) -> None:
        self.raw, self.ledger, self.settled = raw, ledger, settled
        self.rules_changed = any(each.fault == RULES_CHANGED for each in ledger.faults)
        self.findings = Findings()
        self.wire = Wire()
        self.plans: dict[bytes, Datum] = {}
        self.answered: set[Attempt] = set()
        self.commands_whole = True

    def run(self) -> Report:
        self._count_records()
        self._learn()
        rejections = Rejections(self.raw, self.wire, self.findings)
        changed = self.rules_changed
        dispatches = Dispatches(self.raw, self.wire, self.findings, rules_changed=changed)
        attempts = Attempts(dispatches, self.findings)
        requests = Requests(self.raw, self.wire, rejections, self.findings)
        numbers = sorted({*self.raw.of("transitions"), *self.raw.of("commands"), *self.raw.of("task-state")})
        for number in numbers:
            self._partition(number, len(numbers), attempts, rejections, requests)
        attempts.check(settled=self.settled)
        check_repeats(self.raw, self.wire, self.findings, rules_changed=changed)
        read = self._committed("task-requests")
        requests.check_accounts(read, settled=self.settled)
        requests.check_acked(self.ledger, read, settled=self.settled)
        check_starts(
            self.ledger, dispatches, attempts, self.findings, settled=self.settled, rules_changed=changed
        )
        if self.commands_whole:
            check_worker_commits(self.raw, self.wire, self.answered, self.findings)
        check_deliveries(self.raw, self.wire, self.ledger, self.findings, settled=self.settled)
        self.findings.count("faults", len(self.ledger.faults))
        return self.findings.report()

    # --------------------------------------------------------------------------------------------- before

    def _count_records(self) -> None:
        for each in self.raw.all():
            name = each.topic.removeprefix(f"{self.raw.prefix}.").removesuffix(".v1")
            self.findings.count(f"records_{name}", sum(record.committed for record in each.records))
            places = [record.offset for record in each.records]
            if places != sorted(set(places)):
                self.findings.add("raw", place_of(each.topic, each.partition), "offsets that do not rise")

    def _learn(self) -> None:
        """Schemas of other releases, and the published plans."""
        for partition in self.raw.of("schemas").values():
            for record in partition.records:
                self.wire.learn((record.value or b"").decode(errors="replace"))
        for partition in self.raw.of("templates").values():
            for record in partition.records:
                if not record.committed or record.value is None:
                    continue
                where = place_of(partition.topic, partition.partition, record.offset)
                try:
                    name, datum = self.wire.decode(record.value)
                    if name == "PublishedTemplate":
                        self.plans |= [plan_of(datum)]
                except WireError as error:
                    self.findings.add("raw", where, f"a template cannot be read: {error}")

    # ---------------------------------------------------------------------------------------- a partition

    def _partition(
        self, number: int, count: int, attempts: Attempts, rejections: Rejections, requests: Requests
    ) -> None:
        transitions = self._raw_partition("transitions", number)
        commands = Commands(self._raw_partition("commands", number), count, self.wire)
        history = History(transitions, self.wire, self.findings)
        tasks = Tasks(number, count, self.plans, attempts, self.findings)
        table = Table(self._raw_partition("task-state", number), count, self.wire, self.findings)
        accounts = Accounts(commands, self.findings)
        self._answers(commands)
        for entry in history.accepted():
            table.reach(entry.command_offset, tasks)
            command = accounts.take(entry, tasks)
            tasks.take(entry, command, transitions.topic)
        table.finish(history, tasks, settled=self.settled)
        committed = self._committed("commands").get(number)
        accounts.finish(history, table, tasks, committed, settled=self.settled)
        accounts.check_repeats(history, rules_changed=self.rules_changed)
        rejections.check(accounts.refused, commands.topic, number)
        requests.take_commands(commands)
        requests.take_created(tasks.created)
        self._rest(tasks, transitions)

    def _raw_partition(self, name: str, number: int) -> RawPartition:
        return self.raw.of(name).get(number) or RawPartition(self.raw.topic(name), number)

    def _committed(self, name: str) -> dict[int, int]:
        return self.raw.groups.get(f"{self.raw.prefix}-engine", {}).get(self.raw.topic(name), {})

    def _answers(self, commands: Commands) -> None:
        self.commands_whole = self.commands_whole and commands.start == 0
        for command in commands:
            if command.kind in {"StepResult", "StepStarted"}:
                body = command.body
                self.answered.add((command.task_id, body["life"], body["step"], body["attempt"]))

    def _rest(self, tasks: Tasks, transitions: RawPartition) -> None:
        """I2: where the tasks have come to rest."""
        newest = max((each.timestamp for each in transitions.records), default=0)
        for task_id, life in tasks.lives.items():
            if life.is_stub or life.state in CLOSED_TASK:
                self.findings.count("tasks_error", not life.is_stub)
                continue
            self.findings.count("tasks_open")
            if self.settled and (why := _stuck(life, newest)) is not None:
                self.findings.add(
                    "I2", place_of(transitions.topic, transitions.partition, None, task_id), why
                )


def _stuck(life: Life, newest: int) -> str | None:
    """Why an open task neither moves nor visibly waits; None when it waits."""
    due, state = life.value["next_due"], life.state
    if due is not None and due < newest - OVERDUE_MS:
        return f"{state}, and its timer was due {newest - due} ms before the end of the log"
    if state == "blocked_by_failures" or (state in WAITING_TASK and due is not None):
        return None
    if state == "pending" and life.value["not_before"] is not None and due is not None:
        return None
    if state == "waiting_for_dependencies":
        return None
    return f"it rests in {state}, where nobody is to be waited for"

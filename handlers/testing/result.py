"""What became of a task, as a test asks for it: states, attempts, results, and the whole story in one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasker_kafka.schemas.records import AttemptEnded, AttemptTaken, Failure, TaskClosed, Transition
from tasker_kafka.schemas.words import Outcome, StepStatus, TaskStatus

__all__ = ["StepAttempt", "StepRun", "TaskResult"]


@dataclass(frozen=True, slots=True)
class StepAttempt:
    """One attempt that has ended. Times are broker times in ms."""

    number: int
    """First is 1; never repeats in the life of a step."""
    outcome: Outcome
    failure: Failure | None
    worker_id: str
    started_at: int | None
    finished_at: int | None
    next_retry_at: int | None
    """When the next attempt was due, if the step waited for one."""
    is_counted: bool
    """False: it burned no budget (worker lost, given back, handler unknown)."""
    is_late: bool
    metadata: Any
    """What `success(…, metadata)` or `failure(…, metadata)` said."""

    def __str__(self) -> str:
        if self.failure is None:
            what = f"{self.outcome}"
        else:
            message = self.failure.message.strip().splitlines()
            what = f"{self.failure.code}: {message[0]}" if message else self.failure.code
        notes = [
            note for note, said in (("late", self.is_late), ("not counted", not self.is_counted)) if said
        ]
        return f"#{self.number} {what}" + (f" ({', '.join(notes)})" if notes else "")


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step of the task."""

    name: str
    state: StepStatus
    attempts: tuple[StepAttempt, ...]
    """Those that have ended, in order."""
    result: Any
    """Decoded; None when the step has none."""
    states: tuple[StepStatus, ...]
    """Every state it passed through, in order."""

    @property
    def failure(self) -> Failure | None:
        """Why the last attempt failed; None when it did not."""
        return self.attempts[-1].failure if self.attempts else None


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A task as the transitions tell it."""

    task_id: str
    template: str
    """`namespace/name@version`; empty before the task is created."""
    state: TaskStatus | None
    """None: not accepted yet."""
    output: Any
    """The task's own output; None unless it is complete."""
    steps: Mapping[str, StepRun]
    """In the template's order."""
    transitions: tuple[Transition, ...]
    """Every edge taken in this life of the task, in order."""
    correlation_id: str = ""
    reason: str = ""
    tags: tuple[str, ...] = ()
    closed: TaskClosed | None = field(default=None, repr=False)

    @property
    def errors(self) -> dict[str, Failure]:
        """Step in error → its last failure."""
        return {
            name: step.failure
            for name, step in self.steps.items()
            if step.state is StepStatus.ERROR and step.failure is not None
        }

    @property
    def states(self) -> tuple[TaskStatus, ...]:
        """Every state the task passed through, in order."""
        return tuple(TaskStatus(each.to_state) for each in self.transitions if each.step is None)

    @property
    def finished_steps(self) -> tuple[str, ...]:
        """Steps in the order in which they became complete."""
        done = [
            each.step
            for each in self.transitions
            if each.step and each.to_state is StepStatus.COMPLETE and each.from_state != each.to_state
        ]
        return tuple(done)

    def assert_state(self, state: TaskStatus | str) -> TaskResult:
        """Itself, if the task is in this state; else AssertionError with the whole story."""
        if self.state != state:
            raise AssertionError(f"the task is {self.state or 'not accepted'}, not {state}\n{self.story()}")
        return self

    def assert_complete(self) -> TaskResult:
        """Itself, if the task is complete; else AssertionError with the whole story."""
        return self.assert_state(TaskStatus.COMPLETE)

    def story(self) -> str:
        """Where the task and its steps stand and why, for people."""
        lines = [f"task {self.task_id} {self.template}: {self.state or 'not accepted yet'}"]
        if self.closed is not None:
            lines.append(f"  {self.closed.error_code}: {self.closed.error_message}")
        width = max(map(len, self.steps), default=0)
        for name, step in self.steps.items():
            attempts = "; ".join(map(str, step.attempts))
            lines.append(f"  {name:<{width}}  {step.state:<17} {attempts}".rstrip())
            if step.state is StepStatus.ERROR and step.failure is not None:
                lines += [f"    | {line}" for line in step.failure.traceback.strip().splitlines()[-6:]]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.story()


def attempts_of(transitions: Sequence[Transition], decoded: Mapping[int, Any]) -> tuple[StepAttempt, ...]:
    """The ended attempts of one step's transitions; `decoded`: metadata by the attempt's number."""
    taken = {each.data.attempt: each.data for each in transitions if isinstance(each.data, AttemptTaken)}
    found: dict[int, StepAttempt] = {}
    for each in transitions:
        data = each.data
        if not isinstance(data, AttemptEnded):
            continue
        begun = taken.get(data.attempt)
        found[data.attempt] = StepAttempt(
            number=data.attempt,
            outcome=data.outcome,
            failure=data.failure,
            worker_id=data.worker_id or (begun.worker_id if begun is not None else ""),
            started_at=data.started_at or (begun.started_at if begun is not None else None),
            finished_at=data.finished_at,
            next_retry_at=data.next_retry_at,
            is_counted=data.counted,
            is_late=data.late,
            metadata=decoded.get(data.attempt),
        )
    return tuple(found.values())

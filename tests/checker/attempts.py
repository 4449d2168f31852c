"""Attempts across all partitions: what was granted and when, and which results were taken (I5, I6, I7)."""

from __future__ import annotations

from collections import Counter
from typing import Final

from .commands import Command
from .edges import CLOSED_TASK, DONE_STEP
from .fold import Life
from .outputs import Attempt, Dispatches, name_of
from .report import Findings, Place
from .wire import Datum

__all__ = ["Attempts"]

_ENDS: Final = frozenset({"completed", "failed", "retry_backoff_started", "timed_out", "returned", "lost"})
_COUNTED_ENDS: Final = frozenset({"retry_backoff_started", "timed_out"})


class Attempts:
    """Judges grants and ends as they are folded, and remembers the grants."""

    def __init__(self, dispatches: Dispatches, findings: Findings) -> None:
        self._dispatches = dispatches
        self._findings = findings
        self.granted: dict[Attempt, None] = {}
        self.redispatched: Counter[tuple[bytes, int, str]] = Counter()
        self._answers: dict[tuple[bytes, int], dict[tuple[str, int], str]] = {}

    def judge(self, life: Life, transition: Datum, command: Command | None, place: Place) -> None:
        """One step's transition, before it is folded."""
        step = life.step(transition["step"])
        if step is None:
            self._findings.add("I4", place, f"the plan has no step {transition['step']}")
        elif transition["event"] == "enqueue_requested":
            self._grant(life, step, transition["data"], place)
            self._check_dispatch(life, step, transition, place)
        elif transition["event"] == "redispatched":
            self.redispatched[life.value["task_id"], life.value["life"], step["name"]] += 1
        elif transition["event"] in _ENDS:
            self._end(life, step, transition, command, place)

    def forget(self, life: Life) -> None:
        """The task is final: its results need not be known any more."""
        self._answers.pop((life.value["task_id"], life.value["life"]), None)

    # ------------------------------------------------------------------------------------------ grants

    def _grant(self, life: Life, step: Datum, data: Datum, place: Place) -> None:
        name, attempt = step["name"], data["attempt"]
        self._findings.count("attempts")
        self._findings.peak("max_attempt", attempt)
        self.granted[life.value["task_id"], life.value["life"], name, attempt] = None
        if attempt != step["attempt"] + 1:
            self._findings.add(
                "I6", place, f"step {name}: attempt {attempt} follows attempt {step['attempt']}"
            )
        if data["base"] != step["base"]:
            text = f"step {name}: {data['base']} attempts do not count, by the log {step['base']}"
            self._findings.add("I6", place, text)
        limit = limit_of(life, step)
        if attempt - step["base"] > limit:
            text = (
                f"step {name}: attempt {attempt} is number {attempt - step['base']} of {limit} in its budget"
            )
            self._findings.add("I6", place, text)
        if life.state in CLOSED_TASK:
            self._findings.add("I5", place, f"step {name} is granted in a task that is {life.state}")
        for parent in life.planned(name)["parents"]:
            above = life.step(parent)
            if above is not None and above["state"] not in DONE_STEP:
                self._findings.add(
                    "I5", place, f"step {name} is granted, its parent {parent} is {above['state']}"
                )
        most = life.plan["max_parallel_steps"]
        running = life.value["enqueued"] + life.value["in_progress"]
        if most is not None and running >= most:
            self._findings.add(
                "I5", place, f"step {name} is granted beside {running} others, the plan allows {most}"
            )

    def _check_dispatch(self, life: Life, step: Datum, transition: Datum, place: Place) -> None:
        """What was sent for this grant: everything in it follows from the fold and the plan."""
        value, planned, data = life.value, life.planned(step["name"]), transition["data"]
        parents = [life.step(name) for name in planned["parents"]]
        timeout = planned["queue_timeout_ms"]
        is_last = data["attempt"] - data["base"] >= limit_of(life, step) or not planned["retry"]["retryable"]
        expected = {
            "task_id": value["task_id"],
            "life": value["life"],
            "step": step["name"],
            "attempt": data["attempt"],
            "last_attempt": is_last,
            "plan_hash": value["plan_hash"],
            "handler": planned["handler"],
            "context": value["context"],
            "inputs": [{"step": each["name"], "value": each["result"]} for each in parents if each],
            "dispatched_at": transition["at"],
            "queue_deadline": None if timeout is None else transition["at"] + timeout,
            "correlation_id": value["correlation_id"],
            "traceparent": value["traceparent"],
        }
        attempt = value["task_id"], value["life"], step["name"], data["attempt"]
        self._dispatches.compare(attempt, expected, place)

    def check(self, *, settled: bool) -> None:
        """Everything is folded: grants and dispatches are the same attempts."""
        self._dispatches.check(self.granted, self.redispatched, settled=settled)
        if not settled or not self._dispatches.is_whole:
            return
        for attempt in self.granted:
            if attempt not in self._dispatches.sent:
                self._findings.add("I5", name_of(attempt), "the attempt was granted and never dispatched")

    # -------------------------------------------------------------------------------------------- ends

    def _end(self, life: Life, step: Datum, transition: Datum, command: Command | None, place: Place) -> None:
        data, name = transition["data"], step["name"]
        if data["attempt"] != step["attempt"]:
            text = f"step {name}: attempt {data['attempt']} ends, granted is {step['attempt']}"
            self._findings.add("I7", place, text)
        if transition["event"] in _COUNTED_ENDS and data["counted"] and transition["to_state"] != "error":
            self._retried(life, step, data, place)
        if transition["cause"] != "result":
            return
        answers = self._answers.setdefault((life.value["task_id"], life.value["life"]), {})
        before = answers.get((name, data["attempt"]))
        is_late = data["late"] and data["outcome"] == "success" and before == "timeout"
        if before is not None and not is_late:
            self._findings.add("I7", place, f"step {name}: a second result of attempt {data['attempt']}")
        failure = data["failure"]
        answers[name, data["attempt"]] = data["outcome"] if failure is None else failure["code"]
        self._findings.count("results_accepted")
        if command is not None:
            self._sent(name, data, command, place)

    def _sent(self, name: str, data: Datum, command: Command, place: Place) -> None:
        """What is accepted was sent."""
        body = command.body
        same = command.kind == "StepResult" and (name, data["attempt"], data["outcome"], data["result"]) == (
            body["step"],
            body["attempt"],
            body["outcome"],
            body["result"],
        )
        if not same:
            text = f"step {name}: the result of attempt {data['attempt']} is not what the command says"
            self._findings.add("I7", place, text)

    def _retried(self, life: Life, step: Datum, data: Datum, place: Place) -> None:
        retry, failure = life.planned(step["name"])["retry"], data["failure"]
        allowed = retry["retryable"] and step["attempt"] - step["base"] < limit_of(life, step)
        if failure is not None:
            allowed = allowed and failure["retryable"] and failure["code"] not in retry["non_retryable"]
        if not allowed:
            text = f"step {step['name']}: attempt {step['attempt']} is retried though its plan or failure forbids it"
            self._findings.add("I6", place, text)


def limit_of(life: Life, step: Datum) -> int:
    """How many attempts of a step count."""
    own = step["max_attempts"]
    limit: int = life.planned(step["name"])["retry"]["max_attempts"] if own is None else own
    return max(1, limit)

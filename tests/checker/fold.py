"""A second fold: accepted records of one task to the state that the table must hold, on plain dictionaries.

`TaskState` and `Stub` are kept in the shape in which they are encoded. Nothing is decided here: what a record says is
applied, also where it is illegal (others report that), as readers must do.
"""

from __future__ import annotations

from typing import Final

from .edges import CLOSED_TASK, DONE_STEP, FINAL_TASK, WAITING_TASK
from .wire import Datum

__all__ = ["Life", "retire_at"]

_COUNTS: Final = {
    "pending": "pending",
    "enqueued": "enqueued",
    "in_progress": "in_progress",
    "waiting_for_retry": "waiting_for_retry",
    "complete": "complete",
    "error": "failed",
    "cancelled": "cancelled",
    "resolved_manually": "resolved",
}
_REMEMBERED: Final = 32
_NO_ORDER: Final = frozenset({"repeated", "duplicate"})
"""Answers to what is no new operator's command: the same again, or a StartTask of a task that exists."""
_HOUR_MS: Final = 3_600_000
_FAILURE_BYTES: Final = 256


class Life:
    """One life of one task. `value` is what the table holds: a TaskState, or a Stub once `is_stub`."""

    __slots__ = ("_children", "_index", "is_stub", "plan", "value")

    value: Datum

    def __init__(self, task_id: bytes, record: Datum, plan: Datum) -> None:
        self.plan = plan
        self.is_stub = False
        self._index = {step["name"]: place for place, step in enumerate(plan["steps"])}
        self._children: list[list[Datum]] = [[] for _ in plan["steps"]]
        self.value = _created(task_id, record["life"], record["transitions"][0], plan)
        for place, step in enumerate(plan["steps"]):
            for parent in step["parents"]:
                self._children[self._index[parent]].append(self.value["steps"][place])

    @property
    def state(self) -> str:
        """Where the task rests."""
        found: str = self.value["outcome" if self.is_stub else "state"]
        return found

    @property
    def name(self) -> str:
        """Name of the Avro record."""
        return "Stub" if self.is_stub else "TaskState"

    def step(self, name: str) -> Datum | None:
        """A step's state; None when the plan has none of that name, or the task is a stub."""
        place = self._index.get(name)
        return None if place is None or self.is_stub else self.value["steps"][place]

    def planned(self, name: str) -> Datum:
        """A step as the plan has it."""
        found: Datum = self.plan["steps"][self._index[name]]
        return found

    def begin(self, record: Datum) -> None:
        """What a record says of itself, before its transitions."""
        self.value["seq"] = record["seq"]
        self.value["now"] = max(self.value["now"], record["at"])
        answer = record["answer"]
        if answer is not None and answer["code"] not in _NO_ORDER:
            ids = [*self.value["command_ids"], answer["command_id"]]
            self.value["command_ids"] = ids[-_REMEMBERED:]

    def take(self, transition: Datum) -> None:
        """Apply one transition."""
        if transition["step"] is None:
            self._task(transition)
        elif (step := self.step(transition["step"])) is not None:
            self._step(step, transition)

    def finish(self) -> None:
        """After the last transition of a record: what is derived, and the stub of a final task."""
        value = self.value
        if value["state"] in FINAL_TASK:
            self.shrink(value["closed_at"])
            return
        value["ready"] = [
            place
            for place, step in enumerate(value["steps"])
            if step["state"] == "pending" and step["pending_parents"] == 0
        ]
        value["next_due"] = next_due(value, self.plan)

    def shrink(self, kept_from: int) -> None:
        """Become a stub, which is kept for the plan's retention from then on."""
        value = self.value
        self.value = {
            "task_id": value["task_id"],
            "request_id": value["request_id"],
            "life": value["life"],
            "outcome": value["state"],
            "created_at": value["created_at"],
            "closed_at": value["closed_at"],
            "forget_at": kept_from + self._keep_hours() * _HOUR_MS,
            "plan_hash": value["plan_hash"],
        }
        self.is_stub = True
        self._children = []

    def _keep_hours(self) -> int:
        hours: int = self.plan["lifecycle"]["retention_hours"]
        return max(1, hours)

    # -------------------------------------------------------------------------------------------- task

    def _task(self, transition: Datum) -> None:
        value, event, at, data = self.value, transition["event"], transition["at"], transition["data"]
        if event == "initialize_requested":
            return
        if event == "changed":
            if data["text"] is not None:
                value["reason"] = data["text"]
            if data["tags"] is not None:
                value["tags"] = data["tags"]
            return
        if event == "stale_reported":
            value["stale_reported"] = True
            return
        value["state"] = transition["to_state"]
        value["state_since"] = at
        value["stale_reported"] = False
        if event in {"start_requested", "resumed"}:
            value["deadline_from"] = at
            if value["started_at"] is None:
                value["started_at"] = at
        if value["state"] in CLOSED_TASK:
            value["closed_at"] = at
            value["error_code"] = data.get("error_code") if data is not None else None
        else:
            value["closed_at"] = value["error_code"] = None
        if event == "blocked":
            value["error_code"] = "step_failed" if value["failed"] else "step_cancelled"

    # ------------------------------------------------------------------------------------------- steps

    def _step(self, step: Datum, transition: Datum) -> None:
        event, at = transition["event"], transition["at"]
        data = transition["data"] or {}
        if event in {"initialize_requested", "redispatched"}:
            return
        if event == "changed":
            step["max_attempts"] = data["max_attempts"]
            return
        self._move(step, transition["to_state"])
        step["reported"] = False
        if event == "enqueue_requested":
            step.update(attempt=data["attempt"], base=data["base"], dispatched_at=at)
            step.update(next_retry_at=None, requested_delay_ms=None)
            step.update(started_at=None, reported=False, answered=False, worker_id=None)
        elif event == "execution_requested":
            step.update(started_at=data["started_at"], worker_id=data["worker_id"])
            step["reported"] = transition["cause"] == "started"
        elif event in {"completed", "bypassed", "resolved_manually", "completed_manually"}:
            self._done(step, transition, data)
        elif event in {"retry_backoff_started", "failed", "timed_out", "returned", "lost"}:
            _ended(step, transition, data)
        elif event == "retry_requested":
            _again(step, data)
        elif event == "cancelled":
            step["marked"] = transition["cause"] == "fail_fast"
            step["next_retry_at"] = None
            step["answered"] = True

    def _move(self, step: Datum, to: str) -> None:
        before = step["state"]
        self.value[_COUNTS[before]] -= 1
        self.value[_COUNTS[to]] += 1
        step["state"] = to
        done = (to in DONE_STEP) - (before in DONE_STEP)
        if done:
            for child in self._children[self._index[step["name"]]]:
                child["pending_parents"] -= done

    def _done(self, step: Datum, transition: Datum, data: Datum) -> None:
        step.update(
            completed_at=data.get("finished_at") or transition["at"],
            next_retry_at=None,
            result=data.get("result"),
        )
        if transition["event"] == "completed":
            step.update(worker_id=data["worker_id"], started_at=data["started_at"])
        step["marked"] = False
        step["answered"] = transition["event"] != "bypassed"


def _ended(step: Datum, transition: Datum, data: Datum) -> None:
    """An attempt ended without success."""
    event, at = transition["event"], transition["at"]
    step["next_retry_at"] = data["next_retry_at"]
    if data["worker_id"]:
        step["worker_id"] = data["worker_id"]
    if data["failure"] is not None:
        step["failure"] = _kept(data["failure"])
        step["failed_at"] = data["finished_at"] or at
        step["requested_delay_ms"] = data["failure"]["retry_after_ms"]
    if not data["counted"]:
        step["base"] += 1
    if event == "lost" and data["outcome"] != "given_back":
        step["losses"] += 1
    timed_out = data["failure"] is not None and data["failure"]["code"] == "timeout"
    step["answered"] = transition["cause"] == "result" and not timed_out


def _kept(failure: Datum) -> Datum:
    """What a state keeps of a failure: type and code, together within the limit."""
    code = _cut(failure["code"], _FAILURE_BYTES)
    room = _FAILURE_BYTES - len(code.encode())
    return {
        "type": _cut(failure["type"], room),
        "code": code,
        "message": "",
        "traceback": "",
        "retryable": failure["retryable"],
        "retry_after_ms": None,
    }


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _again(step: Datum, data: Datum) -> None:
    """Back to pending: its time has come, or an operator says so."""
    step["next_retry_at"] = None
    step["marked"] = False
    if data.get("base") is not None:
        step.update(base=data["base"], losses=0)


def _created(task_id: bytes, life: int, transition: Datum, plan: Datum) -> Datum:
    data, at = transition["data"], transition["at"]
    same = (
        "plan_hash namespace name version request_id request context identity initiator source_system reason tags"
        " correlation_id idempotency_key requested_at not_before traceparent"
    )
    return {
        **{field: data[field] for field in same.split()},
        **dict.fromkeys(_COUNTS.values(), 0),
        "task_id": task_id,
        "life": life,
        "seq": 0,
        "state": "pending",
        "created_at": data["request"]["timestamp"],
        "now": at,
        "next_due": None,
        "closed_at": None,
        "total": len(plan["steps"]),
        "pending": len(plan["steps"]),
        "steps": [_new_step(step) for step in plan["steps"]],
        "ready": [],
        "started_at": None,
        "deadline_from": None,
        "state_since": at,
        "stale_reported": False,
        "error_code": None,
        "command_ids": [],
    }


def _new_step(planned: Datum) -> Datum:
    return {
        "name": planned["name"],
        "state": "pending",
        "pending_parents": len(planned["parents"]),
        "attempt": 0,
        "base": 0,
        "max_attempts": None,
        "losses": 0,
        "dispatched_at": None,
        "started_at": None,
        "reported": False,
        "next_retry_at": None,
        "requested_delay_ms": None,
        "failed_at": None,
        "failure": None,
        "completed_at": None,
        "result": None,
        "marked": False,
        "worker_id": None,
        "answered": False,
    }


def retire_at(state: Datum, plan: Datum) -> int | None:
    """When a task in `error` shrinks to a stub; None for others."""
    if state["state"] != "error":
        return None
    hours: int = plan["lifecycle"]["failed_retention_hours"]
    closed: int = state["closed_at"]
    return closed + hours * _HOUR_MS


def next_due(state: Datum, plan: Datum) -> int | None:
    """When the next timer of the task is due; None: none."""
    if state["state"] in CLOSED_TASK:
        return None
    times = list(_task_timers(state, plan["lifecycle"]))
    for step, planned in zip(state["steps"], plan["steps"], strict=True):
        if step["state"] == "waiting_for_retry" and step["next_retry_at"] is not None:
            times.append(step["next_retry_at"])
        elif step["state"] == "enqueued" and planned["queue_timeout_ms"] is not None:
            times.append(step["dispatched_at"] + planned["queue_timeout_ms"])
        elif step["state"] == "in_progress" and step["reported"]:
            allowed = min(planned["timeout_ms"], planned["heartbeat_timeout_ms"])
            times.append(step["started_at"] + allowed)
    return min(times, default=None)


def _task_timers(state: Datum, lifecycle: Datum) -> list[int]:
    times = []
    if state["state"] == "pending" and state["not_before"] is not None:
        times.append(state["not_before"])
    if state["deadline_from"] is not None and lifecycle["max_duration_ms"] is not None:
        times.append(state["deadline_from"] + lifecycle["max_duration_ms"])
    is_watched = lifecycle["stale_after_ms"] is not None and lifecycle["staleness_action"] != "none"
    if is_watched and state["state"] in WAITING_TASK and not state["stale_reported"]:
        times.append(state["state_since"] + lifecycle["stale_after_ms"])
    return times

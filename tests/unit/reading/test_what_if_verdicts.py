"""`what-if`: the right tasks differ under a changed plan, in the right way, and nothing is made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from tasker_kafka.deploy.reading.what_if import context_fault
from tasker_kafka.deploy.reading.what_if_attempts import Assume
from tasker_kafka.deploy.reading.what_if_notes import unknowns
from tasker_kafka.deploy.reading.what_if_recorded import RecordedLife, read_life
from tasker_kafka.deploy.reading.what_if_replay import Replay
from tasker_kafka.deploy.reading.what_if_verdict import TaskVerdict, judge
from tasker_kafka.schemas.plan import Lifecycle, Plan, PlanStep, RetryPolicy
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tests.support.recording import Recording
from tests.support.tasks import CHAIN, DIAMOND, TASK_ID, Rig, plan_of

Change = Callable[[Plan], Plan]


def would(rig: Rig, change: Change, *, assume: Assume = Assume.SUCCESS, later: int = 10**9) -> TaskVerdict:
    """The verdict about the rig's task under its changed plan; the unchanged one must give no difference."""
    life = read_life(TASK_ID, [each for each in rig.records if each.seq], rig.plan)
    same = judge(life, rig.plan, assume=assume, until=rig.now)
    assert not same.is_other, same
    assert not same.assumed
    return judge(life, change(rig.plan), assume=assume, until=rig.now + later)


def of_step(name: str, **fields: Any) -> Change:
    """Change one step; the fields of its retry policy are given as such."""
    retry = {key: fields.pop(key) for key in list(fields) if key in RetryPolicy.__struct_fields__}

    def change(plan: Plan) -> Plan:
        steps = tuple(
            replace(each, retry=replace(each.retry, **retry), **fields) if each.name == name else each
            for each in plan.steps
        )
        return replace(plan, steps=steps)

    return change


def of_plan(**fields: Any) -> Change:
    return lambda plan: replace(plan, **fields)


def kinds(verdict: TaskVerdict) -> dict[str, tuple[str, ...]]:
    return {each.step: each.kinds for each in verdict.steps}


def chain(**options: Any) -> Rig:
    rig = Rig(plan_of(CHAIN, **options))
    rig.start()
    return rig


def fails_twice() -> Rig:
    """a → b → c; b fails twice, then all is done."""
    rig = chain()
    rig.succeed("a")
    for _ in range(2):
        rig.fail("b")
        rig.fire()
    rig.succeed("b", "c")
    assert rig.status() is TaskStatus.COMPLETE
    return rig


class TestAttempts:
    def test_fewer_are_not_enough(self) -> None:
        found = would(fails_twice(), of_step("b", max_attempts=2))
        assert (found.recorded_state, found.would_state) == ("complete", "error")
        assert kinds(found) == {"b": ("fewer_attempts", "other_state"), "c": ("not_run", "other_state")}
        assert not found.assumed

    def test_more_change_nothing_for_who_did_not_need_them(self) -> None:
        assert not would(fails_twice(), of_step("b", max_attempts=9)).is_other

    def test_more_are_assumed_for_who_would_have_had_them(self) -> None:
        rig = chain()
        rig.succeed("a")
        for _ in range(3):
            rig.fail("b")
            if rig.next_due() is not None:
                rig.fire()
        assert rig.status() is TaskStatus.ERROR
        found = would(rig, of_step("b", max_attempts=4))
        assert (found.recorded_state, found.would_state) == ("error", "complete")
        assert found.assumed == ("b#4", "c#1")
        assert kinds(found)["b"] == ("more_attempts", "other_state")
        assert kinds(found)["c"] == ("run", "other_state")
        other = would(rig, of_step("b", max_attempts=4), assume=Assume.FAILURE)
        assert (other.would_state, other.assumed) == ("error", ("b#4",))
        assert kinds(other) == {"b": ("more_attempts",)}

    def test_a_code_that_is_not_retried_any_more(self) -> None:
        found = would(fails_twice(), of_step("b", non_retryable=("boom",)))
        assert (found.would_state, kinds(found)["b"]) == ("error", ("fewer_attempts", "other_state"))
        assert not would(fails_twice(), of_step("b", non_retryable=("other",))).is_other

    def test_another_backoff_is_another_duration_only(self) -> None:
        rig = fails_twice()
        found = would(rig, of_step("b", backoff="none"))
        assert (found.would_state, kinds(found)) == ("complete", {})
        assert (found.recorded_duration_ms, found.would_duration_ms) == (9400, 5000)
        longer = would(rig, of_step("b", backoff_base_ms=3_600_000, max_backoff_ms=3_600_000), later=5000)
        assert (longer.would_state, longer.would_duration_ms) == ("waiting_for_retry", None)


class TestShape:
    def test_a_dependency_less_starts_earlier(self) -> None:
        rig = fails_twice()
        found = would(rig, of_step("c", parents=()))
        assert kinds(found) == {"c": ("other_order",)}
        (step,) = found.steps
        assert step.recorded is not None
        assert step.would is not None
        assert (step.recorded.after, step.would.after) == (("a", "b"), ())
        assert step.would.began_after_ms == 0
        assert found.would_duration_ms is not None
        assert found.recorded_duration_ms is not None
        assert found.would_duration_ms < found.recorded_duration_ms
        assert found.would_critical_path_ms < found.recorded_critical_path_ms

    def test_a_dependency_more_waits(self) -> None:
        rig = Rig(plan_of(DIAMOND))
        rig.start()
        rig.succeed("a", "b", "c", "d")
        found = would(rig, of_step("c", parents=("a", "b")))
        assert kinds(found) == {"c": ("other_order",)}
        assert found.would_state == "complete"
        assert found.would_critical_path_ms == found.recorded_critical_path_ms + 100

    def test_a_dependency_more_that_never_comes(self) -> None:
        rig = Rig(plan_of({"a": (), "b": ()}))
        rig.start()
        rig.succeed("b")
        rig.fail("a", retryable=False)
        found = would(rig, of_step("b", parents=("a",)))
        assert kinds(found) == {"b": ("not_run", "other_state")}

    def test_a_removed_step(self) -> None:
        def change(plan: Plan) -> Plan:
            return replace(plan, steps=(plan.steps[0], replace(plan.steps[2], parents=("a",))))

        rig = chain()
        rig.succeed("a")
        for _ in range(3):
            rig.fail("b")
            if rig.next_due() is not None:
                rig.fire()
        found = would(rig, change)
        assert (found.would_state, found.assumed) == ("complete", ("c#1",))
        assert kinds(found) == {"b": ("removed",), "c": ("run", "other_state")}
        assert any("no such step any more" in each for each in unknowns(rig.plan, change(rig.plan)))

    def test_a_new_step_is_assumed(self) -> None:
        def change(plan: Plan) -> Plan:
            return replace(
                plan, steps=(*plan.steps, PlanStep(name="z", handler="t.z", queue="t", parents=("c",)))
            )

        found = would(fails_twice(), change)
        assert (found.would_state, kinds(found), found.assumed) == ("complete", {"z": ("new",)}, ("z#1",))
        failing = would(fails_twice(), change, assume=Assume.FAILURE)
        assert (failing.would_state, failing.assumed) == ("error", ("z#1", "z#2", "z#3"))

    def test_a_bypassed_step_that_is_gone_refuses_the_request(self) -> None:
        rig = Rig(plan_of({"a": (), "b": ()}))
        rig.start(bypass_steps=("b",))
        rig.succeed("a")
        found = would(rig, lambda plan: replace(plan, steps=plan.steps[:1]))
        assert (found.would_state, found.steps) == ("rejected", ())
        assert found.refusal is not None
        assert found.refusal.startswith("unknown_bypass_step")

    def test_one_after_the_other(self) -> None:
        rig = Rig(plan_of({"a": (), "b": ()}))
        rig.start()
        rig.succeed("a", "b")
        found = would(rig, of_plan(max_parallel_steps=1))
        assert kinds(found) == {"b": ("other_order",)}
        assert found.would_state == "complete"


class TestPolicies:
    def test_fail_fast(self) -> None:
        rig = Rig(plan_of({"a": (), "b": (), "c": ("b",)}))
        rig.start()
        rig.fail("a", retryable=False)
        rig.succeed("b", "c")
        assert rig.status() is TaskStatus.ERROR
        found = would(rig, of_plan(failure_policy="fail_fast"))
        assert kinds(found) == {"c": ("not_run", "other_state")}
        assert found.would_duration_ms is not None
        assert found.recorded_duration_ms is not None
        assert found.would_duration_ms < found.recorded_duration_ms

    def test_a_timeout_below_the_recorded_run(self) -> None:
        rig = chain()
        begin = rig.now
        rig.do(rig.result("a", started_at=begin + 100, finished_at=begin + 8100), after_ms=9000)
        rig.succeed("b", "c")
        assert not would(rig, of_step("a", timeout_ms=8000)).is_other
        found = would(rig, of_step("a", timeout_ms=7999))
        assert kinds(found) == {"a": ("more_attempts",)}
        assert found.assumed == ("a#2",)
        assert would(rig, of_step("a", timeout_ms=1000, max_attempts=1)).would_state == "error"

    def test_a_timeout_above_what_ended_an_attempt(self) -> None:
        rig = chain()
        rig.fail("a", code="timeout")
        rig.fire()
        rig.succeed("a", "b", "c")
        found = would(rig, of_step("a", timeout_ms=90_000))
        assert (kinds(found)["a"], found.assumed) == (("fewer_attempts",), ("a#1",))

    def test_a_queue_timeout_below_the_recorded_wait(self) -> None:
        rig = chain()
        begin = rig.now
        rig.do(rig.result("a", started_at=begin + 5000, finished_at=begin + 5100), after_ms=6000)
        rig.succeed("b", "c")
        assert not would(rig, of_step("a", queue_timeout_ms=5000)).is_other
        assert kinds(would(rig, of_step("a", queue_timeout_ms=4999))) == {"a": ("more_attempts",)}

    def test_a_deadline(self) -> None:
        rig = fails_twice()
        found = would(rig, of_plan(lifecycle=Lifecycle(max_duration_ms=3000)))
        assert found.would_state == "error"
        assert kinds(found)["c"] == ("not_run", "other_state")
        late = would(rig, of_plan(lifecycle=Lifecycle(max_duration_ms=10**8)))
        assert not late.is_other

    def test_a_longer_deadline_knows_what_the_worker_said(self) -> None:
        rig = chain(lifecycle={"max_duration_ms": 2000})
        rig.fail("a", code="boom")
        assert rig.status() is TaskStatus.ERROR
        found = would(rig, of_plan(lifecycle=Lifecycle(max_duration_ms=60_000)))
        assert (found.would_state, found.assumed) == ("complete", ("a#2", "b#1", "c#1"))

    def test_what_a_server_asked_for_is_known_past_a_deadline(self) -> None:
        """The record names the retry that would have come too late: its delay was the server's, not the policy's."""
        rig = chain(lifecycle={"max_duration_ms": 20_000})
        rig.fail("a", retry_after_ms=60_000)
        assert rig.status() is TaskStatus.ERROR
        found = would(rig, of_plan(lifecycle=Lifecycle(max_duration_ms=10**8)))
        assert found.would_duration_ms is not None
        assert found.would_duration_ms >= 60_000

    def test_a_result_that_violates_a_changed_schema(self) -> None:
        rig = fails_twice()
        found = would(rig, of_step("b", result_schema={"type": "object"}))
        assert (found.would_state, kinds(found)["b"]) == ("error", ("other_state",))
        assert not would(rig, of_step("b", result_schema={"type": "string"})).is_other


class TestOperators:
    def test_their_commands_come_when_they_came(self) -> None:
        rig = chain()
        rig.fail("a", retryable=False)
        rig.operate(OperatorAction.RETRY_TASK)
        rig.succeed("a", "b", "c")
        assert rig.status() is TaskStatus.COMPLETE
        found = would(rig, of_step("c", parents=("a",)))
        assert (found.would_state, kinds(found)) == ("complete", {"c": ("other_order",)})

    def test_what_would_be_refused_is_told(self) -> None:
        rig = fails_twice()
        rig = chain()
        rig.succeed("a")
        rig.operate(OperatorAction.SET_MAX_ATTEMPTS, "b", max_attempts=7)
        rig.succeed("b", "c")
        assert not would(rig, of_step("c", max_attempts=1)).is_other
        found = would(rig, lambda plan: replace(plan, steps=plan.steps[:1]))
        assert found.would_state == "complete"
        assert found.refused_orders
        assert found.refused_orders[0].startswith("final_task")


class TestInputs:
    def test_contexts_that_fit_no_more(self) -> None:
        schema: Mapping[str, Any] = {
            "type": "object",
            "required": ["total"],
            "properties": {"total": {"type": "integer", "maximum": 10}},
        }
        plan = replace(plan_of(CHAIN), input_schema=dict(schema))
        assert context_fault(plan, b'{"total": 3}') is None
        assert context_fault(plan_of(CHAIN), b'{"total": 30}') is None
        assert "context.total" in (context_fault(plan, b'{"total": 30}') or "")
        assert "total" in (context_fault(plan, b"{}") or "")
        life = read_life(TASK_ID, fails_twice().records, fails_twice().plan)
        found = judge(life, plan, assume=Assume.SUCCESS, until=10**15, refusal="context.total: too much")
        assert (found.would_state, found.is_other, found.would_attempts) == ("rejected", True, 0)


# -------------------------------------------------------------------------------------- recorded logs


def lives() -> list[RecordedLife]:
    """Every life of the recording."""
    recording = Recording("kills")
    plans = recording.plans()
    found: list[RecordedLife] = []
    for partition in recording.records["transitions"]:
        tasks: dict[bytes, list[Transitions]] = {}
        history = recording.history(partition)
        for key, record in (history[offset] for offset in sorted(history)):
            if record.seq:
                tasks.setdefault(key, []).append(record)
        for key, records in tasks.items():
            created: Any = records[0].transitions[0].data
            found.append(read_life(key, records, plans[created.plan_hash]))
    return found


class _Forward(Replay):
    """Follows the first record only: everything else comes from the courses."""

    def _is_overtaken(self, at: int, recorded: Any) -> bool:
        return True


class TestRecordings:
    UNTIL = 1_795_267_900_000

    def test_unchanged_plans_differ_in_nothing(self) -> None:
        found = lives()
        assert len(found) > 40
        for life in found:
            verdict = judge(life, life.plan, assume=Assume.SUCCESS, until=self.UNTIL)
            assert not verdict.is_other, verdict
            assert verdict.followed == len(life.records)

    def test_courses_alone_give_the_same_history(self) -> None:
        """The virtual time is right: replayed from the first record on, every transition comes as it came."""
        for life in lives():
            replayed = _Forward(life, life.plan, assume=Assume.SUCCESS, until=self.UNTIL)
            replayed.run()
            assert [each.transitions for each in replayed.records] == [
                each.transitions for each in life.records if each.transitions
            ]
            assert not replayed.assumed

    @pytest.mark.parametrize(("attempts", "state"), [(1, "error"), (3, "complete")])
    def test_flaky_tasks_need_their_attempts(self, attempts: int, state: str) -> None:
        judged = 0
        for life in lives():
            if life.plan.name != "flaky":
                continue
            change = of_step("first", max_attempts=attempts)(
                of_step("second", max_attempts=attempts)(life.plan)
            )
            verdict = judge(life, change, assume=Assume.SUCCESS, until=self.UNTIL)
            failed = any(attempt > 1 for _, attempt in life.courses)
            assert verdict.would_state == (state if failed else "complete")
            judged += failed
        assert judged

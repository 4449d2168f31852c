"""One task's report and the list of tasks, from a log that the real rules have written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from tasker_kafka.deploy.reading import (
    TaskFilter,
    TaskReport,
    jsonable,
    list_tasks,
    read_report,
)
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Lifecycle, Plan, PlanStep, RetryPolicy
from tasker_kafka.schemas.records import TaskCreated, Transition, Transitions
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import Cause, StepStatus, TaskStatus, TransitionEvent
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.plans import PlanStore
from tests.support.written_log import WORKER, WrittenLog


def chain(*, retryable: bool = True, **fields: Any) -> Plan:
    """first → second."""
    retry = RetryPolicy(retryable=retryable, backoff_base_ms=60_000, max_backoff_ms=60_000, jitter=0.0)
    return Plan(
        namespace="shop",
        name="order",
        version="1.0.0",
        steps=(
            PlanStep(name="first", handler="shop.first", queue="shop", retry=retry),
            PlanStep(name="second", handler="shop.second", queue="shop", parents=("first",), retry=retry),
        ),
        **fields,
    )


Story = Callable[[WrittenLog], Coroutine[Any, Any, bytes]]


def told(plan: Plan, story: Story, **options: Any) -> TaskReport:
    """The report of the task whose id the story returns."""

    async def tell() -> TaskReport:
        written = await WrittenLog(plan).open()
        return await report(written, await story(written), **options)

    return run_virtual(tell())


async def report(written: WrittenLog, task_id: bytes, **options: Any) -> TaskReport:
    """What `task show` reads."""
    plans = PlanStore(written.log, written.names)
    await plans.start()
    try:
        found, _ = await read_report(written.log, written.names, plans, task_id, **options)
    finally:
        await plans.stop()
    return found


class TestReport:
    async def finish(self, written: WrittenLog) -> bytes:
        task_id = await written.start(chain(), {"cart": 7}, initiator="ada", tags=("vip",))
        await written.succeed(task_id, "first", {"total": 3})
        await written.fail(task_id, "second", "busy", retryable=True)
        return task_id

    def test_shows_a_complete_task_with_context_output_and_results(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            task_id = await written.start(chain(), {"cart": 7}, initiator="ada", tags=("vip",))
            await written.succeed(task_id, "first", {"total": 3})
            await written.succeed(task_id, "second", {"paid": True})
            return task_id

        shown = told(chain(), story)
        assert (shown.state, shown.status) == (TaskStatus.COMPLETE, "complete")
        assert shown.context == {"cart": 7}
        assert shown.output == {"second": {"paid": True}}
        assert [(step.state, step.result) for step in shown.steps] == [
            (StepStatus.COMPLETE, {"total": 3}),
            (StepStatus.COMPLETE, {"paid": True}),
        ]
        assert (shown.initiator, shown.tags, shown.execution_status) == ("ada", ("vip",), "all_complete")
        assert shown.closed_at is not None

    def test_keeps_every_attempt_with_worker_times_and_error(self) -> None:
        shown = told(chain(), self.finish)
        second = shown.steps[1]
        (attempt,) = second.history
        assert second.state is StepStatus.WAITING_FOR_RETRY
        assert second.status == "error"
        assert (second.attempts, second.max_attempts) == (1, 3)
        assert (attempt.outcome, attempt.worker_id, attempt.counted) == ("failure", WORKER, True)
        assert attempt.error is not None
        assert (attempt.error.code, attempt.error.message, attempt.error.traceback) == (
            "busy",
            "busy happened",
            "Trace",
        )
        assert attempt.next_retry_at == second.next_retry_at
        assert second.error == attempt.error
        assert (shown.state, shown.status) == (TaskStatus.WAITING_FOR_RETRY, "in_progress")

    def test_lists_transitions_in_order_with_their_places(self) -> None:
        shown = told(chain(), self.finish)
        assert [(each.entity, each.event) for each in shown.transitions[:4]] == [
            ("task", "initialize_requested"),
            ("step:first", "initialize_requested"),
            ("step:second", "initialize_requested"),
            ("task", "start_requested"),
        ]
        assert [each.seq for each in shown.transitions] == sorted(each.seq for each in shown.transitions)
        offsets = {each.seq: each.offset for each in shown.transitions}
        assert sorted(offsets) == [1, 2, 3]
        assert list(offsets.values()) == sorted(set(offsets.values()))

    def test_json_has_texts_for_ids_and_times(self) -> None:
        shown = jsonable(told(chain(), self.finish))
        json.dumps(shown)
        assert shown["task_id"].count("-") == 4
        assert shown["created_at"].endswith("Z")
        assert len(shown["plan_hash"]) == 64
        assert {"from", "to", "seq", "offset", "entity", "event", "at", "cause"} <= set(
            shown["transitions"][0]
        )
        assert shown["steps"][1]["history"][0]["error"]["code"] == "busy"

    def test_a_failed_task_says_why(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            task_id = await written.start(chain())
            await written.fail(task_id, "first", "declined")
            return task_id

        shown = told(chain(), story)
        assert shown.state is TaskStatus.ERROR
        assert shown.error is not None
        assert shown.error.failed_steps == ("first",)
        assert [(each.step, each.waits_for) for each in shown.waiting] == [
            ("first", "operator"),
            ("second", "parents"),
        ]

    def test_reads_the_large_context_from_payloads(self) -> None:
        from tasker_kafka.topics.payloads import Payloads

        async def tell() -> TaskReport:
            written = await WrittenLog(chain()).open()
            outbox = await written.log.outbox(client_id="test")
            await outbox.warm([written.names.payloads])
            payloads = Payloads(written.log, written.names, outbox)
            large = {"text": "x" * 10_000}
            reference = await payloads.store(new_request_id(), json.dumps(large).encode())
            task_id = await written.start(chain(), context_value=reference)
            return await report(written, task_id)

        assert len(run_virtual(tell()).context["text"]) == 10_000


class TestPlaces:
    def test_a_task_newer_than_the_checkpoint_is_found_in_the_transitions(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            await written.start(chain())
            await written.checkpoint()
            return await written.start(chain())

        assert told(chain(), story).state is TaskStatus.IN_PROGRESS

    def test_a_saved_task_is_read_from_its_creation_on(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            task_id = await written.start(chain())
            await written.checkpoint()
            await written.succeed(task_id, "first")
            return task_id

        assert [step.state for step in told(chain(), story).steps] == [
            StepStatus.COMPLETE,
            StepStatus.ENQUEUED,
        ]

    def test_a_task_that_nobody_made_is_not_found(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            await written.checkpoint()
            return new_request_id()

        with pytest.raises(NotFoundError, match="neither in the changelog"):
            told(chain(), story)

    def test_a_forgotten_task_is_found_from_the_beginning_only(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            task_id = await written.start(chain())
            await written.succeed(task_id, "first")
            await written.succeed(task_id, "second")
            written.states[task_id] = None
            await written.checkpoint()
            return task_id

        with pytest.raises(NotFoundError, match="--full"):
            told(chain(), story)
        assert told(chain(), story, from_beginning=True).state is TaskStatus.COMPLETE

    def test_a_deposed_owners_records_are_left_out_wherever_the_scan_begins(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            task_id = await written.start(chain())
            partition = written.partition_of(task_id)
            zombie = written.owners[partition]
            await written.checkpoint()
            await written.own(partition)
            state = written.states[task_id]
            assert isinstance(state, TaskState)
            # What the zombie wrote: it cancelled the step by rules that have changed since.
            cancelled = Transition(
                "first",
                TransitionEvent.CANCELLED,
                StepStatus.ENQUEUED,
                StepStatus.CANCELLED,
                state.now,
                Cause.OPERATOR,
            )
            late = Transitions(
                life=state.life, seq=2, command_offset=state.life + 1, at=state.now, transitions=(cancelled,)
            )
            await written.record(task_id, late, zombie)
            await written.succeed(task_id, "first", {"from": "the owner in office"})
            return task_id

        shown = told(chain(), story)
        assert shown.steps[0].state is StepStatus.COMPLETE
        assert all(each.event != "cancelled" for each in shown.transitions)

    def test_a_scan_that_begins_after_the_markers_tells_the_owner_in_office(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            zombies = dict(written.owners)
            for partition in zombies:
                await written.own(partition)
            in_office = dict(written.owners)
            await asyncio.sleep(600)
            # The zombie is the first to write of the task; whoever reads from here has seen no marker.
            written.owners = zombies
            task_id = await written.start(chain(), reason="by rules that have changed")
            written.owners = in_office
            assert written.last is not None
            record = written.last.record
            created, *others = record.transitions
            assert isinstance(created.data, TaskCreated)
            data = replace(created.data, reason="in office")
            transitions = (replace(created, data=data), *others)
            await written.record(
                task_id, replace(record, transitions=transitions), in_office[written.partition_of(task_id)]
            )
            await written.checkpoint()
            return task_id

        assert told(chain(), story).reason == "in office"

    def test_a_task_whose_records_seem_older_than_its_request_is_found(self) -> None:
        async def story(written: WrittenLog) -> bytes:
            ahead = written.log.now_ms() + 3_600_000
            task_id = await written.start(chain(), requested_at=ahead)
            await written.checkpoint()
            return task_id

        assert told(chain(), story).state is TaskStatus.IN_PROGRESS


class TestWaiting:
    def waits(
        self, *workers: tuple[str, tuple[str, ...], tuple[str, ...]]
    ) -> list[tuple[str | None, str, str]]:
        async def story(written: WrittenLog) -> bytes:
            for worker, queues, handlers in workers:
                await written.announce(worker, queues, handlers)
            return await written.start(chain())

        return [(each.step, each.waits_for, each.message) for each in told(chain(), story).waiting]

    def test_says_that_nobody_consumes_the_queue(self) -> None:
        step, kind, message = self.waits()[0]
        assert (step, kind) == ("first", "worker")
        assert "enqueued 0 s: nobody consumes steps.shop" in message

    def test_says_that_no_worker_knows_the_handler(self) -> None:
        step, kind, message = self.waits(("w1", ("shop",), ("shop.other",)))[0]
        assert (step, kind) == ("first", "handler")
        assert "no worker of steps.shop knows handler shop.first (w1)" in message

    def test_says_that_the_workers_are_busy(self) -> None:
        _, kind, message = self.waits(("w1", ("shop",), ("shop.first",)))[0]
        assert (kind, message) == (
            "worker",
            "enqueued 0 s: waits for a free worker of steps.shop (1 serve it)",
        )

    def test_names_the_parents_and_the_retry(self) -> None:
        assert self.waits()[1] == ("second", "parents", "waits for first")

        async def story(written: WrittenLog) -> bytes:
            task_id = await written.start(chain())
            await written.fail(task_id, "first", "busy", retryable=True)
            return task_id

        first = told(chain(), story).waiting[0]
        assert (first.waits_for, first.message) == ("retry", "attempt 2 is due in 1 min after busy")


class TestList:
    def rows(self, **wanted: Any) -> list[tuple[str, str, int | None]]:
        async def tell() -> list[tuple[str, str, int | None]]:
            written = await WrittenLog(chain()).open()
            plans = PlanStore(written.log, written.names)
            await plans.start()
            await written.start(chain(), tags=("vip", "red"))
            done = await written.start(chain(), tags=("vip",))
            await written.succeed(done, "first")
            await written.succeed(done, "second")
            failed = await written.start(chain(), {"colour": "Grün", "password": "hunter2"}, tags=("bulk",))
            await written.fail(failed, "first")
            forgotten = await written.start(chain())
            await written.checkpoint()
            await written.write(Write(written.names.task_state, forgotten, None))
            found = await list_tasks(written.log, written.names, plans.get, TaskFilter(**wanted))
            await plans.stop()
            return sorted((row.template, str(row.state), row.completed_steps) for row in found)

        return run_virtual(tell())

    def test_holds_heads_and_stubs_but_no_tombstones(self) -> None:
        assert self.rows() == [
            ("order", "complete", 2),
            ("order", "error", 0),
            ("order", "in_progress", 0),
        ]

    @pytest.mark.parametrize(
        ("wanted", "count"),
        [
            ({"states": ("error",)}, 1),
            ({"states": ("error", "complete")}, 2),
            ({"namespace": "shop"}, 3),
            ({"namespace": "other"}, 0),
            ({"template": "order", "states": ("complete",)}, 1),
            ({"tags": ("vip",)}, 2),  # one of them is finished
            ({"tags": ("vip",), "states": ("complete",)}, 1),
            ({"text": "a reason", "states": ("complete",)}, 0),
            ({"tags": ("vip", "red")}, 1),
            ({"tags": ("blue",)}, 0),
            ({"text": "gRün"}, 1),
            ({"text": "hunter2"}, 0),  # a secret is not to be found
            ({"text": "grün", "tags": ("vip",)}, 0),
            ({"since": 0}, 3),
            ({"until": 0}, 0),
            ({"since": 0, "until": 10**14, "states": ("in_progress",)}, 1),
        ],
    )
    def test_filters(self, wanted: dict[str, Any], count: int) -> None:
        assert len(self.rows(**wanted)) == count


def test_the_lifecycle_keeps_a_blocked_task_open() -> None:
    plan = chain(retryable=False, lifecycle=Lifecycle(on_blocked="wait"))

    async def story(written: WrittenLog) -> bytes:
        task_id = await written.start(plan)
        await written.fail(task_id, "first")
        return task_id

    shown = told(plan, story)
    assert (shown.state, shown.status) == (TaskStatus.BLOCKED_BY_FAILURES, "in_progress")
    assert shown.execution_status == "blocked_by_failures"

"""One command to many tasks: ids, order, refusals, lost answers, the pace; and what a dry run says of states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Unpack

import pytest
from msgspec.structs import replace

from tasker_kafka.deploy.bulk import (
    BulkOrder,
    BulkOutcome,
    BulkReport,
    BulkRow,
    rehearse_bulk,
    run_bulk,
)
from tasker_kafka.schemas.errors import BrokerUnavailable, CommandRejected, NotFoundError, WaitTimeout
from tasker_kafka.schemas.identity import bulk_command_id
from tasker_kafka.schemas.records import Answer
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.streams.domain.allowing import TaskNow, forecast
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.operators import CommandDetails, CommandMethods, CommandOptions, TaskReference
from tests.support.tasks import PAIR, TASK_ID, Rig, plan_of

BULK = bytes(range(16, 32))
TASKS = [bytes([number]) * 16 for number in range(1, 6)]
Replies = dict[bytes, str | Exception]


def order(action: OperatorAction = OperatorAction.CANCEL_TASK, **fields: Any) -> BulkOrder:
    """A bulk by ada."""
    return BulkOrder(action=action, actor="ada", reason="tidy up", bulk_id=BULK, **fields)


class Client(CommandMethods):
    """Answers as it is told to (default: accepted), remembers what was asked, and how many asked at once."""

    def __init__(self, replies: Replies | None = None) -> None:
        self.replies = replies or {}
        self.asked: list[tuple[bytes, OperatorAction, CommandDetails, CommandOptions]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self._now = 0

    async def command(
        self,
        task: TaskReference,
        action: OperatorAction,
        details: CommandDetails,
        **options: Unpack[CommandOptions],
    ) -> Answer | None:
        """As a client does."""
        assert isinstance(task, bytes)
        self.asked.append((task, action, details, options))
        self.times.append(asyncio.get_running_loop().time())
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0.1)
        self._now -= 1
        reply = self.replies.get(task, "accepted")
        if isinstance(reply, Exception):
            raise reply
        return Answer(options.get("command_id", b""), reply, "said")


def ran(client: Client, tasks: Sequence[bytes] = TASKS, wanted: BulkOrder | None = None) -> BulkReport:
    """The report of a bulk, in virtual time."""
    return run_virtual(run_bulk(client, tasks, wanted or order()))


def test_every_task_is_asked_with_an_id_of_its_own_that_a_repeat_has_again() -> None:
    client = Client()
    report = ran(client)
    assert [task for task, *_ in client.asked] == TASKS
    ids = [options.get("command_id", b"") for *_, options in client.asked]
    assert len(set(ids)) == len(TASKS)
    assert {(options.get("actor"), options.get("reason")) for *_, options in client.asked} == {
        ("ada", "tidy up")
    }
    again = Client()
    ran(again)
    assert [options.get("command_id", b"") for *_, options in again.asked] == ids
    assert [row.command_id for row in report.rows] == ids
    assert ids[0].hex() == "d6b2ae277c2d57388018259ec2c40926", "ids of bulks never change"


def test_ids_differ_by_bulk_action_and_task() -> None:
    made = {
        bulk_command_id(bulk, action, task)
        for bulk in (BULK, TASK_ID)
        for action in (OperatorAction.CANCEL_TASK, OperatorAction.RETRY_TASK)
        for task in TASKS
    }
    assert len(made) == 2 * 2 * len(TASKS)


def test_no_refusal_and_no_lost_answer_stops_the_rest() -> None:
    replies: Replies = {
        TASKS[0]: CommandRejected("no", code="final_task"),
        TASKS[1]: WaitTimeout("no answer"),
        TASKS[2]: BrokerUnavailable("nobody there"),
        TASKS[3]: "already_cancelled",
    }
    report = ran(Client(replies))
    assert [(row.outcome, row.code) for row in report.rows] == [
        (BulkOutcome.REJECTED, "final_task"),
        (BulkOutcome.UNANSWERED, None),
        (BulkOutcome.UNANSWERED, None),
        (BulkOutcome.ALREADY, "already_cancelled"),
        (BulkOutcome.ACCEPTED, "accepted"),
    ]
    assert (report.total, report.accepted, report.already, report.rejected, report.unanswered) == (
        5,
        1,
        1,
        1,
        2,
    )
    assert report.codes == {"accepted": 1, "already_cancelled": 1, "final_task": 1}
    assert report.rows[2].message == "nobody there"


def test_what_the_same_bulk_did_before_counts_as_done() -> None:
    report = ran(Client(dict.fromkeys(TASKS, "repeated")))
    assert (report.already, report.rejected) == (5, 0)


def test_a_task_given_twice_is_asked_once() -> None:
    client = Client()
    assert ran(client, [*TASKS, *TASKS]).total == len(client.asked) == 5


def test_a_defect_is_no_answer() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        ran(Client({TASKS[0]: ZeroDivisionError()}))
    assert caught.group_contains(ZeroDivisionError)


def test_not_more_at_once_than_allowed() -> None:
    client = Client()
    ran(client, [bytes([number]) * 16 for number in range(30)], order(at_once=4))
    assert client.most_at_once == 4


def test_not_more_in_a_second_than_allowed() -> None:
    client = Client()
    ran(client, TASKS, order(per_second=2.0))
    gaps = [after - before for before, after in zip(client.times, client.times[1:], strict=False)]
    assert gaps == pytest.approx([0.5] * 4)


def test_tasks_may_come_while_others_are_asked() -> None:
    async def found() -> AsyncIterator[bytes]:
        for task in TASKS:
            await asyncio.sleep(1)
            yield task

    heard: list[BulkRow] = []
    client = Client()
    report = run_virtual(run_bulk(client, found(), order(), on_row=heard.append))
    assert report.total == len(heard) == 5
    assert client.most_at_once == 1


def test_details_reach_the_client() -> None:
    client = Client()
    ran(client, TASKS[:1], order(OperatorAction.COMPLETE_STEP, steps=("a",), result=None))
    ran(client, TASKS[:1], order(OperatorAction.SET_TAGS, tags=("x",)))
    ran(client, TASKS[:1], order(OperatorAction.SET_REASON, text="new"))
    ran(client, TASKS[:1], order(OperatorAction.SET_MAX_ATTEMPTS, steps=("a",), max_attempts=7))
    assert [details for _, _, details, _ in client.asked] == [
        {"steps": ("a",), "result": None},
        {"steps": (), "tags": ("x",)},
        {"steps": (), "text": "new"},
        {"steps": ("a",), "max_attempts": 7},
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        order(OperatorAction.SET_MAX_ATTEMPTS, max_attempts=0),
        order(OperatorAction.SET_REASON),
        order(OperatorAction.COMPLETE_STEP, steps=("a", "b"), result=1),
        order(OperatorAction.COMPLETE_STEP, steps=("a",)),
        order(text="x" * 5000),
    ],
)
def test_what_no_task_could_obey_is_refused_before_anything_is_sent(wanted: BulkOrder) -> None:
    client = Client()
    with pytest.raises(CommandRejected) as refused:
        ran(client, TASKS, wanted)
    assert (refused.value.code, client.asked) == ("invalid", [])


# ------------------------------------------------------------------------------------------------ dry run


def rehearsed(find: Any, wanted: BulkOrder) -> BulkReport:
    """The report of a dry run."""
    return run_virtual(rehearse_bulk(find, [TASK_ID], wanted))


def test_a_dry_run_says_what_would_be_answered_and_changes_nothing() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a", retryable=False)
    rig.succeed("b")
    before = rig.live

    async def find(task_id: bytes) -> TaskNow:
        return TaskNow(rig.state, rig.plan)

    for action, outcome in (
        (OperatorAction.RETRY_TASK, "accepted"),
        (OperatorAction.RESOLVE_TASK, "accepted"),
        (OperatorAction.CANCEL_TASK, "accepted"),
    ):
        report = rehearsed(find, order(action))
        assert (report.is_dry_run, report.rows[0].outcome) == (True, outcome)
    refused = rehearsed(find, order(OperatorAction.RESOLVE_STEP, steps=("b",))).rows[0]
    assert (refused.outcome, refused.code) == (BulkOutcome.REJECTED, "forbidden")
    assert rig.state is before


def test_a_dry_run_of_the_same_bulk_says_repeated() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    wanted = order(OperatorAction.SET_REASON, text="new")
    rig.do(wanted.command(TASK_ID))
    answer = forecast(TaskNow(rig.state, rig.plan), TASK_ID, wanted.command(TASK_ID))
    assert answer is not None
    assert answer.code == "repeated"


def test_of_tasks_that_are_not_there_or_final() -> None:
    body = order().command(TASK_ID)
    unknown = forecast(TaskNow(None, None), TASK_ID, body)
    assert unknown is not None
    assert unknown.code == "unknown_task"
    rig = Rig(plan_of(PAIR))
    rig.start()
    whole = rig.live
    rig.operate(OperatorAction.CANCEL_TASK)
    assert rig.status() is TaskStatus.CANCELLED
    stub = forecast(TaskNow(rig.state, None), TASK_ID, body)
    assert stub is not None
    assert stub.code == "already_cancelled"
    kept = replace(whole, state=TaskStatus.COMPLETE, closed_at=5)  # as read models keep it
    final = forecast(TaskNow(kept, rig.plan), TASK_ID, body)
    assert final is not None
    assert final.code == "final_task"


def test_without_the_plan_it_cannot_be_said() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()

    async def find(task_id: bytes) -> TaskNow:
        return TaskNow(rig.state, None)

    (row,) = rehearsed(find, order()).rows
    assert (row.outcome, row.code) == (BulkOutcome.UNANSWERED, None)
    assert "published" in row.message


def test_a_state_that_cannot_be_read_is_told_and_stops_nothing() -> None:
    async def find(task_id: bytes) -> TaskNow:
        raise NotFoundError("gone")

    (row,) = rehearsed(find, order()).rows
    assert (row.outcome, row.message) == (BulkOutcome.UNANSWERED, "gone")

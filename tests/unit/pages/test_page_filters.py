"""What is typed into the list's filters, as addresses and as questions; and what people type as JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.deploy.bulk import BulkOutcome, BulkReport, BulkRow
from tasker_kafka.deploy.console.pages.dialogs import parse_json
from tasker_kafka.deploy.console.pages.tasks_bulk import MOST_TASKS, report_markup
from tasker_kafka.deploy.console.pages.tasks_filter import FIELDS, Filter, parse_time
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tests.support.page_world import HOSTILE
from tests.support.tasks import TASK_ID


@given(
    st.sets(st.sampled_from([*TaskStatus])),
    st.fixed_dictionaries({name: st.text(max_size=40) for name in FIELDS}),
)
def test_an_address_gives_its_filter_back(states: set[TaskStatus], typed: dict[str, str]) -> None:
    from urllib.parse import parse_qs

    chosen = Filter(states=tuple(each for each in TaskStatus if each in states), **typed)
    values = parse_qs(chosen.address().removeprefix("?"), keep_blank_values=True)
    assert Filter.from_address({name: each[0] for name, each in values.items()}) == chosen


def test_an_address_with_what_is_not_known_is_passed_over() -> None:
    assert Filter.from_address({"state": "error,asleep", "colour": "red"}) == Filter(
        states=(TaskStatus.ERROR,)
    )


def test_a_filter_as_a_question() -> None:
    query = Filter(
        states=(TaskStatus.ERROR,),
        text=" hat ",
        tag="vip, eu,",
        after="2026-01-31",
        before="2026-01-31T10:30+01:00",
    ).query()
    assert (query.states, query.text, query.tags) == ((TaskStatus.ERROR,), "hat", ("vip", "eu"))
    assert query.created_from == 1_769_817_600_000
    assert query.created_to == 1_769_851_800_000
    assert Filter().query() == Filter(states=(TaskStatus.ERROR,)).query(with_states=False)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "0"])
def test_a_time_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: write 2026-01-31"):
        parse_time(text)


def test_states_are_switched_on_and_off_in_their_order() -> None:
    both = Filter().toggled(TaskStatus.ERROR).toggled(TaskStatus.PENDING)
    assert both.states == (TaskStatus.PENDING, TaskStatus.ERROR)
    assert both.toggled(TaskStatus.PENDING).states == (TaskStatus.ERROR,)


def test_a_filter_in_words() -> None:
    assert Filter().said() == "no filter: every task"
    assert (
        Filter(states=(TaskStatus.WAITING_FOR_RETRY,), tag="vip").said()
        == "state waiting for retry, tag 'vip'"
    )


def test_json_is_read_and_its_faults_are_placed() -> None:
    assert parse_json(' {"a": [1, null]} ') == {"a": [1, None]}
    with pytest.raises(ValueError, match="line 2, column 3"):
        parse_json("{\n  a: 1}")
    with pytest.raises(ValueError, match="NaN is no JSON number"):
        parse_json('{"a": NaN}')
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)


def bulk(total: int, *, is_dry_run: bool = True) -> BulkReport:
    rows = tuple(
        BulkRow(
            task_id=TASK_ID,
            command_id=TASK_ID,
            outcome=BulkOutcome.REJECTED,
            code="forbidden",
            message=HOSTILE,
        )
        for _ in range(total - 1)
    )
    return BulkReport(
        bulk_id=TASK_ID,
        action=OperatorAction.RETRY_TASK,
        is_dry_run=is_dry_run,
        total=total,
        accepted=1,
        already=0,
        rejected=total - 1,
        unanswered=0,
        codes={"accepted": 1, "forbidden": total - 1},
        rows=(*rows, BulkRow(task_id=TASK_ID, command_id=TASK_ID, outcome=BulkOutcome.ACCEPTED, code="accepted",
                             message="2 steps are retried")),
    )  # fmt: skip


def test_a_dry_run_says_how_many_and_which() -> None:
    said = report_markup(bulk(3))
    assert "1 of 3 tasks would be taken to; 2 refuse (2 forbidden). Nothing has been done yet." in said
    assert "<script" not in said
    assert said.index("2 steps are retried") < said.index("forbidden: "), "those that obey stand first"


def test_a_bulk_says_that_it_is_not_all_and_not_a_rehearsal() -> None:
    said = report_markup(bulk(MOST_TASKS, is_dry_run=False))
    assert "were taken to" in said
    assert "Nothing has been done" not in said
    assert f"more than {MOST_TASKS}" in said
    assert "and 900 more" in said

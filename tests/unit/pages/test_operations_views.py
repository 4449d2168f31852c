"""Pages about the running system, as markup: free text never becomes an element, nothing is told by colour alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from tasker_kafka.deploy.console.backend import Component, HandlerRow, HealthReport
from tasker_kafka.deploy.console.pages.analytics_view import bottleneck_table, percent, performance_table
from tasker_kafka.deploy.console.pages.groups_view import group_page, group_table, missing_panel
from tasker_kafka.deploy.console.pages.health import (
    component_table,
    fault_table,
    level_mark,
    orchestrator_table,
    overview,
    position_table,
)
from tasker_kafka.deploy.console.pages.letters_edit import Change
from tasker_kafka.deploy.console.pages.letters_view import (
    act_table,
    change_table,
    counts_panel,
    header_table,
    letter_facts,
    letter_state,
    letter_table,
    original_link,
    payload_block,
)
from tasker_kafka.deploy.console.pages.markup import Markup
from tasker_kafka.deploy.console.pages.ops_parts import fault, seconds_text
from tasker_kafka.deploy.console.pages.rejections import rejection_page, rejection_table
from tasker_kafka.deploy.console.pages.stale import entry_table, ledger_mark
from tasker_kafka.deploy.console.pages.workers import handler_table, unserved, worker_table
from tasker_kafka.deploy.reading import RejectionRow, WorkerRow
from tasker_kafka.deploy.reading.dead_letters import LetterActRow, LetterPage, LetterReport
from tasker_kafka.deploy.reading.subscriber_rows import DeadRow, GroupReport, GroupRow
from tasker_kafka.handlers.delivery.receipt_query import ReceiptRow
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.streams.projection import BottleneckRow, FaultRow, LedgerRow, PerformanceRow, PositionRow
from tasker_kafka.topics.log import MemberDescription

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(1)</script>&"
NOW = 1_767_225_600_000


def hostile(kind: Any) -> Any:
    """A value of this type in which every text is an attempt to become an element."""
    if kind is str or kind is Any:
        return EVIL
    if kind in (int, float, bool, bytes):
        return {int: NOW, float: 0.5, bool: True, bytes: bytes(16)}[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{name: hostile(each) for name, each in get_type_hints(kind).items()})
    if isinstance(kind, type) and issubclass(kind, tuple):
        return kind(*map(hostile, get_type_hints(kind).values()))
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return hostile(next(each for each in parts if each is not NoneType))
    if origin is tuple:
        return (hostile(parts[0]),) if parts[-1] is ... else tuple(map(hostile, parts))
    if origin is list:
        return [hostile(parts[0])]
    assert origin is dict, kind
    return {EVIL: hostile(parts[1])}


LETTERS: dict[str, Callable[[], Markup]] = {
    "letters": lambda: letter_table(hostile(LetterPage), NOW),
    "one letter": lambda: letter_facts(hostile(LetterReport), NOW),
    "counts": lambda: counts_panel({EVIL: {EVIL: hostile(DeadRow)}}, NOW),
    "acts": lambda: act_table([hostile(LetterActRow)], NOW),
    "headers": lambda: header_table([(EVIL, EVIL)]),
    "original": lambda: original_link(EVIL, is_allowed=True),
    "payload": lambda: payload_block(hostile(LetterReport)),
    "changes": lambda: change_table([Change((EVIL, 0), {EVIL: EVIL}, [EVIL])]),
}
SYSTEM: dict[str, Callable[[], Markup]] = {
    "ledger": lambda: entry_table([hostile(LedgerRow)], NOW),
    "rejections": lambda: rejection_table([hostile(RejectionRow)], NOW),
    "one rejection": lambda: rejection_page(hostile(RejectionRow), NOW),
    "handlers": lambda: handler_table([hostile(HandlerRow)], NOW),
    "unserved": lambda: unserved([hostile(HandlerRow)]),
    "workers": lambda: worker_table([hostile(WorkerRow)], NOW),
    "groups": lambda: group_table([hostile(GroupRow)], NOW),
    "one group": lambda: group_page(hostile(GroupReport), NOW),
    "receipts": lambda: missing_panel([hostile(ReceiptRow)], NOW),
    "overview": lambda: overview(hostile(HealthReport)),
    "parts": lambda: component_table([hostile(Component)]),
    "positions": lambda: position_table([hostile(PositionRow)], NOW),
    "orchestrators": lambda: orchestrator_table([hostile(MemberDescription)]),
    "faults": lambda: fault_table([hostile(FaultRow)], NOW),
    "performance": lambda: performance_table([hostile(PerformanceRow)]),
    "bottlenecks": lambda: bottleneck_table([hostile(BottleneckRow)]),
    "errors": lambda: fault(TaskerError(EVIL, next_step=EVIL)),
}


@pytest.mark.parametrize("part", [*LETTERS, *SYSTEM])
def test_free_text_is_text(part: str) -> None:
    drawn = {**LETTERS, **SYSTEM}[part]()
    assert isinstance(drawn, Markup)
    assert not re.search(r"<(script|img)", str(drawn))
    assert not re.search(r"""=("[^"]*)?'><""", str(drawn)), "no attribute is left early"
    assert "&lt;script&gt;" in str(drawn) or part in ("positions", "original")


@pytest.mark.parametrize(
    "marks",
    [
        [letter_state(each) for each in ("open", "redriven", "purged", "acknowledged", "of a newer release")],
        [ledger_mark(each) for each in ("pending", "resolved", "failed", "cancelled", "of a newer release")],
        [level_mark(each) for each in ("ok", "degraded", "down", "of a newer release")],
    ],
)
def test_a_state_has_a_sign_and_a_word_of_its_own(marks: list[Markup]) -> None:
    signs = [re.findall(r'aria-hidden="true">(.)<', str(each)) for each in marks]
    assert len({each[0] for each in signs}) == len(marks)
    assert len({each.striptags() for each in marks}) == len(marks)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (1_250, "1.25 s"),
        (61_000, "1.02 min"),
        (7_200_000, "2 h"),
    ],
)
def test_durations_are_short(milliseconds: int | None, text: str) -> None:
    assert seconds_text(milliseconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0, "0 %"), (0.004, "0.4 %"), (0.1, "10 %"), (1, "100 %")])
def test_rates_are_percentages(rate: float, text: str) -> None:
    assert percent(rate) == text


def test_the_original_bytes_are_for_admins() -> None:
    assert 'href="/dlq/group:books/0:7?raw=true"' in original_link("group:books/0:7", is_allowed=True)
    assert "?raw=" not in original_link("group:books/0:7", is_allowed=False)

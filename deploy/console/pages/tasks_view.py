"""The task list as markup: counts by state, and a row per task. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import TaskRow

from .markup import Markup, chip, cut, switches, table, tag, took_text, when
from .tasks_filter import Filter
from .theme import state_class

__all__ = ["COLUMNS", "counts", "pager", "row_id", "rows", "task_table"]

COLUMNS: Final = ("Task", "State", "Template", "Progress", "Created", "Took", "Tags", "Reason or error")
SHOWN_TAGS: Final = 4
UNKNOWN: Final = "unknown"
"""The reason of a request that gave none."""


def counts(found: Mapping[TaskStatus, int], chosen: Filter) -> Markup:
    """How many tasks are in each state; each is a switch of the filter."""
    every = tag("span", tag("b", f"{sum(found.values()):,}"), " tasks", class_="count-all")
    label = "Tasks by state; press to filter"
    return switches(found, TaskStatus, chosen.states, act="state", ids="count", label=label, lead=every)


def row_id(row: TaskRow) -> str:
    """The id of a task's row."""
    return f"task-{format_id(row.task_id)}"


def rows(found: Sequence[TaskRow]) -> dict[str, Markup]:
    """A row per task by its element's id."""
    return {row_id(each): _row(each) for each in found}


def task_table(drawn: Mapping[str, Markup], *, is_filtered: bool) -> Markup:
    """The list."""
    empty = (
        "No task fits these filters." if is_filtered else "No task yet. Submit one, or run `tasker submit`."
    )
    return table("Tasks, newest first", COLUMNS, drawn.values(), empty=empty)


def pager(page: int, *, has_more: bool) -> Markup:
    """Steps to newer and older tasks."""

    def button(text: str, act: str, *, is_open: bool) -> Markup:
        return tag(
            "button", text, type="button", id=f"page-{act}", class_="btn",
            data_act=act if is_open else "closed", data_value="" if is_open else "There are no more.",
            aria_disabled=None if is_open else "true",
        )  # fmt: skip

    return tag(
        "nav",
        button("← Newer", "newer", is_open=page > 1),
        tag("span", f"Page {page}", class_="note"),
        button("Older →", "older", is_open=has_more),
        class_="line pager",
        aria_label="Pages of the list",
    )


def _row(row: TaskRow) -> Markup:
    id_ = format_id(row.task_id)
    reason = "" if row.reason == UNKNOWN else row.reason
    said = reason if row.error_code is None else f"{row.error_code}: {row.error_message or ''}"
    done = f"{row.completed_steps}/{row.total_steps}"
    link = tag(
        "a", tag("code", f"{id_[:8]}…{id_[-6:]}"), href=f"/console/tasks/{id_}", title=id_, id=f"link-{id_}"
    )
    return tag(
        "tr",
        tag("td", link, class_="nowrap card-head"),
        tag("td", chip(row.state), " ", _marks(row), class_="card-head"),
        tag(
            "td",
            f"{row.namespace}/{row.template}",
            tag("span", f" {row.version}", class_="muted"),
            class_="name-cell",
        ),
        tag("td", _bar(row), tag("span", done, class_="muted"), class_="nowrap progress-cell"),
        tag("td", when(row.created_at), class_="nowrap"),
        tag("td", took_text(row.created_at, row.closed_at), class_="nowrap"),
        tag("td", _tags(row)),
        tag("td", cut(said, 90), class_="wide", title=said if len(said) > 90 else None),
        id=row_id(row),
    )


def _tags(row: TaskRow) -> Markup:
    shown = [tag("span", each, class_="tag", title=each) for each in row.tags[:SHOWN_TAGS]]
    rest = len(row.tags) - SHOWN_TAGS
    if rest > 0:
        more = ", ".join(row.tags[SHOWN_TAGS:])
        shown.append(tag("span", f"+{rest}", class_="tag", title=cut(more, 1_000)))
    return Markup(" ").join(shown)


def _marks(row: TaskRow) -> Markup:
    return Markup(" ").join(
        each
        for each in (
            tag("span", "stale", class_="tag") if row.is_stale else None,
            tag("span", "cannot be read on", class_="tag", title=row.fault) if row.fault else None,
            tag("span", f"life {row.lives}", class_="tag") if row.lives > 1 else None,
        )
        if each is not None
    )


def _bar(row: TaskRow) -> Markup:
    total = max(1, row.total_steps)
    parts = (
        (row.completed_steps, TaskStatus.COMPLETE),
        (row.failed_steps, TaskStatus.ERROR),
        (row.retrying_steps, TaskStatus.WAITING_FOR_RETRY),
        (row.in_progress_steps, TaskStatus.IN_PROGRESS),
    )
    return tag(
        "div",
        *(
            tag("i", class_=state_class(state), style=f"width:{100 * n / total:.2f}%")
            for n, state in parts
            if n
        ),
        class_="bar",
        aria_hidden="true",
    )

"""Free text from tasks is text in every piece of markup that the pages make, in HTML and in SVG."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasker_kafka.deploy.console.backend import TaskDetails
from tasker_kafka.deploy.console.pages import (
    shell,
    task_commands,
    task_graph,
    task_head,
    task_history,
    task_steps,
    tasks_view,
    templates_view,
)
from tasker_kafka.deploy.console.pages.dag_layout import lay_out
from tasker_kafka.deploy.console.pages.dag_svg import NodeView, draw, nodes_markup
from tasker_kafka.deploy.console.pages.markup import (
    Markup,
    Number,
    chip,
    cut,
    facts,
    json_block,
    prose,
    table,
    tag,
    took_text,
    when,
)
from tasker_kafka.deploy.console.pages.task_timeline import timeline
from tasker_kafka.schemas.words import StepStatus
from tests.support.page_rows import hostile_event, hostile_row
from tests.support.page_world import HOSTILE, details_of_rig, hostile_task, step_in, story
from tests.support.tasks import START

SAFE_TAGS = frozenset(
    {
        "a",
        "b",
        "button",
        "caption",
        "circle",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "g",
        "h1",
        "h2",
        "h3",
    }
    | {
        "i",
        "li",
        "nav",
        "p",
        "path",
        "pre",
        "rect",
        "section",
        "span",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
    }
    | {"text", "th", "thead", "time", "title", "tr", "ul"}
)


class Seen(HTMLParser):
    """Tags and attributes as a browser would find them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(str(markup))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def pieces(details: TaskDetails) -> dict[str, Markup]:
    """Everything that the task's page draws."""
    now = START + 60_000
    rows = task_steps.step_rows(details, "b")
    nodes = task_graph.graph_nodes(details, "b")
    step = details.step("b")
    assert step is not None
    return {
        "head": task_head.head(details),
        "overview": task_head.overview(details, now),
        "progress": task_head.progress(details),
        "waits": task_head.waits(details),
        "freshness": task_head.freshness(details),
        "steps": task_steps.step_table(rows),
        "step switches": task_steps.state_switches(details.report.steps, task_steps.StepFilter(text=HOSTILE)),
        "step a": task_steps.step_panel(details, "a"),
        "step b": task_steps.step_panel(details, "b"),
        "graph": task_graph.graph(details.plan, nodes, HOSTILE, 1.0),
        "timeline": timeline(details, now),
        "transitions": task_history.transitions(details, 200),
        "data": task_history.data(details),
        "task buttons": task_commands.task_buttons(details, HOSTILE),
        "step buttons": task_commands.step_buttons(details, step, None),
        "events": task_history.events([hostile_event()], None),
        "fault": task_history.events(None, HOSTILE),
        "list": tasks_view.task_table(tasks_view.rows([hostile_row()]), is_filtered=True),
    }


@pytest.mark.parametrize("name", [*pieces(hostile_task())])
def test_hostile_text_stays_text(name: str) -> None:
    seen = Seen(pieces(hostile_task())[name])
    assert seen.tags <= SAFE_TAGS
    assert not {each for each in seen.attributes if each.startswith("on")}


def test_hostile_text_is_shown_as_it_was_written() -> None:
    drawn = pieces(hostile_task())
    for name in ("overview", "step b", "timeline", "transitions", "data", "events"):
        assert HOSTILE in Seen(drawn[name]).text.replace("\\", ""), name


def test_names_in_a_graph_are_text_too() -> None:
    layout = lay_out([[]], [0])
    nodes = nodes_markup(layout, [NodeView(HOSTILE, StepStatus.ERROR, HOSTILE, HOSTILE)])
    seen = Seen(draw(layout, nodes, HOSTILE))
    assert seen.tags <= SAFE_TAGS
    assert not {each for each in seen.attributes if each.startswith("on")}


@pytest.mark.parametrize("state", StepStatus)
def test_a_node_tells_its_state_by_sign_shape_and_words(state: StepStatus) -> None:
    details = step_in(state)
    node = task_graph.graph_nodes(details, None)[f"node-{details.plan.index['a']}"]
    words = state.replace("_", " ")
    assert f'aria-label="Step a: {words}' in node
    assert f">{words}" in Seen(node).text or words in Seen(node).text
    others = [
        task_graph.graph_nodes(step_in(each), None)[f"node-{step_in(each).plan.index['a']}"]
        for each in StepStatus
        if each is not state
    ]
    assert all(_mark(node) != _mark(other) for other in others)


def _mark(node: Markup) -> str:
    return str(node).split('<path d="')[1].split('"')[0]


def test_only_what_moved_is_another_piece() -> None:
    rig = story()
    before = task_graph.graph_nodes(details_of_rig(rig, upto=2), None)
    after = task_graph.graph_nodes(details_of_rig(rig, upto=3), None)
    changed = {name for name in before if before[name] != after[name]}
    assert 0 < len(changed) < len(before)


def test_a_step_that_is_not_there_is_said_to_be_missing() -> None:
    assert "no step" in task_steps.step_panel(hostile_task(), HOSTILE)
    assert "<script" not in task_steps.step_panel(hostile_task(), HOSTILE)


def test_small_helpers() -> None:
    assert tag("p", "a<b", None, Markup("<i>x</i>"), class_="k", hidden=True, title=None) == (
        '<p class="k" hidden>a&lt;b<i>x</i></p>'
    )
    assert cut("abcdef", 4) == "abc…"
    assert took_text(0, 999) == "999 ms"
    assert took_text(0, 1250) == "1.25 s"
    assert took_text(0, 240_000) == "4 min"
    assert took_text(None, 1) == "–"
    assert when(None) == '<span class="nothing">–</span>'
    assert "2 min ago" in when(START, START + 120_000)
    assert "in 2 min" in when(START + 120_000, START)
    assert ".000" in when(START, is_exact=True)
    assert "<dd>0</dd>" in facts([("none", 0)])
    assert "waiting for retry" in chip("waiting_for_retry")
    assert "Cut here" in json_block("x" * 300_000, "big")


def test_what_is_between_backticks_is_code() -> None:
    assert prose("start `tasker worker -m <M>` there") == Markup(
        "start <code>tasker worker -m &lt;M&gt;</code> there"
    )
    assert prose("a` <b>") == Markup("a` &lt;b&gt;"), "a backtick alone is of the data"


def test_the_commands_of_a_waiting_sentence_are_code() -> None:
    drawn = task_head.waits(details_of_rig(story()))
    assert "<code>tasker step retry</code>" in drawn
    assert "`" not in drawn


def test_an_event_leads_to_the_groups_that_owe_something() -> None:
    drawn = task_history.events([hostile_event()], None)
    assert 'href="/console/subscribers"' in drawn
    assert drawn.count('href="/console/subscribers/%3C%2Fscript%3E') == 2, (
        "of its receipt and its dead letter"
    )


def test_a_tables_frame_carries_its_heads_for_the_cards_of_narrow_screens() -> None:
    drawn = str(table("Orders", ("Seq", Number('At "once"; }'), "#"), [], empty="None."))
    frame = unescape(drawn.partition(">")[0])
    assert r'''style="--head-1:"Seq";--head-2:"At \22 once\22 \3b  \7d ";--head-3:"\23 ""''' in frame
    rules = (Path(shell.STATIC) / "console.css").read_text()
    widest = max(
        len(columns) for columns in (task_steps.STEP_COLUMNS, tasks_view.COLUMNS, templates_view.STEP_COLUMNS)
    )
    for number in range(1, widest + 1):
        assert f"td:nth-child({number})::before {{ content: var(--head-{number}); }}" in rules

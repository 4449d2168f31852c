"""Templates for people: levels, the critical path, and who serves which handler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tasker_kafka.deploy.console.backend.roster import handler_rows
from tasker_kafka.deploy.console.backend.templates import (
    critical_path,
    find_template,
    template_details,
    template_rows,
)
from tasker_kafka.deploy.reading import WorkerRow
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template
from tasker_kafka.streams.projection import StepLoad

UNEVEN: Mapping[str, Sequence[str]] = {"a": (), "b": ("a",), "c": ("b",), "d": ("a", "c"), "e": ("d",)}


def plan_of(steps: Mapping[str, Sequence[str]] = UNEVEN, version: str = "1.0.0") -> Plan:
    template = Template("shape", namespace="shop", version=version)
    for name, parents in steps.items():
        template = template.step(name, handler=f"shop.{name}", depends_on=list(parents))
    return template.compile()


@pytest.mark.parametrize(
    ("seconds", "path", "total"),
    [
        ({}, ("a", "b", "c", "d", "e"), None),
        ({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}, ("a", "b", "c", "d", "e"), 15.0),
        ({"e": 1.5}, ("a", "b", "c", "d", "e"), 1.5),
        (dict.fromkeys("abcde", 0.0), ("a", "b", "c", "d", "e"), 0.0),
    ],
)
def test_the_path_that_takes_longest(
    seconds: dict[str, float], path: tuple[str, ...], total: float | None
) -> None:
    assert critical_path(plan_of(), seconds) == (path, total)


def test_the_longer_branch_wins() -> None:
    plan = plan_of({"a": (), "fast": ("a",), "slow": ("a",), "end": ("fast", "slow")})
    assert critical_path(plan, {"fast": 1.0, "slow": 9.0}) == (("a", "slow", "end"), 9.0)
    assert critical_path(plan, {"fast": 9.0, "slow": 1.0}) == (("a", "fast", "end"), 9.0)


def test_a_template_without_steps_has_no_path() -> None:
    assert critical_path(Template("none", namespace="shop", version="1.0.0").compile(), {}) == ((), None)


def test_levels_and_versions() -> None:
    plans = [plan_of(version="1.10.0"), plan_of(version="1.9.0")]
    found = template_details(find_template(plans, "shop", "shape", "latest"), plans, {"a": 2.0})
    assert found.template.version == "1.10.0", "by number, not by text"
    assert (found.template.is_latest, found.versions) == (True, ("1.9.0", "1.10.0"))
    assert found.levels == (("a",), ("b",), ("c",), ("d",), ("e",))
    assert [(each.name, each.min_depth_from_root, each.dependency_level) for each in found.steps][3] == (
        "d",
        1,
        3,
    )
    assert [each.is_latest for each in template_rows(plans)] == [False, True]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("shop", "shap", None), "did you mean `shop/shape`"),
        (("shop", "shape", "9.9.9"), "has no version '9.9.9'"),
    ],
)
def test_what_is_not_published_names_what_is(place: tuple[str, str, str | None], said: str) -> None:
    with pytest.raises(NotFoundError, match=said):
        find_template([plan_of()], *place)


def worker(*handlers: str, is_alive: bool = True) -> WorkerRow:
    return WorkerRow(
        worker_id="w", queues=("shop",), handlers=handlers, version="1", host="h", pid=1, started_at=0, seen_at=0,
        is_alive=is_alive,
    )  # fmt: skip


def load(enqueued: int) -> StepLoad:
    return StepLoad(
        queue="shop", handler="shop.a", enqueued=enqueued, in_progress=0, waiting_for_retry=0,
        oldest_dispatched_at=60_000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("workers", "enqueued", "said"),
    [
        ([], 3, "4 min: nobody consumes steps.shop"),
        ([worker("shop.a", is_alive=False)], 3, "nobody consumes"),
        ([worker("shop.b")], 3, "no worker of steps.shop knows handler shop.a"),
        ([worker("shop.a")], 3, None),
        ([], 0, None),
    ],
)
def test_what_waits_for_nobody_says_why(workers: list[WorkerRow], enqueued: int, said: str | None) -> None:
    rows = handler_rows([plan_of({"a": ()})], workers, [load(enqueued)], 300_000)
    (row,) = rows
    assert row.templates == ("shop/shape@1.0.0",)
    assert (row.message is None) is (said is None)
    assert said is None or said in (row.message or "")

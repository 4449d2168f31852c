"""Every page of the console, over tasks, letters and rejections that have something to show; and what axe-core finds.

axe-core comes in the wheel of axe-playwright-python; only its script is taken from there, so that no page of a test
loads anything from a network.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from playwright.async_api import Page, expect

from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.records import TaskRequest

from .browser_system import ConsoleSystem
from .browser_work import LONG, NAMESPACE

__all__ = ["PAGES", "make_pages", "settled", "violations"]

PAGES: Final = (
    "tasks",
    "tasks, none",
    "task graph",
    "task step",
    "task timeline",
    "task transitions",
    "task events",
    "task data",
    "task of long names",
    "templates",
    "template",
    "template of long names",
    "workers",
    "dead letters",
    "dead letter",
    "stale tasks",
    "stale task",
    "rejections",
    "rejection",
    "subscribers",
    "subscriber",
    "analytics",
    "health",
)
TAGS: Final = (
    "marketplace",
    "european-union",
    "finance-team-on-call",
    "needs-a-second-signature",
    "priority",
)
REASON: Final = (
    "Settlement of the month, asked for by finance after the payment provider had corrected its statement"
)


async def make_pages(system: ConsoleSystem) -> dict[str, str]:
    """The address of each of PAGES, with what they show in the projection and in the log."""
    order = await system.request("order", {"number": 61})
    failed = await system.request("declined", {"number": 62}, tags=("web",), reason="order 62")
    stale = await system.request("stale", {"number": 63})
    long = await system.request(LONG, {"seller": "x" * 80}, tags=TAGS, reason=REASON)
    await system.send(
        TaskRequest(name="ordr", namespace=NAMESPACE, context=b"{}", request_id=new_request_id())
    )
    await system.wait_state(order, ["complete"])
    await system.wait_state(failed, ["error"])
    await system.wait_state(long, ["error"])
    await system.wait_state(stale, ["blocked_by_failures"])
    letter = await system.wait_api(f"/dlq?task_id={order}", lambda found: found["letters"])
    rejection = await system.wait_api("/rejections", lambda found: found["rejections"])
    await system.wait_api("/stale", lambda found: stale in str(found))
    return _addresses(
        order=order,
        failed=failed,
        stale=stale,
        long=long,
        letter=letter[0]["place"],
        rejection=rejection[0]["place"],
    )


def _addresses(
    *, order: str, failed: str, stale: str, long: str, letter: str, rejection: str
) -> dict[str, str]:
    places = (
        "",
        "?tag=nobody-has-this",
        f"/tasks/{failed}",
        f"/tasks/{failed}?view=steps&step=charge_card",
        f"/tasks/{order}?view=timeline",
        f"/tasks/{failed}?view=transitions",
        f"/tasks/{order}?view=events",
        f"/tasks/{order}?view=data",
        f"/tasks/{long}?view=steps",
        "/templates",
        "/templates/shop/order",
        f"/templates/shop/{LONG}",
        "/workers",
        "/dlq",
        f"/dlq/{letter}",
        "/stale",
        f"/stale/{stale}",
        "/rejections",
        f"/rejections/{rejection}",
        "/subscribers",
        "/subscribers/books",
        "/analytics",
        "/health",
    )
    return {name: f"/console{place}" for name, place in zip(PAGES, places, strict=True)}


async def settled(page: Page) -> None:
    """Until the page shows what it has read."""
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    for waiting in ("Reading…", "Reading the queues…", "Asking the broker…"):
        await expect(page.get_by_text(waiting)).to_have_count(0)


async def violations(page: Page, *, only: str | None = None) -> list[str]:
    """What axe-core finds on the page, one line for each rule and element; `only` one rule."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only is not None:
        options["runOnly"] = {"type": "rule", "values": [only]}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]} {node.get('failureSummary', '')}"
        for each in found["violations"]
        for node in each["nodes"]
    ]

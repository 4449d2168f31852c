"""`make screenshots`: the pictures in docs/screenshots, of a system that has something to show.

    python -m tests.support.screenshots [FOLDER]

Each picture is one window of a page (not the whole page), so that it stays small and reads well in a document.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from playwright.async_api import Page, async_playwright, expect

from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.records import TaskRequest

from . import browser_work as work
from .browser import DESK, PHONE, launch, visiting
from .browser_system import ConsoleSystem, console_system
from .patience import PATIENCE_SECONDS
from .source_tree import ROOT

__all__ = ["main"]

FOLDER: Final = ROOT / "docs" / "screenshots"
MOST_BYTES: Final = 200_000
ORDERS: Final = (1, 2, 3, 4, 7, 8, 9)
SETTLE_MS: Final = 700
"""After the last text has come: fonts, and pieces that are still on their way."""


class Picture(NamedTuple):
    """One file: the page, and a text that is there once it is complete."""

    name: str
    path: str
    shows: str
    scheme: str = "light"
    size: tuple[int, int] = DESK


async def take(folder: Path) -> None:
    """Make a system, let it have its troubles, and take all pictures."""
    expect.set_options(timeout=1000 * PATIENCE_SECONDS)
    with tempfile.TemporaryDirectory(prefix="tasker-screenshots-") as scratch:
        async with console_system(Path(scratch), prefix="shop") as system, async_playwright() as driver:
            pictures = await troubles(system)
            browser = await launch(driver)
            for picture in pictures:
                async with visiting(browser, system.url, size=picture.size) as visit:
                    await photograph(visit.page, picture, folder)
            await browser.close()


async def troubles(system: ConsoleSystem) -> Sequence[Picture]:
    """Tasks in every state that people look for, and the pictures of them."""
    orders = [
        await system.request("order", {"number": number}, tags=["web"], reason=f"order {number}")
        for number in ORDERS
    ]
    failed = await system.request("declined", {"number": 21}, reason="order 21")
    retrying = await system.request("retrying", {"number": 22}, reason="order 22")
    running = await system.request("running", {"number": 23}, reason="order 23")
    stale = await system.request("stale", {"number": 24}, reason="order 24")
    await system.request("waiting", {"number": 25}, reason="order 25")
    await system.request("wide", {"number": 26}, reason="a thousand steps")
    await system.send(
        TaskRequest(name="ordr", namespace=work.NAMESPACE, context=b"{}", request_id=new_request_id())
    )
    for task_id, state in (
        *((each, "complete") for each in orders),
        (failed, "error"),
        (retrying, "waiting_for_retry"),
        (stale, "blocked_by_failures"),
    ):
        await system.wait_state(task_id, [state])
    return pictures_of(running, failed, orders[-1])


def pictures_of(running: str, failed: str, done: str) -> Sequence[Picture]:
    """Which pages, in which colours and sizes."""
    return (
        Picture("tasks", "/console", "declined"),
        Picture("task-running", f"/console/tasks/{running}", "charge_card"),
        Picture("task-failed", f"/console/tasks/{failed}", "card_declined", "dark"),
        Picture("task-phone", f"/console/tasks/{failed}", "card_declined", "light", PHONE),
        Picture("tasks-phone", "/console?state=error", "shop/declined", "light", PHONE),
        Picture("task-events", f"/console/tasks/{done}?view=events", "Subscriber groups and their lag"),
        Picture("template", "/console/templates/shop/order/1.0.0", "check_cart"),
        Picture("dead-letters", "/console/dlq", "order.placed"),
        Picture("stale", "/console/stale", "staleness timeout"),
        Picture("workers", "/console/workers", "Waits for nobody"),
        Picture("subscribers", "/console/subscribers", "3 open", "dark"),
        Picture("analytics", "/console/analytics?template=order", "shop/order@1.0.0"),
        Picture("health", "/console/health", "Orchestrators"),
    )


async def photograph(page: Page, picture: Picture, folder: Path) -> None:
    """Take one picture. ValueError when its file is too large for a document."""
    await page.emulate_media(color_scheme="dark" if picture.scheme == "dark" else "light")
    await page.goto(picture.path)
    await expect(page.get_by_text(picture.shows).first).to_be_visible()
    await page.wait_for_timeout(SETTLE_MS)
    file = folder / f"{picture.name}.png"
    data = await page.screenshot(path=file, animations="disabled")
    print(f"{file.name}: {len(data) // 1000} kB")
    if len(data) > MOST_BYTES:
        raise ValueError(f"{file} has {len(data)} bytes; a picture has at most {MOST_BYTES}")


def main() -> None:
    """All pictures into the folder that is named, or into the documents."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(folder))


if __name__ == "__main__":
    main()

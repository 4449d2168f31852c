"""A task id that was used again: its page shows both lives, and one can look at the first, where nothing can be done.

An engine forgets a task an hour after it has closed at the soonest, so the two lives are written into a projection of
their own, which one more console reads.
"""

from __future__ import annotations

from pathlib import Path

import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.streams.projection import Store
from tests.support.browser import visiting
from tests.support.browser_system import ConsoleSystem
from tests.support.projected import TWO_STEPS, Topic, projected, task_key
from tests.support.tasks import Rig

FIRST, SECOND = 11, 57
TASK = task_key(7)


def write_lives(file: Path, prefix: str) -> None:
    """The first life failed at its first step; the second has done everything."""
    topic, first, second = Topic(), Rig(TWO_STEPS), Rig(TWO_STEPS)
    first.start(reason="the first time")
    first.fail("a", retryable=False)
    second.start(reason="the second time")
    second.succeed("a", "b")
    for life, rig in ((FIRST, first), (SECOND, second)):
        for record in rig.records:
            topic.add(TASK, replace(record, life=life))
    store = Store.open(file, prefix=prefix, create=True)
    projected(store, topic)
    store.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(system: ConsoleSystem) -> str:
    """The address of the console over that projection."""
    file = system.switches.parent / "lives.sqlite"
    write_lives(file, system.prefix)
    return await system.start_console("console-lives", {"TASKER_PROJECTION__URL": f"sqlite:///{file}"})


async def test_both_lives_are_shown_and_the_first_can_be_looked_at(chromium: Browser, site: str) -> None:
    async with visiting(chromium, site) as visit:
        page = visit.page
        await page.goto(f"/console/tasks/{format_id(TASK)}")
        lives = page.get_by_text("Lives of this identity")
        await expect(lives.get_by_role("link")).to_have_text(["life 1", "life 2"])
        await expect(page.get_by_role("link", name="life 2")).to_have_attribute("aria-current", "true")
        await expect(page.locator("h1 + .chip")).to_contain_text("complete")
        await expect(page.get_by_text("the second time")).to_be_visible()

        await page.get_by_role("link", name="life 1").click()
        await expect(page.get_by_role("link", name="life 1")).to_have_attribute("aria-current", "true")
        await expect(page.get_by_text("the first time")).to_be_visible()
        await expect(page.get_by_role("link", name="Step a: error")).to_be_visible()
        retry = page.get_by_role("button", name="Retry", exact=True)
        await expect(retry).to_have_attribute("aria-disabled", "true")
        await retry.click(force=True)
        await expect(page.get_by_text("This is an earlier life of the task")).to_be_visible()
        await page.get_by_role("link", name="Transitions").click()
        table = page.get_by_role("region", name="Transitions")
        await expect(table).to_contain_text("error")
        await expect(table).not_to_contain_text("all steps done")

        await page.goto("/console")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody tr")).to_contain_text("life 2")

"""Broker, projector and console end behind an open page: it says what it cannot reach, and goes on by itself."""

from __future__ import annotations

import asyncio

from playwright.async_api import Page, expect

from tests.support.browser import Visit
from tests.support.browser_system import CONSOLE, PROJECTOR, ConsoleSystem


async def test_the_broker_goes_and_comes(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console/subscribers")
    row = page.get_by_role("row").filter(has_text="audit")
    await expect(row).to_have_count(1)
    await asyncio.to_thread(system.broker.kill)
    try:
        await expect(page.locator("#banner")).to_contain_text("Kafka cannot be reached")
        await expect(page.get_by_role("alert").first).to_contain_text("the broker is away")
        await expect(page.get_by_text("Below is what was there at")).to_be_visible()
        await expect(row).to_have_count(1)
        await page.goto("/console/workers")
        await expect(page.get_by_role("alert").first).to_contain_text("when they were last heard of")
        await expect(page.get_by_role("row").filter(has_text="alive")).to_have_count(1)
    finally:
        await asyncio.to_thread(system.broker.restart)
    await expect(page.locator("#banner")).not_to_contain_text("Kafka cannot be reached")
    await expect(page.get_by_text("when they were last heard of")).to_have_count(0)
    await system.wait_state(await system.request("order", {"number": 1}), ["complete"])


async def test_the_projector_ends_and_comes_back(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console/health")
    row = page.get_by_role("row").filter(has=page.get_by_text("projection", exact=True))
    await expect(row).to_contain_text("ok")
    system.kill(PROJECTOR)
    task_id = await system.request("order", {"number": 1})
    await expect(page.locator("#banner")).to_contain_text("behind the log")
    await expect(row).to_contain_text("needs a look")
    system.restart(PROJECTOR)
    await expect(page.locator("#banner")).not_to_contain_text("behind the log")
    await expect(row).to_contain_text("ok")
    await system.wait_state(task_id, ["complete"])


async def test_the_console_ends_and_comes_back(visit: Visit, system: ConsoleSystem) -> None:
    page = visit.page
    await page.goto("/console/subscribers")
    await expect(page.get_by_role("link", name="audit")).to_be_visible()
    with visit.outage():
        system.kill(CONSOLE)
        await expect(page.get_by_text("Connection lost")).to_be_visible()
        system.restart(CONSOLE)
        await system.wait_ready()
        await expect(page.get_by_text("Connection lost")).to_be_hidden()
        await expect(page.get_by_role("link", name="audit")).to_be_visible()

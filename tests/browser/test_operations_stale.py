"""Stale tasks in the browser, over a real Kafka: seen, settled with a reason, audited."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.support.browser_steps import confirm
from tests.support.browser_system import ConsoleSystem


async def open_entry(page: Page, system: ConsoleSystem) -> str:
    """The page of a new stale task: its id."""
    task_id = await system.request("stale")
    await page.goto("/console/stale")
    await page.get_by_role("link", name=task_id).click()
    await expect(page.locator(".page-head")).to_contain_text("pending")
    return task_id


async def audit(system: ConsoleSystem, task_id: str) -> list[tuple[str, str]]:
    """Actor and reason of every operator's command in the task's history."""
    found = await system.api(f"/tasks/{task_id}/transitions")
    return [(each["actor"], each["reason"]) for each in found["transitions"] if each["actor"]]


async def test_a_stale_task_is_resolved(page: Page, system: ConsoleSystem) -> None:
    task_id = await open_entry(page, system)
    await expect(page.locator(".facts")).to_contain_text("blocked by failures")
    await page.get_by_role("button", name="Resolve the task…").click()
    await confirm(page, "Resolve the task", "settled by telephone")
    await expect(page.get_by_role("button", name="Resolve the task…")).to_have_count(0)
    await expect(page.locator(".page-head")).to_contain_text("resolved")
    await system.wait_state(task_id, ["resolved_manually"])
    assert set(await audit(system, task_id)) == {("console", "settled by telephone")}
    await page.goto("/console/stale?status=resolved")
    await expect(page.get_by_role("link", name=task_id)).to_be_visible()


async def test_a_stale_task_is_retried_once_its_cause_is_gone(page: Page, system: ConsoleSystem) -> None:
    task_id = await open_entry(page, system)
    system.switch("funds")
    try:
        await page.get_by_role("button", name="Retry the task…").click()
        await confirm(page, "Retry the task", "the card works again")
        await system.wait_state(task_id, ["complete"])
    finally:
        system.switch("funds", is_on=False)


async def test_an_entry_that_is_none_is_told(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console/stale/00000000-0000-7000-8000-000000000000")
    await expect(page.get_by_role("alert")).to_contain_text("no entry")
    await page.goto("/console/stale/nonsense")
    await expect(page.get_by_role("alert")).to_contain_text("nonsense")

"""Roles in the browser: who may not command sees no command, and a page that was tampered with commands nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import visiting
from tests.support.browser_steps import confirm
from tests.support.browser_system import ConsoleSystem

TOKENS = {"RITA": "r-4e1b-reads", "OTTO": "o-8c2d-operates", "ADA": "a-77f0-administers"}
ENTRIES = "rita:read:env:RITA,otto:operate:env:OTTO,ada:admin:env:ADA"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guarded(system: ConsoleSystem) -> str:
    """The address of a console that asks for tokens."""
    return await system.start_console("console-guarded", {"TASKER_CONSOLE__TOKENS": ENTRIES, **TOKENS})


@asynccontextmanager
async def page_of(chromium: Browser, guarded: str, name: str) -> AsyncIterator[Page]:
    """A page of somebody whom the browser has asked for name and password."""
    async with visiting(chromium, guarded, name=(name, TOKENS[name.upper()])) as visit:
        yield visit.page


async def failed_task(system: ConsoleSystem) -> str:
    system.switch("funds", is_on=False)
    task_id = await system.request("declined")
    await system.wait_state(task_id, ["error"])
    return task_id


async def forge(page: Page, act: str, value: str) -> None:
    """Press a button that the page never drew; its press goes over the socket as any other."""
    await page.locator("main [data-act]").first.evaluate(
        """(near, [act, value]) => near.insertAdjacentHTML(
            "afterend", `<button id="forged" data-act="${act}" data-value="${value}">forged</button>`)""",
        [act, value],
    )
    await page.locator("#forged").click()


async def test_a_reader_sees_no_command_and_a_forged_one_is_refused(
    chromium: Browser, system: ConsoleSystem, guarded: str
) -> None:
    task_id = await failed_task(system)
    async with page_of(chromium, guarded, "rita") as page:
        await page.goto(f"/console/tasks/{task_id}?step=charge_card")
        await expect(page.get_by_role("heading", name="charge_card")).to_be_visible()
        await expect(page.locator("header")).to_contain_text("rita · read")
        for path in (
            f"/console/tasks/{task_id}?step=charge_card",
            "/console",
            "/console/dlq",
            "/console/stale",
        ):
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            acts = page.locator(
                '[data-act="command"], [data-act="bulk"], [data-act="submit"], [data-act="closed"]'
            )
            await expect(acts).to_have_count(0)
            await expect(page.locator("#redrive, #purge")).to_have_count(0)
        await page.goto(f"/console/tasks/{task_id}")
        await expect(page.get_by_role("link", name="Step charge_card: error")).to_be_visible()
        await forge(page, "command", "cancel_task")
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Reason", exact=True).fill("mischief")
        await dialog.get_by_role("button", name="Cancel the task").click()
        await expect(dialog.get_by_role("alert")).to_contain_text(
            "rita has the role read; this needs operate"
        )
    await system.wait_state(task_id, ["error"])
    found = await system.api(f"/tasks/{task_id}/transitions")
    assert [each for each in found["transitions"] if each["actor"]] == []


@pytest.mark.parametrize(("path", "act"), [("/console", "bulk"), ("/console/dlq", "purge")])
async def test_an_operator_commands_one_task_and_is_audited_but_neither_many_nor_purges(
    chromium: Browser, system: ConsoleSystem, guarded: str, path: str, act: str
) -> None:
    task_id = await failed_task(system)
    async with page_of(chromium, guarded, "otto") as page:
        await page.goto(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.locator(f'[data-act="{act}"]')).to_have_count(0)
        await forge(page, act, "cancel_task")
        refusal = page.get_by_text("otto has the role operate; this needs admin")
        await expect(refusal).to_be_visible()
        await page.goto(f"/console/tasks/{task_id}")
        await page.get_by_role("button", name="Resolve", exact=True).click()
        await confirm(page, "Resolve the task by hand", "settled by otto")
    await system.wait_state(task_id, ["resolved_manually"])
    found = await system.api(f"/tasks/{task_id}/transitions")
    assert {(each["actor"], each["reason"]) for each in found["transitions"] if each["actor"]} == {
        ("otto", "settled by otto")
    }


async def test_an_admin_has_every_command(chromium: Browser, system: ConsoleSystem, guarded: str) -> None:
    async with page_of(chromium, guarded, "ada") as page:
        await page.goto("/console")
        for name in ("Retry all…", "Resolve all…", "Cancel all…", "Submit a task…"):
            await expect(page.get_by_role("button", name=name)).to_be_visible()
        await page.goto("/console/dlq")
        await expect(page.get_by_role("button", name="Purge…")).to_be_visible()

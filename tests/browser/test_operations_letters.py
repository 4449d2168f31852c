"""Dead letters in the browser, over a real Kafka: inspected, mended, redriven, purged; with the keyboard alone."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Page, expect

from tests.support.browser_steps import confirm, tab_to
from tests.support.browser_system import ConsoleSystem
from tests.support.browser_work import SECRET


async def dead_letter(page: Page, system: ConsoleSystem, number: int) -> str:
    """The list with the one letter of a new task whose order has this number: the task's id."""
    task_id = await system.request("order", {"number": number})
    await page.goto(f"/console/dlq?task={task_id}")
    await expect(page.get_by_role("link", name="order.placed")).to_have_count(1)
    return task_id


async def wait_booked(system: ConsoleSystem, number: int) -> None:
    async with asyncio.timeout(90):
        while number not in system.booked():  # noqa: ASYNC110 - written by another process
            await asyncio.sleep(0.05)


async def test_a_letter_is_inspected_edited_and_redriven(page: Page, system: ConsoleSystem) -> None:
    await dead_letter(page, system, 70)
    counts = page.get_by_role("region", name="Open letters by group and class")
    await expect(counts.get_by_role("link", name="books")).to_be_visible()
    await page.get_by_role("link", name="order.placed").click()

    await expect(page.get_by_role("heading", name="order.placed")).to_be_visible()
    told = page.locator(".alert").get_by_text("the books are closed for 70 <i>and more</i>")
    await expect(told).to_be_visible()
    assert SECRET not in await page.content()
    payload = page.get_by_role("region", name="Payload, secrets hidden")
    await expect(payload).to_contain_text('"api_key": "[FILTERED]"')

    await page.get_by_text("Edit the payload, then redrive").click()
    editor = page.get_by_label("Payload as JSON")
    text = await editor.input_value()
    redrive = page.get_by_role("button", name="Redrive with these changes…")
    await expect(redrive).to_be_disabled()
    await editor.fill(text.replace('"number": 70', '"number": oops'))
    await expect(page.get_by_text("no JSON: ")).to_be_visible()
    await editor.fill(text.replace('"api_key": "[FILTERED]"', '"other": "[FILTERED]"'))
    await expect(page.get_by_text("with a hidden value in it")).to_be_visible()
    await expect(redrive).to_be_disabled()
    await editor.fill(text.replace('"number": 70', '"number": 3'))
    await expect(page.get_by_role("row", name="$.number − 70 + 3")).to_be_visible()

    await redrive.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("1 letter would be redriven (books: 1)")
    await expect(dialog.get_by_role("row", name="$.number − 70 + 3")).to_be_visible()
    await confirm(page, "Redrive", "the number was wrong")

    act = page.get_by_role("region", name="What was done about it").get_by_role("row").nth(1)
    await expect(act).to_contain_text("redriven")
    await expect(act).to_contain_text("the number was wrong")
    await expect(act).to_contain_text("$.number")
    await wait_booked(system, 3)


async def test_the_same_with_the_keyboard_alone(page: Page, system: ConsoleSystem) -> None:
    await dead_letter(page, system, 80)
    await tab_to(page, page.get_by_role("link", name="order.placed"))
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_text("Edit the payload, then redrive"))
    await page.keyboard.press("Enter")
    editor = page.get_by_label("Payload as JSON")
    await tab_to(page, editor)
    text = (await editor.input_value()).replace('"number": 80', '"number": 4')
    await page.keyboard.press("Control+A")
    await page.keyboard.insert_text(text)
    redrive = page.get_by_role("button", name="Redrive with these changes…")
    await expect(redrive).to_be_enabled()
    await tab_to(page, redrive)
    await page.keyboard.press("Enter")

    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Reason")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog).to_contain_text("Say why")
    await page.keyboard.type("typed")
    await tab_to(page, dialog.get_by_role("button", name="Redrive", exact=True))
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await wait_booked(system, 4)


async def test_many_are_purged_by_filter_and_shown_as_purged(page: Page, system: ConsoleSystem) -> None:
    task_id = await dead_letter(page, system, 90)
    await page.get_by_role("button", name="Purge…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("1 letter would be purged (books: 1)")
    await confirm(page, "Purge", "a test order")
    await expect(page.get_by_text("No dead letters fit.")).to_be_visible()

    await page.goto(f"/console/dlq?task={task_id}&state=purged")
    await page.get_by_role("link", name="order.placed").click()
    await page.get_by_role("button", name="Redrive…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("This letter is purged already.")


async def test_many_are_counted_and_can_be_stopped(page: Page, system: ConsoleSystem) -> None:
    for number in (91, 92, 93):
        await dead_letter(page, system, number)
    await page.goto("/console/dlq?group=books")
    await page.get_by_role("button", name="Redrive…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Letters per second").fill("0.01")
    await dialog.get_by_label("Reason", exact=True).fill("slowly")
    await dialog.get_by_role("button", name="Redrive", exact=True).click()
    await expect(dialog.get_by_role("status")).to_contain_text(re.compile(r"1 of \d+ done"))
    await page.keyboard.press("Escape")
    await dialog.get_by_role("button", name="Stop").click()
    await expect(dialog.get_by_role("alert")).to_contain_text(re.compile(r"Stopped: 1 of \d+ were done"))
    await dialog.get_by_role("button", name="Back").click()
    await expect(dialog).to_be_hidden()


async def test_a_filter_that_is_none_and_a_place_without_letter_are_told(
    page: Page, system: ConsoleSystem
) -> None:
    await page.goto("/console/dlq?event=NOT%20an%20event")
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.goto("/console/dlq/shop/0:999999")
    await expect(page.get_by_role("alert")).to_contain_text("999999")

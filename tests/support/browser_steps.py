"""What several browser tests do on a page: by the keyboard, in a dialog, at a width."""

from __future__ import annotations

from typing import Final

from playwright.async_api import Locator, Page, expect

__all__ = ["confirm", "fits", "tab_to"]

MOST_TABS: Final = 200


async def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until this element has the keyboard, as somebody without a mouse does."""
    await expect(target).to_be_visible()
    for _ in range(MOST_TABS):
        if await target.evaluate("each => each === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{MOST_TABS} times Tab do not lead to {target}")


async def confirm(page: Page, verb: str, reason: str) -> None:
    """Give the reason in the open dialog, confirm, and wait until it was done; then close it."""
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason", exact=True).fill(reason)
    await dialog.get_by_role("button", name=verb, exact=True).click()
    await expect(dialog.locator(".alert.tone-done")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()
    await expect(dialog).to_be_hidden()


async def fits(page: Page) -> None:
    """The page and its tables are no wider than its window: only graphs scroll, in a frame of their own."""
    width, window = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= window, f"{page.url} is {width} pixels wide in a window of {window}"
    wide = await page.evaluate(
        """[...document.querySelectorAll(".table-frame")]
           .filter(each => each.checkVisibility() && each.scrollWidth > Math.min(each.clientWidth, innerWidth))
           .map(each => `${each.ariaLabel}: ${each.scrollWidth} in ${each.clientWidth}`)"""
    )
    assert wide == [], f"tables of {page.url} are cut in a window of {window}: {wide}"

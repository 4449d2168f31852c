"""Every page, at three widths and in both colours: nothing is cut, and axe-core finds nothing to mend."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.support.browser import DESK, PHONE
from tests.support.browser_pages import PAGES, make_pages, settled, violations
from tests.support.browser_steps import fits
from tests.support.browser_system import ConsoleSystem

LARGE = (1600, 1000)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def places(system: ConsoleSystem) -> dict[str, str]:
    """The address of every page."""
    return await make_pages(system)


async def resize(page: Page, size: tuple[int, int]) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_fits_every_window_and_shuts_nobody_out(
    page: Page, places: dict[str, str], name: str
) -> None:
    await page.goto(places[name])
    await settled(page)
    for size in (LARGE, PHONE, DESK):
        await resize(page, size)
        await fits(page)
    assert await violations(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await violations(page, only="color-contrast") == []

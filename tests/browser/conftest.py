"""Fixtures of the browser tests: one Chromium and one system of real processes for the session, a page for each test.

    async def test_something(page: Page, system: ConsoleSystem) -> None:
        task = await system.request("declined")
        await page.goto(f"/console/tasks/{task}")

Every coroutine here runs in the session's event loop, as the browser does. A test whose page asks for anything from
elsewhere, writes an error to the browser's console or sets a cookie fails, whatever else it found. Without a browser
tests are skipped at a desk and fail in CI.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tasker_kafka.topics.brokers.errors import BrokerNotSupported
from tests.support.brokers import no_broker
from tests.support.browser import PHONE, NoBrowser, Visit, launch, visiting
from tests.support.browser_system import ConsoleSystem, console_system
from tests.support.patience import PATIENCE_SECONDS

HERE = Path(__file__).parent
EXPECT_MS = 1000 * PATIENCE_SECONDS
"""How long a page may take to show what a test expects."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here: `browser`, and `kafka` where the system is used; all in one event loop."""
    for item in items:
        if not item.path.is_relative_to(HERE) or not isinstance(item, pytest.Function):
            continue
        item.add_marker("browser")
        item.add_marker(pytest.mark.timeout(300))
        if "system" in item.fixturenames:
            item.add_marker("kafka")
        if item.get_closest_marker("asyncio") is not None:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser of the session."""
    expect.set_options(timeout=EXPECT_MS)
    async with async_playwright() as driver:
        try:
            browser = await launch(driver)
        except NoBrowser as error:
            if os.environ.get("CI"):
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConsoleSystem]:
    """The system of the session. A test that ends a part of it starts that part again."""
    try:
        async with console_system(tmp_path_factory.mktemp("console")) as started:
            yield started
    except BrokerNotSupported as error:
        no_broker(error)


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser, system: ConsoleSystem) -> AsyncIterator[Visit]:
    """A visitor of the console at a desk: `visit.page`, and `visit.outage()` for what is away on purpose."""
    async with visiting(chromium, system.url) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Visit) -> Page:
    """The page of the visitor; relative addresses are the console's."""
    return visit.page


@pytest_asyncio.fixture(loop_scope="session")
async def phone(chromium: Browser, system: ConsoleSystem) -> AsyncIterator[Page]:
    """A page as wide as a phone, 390 pixels."""
    async with visiting(chromium, system.url, size=PHONE) as visitor:
        yield visitor.page

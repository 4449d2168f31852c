"""A real browser for tests: where Chromium is, how it is started, and what a page may not do behind a test's back.

A page of the console may load nothing from elsewhere, write no error to the browser's console and set no cookie. No
test has to ask for that: `Visit` notes every breach, and the `page` fixture fails the test at its end.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, WebSocket

__all__ = ["DESK", "PHONE", "NoBrowser", "Visit", "find_chromium", "launch", "visiting"]

ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESK: Final = (1280, 900)
PHONE: Final = (390, 844)
"""Width and height of a page."""

_LOCAL_SCHEMES: Final = frozenset({"data", "blob", "about"})
_UNREACHABLE: Final = re.compile(
    r"net::ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET|NETWORK|FAILED)|WebSocket connection to|status of 50[234]"
)


class NoBrowser(Exception):
    """No Chromium can be started; the text says where it was looked for and what to do."""


def find_chromium(of_playwright: str) -> str | None:
    """Chromium's path: CHROMIUM, one on the PATH, the one that Playwright has installed there. None: there is none."""
    if given := os.environ.get("CHROMIUM"):
        return given
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or (of_playwright if Path(of_playwright).is_file() else None)


async def launch(driver: Playwright) -> Browser:
    """Start Chromium without a window. NoBrowser when there is none."""
    path = find_chromium(driver.chromium.executable_path)
    if path is None:
        raise NoBrowser(
            "no Chromium: `make browser` installs one; or name yours in CHROMIUM, or put it on the PATH"
        )
    return await driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))


class Visit:
    """One visitor of one site: a page, and a note of everything that it should not have done."""

    def __init__(self, context: BrowserContext, page: Page, site: str) -> None:
        self.context = context
        self.page = page
        self._site = urlsplit(site).netloc
        self._faults: list[str] = []
        self._is_away = False
        context.on("request", self._on_request)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self._faults.append(f"uncaught: {error.error}"))
        context.on("page", lambda opened: opened.on("websocket", self._on_websocket))
        page.on("websocket", self._on_websocket)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Within the block the site may be away, and the browser may say so in its console."""
        self._is_away = True
        try:
            yield
        finally:
            self._is_away = False

    async def faults(self) -> list[str]:
        """What the visitor's pages did and should not have; [] if all was well."""
        cookies = [f"cookie: {each.get('name')}" for each in await self.context.cookies()]
        return [*self._faults, *cookies]

    def _on_request(self, request: Request) -> None:
        self._check_place(request.url)

    def _on_websocket(self, socket: WebSocket) -> None:
        self._check_place(socket.url)

    def _check_place(self, url: str) -> None:
        place = urlsplit(url)
        if place.scheme not in _LOCAL_SCHEMES and place.netloc != self._site:
            self._faults.append(f"foreign request: {url[:200]}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or (self._is_away and _UNREACHABLE.search(message.text)):
            return
        self._faults.append(f"console error: {message.text[:500]} ({message.location.get('url')})")


@asynccontextmanager
async def visiting(
    browser: Browser, site: str, *, size: tuple[int, int] = DESK, name: tuple[str, str] | None = None
) -> AsyncIterator[Visit]:
    """A visitor without history. At the end of the block AssertionError names what its pages should not have done.

    name: who is said to be there when the site asks, and the password.
    """
    width, height = size
    context = await browser.new_context(
        base_url=site,
        viewport={"width": width, "height": height},
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
        http_credentials=None if name is None else {"username": name[0], "password": name[1]},
    )
    try:
        visit = Visit(context, await context.new_page(), site)
        yield visit
        faults = await visit.faults()
        assert not faults, "\n".join(["the page did what no page may:", *faults])
    finally:
        await context.close()

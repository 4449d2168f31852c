"""The guard of the browser tests itself: what no page may do is found, and what pages may do is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.async_api import Browser

from tasker_kafka.topics.brokers.wire import free_port
from tests.support.browser import visiting

PAGES = {
    "/good": "<title>good</title><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='><script src='/script'></script>",
    "/script": "document.title = 'it ran'",
    "/foreign": "<script src='http://localhost:1/elsewhere.js'></script>",
    "/error": "<script>console.error('something is wrong')</script>",
    "/raises": "<script>throw new Error('nobody catches it')</script>",
    "/cookie": "<script>document.cookie = 'visitor=7'</script>",
    "/missing": "<img src='/nowhere'>",
}


class Answers(BaseHTTPRequestHandler):
    """The pages above."""

    def do_GET(self) -> None:
        """One of them, or 404."""
        text = PAGES.get(self.path)
        found = text is not None or self.path == "/favicon.ico"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/javascript" if self.path == "/script" else "text/html")
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """The pages' address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_a_good_page_passes(chromium: Browser, site: str) -> None:
    async with visiting(chromium, site) as visit:
        await visit.page.goto("/good")
        assert await visit.page.title() == "it ran"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/foreign", r"foreign request: http://localhost:1/elsewhere\.js"),
        ("/error", "console error: something is wrong"),
        ("/raises", "uncaught: .*nobody catches it"),
        ("/cookie", "cookie: visitor"),
        ("/missing", "console error: .* 404"),
    ],
)
async def test_what_no_page_may_do_is_found(chromium: Browser, site: str, path: str, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        async with visiting(chromium, site) as visit:
            await visit.page.goto(path, wait_until="networkidle")


async def test_an_outage_forgives_connections_only(chromium: Browser, site: str) -> None:
    async with visiting(chromium, site) as visit:
        await visit.page.goto("/good")
        with visit.outage():
            await visit.page.evaluate(f"fetch('http://127.0.0.1:{free_port()}/').catch(() => {{}})")
            await visit.page.evaluate("console.error('of our own')")
        faults = " ".join(await visit.faults())
        assert "foreign request" in faults
        assert "of our own" in faults
        assert "ERR_" not in faults
        visit._faults.clear()

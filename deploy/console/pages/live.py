"""Pieces of a page that change while somebody looks: drawn once, then only what changed is sent.

A page gives its pieces by id; `LiveHtml` remembers what the browser has and sends the difference. A thousand steps
of which three moved are three short messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from nicegui import background_tasks, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from .markup import EMPTY, Markup

__all__ = ["LiveHtml", "Refresher", "forget"]

_SCRIPT: Final = Path(__file__).parent / "static" / "live_html.js"


def forget(sent: object) -> None:
    """Leave a message to the browser to itself: the library sends it, and nobody waits for its answer."""


class LiveHtml(Element, component=_SCRIPT):
    """An element whose content is markup (`show`), and whose parts with an id can be replaced (`patch`)."""

    def __init__(self, content: Markup = EMPTY, *, tag: str = "div") -> None:
        super().__init__()
        self._props["tag"] = tag
        self._props["content"] = str(content)
        self._pieces: dict[str, Markup] = {}

    def show(self, content: Markup, pieces: Mapping[str, Markup] | None = None) -> None:
        """Draw all of it. `pieces`: the parts of it that `patch` may replace, by the id of their element."""
        self._pieces = dict(pieces or {})
        self._props["content"] = str(content)
        self.update()

    def patch(self, pieces: Mapping[str, Markup]) -> int:
        """Send those pieces that differ from what the browser has; how many. Each is a whole element with its id."""
        changed = [[id_, str(each)] for id_, each in pieces.items() if self._pieces.get(id_) != each]
        if changed:
            self._pieces.update(pieces)
            forget(self.run_method("patch", changed))
        return len(changed)

    def on_act(self, handler: Callable[[str, str], Awaitable[None] | None]) -> None:
        """Call `handler(act, value)` when an element with `data-act` (and `data-value`) is activated."""

        async def received(event: GenericEventArguments) -> None:
            answer = handler(str(event.args.get("act", "")), str(event.args.get("value", "")))
            if answer is not None:
                await answer

        self.on("act", received)

    def reveal(self, id_: str) -> None:
        """Move the view and the keyboard's focus to the element with this id."""
        forget(self.run_method("reveal", id_))


class Refresher:
    """Runs one refresh at a time, soon after `ask`, and never so often that it does nothing else.

    Between two refreshes lie at least `rest_seconds`, and three times what the last one took: a page of a thousand
    steps slows down by itself, not the browser or the other pages. What is asked for meanwhile is one refresh more.
    """

    def __init__(self, refresh: Callable[[], Awaitable[None]], *, rest_seconds: float = 0.3) -> None:
        self._refresh = refresh
        self._rest_seconds = rest_seconds
        self._asked = asyncio.Event()

    def start(self) -> None:
        """Run until the page is gone. Call it while the page is built."""
        client = ui.context.client
        task = background_tasks.create(self._run(), name="console page refresh")
        client.on_delete(task.cancel)

    def ask(self) -> None:
        """Refresh soon."""
        self._asked.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._asked.wait()
            self._asked.clear()
            began = loop.time()
            await self._refresh()
            await asyncio.sleep(max(self._rest_seconds, 3 * (loop.time() - began)))

"""Pieces of a page that change while somebody looks: drawn once, then only what changed is sent.

A page gives its pieces by id; `LiveHtml` remembers what the browser has and sends the difference. A thousand steps
of which three moved are three short messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from nicegui import Client, background_tasks, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from tasker_kafka.deploy.console.backend import Overloaded
from tasker_kafka.streams.projection import Changes

from . import context
from .markup import EMPTY, Markup, tag

__all__ = ["LiveHtml", "Refresher", "follow", "forget"]

_LOGGER: Final = logging.getLogger("tasker.console")
AGAIN_SECONDS: Final = 5.0
_SCRIPT: Final = Path(__file__).parent / "static" / "live_html.js"


def forget(sent: object) -> None:
    """Leave a message to the browser to itself: the library sends it, and nobody waits for its answer."""


class LiveHtml(Element, component=_SCRIPT):
    """An element whose content is markup (`show`), and whose parts with an id can be replaced (`patch`)."""

    def __init__(self, content: Markup = EMPTY, *, tag: str = "div") -> None:
        super().__init__()
        self._props["tag"] = tag
        self._props["content"] = str(content)
        self._props["version"] = 0
        self._key: str | None = None
        self._pieces: dict[str, Markup] = {}

    def show(self, content: Markup) -> None:
        """Draw all of it, unless the browser has it."""
        self._draw(None, str(content), {})

    def keep(self, key: str, whole: Callable[[], Markup], pieces: Mapping[str, Markup]) -> None:
        """Draw `whole` when `key` (what it is a drawing of) changes; else send those pieces only that changed.

        `pieces` are whole elements by their ids, and part of `whole`.
        """
        if key != self._key or pieces.keys() != self._pieces.keys():
            self._draw(key, str(whole()), pieces)
            return
        changed = [[id_, str(each)] for id_, each in pieces.items() if self._pieces[id_] != each]
        if changed:
            self._pieces = dict(pieces)
            # What a browser that loads the page anew would get is not kept up: it builds the page anew, too.
            forget(self.run_method("patch", changed))

    def _draw(self, key: str | None, content: str, pieces: Mapping[str, Markup]) -> None:
        if key == self._key and content == self._props["content"] and not pieces:
            return
        self._key, self._pieces = key, dict(pieces)
        self._props["content"] = content
        self._props["version"] = self._props["version"] + 1
        self.update()

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


def follow(handler: Callable[[Changes], None]) -> None:
    """Call `handler` with everything that moves, until the page is gone. Call it while the page is built.

    Whatever ends the feed (the backend, or the handler itself), the page says that it is not live and listens again;
    the first that `handler` hears then is cut, since nobody knows what it has missed.
    """
    note = LiveHtml().classes("live-note").props("role=status")

    def tell(why: str | None) -> None:
        note.show(EMPTY if why is None else _not_live(why))

    task = background_tasks.create(_follow(handler, tell), name="console page feed")
    ui.context.client.on_delete(task.cancel)


async def _follow(handler: Callable[[Changes], None], tell: Callable[[str | None], None]) -> None:
    """`tell` hears why the page is not live, and None when it is."""
    has_missed = False
    while True:
        try:
            async with contextlib.aclosing(context.backend().changes()) as feed:
                async for changes in feed:
                    handler(msgspec.structs.replace(changes, is_cut=True) if has_missed else changes)
                    has_missed = False
                    tell(None)
        except Overloaded:
            tell("too many pages follow what moves")
        except Exception:
            if not has_missed:  # once for each outage, not once for each try
                _LOGGER.exception("a page's feed failed; it is tried again")
            tell("what moves cannot be followed now")
        has_missed = True
        await asyncio.sleep(AGAIN_SECONDS)


def _not_live(why: str) -> Markup:
    sign = tag("span", "!", class_="sign", aria_hidden="true")
    return tag("p", sign, f" Not live: {why}. Trying again.", class_="alert tone-retry")


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
        task = background_tasks.create(self._run(client), name="console page refresh")
        client.on_delete(task.cancel)

    def ask(self) -> None:
        """Refresh soon."""
        self._asked.set()

    async def _run(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._asked.wait()
            self._asked.clear()
            began = loop.time()
            try:
                with client:
                    await self._refresh()
            except Exception:  # a fault of one drawing must not end the page's life
                _LOGGER.exception("a page could not be refreshed")
            await asyncio.sleep(max(self._rest_seconds, 3 * (loop.time() - began)))

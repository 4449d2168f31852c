"""What a page sends: all of it once, then what changed; one refresh at a time, and a fault ends none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from nicegui import Client, ui

from tasker_kafka.deploy.console.pages.live import LiveHtml, Refresher
from tasker_kafka.deploy.console.pages.markup import Markup, tag


@pytest.fixture
def client() -> Iterator[Client]:
    """A page that no browser looks at."""
    made = Client(ui.page("/nowhere"))
    with made:
        yield made
    made.delete()


def piece(name: str, text: str) -> Markup:
    return tag("p", text, id=name)


class Sent(LiveHtml):
    """Notes what goes to the browser."""

    def __init__(self) -> None:
        self.patches: list[Any] = []
        super().__init__()

    def run_method(self, name: str, *args: Any, timeout: float = 1) -> Any:
        self.patches.append((name, *args))

    @property
    def version(self) -> int:
        return int(self._props["version"])


def test_only_changed_pieces_are_sent(client: Client) -> None:
    live = Sent()
    pieces = {name: piece(name, "old") for name in ("a", "b", "c")}
    live.keep("k", lambda: Markup("").join(pieces.values()), pieces)
    assert (live.version, live.patches) == (1, [])
    live.keep("k", lambda: Markup("unused"), {**pieces, "b": piece("b", "new")})
    assert live.patches == [("patch", [["b", '<p id="b">new</p>']])]
    live.keep("k", lambda: Markup("unused"), {**pieces, "b": piece("b", "new")})
    assert len(live.patches) == 1
    assert live.version == 1, "it was not drawn again"


@pytest.mark.parametrize("change", ["key", "names"])
def test_another_drawing_is_drawn_anew(client: Client, change: str) -> None:
    live = Sent()
    live.keep("k", lambda: Markup("one"), {"a": piece("a", "x")})
    name = "b" if change == "names" else "a"
    live.keep("other" if change == "key" else "k", lambda: Markup("two"), {name: piece(name, "x")})
    assert (live.version, live._props["content"], live.patches) == (2, "two", [])


def test_what_was_patched_is_drawn_anew_by_the_same_content(client: Client) -> None:
    live = Sent()
    old = {"a": piece("a", "old")}
    live.keep("k", lambda: old["a"], old)
    live.keep("k", lambda: old["a"], {"a": piece("a", "new")})
    live.show(Markup("else"))
    live.keep("k", lambda: old["a"], old)
    assert (live.version, live._props["content"]) == (3, old["a"])


def test_an_empty_drawing_is_drawn(client: Client) -> None:
    live = Sent()
    live.keep("", lambda: Markup("none yet"), {})
    assert live._props["content"] == "none yet"


def test_showing_what_is_shown_sends_nothing(client: Client) -> None:
    live = Sent()
    live.show(Markup("<b>x</b>"))
    live.show(Markup("<b>x</b>"))
    assert live.version == 1


async def test_what_is_asked_for_during_a_refresh_is_one_refresh_more(client: Client) -> None:
    ran: list[int] = []
    began, go, again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def refresh() -> None:
        ran.append(len(ran))
        if len(ran) == 1:
            began.set()
            await go.wait()
            raise RuntimeError("a fault of one drawing")
        again.set()

    refresher = Refresher(refresh, rest_seconds=0)
    task = asyncio.create_task(refresher._run(client))
    refresher.ask()
    await began.wait()
    for _ in range(5):
        refresher.ask()
    go.set()
    await again.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert ran == [0, 1]
    task.cancel()

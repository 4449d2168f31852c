"""What a page sends: all of it once, then what changed; one refresh at a time, and a fault ends none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
from nicegui import Client, background_tasks, ui

from tasker_kafka.deploy.console.backend import Overloaded
from tasker_kafka.deploy.console.pages import context, live
from tasker_kafka.deploy.console.pages.live import LiveHtml, Refresher
from tasker_kafka.deploy.console.pages.markup import Markup, tag
from tasker_kafka.streams.projection import Changes


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


# ------------------------------------------------------------------------------------- what moves

MOVED = Changes(positions={0: 7}, tasks=())


class Feeds:
    """A backend whose feeds are given: of each the changes, and the error that it ends with."""

    def __init__(self, *feeds: tuple[int, Exception | None]) -> None:
        self._feeds = iter(feeds)
        self.closed = 0

    async def changes(self) -> AsyncGenerator[Changes, None]:
        number, error = next(self._feeds)
        try:
            for _ in range(number):
                yield MOVED
            if error is not None:
                raise error
            await asyncio.Event().wait()
        finally:
            self.closed += 1


class Follower:
    """Follows until it has heard so much; notes what it heard, and what the viewer was told."""

    def __init__(self, most: int, faults: int = 0) -> None:
        self.heard: list[bool] = []
        self.told: list[str | None] = []
        self._most = most
        self._faults = faults
        self._done = asyncio.Event()

    async def run(self, monkeypatch: pytest.MonkeyPatch, feeds: Feeds) -> None:
        monkeypatch.setattr(context, "backend", lambda: feeds)
        monkeypatch.setattr(live, "AGAIN_SECONDS", 0)
        task = asyncio.create_task(live._follow(self._handle, self.told.append))
        waiting = asyncio.create_task(self._done.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert not task.done(), task
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def _handle(self, changes: Changes) -> None:
        if self._faults:
            self._faults -= 1
            raise RuntimeError("a defect of a page")
        self.heard.append(changes.is_cut)
        if len(self.heard) == self._most:
            self._done.set()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RuntimeError("a defect"), "what moves cannot be followed now"),
        (Overloaded("all are taken"), "too many pages follow what moves"),
    ],
    ids=["defect", "overloaded"],
)
async def test_a_feed_that_ends_is_told_and_listened_to_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    follower, feeds = Follower(3), Feeds((1, error), (0, error), (2, None))
    await follower.run(monkeypatch, feeds)
    assert follower.heard == [False, True, False], "what was missed is looked at anew, once"
    assert follower.told == [None, why, why, None, None]
    assert feeds.closed == 3


async def test_a_handlers_fault_is_logged_once_and_ends_no_feed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(1, faults=2)
    await follower.run(monkeypatch, Feeds((1, None), (1, None), (1, None)))
    assert follower.heard == [True]
    assert [text is None for text in follower.told] == [False, False, True]
    assert [each.getMessage() for each in caplog.records] == ["a page's feed failed; it is tried again"]


async def test_the_viewer_is_told_while_the_page_is_not_live(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr(context, "backend", lambda: Feeds((0, RuntimeError("a defect"))))
    create = MagicMock()
    monkeypatch.setattr(background_tasks, "create", create)
    with client:
        live.follow(lambda _: None)
    (note,) = (each for each in client.elements.values() if isinstance(each, LiveHtml))
    assert note._props["content"] == ""
    task = asyncio.create_task(create.call_args.args[0])
    for _ in range(10):
        await asyncio.sleep(0)
    assert "Not live: what moves cannot be followed now. Trying again." in note._props["content"]
    task.cancel()

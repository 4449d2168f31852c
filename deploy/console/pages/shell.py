"""What stands around every page: header, navigation, the banner that says what cannot be reached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nicegui import ui
from nicegui.element import Element

from . import context
from .live import LiveHtml
from .markup import EMPTY, Markup, join, tag
from .theme import palette_css

if TYPE_CHECKING:
    from tasker_kafka.deploy.console.auth import Principal
    from tasker_kafka.deploy.console.backend import Reach

__all__ = ["NAVIGATION", "STATIC", "STATIC_PATH", "banner", "frame", "head_html"]

STATIC: Final = Path(__file__).parent / "static"
STATIC_PATH: Final = "/console/static"

NAVIGATION: Final[tuple[tuple[str, str], ...]] = (
    ("Tasks", "/console"),
    ("Templates", "/console/templates"),
    ("Workers", "/console/workers"),
    ("Dead letters", "/console/dlq"),
    ("Stale", "/console/stale"),
    ("Rejections", "/console/rejections"),
    ("Subscribers", "/console/subscribers"),
    ("Analytics", "/console/analytics"),
    ("Health", "/console/health"),
)

BANNER_SECONDS: Final = 1.0
LATE_SECONDS: Final = 5.0
"""A projection that is further behind is said to be so on every page."""

_LOGO: Final = Markup(
    '<svg viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.8" aria-hidden="true">'
    '<path d="M6 10h3m0 0 3-5h2M9 10l3 5h2"/><circle cx="4" cy="10" r="2.2"/><circle cx="16.2" cy="5" r="2.2"/>'
    '<circle cx="16.2" cy="15" r="2.2"/></svg>'
)


def head_html() -> str:
    """The part of `<head>` that all pages share: colours, style sheet, and the choice of a colour scheme."""
    links = f'<link rel="stylesheet" href="{_versioned("console.css")}">'
    script = f'<script src="{_versioned("console.js")}"></script>'
    return f"<style>{palette_css()}</style>{links}{script}"


@contextmanager
def frame(title: str, *, active: str) -> Iterator[Element]:
    """A page's surroundings; what is made inside goes into its main part.

    `active`: the path of the entry of the navigation that the page belongs to.
    """
    ui.page_title(f"{title} · Tasker")
    client = ui.context.client
    # The library's own <main> is what the page's content goes into; the header stands before it.
    with client.layout:
        with Element("header").classes("top") as header:
            _header(active)
        notes = LiveHtml().props("id=banner role=status aria-live=polite")
    header.move(target_index=0)
    notes.move(target_index=1)
    _watch_reach(notes)
    main = client.content.classes("page").props("id=main tabindex=-1")
    # The link goes to the id that the library gave the element, which this page has given another.
    ui.skip_link("Skip to the page's content", target=main).props("href=#main")
    with main:
        yield main


def _header(active: str) -> None:
    LiveHtml(_navigation(active)).style("display: contents")
    with Element("div").classes("who"):
        LiveHtml(_who(context.principal()), tag="span")
        button = Element("button").classes("btn btn-small")
        button.props('type=button id=theme-button aria-label="Colours"')
        button.on("click", js_handler="() => nextTheme()")


def _who(principal: Principal) -> Markup:
    """Who acts, as the audit names it, and what that one may do where tokens say so."""
    role = tag("span", f" · {principal.role}", class_="muted") if principal.is_proven else None
    return tag("span", principal.actor, role, title="Who acts, as the audit names it, and with which role")


def banner(reach: Reach) -> Markup:
    """What cannot be reached, in sentences; nothing when all is well."""
    lines: list[Markup] = []
    if not reach.broker.is_reachable:
        why = f" ({reach.broker.error})" if reach.broker.error else ""
        lines.append(
            _line(
                f"Kafka cannot be reached{why}. Pages show what the projection holds; commands are refused until it "
                "is back. This page goes on by itself.",
                is_bad=True,
            )
        )
    if not reach.store.is_readable:
        why = f" ({reach.store.error})" if reach.store.error else ""
        lines.append(
            _line(
                f"The projection cannot be read{why}. Lists are not available; single tasks are read from the log.",
                is_bad=True,
            )
        )
    elif (late := reach.store.seconds_behind) is not None and late >= LATE_SECONDS:
        records = reach.store.records_behind
        count = "" if records is None else f", {records:,} records"
        lines.append(_line(f"The projection is {late:.0f} s behind the log{count}: lists show the past."))
    return join(lines)


def _line(text: str, *, is_bad: bool = False) -> Markup:
    sign = tag("span", "!", class_="sign", aria_hidden="true")
    return tag("div", sign, tag("span", text), class_="banner-line is-bad" if is_bad else "banner-line")


def _watch_reach(notes: LiveHtml) -> None:
    shown = EMPTY

    def look() -> None:
        nonlocal shown
        now = banner(context.backend().reach)
        if now != shown:
            shown = now
            notes.show(now)

    look()
    ui.timer(BANNER_SECONDS, look, immediate=False)


def _navigation(active: str) -> Markup:
    entries = (
        tag("a", name, href=path, aria_current="page" if path == active else None)
        for name, path in NAVIGATION
    )
    return join(
        (
            tag("a", _LOGO, tag("span", "Tasker"), href="/console", class_="brand"),
            tag("nav", *entries, aria_label="Pages"),
        )
    )


def _versioned(name: str) -> str:
    """The path of a static file, with its content's hash: browsers keep it until it changes."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"{STATIC_PATH}/{name}?v={digest}"

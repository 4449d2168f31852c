"""`make browser`: which ways it goes, when it stops, and what it says where none leads to a browser."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support import browser_prepare


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that were run; none of them runs."""
    found: list[str] = []
    monkeypatch.setattr(browser_prepare, "run", lambda command: found.append(" ".join(command)))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return found


def as_user(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: number)


@pytest.mark.parametrize(("user", "ways"), [(0, 3), (1000, 1)])
def test_every_way_is_tried_and_the_end_is_told(
    monkeypatch: pytest.MonkeyPatch,
    tried: list[str],
    capsys: pytest.CaptureFixture[str],
    user: int,
    ways: int,
) -> None:
    as_user(monkeypatch, user)
    monkeypatch.setattr(browser_prepare, "installed", lambda: None)
    browser_prepare.main()
    assert len(tried) == ways
    assert tried[-1] == f"{sys.executable} -m playwright install chromium"
    assert "none could be installed; name one in CHROMIUM" in capsys.readouterr().out


def test_no_way_is_gone_where_one_is_there(monkeypatch: pytest.MonkeyPatch, tried: list[str]) -> None:
    monkeypatch.setattr(browser_prepare, "installed", lambda: "/usr/bin/chromium")
    browser_prepare.main()
    assert tried == []


def test_the_second_way_is_not_gone_when_the_first_led_there(
    monkeypatch: pytest.MonkeyPatch, tried: list[str]
) -> None:
    as_user(monkeypatch, 0)
    monkeypatch.setattr(
        browser_prepare, "installed", lambda: "/usr/bin/chromium" if len(tried) == 2 else None
    )
    browser_prepare.main()
    assert [each.split()[1] for each in tried] == ["update", "install"]


def test_one_that_does_not_start_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer = tmp_path / "chromium"
    pointer.write_text("#!/bin/sh\nexit 1\n")
    pointer.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(pointer))
    assert browser_prepare.installed() is None
    assert f"{pointer} does not start" in capsys.readouterr().out

"""Bars of long work: drawn on a terminal only, one for each partition that is told of."""

from __future__ import annotations

import sys

import pytest

from tasker_kafka.deploy.cli.progress import Progress


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as bar:
        bar.by_partition("partition")(0, 1, 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_bar_for_each_partition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress() as bar:
        tell = bar.by_partition("partition")
        tell(0, 500, 1000)
        tell(3, 10, 10)
    captured = capsys.readouterr()
    assert captured.out == "", "the answer stays clean"
    assert "partition 0" in captured.err
    assert "partition 3" in captured.err


def test_a_number_where_nobody_knows_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress() as bar:
        assert bar.is_drawn
        bar.show("letters", 1, None)
        bar.show("letters", 42, None)
    assert "letters 42" in capsys.readouterr().err


def test_with_json_none_is_drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(is_wanted=False) as bar:
        bar.show("letters", 1, 2)
        assert not bar.is_drawn
    assert capsys.readouterr().err == ""

"""Roles' logs: one JSON object per line away from a terminal, secrets hidden, the driver's chatter left out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from tasker_kafka.deploy.logs import start_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_lines_are_json_with_secrets_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", as_json=True)
    logging.getLogger("tasker.test").info("password=hunter2 of %s", "ada")
    try:
        raise ValueError("token=abcdefgh")
    except ValueError:
        logging.getLogger("tasker.test").exception("failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"]) == ("info", "tasker.test")
    assert "hunter2" not in first["message"]
    assert "of ada" in first["message"]
    assert "ValueError" in second["traceback"]
    assert "abcdefgh" not in second["traceback"]


def test_text_hides_secrets_too(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", as_json=False)
    logging.getLogger("tasker.test").warning("password=hunter2")
    out = capsys.readouterr().err
    assert "WARNING tasker.test" in out
    assert "hunter2" not in out


def test_the_driver_is_quiet_but_for_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", as_json=False)
    driver = logging.getLogger("aiokafka.consumer.group_coordinator")
    driver.info("joined")
    driver.error("Group Coordinator Request failed: [Error 15] GroupCoordinatorNotAvailableError")
    driver.error("something else")
    assert capsys.readouterr().err.count("\n") == 1

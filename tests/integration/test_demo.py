"""`python -m tasker_kafka.deploy.demo` as a user runs it: what it prints, how it ends, what it leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tasker_kafka.deploy.demo.stories import STORIES
from tasker_kafka.topics.brokers.errors import BrokerNotSupported
from tasker_kafka.topics.brokers.runtime import Runtime
from tests.support.brokers import no_broker

DEMO = "import sys; from tasker_kafka.deploy.demo.__main__ import main; "
ONE_STORY = f"{DEMO} from tasker_kafka.deploy.demo.stories import STORIES; "
MARK = "DEMO_TEST_MARK"
PROCESSES = Path("/proc")
TIMEOUT_SECONDS = 100

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def embedded_broker_can_run() -> None:
    try:
        Runtime.prepare()
    except BrokerNotSupported as error:
        no_broker(error)


@contextmanager
def demo(code: str = f"{DEMO} sys.exit(main())") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that runs, in a folder of nobody's settings, and the mark that everything it starts carries."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark, "TASKER_PREFIX": "not-the-demo", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell without job control starts what is in the background with SIGINT ignored, and that is inherited.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs in threads
    )
    try:
        yield process, mark
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def marked(mark: str) -> dict[int, str]:
    """Command lines of the processes that carry the mark, by process id."""
    if not PROCESSES.is_dir():
        pytest.skip("without /proc nobody can tell what was started")
    found: dict[int, str] = {}
    for place in PROCESSES.glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (place / "environ").read_bytes():
                found[int(place.name)] = (place / "cmdline").read_bytes().decode().replace("\0", " ")
        except OSError:  # it has ended, or is not ours
            continue
    return found


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """The lines up to the one that has this text."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was not printed:\n{''.join(lines)}")


def test_every_story_is_told_and_nothing_is_left() -> None:
    with demo() as (process, mark):
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0, output
        assert marked(mark) == {}
    told = len(STORIES) + sum(story.further is not None for story in STORIES)
    assert f"{told} of {told} tasks ended as their stories say" in output
    assert f"the console shows {told} of {told} tasks as they ended" in output
    assert "\x1b" not in output, "a pipe gets no control codes"
    for story in STORIES:
        assert re.search(rf"^{re.escape(story.name)}  {story.template}@", output, re.MULTILINE), story.name
    assert re.search(r"└─ ✓ process_payment +complete  3 of 3 +[\d,]+ ms +attempt 1: gateway_busy", output)
    assert "operator@demo: retry_requested, because customer 2 is unlocked again" in output
    assert '"charge_id": "bank_transfer_77"' in output
    assert re.search(r"order\.placed +durable +✓ +✗ dead letter, redriven ✓", output)
    assert re.search(r"checkout\.completed +acknowledged +✓ receipt +✓ receipt", output)
    assert "order.placed for checkout-books, after 3 deliveries" in output
    changes = [line for line in output.splitlines() if re.match(r" +\d+\.\d\d s  payment, declined ", line)]
    assert any("charge_card error (card_declined), task error" in line for line in changes)


def test_task_that_ends_otherwise_fails_the_demo() -> None:
    wrong = f"{ONE_STORY} from dataclasses import replace; sys.exit(main([replace(STORIES[0], output={{'one': 5}})]))"
    with demo(wrong) as (process, mark):
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 1, output
        assert marked(mark) == {}
    assert "dummy: output one is 4, the story says 5" in output
    assert "0 of 1 tasks ended as their stories say" in output
    assert "the last lines of the orchestrator" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_nothing(number: signal.Signals) -> None:
    with demo() as (process, mark):
        read_until(process, "subscribers join")
        assert len(marked(mark)) >= 7, "demo, broker, orchestrator, worker, subscriber, projector, console"
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 130, output
        assert marked(mark) == {}


@pytest.mark.parametrize(
    "role",
    [
        "orchestrator",
        "console",
        pytest.param("worker", marks=pytest.mark.campaign),
        pytest.param("subscriber", marks=pytest.mark.campaign),
    ],
)
def test_role_that_dies_fails_the_demo_and_its_log_is_shown(role: str) -> None:
    with demo() as (process, mark):
        read_until(process, "subscribers join")
        [victim] = [
            pid for pid, line in marked(mark).items() if re.search(rf"demo\.role .* {role}( |$)", line)
        ]
        os.kill(victim, signal.SIGKILL)
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 1, output
        assert marked(mark) == {}
    assert f"the demo failed: the {role} has ended with code -9" in output
    assert f"the last lines of the {role}" in output


def test_kept_demo_goes_on_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP", "1")
    with demo(f"{ONE_STORY} sys.exit(main(STORIES[:1]))") as (process, mark):
        lines = read_until(process, "KEEP: everything goes on until Ctrl-C")
        assert "1 of 1 tasks ended as their stories say" in "".join(lines)
        [url] = {found[1] for line in lines if (found := re.search(r"console: (http://\S+)", line))}
        answer = httpx.get(url, trust_env=False)
        assert (answer.status_code, "Tasker" in answer.text) == (200, True)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0, output
        assert marked(mark) == {}

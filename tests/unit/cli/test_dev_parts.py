"""What `tasker dev` is made of: children that end when they should, and a watch for changed files."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasker_kafka.deploy.children import PARENT_VARIABLE, Child
from tasker_kafka.deploy.watching import FileWatch, module_files, template_files
from tasker_kafka.schemas.errors import ConfigurationError
from tests.support.patience import PATIENCE_SECONDS


class Lines:
    """Collects what children print, and lets a test wait for a line."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.more = asyncio.Event()

    def say(self, name: str, line: str) -> None:
        self.seen.append((name, line))
        self.more.set()

    async def wait_for(self, line: str) -> None:
        while not any(each == line for _, each in self.seen):
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), PATIENCE_SECONDS)


def child(lines: Lines, code: str) -> Child:
    """A child that runs this Python code."""
    return Child("role", [sys.executable, "-u", "-c", code], os.environ, lines.say)


def wait_gone(pid: int) -> None:
    """Until the process has ended (a zombie has)."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([handle], [], [], 20)
    finally:
        os.close(handle)
    assert ended, f"process {pid} goes on"


needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="watches processes that are not its own by pidfd, which is Linux"
)


class TestChild:
    async def test_prints_its_lines_and_gives_its_exit_code(self) -> None:
        lines = Lines()
        running = child(lines, "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")
        await running.start()
        assert await running.wait() == 3
        assert sorted(lines.seen) == [("role", "one"), ("role", "two")]

    @needs_pidfd
    async def test_stops_by_a_signal_and_starts_again(self) -> None:
        lines = Lines()
        running = child(lines, "import time; print('up'); time.sleep(60)")
        await running.start()
        await lines.wait_for("up")
        first = running.pid
        await running.stop()
        await running.stop()
        assert first is not None
        wait_gone(first)
        lines.seen.clear()
        await running.start()
        await lines.wait_for("up")
        assert running.pid not in (None, first)
        await running.stop()

    @needs_pidfd
    async def test_one_that_will_not_stop_is_killed_with_what_it_started(self) -> None:
        lines = Lines()
        code = (
            "import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "print(inner.pid); print('up'); time.sleep(60)"
        )
        running = child(lines, code)
        await running.start()
        await lines.wait_for("up")
        inner = int(lines.seen[0][1])
        await running.stop(timeout_seconds=0.2)
        assert ("role", "did not stop within 0.2 s: killed") in lines.seen
        wait_gone(inner)

    async def test_a_cancelled_wait_leaves_the_lines_be(self) -> None:
        lines = Lines()
        running = child(lines, "print('up'); input()")
        await running.start()
        waiting = asyncio.create_task(running.wait())
        await lines.wait_for("up")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await running.stop()
        assert not [line for _, line in lines.seen if "killed" in line]

    @needs_pidfd
    def test_a_child_ends_when_its_parent_is_killed(self) -> None:
        inner = (
            "from tasker_kafka.deploy.children import end_with_parent; end_with_parent()\n"
            "import signal, time\nprint('up', flush=True)\nsignal.pause()"
        )
        outer = (
            "import os, subprocess, sys, time\n"
            f"environment = {{**os.environ, {PARENT_VARIABLE!r}: str(os.getpid())}}\n"
            f"inner = subprocess.Popen([sys.executable, '-c', {inner!r}], env=environment)\n"
            "print(inner.pid, flush=True); time.sleep(60)"
        )
        parent = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        # Two writers, one pipe: the order of their lines is not theirs to say.
        words = {parent.stdout.readline().strip() for _ in range(2)}
        pid = int((words - {"up"}).pop())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_gone(pid)
        parent.stdout.close()


class TestWatching:
    def test_sees_new_changed_and_removed_files_once(self, tmp_path: Path) -> None:
        kept, gone = tmp_path / "kept.py", tmp_path / "gone.py"
        kept.write_text("1")
        gone.write_text("1")
        watch = FileWatch([tmp_path], [".py"])
        assert watch.changes() == []
        kept.write_text("22")
        gone.unlink()
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "new.py").write_text("3")
        (tmp_path / "notes.txt").write_text("not watched")
        assert watch.changes() == [gone, kept, tmp_path / "sub" / "new.py"]
        assert watch.changes() == []

    def test_sees_a_change_that_keeps_the_size(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text("1")
        watch = FileWatch([file], [".yaml"])
        file.write_text("2")
        os.utime(file, ns=(1, 1))
        assert watch.changes() == [file]

    def test_a_package_is_watched_whole_and_a_module_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "watched_package").mkdir()
        (tmp_path / "watched_package" / "__init__.py").touch()
        (tmp_path / "watched_module.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        assert module_files("watched_package") == tmp_path / "watched_package"
        assert module_files("watched_module") == tmp_path / "watched_module.py"
        with pytest.raises(ConfigurationError, match="no module 'watched_nothing'"):
            module_files("watched_nothing")

    def test_template_files_are_found_below_folders(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        for name in ("b.yml", "deep/a.yaml", "notes.md"):
            (tmp_path / name).touch()
        assert template_files([tmp_path]) == [tmp_path / "b.yml", tmp_path / "deep" / "a.yaml"]

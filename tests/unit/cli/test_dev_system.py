"""`tasker dev` as a whole, with children that only say that they are there: who is started anew, who ends all."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tasker_kafka.deploy import dev
from tasker_kafka.deploy.dev import DevSystem, Wanted
from tasker_kafka.deploy.read_side import ReadSide
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.brokers.wire import free_port
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog

ROLE = "import signal, sys; print('up', flush=True); signal.sigwait([signal.SIGTERM]); sys.exit(0)"


def system_of(codes: Mapping[str, str]) -> type[DevSystem]:
    """A system whose children run Python code of the test instead of a role."""

    class System(DevSystem):
        def _command(self, role: str, *arguments: str) -> list[str]:
            code = f"import sys; print({[role, *arguments]!r}); {codes.get(role, ROLE)}"
            return [sys.executable, "-u", "-c", code]

    return System


class Scene:
    """A module's file, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.module = folder / "shown_in_dev.py"
        self.module.write_text("1")
        self.seen: list[tuple[str, str]] = []
        self.more = asyncio.Event()

    def say(self, name: str, line: str) -> None:
        self.seen.append((name, line))
        self.more.set()

    async def wait_for(self, name: str, part: str, times: int = 1) -> None:
        while sum(each == name and part in line for each, line in self.seen) < times:
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), 30)

    @asynccontextmanager
    async def system(
        self,
        codes: Mapping[str, str] = {},
        *,
        reload: bool = False,
        side: ReadSide | None = None,
        open_console: bool = False,
    ) -> AsyncIterator[asyncio.Task[int]]:
        """A system that runs, until the block's end at the latest."""
        module = self.module.stem
        wanted = Wanted((module,), (), reload, "INFO", (module,), (Path("s.yaml"),), side, open_console)
        cluster, settings = MemoryCluster(), Settings()
        made = system_of(codes)(settings, wanted, lambda: MemoryLog(cluster), os.environ, self.say)
        running = asyncio.create_task(made.run())
        try:
            yield running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """In a folder of its own, which is looked at often."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(dev, "LOOK_SECONDS", 0.01)
    return Scene(tmp_path)


async def test_each_role_gets_its_modules_and_files(scene: Scene) -> None:
    async with scene.system():
        for role, arguments in {
            "worker": "['worker', '-m', 'shown_in_dev']",
            "subscriber": "['subscriber', '-m', 'shown_in_dev', '-c', 's.yaml']",
            "orchestrator": "['orchestrator']",
        }.items():
            await scene.wait_for(role, arguments)


async def test_a_change_starts_our_code_anew_and_nothing_else(scene: Scene) -> None:
    async with scene.system(reload=True):
        for role in ("worker", "subscriber", "orchestrator"):
            await scene.wait_for(role, "up")
        scene.module.write_text("22")
        for role in ("worker", "subscriber"):
            await scene.wait_for(role, "up", 2)
        scene.module.write_text("333")
        for role in ("worker", "subscriber"):
            await scene.wait_for(role, "up", 3)
        assert ("dev", "changed: shown_in_dev.py") in scene.seen
        assert not [line for _, line in scene.seen if "has ended" in line]
    assert scene.seen.count(("orchestrator", "up")) == 1


async def test_one_that_ends_waits_for_a_change_where_changes_are_watched(scene: Scene) -> None:
    async with scene.system({"subscriber": "print('up'); sys.exit(78)"}, reload=True):
        await scene.wait_for("dev", "the subscriber has ended with code 78: waiting for a change")
        await scene.wait_for("worker", "up")
        scene.module.write_text("22")
        await scene.wait_for("subscriber", "up", 2)
        await scene.wait_for("worker", "up", 2)


@pytest.mark.parametrize("role", ["worker", "subscriber", "orchestrator"])
async def test_otherwise_one_that_ends_ends_all_with_its_code(scene: Scene, role: str) -> None:
    async with scene.system({role: "sys.exit(78)"}) as running:
        assert await asyncio.wait_for(running, 30) == 78
    assert ("dev", f"the {role} has ended with code 78: stopping everything") in scene.seen


async def test_an_orchestrator_that_ends_ends_all_also_while_changes_are_watched(scene: Scene) -> None:
    async with scene.system({"orchestrator": "sys.exit(0)"}, reload=True) as running:
        assert await asyncio.wait_for(running, 30) == 1


ANSWERS = """
import http.server, os, signal, threading
class Live(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, os.environ['TASKER_PROJECTION__URL'], flush=True)
        self.send_response(200); self.end_headers()
    def log_message(self, *parts): pass
server = http.server.HTTPServer(('127.0.0.1', int(os.environ['TASKER_CONSOLE__PORT'])), Live)
threading.Thread(target=server.serve_forever, daemon=True).start()
signal.sigwait([signal.SIGTERM]); sys.exit(0)
"""


async def test_projector_and_console_run_beside_and_are_told_once_they_answer(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def show(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", show)
    side = ReadSide("127.0.0.1", free_port(), tmp_path / "store.sqlite")
    codes = {"console": f"exec({ANSWERS!r})"}
    async with scene.system(codes, side=side, open_console=True):
        await scene.wait_for("projector", "['projection', 'run'")
        await scene.wait_for("console", f"/health/live sqlite:///{tmp_path}/store.sqlite")
        await scene.wait_for("dev", f"console: {side.url}")
    assert opened == [side.url]


@pytest.mark.parametrize("role", ["projection", "console"])
async def test_a_console_that_ends_ends_all_also_while_changes_are_watched(scene: Scene, role: str) -> None:
    side = ReadSide("127.0.0.1", free_port())
    async with scene.system({role: "sys.exit(78)"}, side=side, reload=True) as running:
        assert await asyncio.wait_for(running, 30) == 78


def test_the_address_is_for_a_browser_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasker_kafka.deploy.read_side.is_free", lambda port: port == 8080)
    side = ReadSide.of(Settings())
    assert side.url == "http://127.0.0.1:8080/console"
    assert "TASKER_PROJECTION__URL" not in side.variables
    assert ReadSide("0.0.0.0", 81).url == "http://127.0.0.1:81/console"
    assert ReadSide("::1", 81).url == "http://[::1]:81/console"
    monkeypatch.setattr("tasker_kafka.deploy.read_side.is_free", lambda _: False)
    assert ReadSide.of(Settings()).port not in (0, 8080)

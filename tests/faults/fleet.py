"""The role processes of a run: started, killed, stopped, watched, and started again as a supervisor would.

Every end is kept with its exit code and with who wanted it, so that an end nobody wanted is a finding.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tasker_kafka.deploy.children import PARENT_VARIABLE
from tasker_kafka.schemas.exits import ExitCode
from tests.faults.injection import CRASH, LEDGER

__all__ = ["End", "Fleet", "Role", "ledger_environment", "python_path"]

ROOT: Final = Path(__file__).parents[2]
RESTART_SECONDS: Final = 0.2
NEVER_AGAIN: Final = frozenset({ExitCode.FENCED, ExitCode.CONFIGURATION})
"""Ends after which no supervisor starts the role again."""


@dataclass(frozen=True)
class End:
    """How one process ended."""

    name: str
    pid: int
    code: int
    at: float
    """Seconds since 1970."""
    wanted: str
    """Who wanted it: `kill`, `term`, `crash`, or nobody ('')."""
    lived: float
    """Seconds from its start."""
    was_away: bool
    """It had been stopped by SIGSTOP, or cut off from the broker, before."""


@dataclass
class Role:
    """One role: its process of the moment."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    """Seconds since 1970."""
    crash: str | None = None
    wanted: str = ""
    is_held: bool = False
    """Not to be started again by the fleet."""
    was_away: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self.process is not None and self.process.returncode is None

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid


class Fleet:
    """The roles by name: `orchestrator-0`, `worker-1`, `client-0`, `projector-0`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.roles: dict[str, Role] = {}
        self.ends: list[End] = []
        self.address_of: Callable[[str], str] | None = None
        """Where a role finds the broker, if each has a way of its own."""
        self.on_end: Callable[[End], None] = lambda end: None
        own = {"PYTHONPATH": python_path(), PARENT_VARIABLE: str(os.getpid())}
        self._environment = {**os.environ, **own, **environment}
        self._watching: set[asyncio.Task[None]] = set()
        self._is_over = False

    def names(self, kind: str) -> list[str]:
        """The roles of a kind that have a process."""
        return [name for name, role in self.roles.items() if name.startswith(kind) and role.is_running]

    def log_of(self, name: str) -> str:
        """All that a role has printed, over all its lives."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def start(
        self, kind: str, number: int, *, crash: str | None = None, arguments: Sequence[str] = (), **more: str
    ) -> Role:
        """Start a role, or start it again.

        crash: the crash point it dies at, `point:n`
        arguments: of `tests.faults.role`, if they are not the kind and its number
        """
        name = f"{kind}-{number}"
        said = [*arguments] or [kind, "--ordinal", str(number)]
        role = self.roles.setdefault(name, Role(name, said, {}))
        if role.is_running:
            raise RuntimeError(f"{name} runs already")
        role.environment = dict(more)
        if kind == "worker" and number == 0:
            role.environment["TASKER_WORKER__INSTANCE_ID"] = name
        role.is_held = False
        await self._launch(role, crash)
        return role

    async def _launch(self, role: Role, crash: str | None = None) -> None:
        environment = self._environment | role.environment
        if crash is not None:
            environment[CRASH] = crash
        if self.address_of is not None:
            environment["TASKER_BROKER"] = self.address_of(role.name)
        role.crash, role.wanted, role.was_away = crash, "crash" if crash else "", False
        role.ended = asyncio.Event()
        role.started_at = time.time()
        with (self.folder / f"{role.name}.log").open("ab") as output:
            role.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.faults.role",
                *role.arguments,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        task = asyncio.create_task(self._watch(role, role.process))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _watch(self, role: Role, process: asyncio.subprocess.Process) -> None:
        started = role.started_at
        code = await process.wait()
        now = time.time()
        end = End(role.name, process.pid, code, now, role.wanted, now - started, role.was_away)
        self.ends.append(end)
        role.ended.set()
        self.on_end(end)
        if not end.wanted and code not in NEVER_AGAIN:
            await asyncio.sleep(RESTART_SECONDS)
            if not (role.is_running or role.is_held or self._is_over):
                await self._launch(role)

    async def again(self, name: str) -> None:
        """Start a role that has ended once more, with the same orders."""
        role = self.roles[name]
        if not role.is_running:
            await self._launch(role, role.crash)

    async def kill(self, name: str) -> End:
        """kill −9, and wait for the end; it stays down until it is started."""
        return await self._end(name, signal.SIGKILL, "kill")

    async def terminate(self, name: str, *, seconds: float = 40.0) -> End:
        """SIGTERM, and wait for the end; it stays down. TimeoutError when it takes longer than `seconds`."""
        return await self._end(name, signal.SIGTERM, "term", seconds)

    async def _end(self, name: str, number: signal.Signals, wanted: str, seconds: float = 10.0) -> End:
        role = self.roles[name]
        role.is_held = True
        if not role.is_running:
            return self.last_end(name)
        role.wanted = wanted
        self._signal(role, number)
        self._signal(role, signal.SIGCONT)
        return await self.wait_end(name, seconds)

    async def wait_end(self, name: str, seconds: float) -> End:
        """Wait until a role's process has ended, at most `seconds`; TimeoutError otherwise."""
        await asyncio.wait_for(self.roles[name].ended.wait(), seconds)
        return self.last_end(name)

    def last_end(self, name: str) -> End:
        """How a role ended the last time."""
        return next(end for end in reversed(self.ends) if end.name == name)

    def hold(self, name: str) -> None:
        """Do not start it again when it ends."""
        self.roles[name].is_held = True

    def cut_off(self, name: str) -> None:
        """Its network is about to be cut: it may be replaced without knowing it."""
        self.roles[name].was_away = True

    def stop(self, name: str) -> None:
        """SIGSTOP."""
        self.roles[name].was_away = True
        self._signal(self.roles[name], signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """SIGCONT."""
        self._signal(self.roles[name], signal.SIGCONT)

    def state_of(self, name: str) -> str:
        """The kernel's letter for the process's state: `T` is stopped; '' when it is gone."""
        try:
            text = Path(f"/proc/{self.roles[name].pid}/stat").read_text()
        except OSError:
            return ""
        return text.rpartition(")")[2].split()[0]

    async def stop_all(self) -> list[str]:
        """End every role in order, clients first: what did not end cleanly, by name."""
        self._is_over = True
        unclean = []
        for kind in ("client", "worker", "orchestrator", "projector"):
            for name in self.names(kind):
                try:
                    end = await self.terminate(name)
                except TimeoutError:
                    unclean.append(f"{name} did not end within 40 s of SIGTERM")
                    await self.kill(name)
                else:
                    if end.code != 0:
                        unclean.append(f"{name} ended with {end.code} on SIGTERM")
        return unclean

    async def kill_all(self) -> None:
        """Leave nothing behind."""
        self._is_over = True
        for name, role in self.roles.items():
            if role.is_running:
                await self.kill(name)

    def _signal(self, role: Role, number: signal.Signals) -> None:
        # Not `send_signal`: it looks for the process's end itself, and takes it from who waits for it.
        if role.is_running:
            with suppress(ProcessLookupError):
                os.kill(role.pid, number)


def python_path() -> str:
    """Where the roles find these modules, before what this process was told."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def ledger_environment(folder: Path) -> dict[str, str]:
    """Where the roles write what they do."""
    return {LEDGER: str(folder)}

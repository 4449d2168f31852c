"""Projector and console of `tasker dev` and of the demo: whether they can run here, where they listen, what they keep.

Both are processes beside the roles; a system without them runs as well, and nothing of it is changed by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx

from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.brokers.wire import free_port, is_free

__all__ = ["MISSING", "ReadSide", "is_installed"]

MISSING: Final = "no console: pip install 'tasker-kafka[console]'"
_LIBRARIES: Final = ("fastapi", "nicegui", "prometheus_client", "sqlalchemy", "sse_starlette", "uvicorn")
_EVERYWHERE: Final = ("0.0.0.0", "::")
_LOOK_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 5.0


def is_installed() -> bool:
    """Whether the extra `console` is there."""
    return all(find_spec(each) is not None for each in _LIBRARIES)


@dataclass(frozen=True)
class ReadSide:
    """Where the console of this machine's system is, and what its two processes are told."""

    host: str
    port: int
    store: Path | None = None
    """SQLite file of the projection; None: as the settings say."""

    @classmethod
    def of(cls, settings: Settings, store: Path | None = None) -> ReadSide:
        """On the port of the settings, or a free one where that is taken."""
        wanted = settings.console.port
        is_usable = wanted != 0 and is_free(wanted)
        return cls(settings.console.host, wanted if is_usable else free_port(), store)

    @property
    def url(self) -> str:
        """Of the pages, for a browser on this machine."""
        host = "127.0.0.1" if self.host in _EVERYWHERE else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/console"

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables for both processes."""
        told = {"TASKER_CONSOLE__HOST": self.host, "TASKER_CONSOLE__PORT": str(self.port)}
        if self.store is not None:
            told["TASKER_PROJECTION__URL"] = f"sqlite:///{self.store}"
        return told

    @property
    def commands(self) -> Mapping[str, tuple[str, ...]]:
        """Role → arguments of `tasker`."""
        return {"projector": ("projection", "run"), "console": ("console", "--no-projection")}

    async def wait_answering(self) -> None:
        """Until the console answers; for ever when it never does."""
        live = self.url.removesuffix("/console") + "/health/live"
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False) as client:
            while True:
                try:
                    await client.get(live)
                except httpx.TransportError:
                    await asyncio.sleep(_LOOK_SECONDS)
                else:
                    return

"""Runs registered publishers so that none of them can harm the task whose event it shapes."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from typing import Any, Final

from tasker_kafka.schemas.redaction import redact_text

from .figures import PublishingFigures
from .payloads import decoded_payload, encoded_payload
from .publishers import EventDraft, PublisherDefinition

__all__ = ["NOTHING", "PublisherRunner"]

_logger = logging.getLogger("tasker.events")


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""What `run` gives when no event is to be published; None is a payload's value."""


class PublisherRunner:
    """Async publishers on the loop, plain ones in `threads`; each has `seconds`."""

    def __init__(self, threads: Executor, figures: PublishingFigures, *, seconds: float) -> None:
        self._threads = threads
        self._figures = figures
        self._seconds = seconds

    async def run(self, publisher: PublisherDefinition, draft: EventDraft) -> Any:
        """The payload to publish as decoded JSON, or NOTHING. Raises nothing but CancelledError."""
        try:
            async with asyncio.timeout(self._seconds):
                value = await self._call(publisher, draft)
            if value is None:
                self._figures.vetoed += 1
                return NOTHING
            return decoded_payload(draft.name, encoded_payload(draft.name, value))
        except TimeoutError:
            reason = f"took longer than {self._seconds:g} s"
        except (Exception, SystemExit) as error:
            reason = f"raised {type(error).__name__}: {redact_text(str(error))[:500]}"
        self._figures.publisher_failures += 1
        _logger.error(
            "publisher %s %s: event %s of task %s step %s is not published",
            publisher.name,
            reason,
            draft.name,
            draft.task_id,
            draft.step,
        )
        return NOTHING

    async def _call(self, publisher: PublisherDefinition, draft: EventDraft) -> Any:
        if publisher.is_async:
            found: Any = publisher.function(draft)
            return await found
        return await asyncio.get_running_loop().run_in_executor(self._threads, publisher.function, draft)

"""Dispatches that cannot be read: poison is left out, and a newer release's ends the worker.

Left out means finished without an answer: there is nobody to answer. The engine's timers watch what was granted.
"""

from __future__ import annotations

import logging

from tasker_kafka.schemas.errors import DecodeError, SchemaUnknown, TaskerError
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.releases import is_published

from .attempt import Delivery

__all__ = ["leave_out", "leave_out_unless_newer"]

_logger = logging.getLogger(__name__)

SCHEMAS_TIMEOUT_MS = 30_000


def leave_out(delivery: Delivery, error: DecodeError) -> None:
    """Go on without it, and say so."""
    _logger.error("%s is no dispatch and is left out: %s", delivery, error.message)
    delivery.finish()


async def leave_out_unless_newer(
    log: Log, names: TopicNames, delivery: Delivery, error: SchemaUnknown
) -> TaskerError | None:
    """Leave it out when no release has published its schema; else why the worker must end.

    Asked anew each time: a release publishes its schemas before it writes, and it may do so at any moment.
    """
    try:
        if await is_published(log, names, error.fingerprint, timeout_ms=SCHEMAS_TIMEOUT_MS):
            return error
    except TaskerError as failure:
        return failure
    leave_out(delivery, error)
    return None

"""The log and the prefix that a program means which says nothing, or only an address: by the environment."""

from __future__ import annotations

import os

from tasker_kafka.schemas.errors import ConfigurationError

from .log import Log
from .names import DEFAULT_PREFIX, TopicNames

__all__ = ["log_at", "names_under"]


def log_at(bootstrap: str | None) -> Log:
    """The Kafka at this address, not yet started; None: at TASKER_BROKER. ConfigurationError without either."""
    from .kafka import KafkaLog

    address = bootstrap or os.environ.get("TASKER_BROKER", "")
    if not address:
        raise ConfigurationError(
            "no broker is given",
            next_step="set TASKER_BROKER=host:port, or pass bootstrap; `tasker broker start` starts one here",
        )
    return KafkaLog(address)


def names_under(prefix: str | None) -> TopicNames:
    """The topics under this prefix; None: under TASKER_PREFIX, else `tasker`."""
    return TopicNames(prefix or os.environ.get("TASKER_PREFIX", DEFAULT_PREFIX))

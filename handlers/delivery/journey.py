"""A record's journey is a part of the topics' language (`topics.journey`), because others read dead letters, too."""

from __future__ import annotations

from tasker_kafka.topics.journey import (
    JOURNEY,
    WRAPPED,
    FailureClass,
    Journey,
    LeftOut,
    is_letter,
    unwrap,
    wrap,
)

__all__ = ["JOURNEY", "WRAPPED", "FailureClass", "Journey", "LeftOut", "is_letter", "unwrap", "wrap"]

"""How a role writes its log: on standard error, as text at a terminal and JSON lines elsewhere; secrets hidden."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from tasker_kafka.schemas.redaction import redact_text

__all__ = ["LOG_LEVELS", "start_logging"]

QUIET = ("aiokafka", "faust", "httpx", "mode", "tasker_kafka.streams.runtime")
"""What these say below WARNING is how they work, not what Tasker does (and of httpx whole addresses, which may be
secrets); shown with DEBUG."""
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class NewBroker(logging.Filter):
    """Leaves out what the driver says of a broker that has never had a group: it asks again, and is answered."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        return "GroupCoordinatorNotAvailable" not in record.getMessage()


class JsonLines(logging.Formatter):
    """One JSON object per line: at, level, logger, message, and traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_text(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = redact_text(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Text for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines."""
        return redact_text(super().format(record))


def start_logging(level: str, *, as_json: bool | None = None) -> None:
    """Log to standard error from `level` on. as_json: None: JSON unless it is a terminal."""
    if as_json is None:
        as_json = not sys.stderr.isatty()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if as_json else TextLines("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    handler.addFilter(NewBroker())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if level != "DEBUG":
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)

"""What can go wrong before a broker answers; each text names the fault, the place and the way out."""

from __future__ import annotations

from tasker_kafka.schemas.errors import TaskerError

__all__ = ["BrokerNotStarted", "BrokerNotSupported", "ChecksumMismatch", "DownloadFailed", "NoBroker"]


class BrokerNotSupported(TaskerError):
    """The embedded broker cannot run on this machine."""


class DownloadFailed(BrokerNotSupported):
    """The jars of the embedded broker could not be fetched."""

    retryable = True


class ChecksumMismatch(TaskerError):
    """A jar of the embedded broker is not the one that the lock names; it was not used."""


class BrokerNotStarted(TaskerError):
    """The broker's process ended, or did not answer in time."""


class NoBroker(TaskerError):
    """No address is given, and no broker can be started here."""

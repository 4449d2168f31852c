"""The driver's errors in the system's words. No exception of the driver leaves this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors

from tasker_kafka.schemas.errors import (
    BrokerUnavailable,
    FencedError,
    LogError,
    RecordTooLarge,
    TaskerError,
    TopicsDrifted,
)

__all__ = ["translate", "translating"]

_FENCED = (
    errors.ProducerFenced,
    errors.InvalidProducerEpoch,
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
)
_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError, errors.RecordTooLargeError)
_MISSING = (errors.UnknownTopicOrPartitionError, errors.InvalidTopicError)
_FORBIDDEN = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
)
_UNAVAILABLE = (
    errors.KafkaConnectionError,
    errors.NodeNotReadyError,
    errors.RequestTimedOutError,
    errors.KafkaTimeoutError,
    errors.NoBrokersAvailable,
    errors.BrokerNotAvailableError,
    errors.LeaderNotAvailableError,
    errors.GroupCoordinatorNotAvailableError,
    errors.ProducerClosed,
    OSError,
    TimeoutError,
)
_DRIVER = (
    errors.KafkaError,
    errors.ConsumerStoppedError,
    errors.IllegalOperation,
    OSError,
    TimeoutError,
    AssertionError,
    ValueError,
)


def translate(error: BaseException, doing: str) -> TaskerError:
    """The error to raise instead; `doing` says what was going on, such as "writing to t/0"."""
    if isinstance(error, TaskerError):
        return error
    text = f"{doing}: {type(error).__name__}: {error}" if str(error) else f"{doing}: {type(error).__name__}"
    if isinstance(error, _FENCED):
        return FencedError(text)
    if isinstance(error, _TOO_LARGE):
        return RecordTooLarge(text, next_step="raise the topic's `max.message.bytes` or send less")
    if isinstance(error, _MISSING):
        return TopicsDrifted(text, next_step="create the topic: tasker topics create")
    if isinstance(error, _FORBIDDEN):
        refusal = LogError(text, next_step="give this client's user the ACL it lacks")
        refusal.retryable = False
        return refusal
    if isinstance(error, _UNAVAILABLE):
        return BrokerUnavailable(text)
    return LogError(text)


@contextmanager
def translating(doing: str) -> Iterator[None]:
    """Raise what goes wrong inside as a TaskerError."""
    try:
        yield
    except _DRIVER as error:
        raise translate(error, doing) from error

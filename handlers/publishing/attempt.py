"""What one attempt of a step publishes: collected while it runs, completed when it ends.

Durable and acknowledged events travel in the attempt's answer, so that they are published if and only if the engine
accepts it; it forwards those whose condition fits. Fire-and-forget events leave the worker once the answer is
acknowledged.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from typing import Any, Final

import msgspec

from tasker_kafka.handlers.results import CallEnd, Failed
from tasker_kafka.schemas.event_envelopes import failure_payload, step_event
from tasker_kafka.schemas.event_validators import DeclaredEvent
from tasker_kafka.schemas.identity import format_id, traceparent_for
from tasker_kafka.schemas.limits import (
    EVENTS_PER_ANSWER,
    EVENTS_PER_ATTEMPT,
    JSON_DEPTH,
    RECORD_BYTES,
    RESULT_WITH_EVENTS_BYTES,
    Limit,
)
from tasker_kafka.schemas.records import Dispatch, DomainEvent, EventCandidate, Failure
from tasker_kafka.schemas.schema_walk import nesting
from tasker_kafka.schemas.words import Delivery, EventCondition

from .declared import CheckedEvent, StepEvents, checked_event, made_event
from .errors import EventError
from .figures import PublishingFigures
from .payloads import decoded_payload
from .publishers import EventDraft
from .running import NOTHING, PublisherRunner

__all__ = ["AttemptEvents", "EventsOfAnswer"]

_logger = logging.getLogger("tasker.events")
_C = EventCondition
_OF_SUCCESS: Final = frozenset({_C.SUCCESS, _C.ALWAYS})
_OF_FAILURE: Final = frozenset({_C.FAILURE, _C.RETRYABLE_FAILURE, _C.PERMANENT_FAILURE, _C.ALWAYS})


class EventsOfAnswer(msgspec.Struct, frozen=True):
    """The end of an attempt, and the events that go with it."""

    end: CallEnd
    """Another one than the handler's when its result is too large with its events."""
    durable: tuple[EventCandidate, ...] = ()
    """For the answer. The engine forwards those whose condition fits what it decides."""
    lossy: tuple[EventCandidate, ...] = ()
    """Fire-and-forget: to be sent once the answer is acknowledged."""


class AttemptEvents:
    """The events of one attempt. Everything happens on the worker's loop."""

    def __init__(
        self, events: StepEvents, dispatch: Dispatch, runner: PublisherRunner, figures: PublishingFigures
    ) -> None:
        self._events = events
        self._dispatch = dispatch
        self._runner = runner
        self._figures = figures
        self._default_key = format_id(dispatch.task_id)
        self._found: list[EventCandidate] = []
        self._named: Counter[str] = Counter()
        self._size = 0
        self._has_ended = False

    async def publish(self, name: str, data: bytes) -> None:
        """Take in an event that the handler publishes; `data` is its payload's JSON. EventError refuses it."""
        event = self._events.find(name)
        payload = decoded_payload(name, data)
        self._check_open(name)
        if self._events.publisher_of(event) is None:
            found = checked_event(event, payload, default_key=self._default_key)
        else:
            shaped = await self._through_publisher(event, payload, is_made=False)
            if shaped is None:
                self._named[name] += 1
                return
            self._check_open(name)
            found = shaped
        _check(EVENTS_PER_ATTEMPT, len(self._found) + 1, name)
        _check(RESULT_WITH_EVENTS_BYTES, self._size + found.size, name)
        self._found.append(self._candidate(event, found, self._named[name]))
        self._named[name] += 1
        self._size += found.size
        self._figures.published += 1

    def close(self) -> None:
        """The handler has ended: what it publishes later is refused."""
        self._has_ended = True

    def envelope(self, candidate: EventCandidate, at: int) -> DomainEvent:
        """A candidate as the event that leaves, fired at `at` (ms)."""
        dispatch = self._dispatch
        return step_event(
            candidate,
            self._events.plan,
            task_id=dispatch.task_id,
            life=dispatch.life,
            step=dispatch.step,
            attempt=dispatch.attempt,
            correlation_id=dispatch.correlation_id,
            at=at,
        )

    @property
    def traceparent(self) -> str:
        """The trace context of the attempt's events."""
        dispatch = self._dispatch
        return traceparent_for(dispatch.task_id, dispatch.life, dispatch.step, dispatch.attempt)

    async def answer(self, end: CallEnd) -> EventsOfAnswer:
        """The events that go with this end: what the handler published, and what follows from the end."""
        if isinstance(end, Failed):
            return await self._failed(end)
        found = [each for each in self._found if each.condition in _OF_SUCCESS]
        found += await self._made(_OF_SUCCESS, msgspec.json.decode(end.result))
        size = len(end.result) + sum(map(_size, found))
        for limit, actual in ((RESULT_WITH_EVENTS_BYTES, size), (EVENTS_PER_ATTEMPT, len(found))):
            if limit.is_exceeded(actual):
                text = f"{limit.message(actual)}: {limit.way_out}"
                failure = Failure(type="EventError", code=limit.error, message=text, retryable=False)
                return await self._failed(Failed(failure, end.metadata))
        return _sorted(end, found)

    async def _failed(self, end: Failed) -> EventsOfAnswer:
        failure = end.failure
        found = [each for each in self._found if each.condition in _OF_FAILURE]
        size = sum(map(_size, found))
        for each in await self._made(_OF_FAILURE, failure_payload(failure, self._dispatch.attempt)):
            size += _size(each)
            if RECORD_BYTES.is_exceeded(size) or len(found) >= EVENTS_PER_ANSWER:
                self._figures.oversize += 1
                _logger.error("%s: event %s is left out: the answer would be too large", self, each.name)
                break
            found.append(each)
        wrong = _C.RETRYABLE_FAILURE if self._is_final(failure) else _C.PERMANENT_FAILURE
        return _sorted(end, found, wrong)

    async def _made(self, conditions: frozenset[EventCondition], payload: Any) -> list[EventCandidate]:
        """Declared events that the handler did not publish, in the template's order."""
        found: list[EventCandidate] = []
        for name, event in self._events.declared.items():
            if name in self._named or event.declaration.condition not in conditions:
                continue
            made = await self._make(event, payload)
            if made is not None:
                found.append(self._candidate(event, made, 0))
                self._figures.made += 1
        return found

    async def _make(self, event: DeclaredEvent, payload: Any) -> CheckedEvent | None:
        if self._events.publisher_of(event) is not None:
            return await self._through_publisher(event, copy.deepcopy(payload), is_made=True)
        is_too_deep = JSON_DEPTH.is_exceeded(nesting(payload))  # a result may be deeper than an event
        made = None if is_too_deep else made_event(event, payload, default_key=self._default_key)
        if made is None:
            self._figures.unfit += 1
            _logger.info("%s: event %s is not made: its schema does not fit", self, event.declaration.name)
        return made

    async def _through_publisher(
        self, event: DeclaredEvent, payload: Any, *, is_made: bool
    ) -> CheckedEvent | None:
        """What the registered publisher makes of it; None: nothing is published."""
        publisher = self._events.publisher_of(event)
        assert publisher is not None, "only asked for events that have one"
        shaped = await self._runner.run(publisher, self._draft(event, payload, is_made=is_made))
        if shaped is NOTHING:
            return None
        try:
            made = made_event(event, shaped, default_key=self._default_key) if is_made else None
            return made or checked_event(event, shaped, default_key=self._default_key)
        except EventError as error:
            self._figures.publisher_failures += 1
            _logger.error(
                "%s: publisher %s returned what cannot go out: %s", self, publisher.name, error.message
            )
            return None

    def _draft(self, event: DeclaredEvent, payload: Any, *, is_made: bool) -> EventDraft:
        plan, dispatch, declaration = self._events.plan, self._dispatch, event.declaration
        return EventDraft(
            name=declaration.name,
            version=declaration.version,
            namespace=plan.namespace,
            delivery=declaration.delivery,
            condition=declaration.condition,
            payload=payload,
            is_made=is_made,
            task_id=self._default_key,
            step=dispatch.step,
            attempt=dispatch.attempt,
            template=plan.name,
            template_version=plan.version,
            correlation_id=dispatch.correlation_id,
        )

    def _candidate(self, event: DeclaredEvent, found: CheckedEvent, position: int) -> EventCandidate:
        """`position` counts the attempt's events of the name, so that a repeat of the attempt has the same ids."""
        declaration = event.declaration
        return EventCandidate(
            name=declaration.name,
            condition=declaration.condition,
            delivery=declaration.delivery,
            version=declaration.version,
            key=found.key,
            payload=found.payload,
            position=position,
        )

    def _is_final(self, failure: Failure) -> bool:
        """Whether no retry follows, as far as a worker can tell: the task's deadline is the engine's business."""
        policy = self._events.step.retry
        return (
            self._dispatch.last_attempt
            or not failure.retryable
            or not policy.retryable
            or failure.code in policy.non_retryable
        )

    def _check_open(self, name: str) -> None:
        if self._has_ended:
            raise EventError(
                f"event {name}: the handler has ended",
                code="handler_ended",
                next_step="await every publish before the handler returns",
            )

    def __str__(self) -> str:
        dispatch = self._dispatch
        return f"task {self._default_key} step {dispatch.step} attempt {dispatch.attempt}"


def _size(candidate: EventCandidate) -> int:
    return len(candidate.payload) + len(candidate.key.encode())


def _check(limit: Limit, actual: int, name: str) -> None:
    if limit.is_exceeded(actual):
        raise EventError(f"event {name}: {limit.message(actual)}: {limit.way_out}", code=limit.error)


def _sorted(end: CallEnd, found: list[EventCandidate], wrong: EventCondition | None = None) -> EventsOfAnswer:
    """Which go in the answer, and which fire-and-forget ones are sent by the worker: all but of condition `wrong`."""
    is_lossy = Delivery.FIRE_AND_FORGET
    return EventsOfAnswer(
        end,
        tuple(each for each in found if each.delivery is not is_lossy),
        tuple(each for each in found if each.delivery is is_lossy and each.condition is not wrong),
    )

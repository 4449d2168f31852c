"""What is done with records and jobs: taken in, started, and after their end retried, parked, buried or acknowledged.

The rules are elsewhere and pure: which job may run when in `lanes`, what follows from a failure in `verdicts`. Here
are the effects, each in the order that `lanes` numbers: a record counts as finished only after what replaces it is
acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.words import Delivery, ReceiptOutcome

from .agenda import Agenda
from .crash_points import DeliveryCrashPoint
from .decoding import decode_event
from .dedup import RecentIds
from .equipment import Equipment
from .failures import DeliveryFailure, failure_of, misfit, process_lost, unread
from .jobs import Job
from .journey import FailureClass, Journey
from .lanes import PartitionLanes
from .moving import Mover
from .prepared import Prepared
from .runners import Call, Runners
from .suspension import Suspension
from .verdicts import DeadLetter, Park, RetryInPlace, Verdict, after_failure, before_delivery

__all__ = ["Desk"]

_logger = logging.getLogger(__name__)

_LONGEST_SLEEP_SECONDS: Final = 10.0
"""The wall clock may be set: due times are looked at again at least this often."""


class Desk:
    """Of one member; its partitions come and go."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._log = equipment.log
        self._subscriptions = equipment.subscriptions
        self._settings = equipment.settings
        self._figures = equipment.figures
        self._metrics = equipment.metrics
        self._undertaker = equipment.undertaker
        self._reached = equipment.crash_points.reached
        self._loop = asyncio.get_running_loop()
        self.may_begin: Callable[[], bool] = lambda: True
        """Whether partitions are still ours; who says no calls `wake` when that is over."""
        self.agenda = self._agenda = Agenda()
        self._solitude = equipment.solitude
        self._solitude.join(self)
        self._recents: dict[int, RecentIds] = {}
        self._suspension = Suspension(equipment.log.now_ms, self.wake)
        self._suspended = self._suspension.lanes
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._mover = Mover(equipment, self.wake)
        self.move_surplus = self._mover.move_surplus
        self.relieve = self._mover.relieve
        self.renew = self._mover.renew
        self._runners = Runners(
            self,
            equipment.spec.concurrency,
            figures=equipment.figures,
            processes=equipment.settings.processes,
            grace_seconds=equipment.settings.cancel_grace_seconds,
            on_error=equipment.on_error,
        )

    # ------------------------------------------------------------------------------------- partitions

    def open(self, number: int) -> PartitionLanes:
        """Lanes for a partition number that is ours now."""
        settings = self._settings
        if number not in self._recents:
            self._recents[number] = RecentIds(settings.dedup_events, settings.dedup_seconds)
        equipment = self._equipment
        return PartitionLanes(
            number, self._agenda, ordering=equipment.spec.ordering, kept_ms=equipment.topics.kept_ms
        )

    def give_up(self, lanes: list[PartitionLanes]) -> None:
        """Cancel what still runs of these: it is delivered again, by whoever has them next; fire and forget is lost."""
        lost = set(lanes)
        loose = sum(each.loose for each in lost)
        self._figures.dropped += loose
        self._metrics.dropped(None, loose)
        for call in self._runners.cancel(lambda call: call.job.lane.owner in lost):
            call.prepared.breaker.abandoned(call.ticket)
            self._suspension.look(call.prepared)
        self._solitude.look()

    @property
    def is_quiet(self) -> bool:
        """No handler runs."""
        return self._runners.is_quiet

    def hold(self) -> None:
        """Start nothing but what is said to be alone (`solitude`)."""
        self._agenda.hold()

    def release(self) -> None:
        """Start everything again."""
        self._agenda.release()
        self.wake()

    async def close(self) -> None:
        """Stop all handlers."""
        self._solitude.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        await self._runners.close()

    # ------------------------------------------------------------------------------------- running

    def wake(self) -> None:
        """Let what is ready be started, and look again when something is due."""
        if self._agenda.ready:
            self._runners.wake()
        else:
            self._arm()

    def has_more(self) -> bool:
        """Whether another call may be ready."""
        if not self._agenda.ready:
            self._arm()
        return bool(self._agenda.ready)

    def next_call(self) -> Call | None:
        """The next delivery that can be made now."""
        if not self.may_begin():
            return None
        now = self._log.now_ms()
        while (job := self._agenda.start_next(now)) is not None:
            call = self._begin(job, now)
            if call is not None:
                return call
            self._look(job)
        self._arm()
        return None

    def _begin(self, job: Job, now: int) -> Call | None:
        """The call of a job that was started; None when there is none to be made, or not now."""
        prepared = self._subscriptions[job.subscription]
        ticket = prepared.breaker.admit(now)
        if ticket is None:
            self._suspension.add(job, prepared)
            return None
        event = self._admissible(job, prepared, now)
        if event is None:
            prepared.breaker.abandoned(ticket)
            return None
        if job.journey is not None and job.journey.due_at:
            self._figures.lateness_ms = max(self._figures.lateness_ms, now - job.journey.due_at)
        self._reached(DeliveryCrashPoint.HANDLER_BEGUN)
        return Call(job, prepared, event, ticket)

    def _admissible(self, job: Job, prepared: Prepared, now: int) -> DomainEvent[Any] | None:
        """The event as its handler gets it; None when it is not to be delivered, which is then done."""
        event = job.event
        if event is None:
            try:
                event = job.event = decode_event(job.record, self._equipment.codec)
            except Exception as error:
                self._fail(job, prepared, unread(error))
                return None
        caution = job.lane.owner.caution
        if caution is not None and caution.convicts(job):
            self._fail(job, prepared, process_lost())
            return None
        if not job.is_loose and self._is_known(job, prepared, event, now):
            self._figures.duplicates += 1
            self._finish(job)
            return None
        journey = job.journey
        if prepared.policy.max_age_seconds is not None and not job.is_loose:
            verdict = before_delivery(
                prepared.policy,
                journey or self._journey_of(job, prepared),
                now,
                fired_at_ms=_fired_at(event),
                waited_for_key=job.is_stored,
            )
            if verdict is not None:
                self._act(job, prepared, *verdict)
                return None
        try:
            attempt = 1 if journey is None else journey.attempts + 1
            fitted = prepared.fitted(event, attempt, is_redriven=job.count > 0)
        except Exception as error:
            self._fail(job, prepared, misfit(error))
            return None
        return fitted if self._is_wanted(job, prepared, fitted) else None

    def _is_wanted(self, job: Job, prepared: Prepared, event: DomainEvent[Any]) -> bool:
        """What the subscription's own filter says; if not, the job is done with here."""
        if prepared.said.should_process is None:
            return True
        try:
            is_wanted = prepared.said.should_process(event)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            self._fail(job, prepared, failure_of(error))
            return False
        if is_wanted:
            return True
        self._figures.filtered += 1
        if not job.is_loose and prepared.mode(event) is Delivery.ACKNOWLEDGED:
            self._equipment.tasks.start(self._acknowledge(job, prepared, ReceiptOutcome.FILTERED))
        else:
            self._finish(job)
        return False

    def _is_known(self, job: Job, prepared: Prepared, event: DomainEvent[Any], now: int) -> bool:
        if self._recents[job.lane.owner.number].is_recent(job.repeats_of(event), now):
            return True
        if prepared.mode(event) is not Delivery.ACKNOWLEDGED:
            return False
        journey = job.journey
        is_missed = journey is not None and journey.failure_class is FailureClass.UNACKNOWLEDGED
        if job.count and not is_missed:
            # A person wants it delivered again; where only a receipt was missing, if it still is.
            return False
        return self._undertaker.is_acknowledged(job.record.partition, event, prepared.name)

    # ------------------------------------------------------------------------------------- ends

    def ended(self, call: Call, failure: DeliveryFailure | None) -> None:
        """A delivery has ended."""
        self._reached(DeliveryCrashPoint.HANDLER_ENDED)
        job, prepared = call.job, call.prepared
        breaker = prepared.breaker
        was_open = breaker.retry_at is not None or bool(self._suspended)
        if failure is None:
            breaker.succeeded(call.ticket)
            self._figures.delivered += 1
            mode = prepared.mode(call.event)
            self._metrics.delivered(call.event, mode, (self._log.now_ms() - _fired_at(call.event)) / 1_000)
            if not job.is_loose and mode is Delivery.ACKNOWLEDGED:
                self._equipment.tasks.start(self._acknowledge(job, prepared, ReceiptOutcome.HANDLED))
            else:
                self._finish(job)
        else:
            if failure.is_outage_sign:
                breaker.failed(call.ticket, self._log.now_ms())
            else:
                breaker.abandoned(call.ticket)
            self._figures.failed += 1
            self._fail(job, prepared, failure)
        if was_open:
            self._suspension.look(prepared)
        self._look(job)

    def _look(self, job: Job) -> None:
        """What was started has ended, or has not begun: others may wait for that."""
        if self._solitude.is_held:
            self._solitude.look()
        caution = job.lane.owner.caution
        if caution is not None:
            caution.on_news()

    def _finish(self, job: Job) -> None:
        """Nothing more is to be done for this job."""
        lanes = job.lane.owner
        if job.event is not None and not job.is_loose:
            self._recents[lanes.number].add(job.repeats_of(job.event), self._log.now_ms())
        lanes.finish(job)
        if lanes.surplus:
            self.move_surplus(lanes)
        self._equipment.on_news()

    def _fail(self, job: Job, prepared: Prepared, failure: DeliveryFailure) -> None:
        """A delivery has failed, or cannot be made."""
        if job.is_loose:
            _logger.warning(
                "%s failed for %s: %s: %s", prepared.name, job, failure.error_type, failure.message
            )
            self._finish(job)
            return
        fired_at = None if job.event is None else _fired_at(job.event)
        known = job.journey or self._journey_of(job, prepared)
        self._act(
            job,
            prepared,
            *after_failure(prepared.policy, known, failure, self._log.now_ms(), fired_at_ms=fired_at),
        )

    def _act(self, job: Job, prepared: Prepared, journey: Journey, verdict: Verdict) -> None:
        lanes = job.lane.owner
        _logger.info("%s: %s failed (%s): %s", prepared.name, job, journey.failure_class, verdict)
        if isinstance(verdict, Park | RetryInPlace):
            self._figures.retried += 1
            self._metrics.retried(job.event, self._mode_of(job, prepared))
        if isinstance(verdict, Park):
            topic = self._mover.topic_of(verdict.tier)
            if topic in lanes.places:
                self._mover.move(job, topic, journey)
                return
            verdict = RetryInPlace(verdict.due_at)
        if isinstance(verdict, RetryInPlace):
            lanes.delay(job, journey)
            self.move_surplus(lanes)
            self._equipment.on_news()
        elif isinstance(verdict, DeadLetter):
            self._equipment.tasks.start(self._bury(job, prepared, journey))
        else:
            lanes.stop(job)
            self._figures.stopped += 1
            self._equipment.on_news()
            _logger.error(
                "%s: %s failed for the last time (%s: %s) and there is no dead letter queue: its lane stands still",
                prepared.name, job, journey.error_type, journey.message,
            )  # fmt: skip

    async def _bury(self, job: Job, prepared: Prepared, journey: Journey) -> None:
        await self._undertaker.bury(job.record, journey)
        job.journey = journey
        mode = self._mode_of(job, prepared)
        self._metrics.dead_lettered(job.event, mode)
        if mode is Delivery.ACKNOWLEDGED:
            await self._acknowledge(job, prepared, ReceiptOutcome.DEAD)
        else:
            self._finish(job)
        self.wake()

    async def _acknowledge(self, job: Job, prepared: Prepared, outcome: ReceiptOutcome) -> None:
        attempts = 0 if job.journey is None else job.journey.attempts
        assert job.event is not None
        deliveries = attempts + (outcome is ReceiptOutcome.HANDLED)
        await self._undertaker.acknowledge(job.record, job.event, prepared.name, outcome, deliveries)
        self._finish(job)
        self.wake()

    @staticmethod
    def _mode_of(job: Job, prepared: Prepared) -> Delivery | None:
        return None if job.event is None else prepared.mode(job.event)

    def _journey_of(self, job: Job, prepared: Prepared) -> Journey:
        event_id = None if job.event is None else job.event.event_id
        return self._equipment.journey_of(job.record, prepared.name, event_id)

    def _arm(self) -> None:
        """Wake a runner when the next lane is due."""
        due_at = self._agenda.next_due
        if due_at is None:
            return
        delay = min(max(0, due_at - self._log.now_ms()) / 1_000, _LONGEST_SLEEP_SECONDS)
        when = self._loop.time() + delay
        if self._timer is not None:
            if self._rings_at <= when and not self._timer.cancelled():
                return
            self._timer.cancel()
        # Kept here: what uvloop gives for a time that has come does not know its `when`.
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._runners.wake()


def _fired_at(event: DomainEvent[Any]) -> int:
    return round(event.metadata.fired_at.timestamp() * 1_000)

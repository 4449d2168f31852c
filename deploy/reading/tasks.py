"""One task's report, from log to shape: its records, its plan, its large values, and what waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from msgspec.structs import replace

from tasker_kafka.schemas.errors import DecodeError, NotFoundError, PlanUnknown
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import PayloadRef, TaskCreated
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import PlanStore

from .folding import report_of, values_of
from .history import AcceptedRecord, not_found, read_task_records
from .report import TaskReport
from .waiting import find_waits
from .workers import Workforce, list_workers

__all__ = ["fetch_values", "plan_of", "read_report"]


async def read_report(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    task_id: bytes,
    *,
    life: int | None = None,
    from_beginning: bool = False,
) -> tuple[TaskReport, Plan]:
    """A task's report and plan.

    life: offset of the StartTask of the life that is meant; default the newest
    from_beginning: look for a forgotten task or life in the whole partition

    NotFoundError when the log does not hold it, PlanUnknown when its template is gone.
    """
    found = await read_task_records(log, names, task_id, from_beginning=from_beginning)
    records = found.life(life)
    if not records:
        raise NotFoundError(f"Task {format_id(task_id)} has no life {life} in the log.")
    plan = await plan_of(records, plans, task_id)
    payloads = await fetch_values(Payloads(log, names), values_of(records))
    report = report_of(task_id, found.partition, records, plan, payloads=payloads, now=log.now_ms())
    waits = find_waits(report, plan, Workforce(await list_workers(log, names)), log.now_ms())
    return replace(report, waiting=waits), plan


async def plan_of(records: tuple[AcceptedRecord, ...], plans: PlanStore, task_id: bytes) -> Plan:
    """The plan that these records of one life, from its first on, name. NotFoundError, PlanUnknown as `read_report`."""
    first = records[0].record.transitions[0].data if records[0].record.transitions else None
    if not isinstance(first, TaskCreated):
        raise not_found(task_id)
    plan = plans.get(first.plan_hash)
    if plan is None:
        await plans.catch_up()
        plan = plans.get(first.plan_hash)
    if plan is None:
        raise PlanUnknown(
            f"Template {first.namespace}/{first.name}@{first.version} of task {format_id(task_id)} "
            f"(plan {first.plan_hash.hex()[:12]}) is not in the templates topic.",
            next_step="Publish it again, unchanged: `tasker template publish PATH`.",
        )
    return plan


async def fetch_values(payloads: Payloads, wanted: Iterable[PayloadRef]) -> dict[PayloadRef, bytes]:
    """The large values; one that its topic has dropped, or never had, is left out and reads as null."""
    references = tuple(dict.fromkeys(wanted))
    fetched = await asyncio.gather(*(_fetch_one(payloads, each) for each in references))
    return {each: data for each, data in zip(references, fetched, strict=True) if data is not None}


async def _fetch_one(payloads: Payloads, reference: PayloadRef) -> bytes | None:
    try:
        return await payloads.fetch(reference)
    except (NotFoundError, DecodeError):
        return None

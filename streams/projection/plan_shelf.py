"""The plans that tasks run on: looked for in memory, then in the store, then among the published templates.

Each is kept in the store when it is first seen, so that what is projected can be read without a broker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from tasker_kafka.schemas.identity import plan_json
from tasker_kafka.schemas.plan import Plan

from . import tables
from .draft import Statements
from .rows import clean

__all__ = ["PlanShelf", "stored_plan"]


class PlanShelf:
    """Used by the writer's thread only. `published`: asks the templates topic; may block, may raise LogError."""

    def __init__(self, published: Callable[[bytes], Plan | None]) -> None:
        self._published = published
        self._plans: dict[bytes, Plan] = {}
        self._unsaved: dict[bytes, Plan] = {}

    def finder(self, connection: Connection) -> Callable[[bytes], Plan | None]:
        """Finds plans within a transaction."""

        def find(plan_hash: bytes) -> Plan | None:
            known = self._plans.get(plan_hash)
            return known if known is not None else self._look(connection, plan_hash)

        return find

    def write(self, connection: Connection, statements: Statements) -> None:
        """Keep what is new, in the same transaction."""
        # In one order for all: two writers with the same new plans wait for each other's rows.
        rows = sorted(plan_row(each) for each in self._unsaved.values())
        statements.inserts[tables.plan.name].run(connection, rows)

    def saved(self) -> None:
        """The transaction is committed."""
        self._unsaved.clear()

    def _look(self, connection: Connection, plan_hash: bytes) -> Plan | None:
        row = connection.execute(
            select(tables.plan.c.json).where(tables.plan.c.plan_hash == plan_hash)
        ).first()
        plan = None if row is None else stored_plan(row.json, plan_hash)
        if plan is None:
            plan = self._published(plan_hash)
            if plan is None:
                return None
            self._unsaved[plan_hash] = plan
        self._plans[plan_hash] = plan
        return plan


def plan_row(plan: Plan) -> tuple[Any, ...]:
    """Every column of `plan`, in the table's order."""
    return plan.hash, clean(plan.namespace), clean(plan.name), clean(plan.version), plan_json(plan).decode()


def stored_plan(text: str, plan_hash: bytes) -> Plan:
    """The plan in a row. It keeps the name under which it was published, whatever release wrote it."""
    plan = msgspec.json.decode(text, type=Plan)
    msgspec.structs.force_setattr(plan, "hash", plan_hash)  # fills the cached property
    return plan

"""Statements that run once per record: compiled once, given plain tuples, executed many at a time.

They are ordinary statements of the tables; only what SQLAlchemy does for every single execution (building the
parameters of each row anew) is left out, because it costs more than the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, Update, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

__all__ = ["Prepared", "insert_ignoring", "insert_or_update", "update_by"]

_FEWEST: Final = 1
Row = Sequence[Any]


class Prepared:
    """A statement and the order of its parameters."""

    def __init__(self, statement: Any, dialect: Dialect, order: Iterable[str]) -> None:
        compiled = statement.compile(dialect=dialect)
        names = tuple(compiled.positiontup)
        self._sql = str(compiled)
        wanted = tuple(order)
        if sorted(names) != sorted(wanted):
            raise ValueError(f"the statement takes {names}, not {wanted}")
        self._places = None if names == wanted else tuple(wanted.index(name) for name in names)

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute it once for each row. None: nothing happens."""
        if not rows:
            return
        places = self._places
        given = (
            [tuple(row) for row in rows]
            if places is None
            else [tuple([row[n] for n in places]) for row in rows]
        )
        connection.exec_driver_sql(self._sql, given)


def insert_ignoring(table: Table, dialect: Dialect) -> Prepared:
    """Insert rows in the table's order; what is there stays."""
    statement = _insert(table, dialect).on_conflict_do_nothing(index_elements=list(table.primary_key))
    return Prepared(statement, dialect, table.columns.keys())


def insert_or_update(table: Table, dialect: Dialect) -> Prepared:
    """Insert rows in the table's order; what is there is replaced."""
    statement = _insert(table, dialect)
    changed = {name: statement.excluded[name] for name, each in table.columns.items() if not each.primary_key}
    statement = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)
    return Prepared(statement, dialect, table.columns.keys())


def update_by(table: Table, dialect: Dialect, columns: Sequence[str], keys: Sequence[str]) -> Prepared:
    """Set columns of rows found by keys: each row has the columns' values, then the keys'."""
    statement: Update = update(table)
    for key in keys:
        statement = statement.where(table.c[key] == bindparam(f"of_{key}", type_=table.c[key].type))
    statement = statement.values(
        {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns}
    )
    order = [f"new_{name}" for name in columns] + [f"of_{key}" for key in keys]
    return Prepared(statement, dialect, order)


def _insert(table: Table, dialect: Dialect) -> Any:
    module = sqlite if dialect.name == "sqlite" else postgresql
    return module.insert(table)

"""Options that belong together, declared once: a dataclass whose fields are options of every command that takes it.

    @dataclass(frozen=True)
    class Page:
        limit: Annotated[int, typer.Option(...)] = 50

    @app.command()
    @spread
    def rows(task: TaskId, page: Page) -> None: ...

gives `rows` the option `--limit`, and a `Page` when it is called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

__all__ = ["spread"]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter whose type is a dataclass replaced by that class's fields, by name only."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not (isinstance(kind, type) and is_dataclass(kind)):
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = kind
        parameters += _options_of(kind)

    @functools.wraps(command)
    def call(**given: Any) -> None:
        grouped = {
            name: kind(**{each.name: given.pop(each.name) for each in fields(kind)})
            for name, kind in groups.items()
        }
        command(**given, **grouped)

    what_typer_reads: Any = call
    what_typer_reads.__signature__ = inspect.Signature(parameters)
    what_typer_reads.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def _options_of(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=_default(each), annotation=hints[each.name]
        )
        for each in fields(kind)
    ]


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default

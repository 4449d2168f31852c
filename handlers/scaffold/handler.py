"""`tasker generate handler`: one step handler with typed input and result, its test, and its registration."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from .layout import Layout
from .names import class_name, identifier, parse_handler
from .text import filled, names_list, wrapped
from .writing import Draft, NewFile, Registration

__all__ = ["HANDLERS_DOCSTRING", "import_line", "importable", "new_handler"]

HANDLERS_DOCSTRING: Final = "The step handlers; `tasker worker --module` serves what is imported here."
_IMPORTED: Final = frozenset({"annotations", "step_handler"})
_TAKEN: Final = frozenset({*_IMPORTED, "retry", "run", "template"})


def new_handler(name: str, layout: Layout) -> Draft:
    """The files of a handler that templates call `name`. ScaffoldError for a name that none may have."""
    parts = parse_handler(name)
    module = identifier("_".join(parts))
    function = identifier(parts[-1], _TAKEN)
    given, result = class_name(parts[-1], "Input"), class_name(parts[-1], "Result")
    code = filled(
        "handler.py.tmpl",
        name=name,
        exports=names_list("__all__", [given, result, function]),
        class_input=wrapped(f"class {given}(", ["BaseModel"], "):"),
        class_result=wrapped(f"class {result}(", ["BaseModel"], "):"),
        signature=wrapped(
            f"async def {function}(", ["context: StepContext", f"given: {given}"], f") -> {result}:"
        ),
        answer=wrapped(
            f"return {result}(",
            ["reference=given.reference", "done_as=context.idempotency_key"],
            ")",
            indent=4,
        ),
    )
    test = filled(
        "test_handler.py.tmpl",
        name=name,
        handlers=wrapped("HANDLERS = [", [function], "]"),
        imports=import_line(layout.module("handlers", module), [function]),
    )
    folder = layout.folder("handlers")
    return Draft(
        files=(
            NewFile(folder / f"{module}.py", code),
            NewFile(layout.tests / f"test_{module}.py", test),
            *importable(layout),
        ),
        registrations=(Registration(folder, module, HANDLERS_DOCSTRING),),
        notes=(
            f"Use it in a template: handler: {{callable: {name}}}",
            f"Serve it: tasker worker --module {layout.module('handlers')}",
        ),
    )


def import_line(module: str, names: list[str]) -> str:
    """`from module import a, b`, broken where it is too long."""
    line = wrapped(f"from {module} import ", sorted(names), "")
    return wrapped(f"from {module} import (", sorted(names), ")") if "\n" in line else line


def importable(layout: Layout) -> tuple[NewFile, ...]:
    """What tests need so that they can import the new modules: packages above them, or a conftest.py."""
    found: list[NewFile] = []
    folder = layout.package_folder
    for part in reversed((layout.package or "").split(".") if layout.package else []):
        found.append(NewFile(folder / "__init__.py", f'"""{part}."""\n', is_shared=True))
        folder = folder.parent
    if not layout.is_project:
        found.append(NewFile(PurePosixPath("conftest.py"), filled("conftest.py.tmpl"), is_shared=True))
    return tuple(found)

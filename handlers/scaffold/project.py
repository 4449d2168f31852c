"""`tasker init`: a new project that runs with one command, and whose tests pass without a broker.

Its parts are what the other generators write, too, but about one small business, so that they can be read together:
a template with events, its handlers, the events' payloads as types, a subscriber, and tests of all of it.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Final

import tasker_kafka
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.template import compile_template, load_templates

from .errors import ScaffoldError
from .event_models import Declared, new_event_models
from .handler import import_line
from .layout import Layout
from .names import parse_project
from .text import filled
from .writing import Draft, NewFile

__all__ = ["new_project"]

_FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "Makefile": "Makefile",
    ".gitignore": "gitignore",
    "README.md": "README.md",
    "templates/order.yaml": "order.yaml",
    "{package}/__init__.py": "package.py",
    "{package}/handlers/__init__.py": "handlers.py",
    "{package}/handlers/order.py": "order.py",
    "{package}/subscribers/__init__.py": "subscribers.py",
    "{package}/subscribers/order_journal.py": "order_journal.py",
    "tests/test_order.py": "test_order.py",
    "tests/test_order_journal.py": "test_order_journal.py",
}
"""File → its frame below `files/project`."""
_SCHEMAS: Final = PurePosixPath("event-schemas")


def new_project(name: str, folder: Path) -> Draft:
    """The files of a project `name` that will lie in `folder`. ScaffoldError for a name that would hide a package."""
    name, package = parse_project(name)
    if folder.exists() and not folder.is_dir():
        raise ScaffoldError(f"{folder} is a file.", next_step="Move it away, or choose another --folder.")
    values = {
        "project": name,
        "package": package,
        "release": tasker_kafka.__version__,
        "import_event": import_line(f"{package}.events.{package}", ["OrderConfirmed"]),
        "import_events": import_line(f"{package}.events.{package}", ["OrderConfirmed", "OrderDeclined"]),
        "import_order": import_line(f"{package}.handlers", ["order"]),
        "import_journal": import_line(
            f"{package}.subscribers.order_journal", ["JournalConfig", "OrderJournal"]
        ),
    }
    files = [
        NewFile(PurePosixPath(path.format(package=package)), _text(frame, values))
        for path, frame in _FILES.items()
    ]
    declared = _declared(next(each.text for each in files if each.path.name == "order.yaml"))
    layout = Layout(folder, package, is_project=True)
    models = new_event_models(package, [Declared(package, each, "order.yaml") for each in declared], layout)
    kept = [_kept(package, each) for each in declared]
    written = {each.path for each in files}
    return Draft(
        files=(*files, *(each for each in models.files if each.path not in written), *kept),
        notes=(
            f"cd {folder}",
            f"Run it:  tasker dev --module {package} --templates templates",
            "Test it: pytest",
        ),
    )


def _text(frame: str, values: dict[str, str]) -> str:
    return filled(f"project/{frame}.tmpl", is_partial=True, **values)


def _declared(yaml: str) -> list[EventDeclaration]:
    (model,) = load_templates(yaml, source="order.yaml")
    return [event for step in compile_template(model).steps for event in step.publishes_events]


def _kept(package: str, event: EventDeclaration) -> NewFile:
    """The first version of an event's schema, as `tasker schemas check --write` keeps it."""
    shown = json.dumps(True if event.schema is None else event.schema, indent=2, ensure_ascii=False)
    return NewFile(_SCHEMAS / package / event.name / f"{event.version}.json", shown + "\n")

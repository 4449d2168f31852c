"""The API's description (OpenAPI 3.1), complete with the schemas of what is answered."""

from __future__ import annotations

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tasker_kafka import __version__

from .answering import SCHEMAS
from .mounting import mount_api

__all__ = ["describe", "openapi_document", "openapi_text"]

_TEXT: Final = """\
Reads come from the projection, which follows the log; requests to change something become records in the log, and the
answer says where they lie. Every error is `application/problem+json` with `detail`, `errors` (path and message) and
`next_step`. While the broker is away reads go on, and what needs it is answered 503 with `Retry-After`.
"""
_FASTAPIS_OWN: Final = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an application that the API is mounted in."""
    document = get_openapi(
        title="Tasker on Kafka",
        version=__version__,
        summary="Durable workflows",
        description=_TEXT,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    for name in sorted(schemas.keys() & SCHEMAS.components.keys()):
        if schemas[name].get("enum") is None or schemas[name]["enum"] != SCHEMAS.components[name].get("enum"):
            raise TypeError(f"two shapes are called {name}: one is taken, one is answered")
    schemas.update(SCHEMAS.components)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic"},
    }
    document["security"] = [{}, {"bearer": []}, {"basic": []}]
    components["schemas"] = dict(sorted(schemas.items()))
    return document


def openapi_document() -> dict[str, Any]:
    """The description of this release's API."""
    app = FastAPI()
    mount_api(app)
    return describe(app)


def openapi_text() -> str:
    """The same as it stands in docs/reference/openapi.json."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"

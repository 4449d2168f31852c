"""The HTTP API: thin faces over the backend, one module per noun, all at the root of the server."""

from __future__ import annotations

from .mounting import mount_api
from .openapi import openapi_document

__all__ = ["mount_api", "openapi_document"]

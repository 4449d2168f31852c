"""A schema registry over HTTP (Confluent's API, which Apicurio and Karapace speak too), for `schemas.codec`.

Asked once per schema, and then remembered for ever: a number never gets another schema.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from tasker_kafka.schemas.errors import ConfigurationError, LogError

__all__ = ["HttpSchemaRegistry"]

_NOT_FOUND = 404
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class HttpSchemaRegistry:
    """The registry at a URL. A schema's subject is its record's full name.

    Every call blocks for at most `timeout` seconds. LogError when the registry does not answer, ConfigurationError
    when it refuses.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: tuple[str, str] | None = None,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url
        self._client = httpx.Client(
            base_url=url,
            auth=credentials,
            timeout=timeout,
            transport=transport,
            headers={"Accept": _CONTENT_TYPE, "Content-Type": _CONTENT_TYPE},
        )
        self._numbers: dict[str, int] = {}
        self._schemas: dict[int, str] = {}

    def id_for(self, name: str, schema: str) -> int:
        """See `SchemaRegistry`."""
        known = self._numbers.get(schema)
        if known is not None:
            return known
        answer = self._ask("POST", f"subjects/{quote(name, safe='')}/versions", {"schema": schema})
        number = None if answer is None else answer.get("id")
        if not isinstance(number, int):
            raise self._refused(f"it gave no number for {name}")
        self._numbers[schema] = number
        return number

    def schema_for(self, number: int) -> str | None:
        """See `SchemaRegistry`."""
        known = self._schemas.get(number)
        if known is not None:
            return known
        answer = self._ask("GET", f"schemas/ids/{number}")
        if answer is None:
            return None
        text = answer.get("schema")
        if not isinstance(text, str):
            raise self._refused(f"it gave no schema for {number}")
        self._schemas[number] = text
        return text

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """The answer as JSON; None for 404."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise LogError(
                f"the schema registry at {self._url} does not answer: {error}",
                next_step="see that it runs and is reachable from here",
            ) from error
        if answer.status_code == _NOT_FOUND and method == "GET":
            return None
        if answer.is_server_error:
            raise LogError(f"the schema registry at {self._url} failed: HTTP {answer.status_code}")
        if not answer.is_success:
            raise self._refused(f"HTTP {answer.status_code} for {method} {path}: {answer.text[:200]}")
        try:
            found = answer.json()
        except ValueError:
            raise self._refused("its answer is no JSON") from None
        return found if isinstance(found, dict) else {}

    def _refused(self, reason: str) -> ConfigurationError:
        return ConfigurationError(
            f"the schema registry at {self._url} refused: {reason}",
            next_step="check its URL, the credentials, and its compatibility settings for the subject",
        )

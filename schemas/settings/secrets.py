"""Secrets are named, never written down: a setting says where one is, and it is read when it is needed.

So that no settings file, no `config show`, no log line and no stack trace can hold one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, InstanceOf, PlainSerializer

from tasker_kafka.schemas.errors import ConfigurationError

from .section import refuse

__all__ = ["HIDDEN", "Secret", "SecretSetting"]

HIDDEN: Final = "***"
_LARGEST: Final = 64 * 1024


class Secret:
    """A reference to a secret: `env:NAME` or `file:/path`. Prints as ***."""

    __slots__ = ("_kind", "_place")

    def __init__(self, reference: str) -> None:
        self._kind, _, self._place = reference.partition(":")
        if self._kind not in {"env", "file"} or not self._place.strip():
            raise ValueError(
                "a secret is a reference: `env:NAME` or `file:/path`; the secret itself is never written down"
            )

    def read(self, environ: Mapping[str, str] = os.environ) -> str:
        """The secret as it is now (a file may be renewed). ConfigurationError when it is not there."""
        value = environ.get(self._place, "") if self._kind == "env" else self._read_file()
        if not value:
            raise ConfigurationError(
                f"the secret {self._kind}:{self._place} is not set or empty",
                next_step=f"set the variable {self._place}"
                if self._kind == "env"
                else "write the secret into the file",
            )
        return value

    def _read_file(self) -> str:
        try:
            with Path(self._place).open("rb") as file:
                return file.read(_LARGEST).decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigurationError(
                f"the secret file:{self._place} cannot be read: {why}",
                next_step="check the path and the file's rights",
            ) from None

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._kind, self._place) == (other._kind, other._place)

    def __hash__(self) -> int:
        return hash((self._kind, self._place))


def _parse(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return Secret(value)
    except ValueError as error:
        raise refuse("not_a_reference", str(error)) from None


SecretSetting = Annotated[InstanceOf[Secret], BeforeValidator(_parse), PlainSerializer(lambda _: HIDDEN)]

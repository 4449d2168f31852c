"""Who asks, and what that one may do: tokens by Bearer or Basic, the same for the API and the pages.

A token names an actor and a role. Browsers send it as the password of Basic authentication, so the pages need no cookie
and no form. Without tokens (on a loopback address only) whoever reaches the port may do everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Final

import msgspec

from tasker_kafka.schemas.settings.console import ConsoleSettings, Role

from .backend import Forbidden

__all__ = ["ANONYMOUS", "Authenticator", "Principal"]

ANONYMOUS: Final = "console"
"""Who acts where there are no tokens and the request names nobody."""


class Principal(msgspec.Struct, frozen=True):
    """Somebody who may do what the role allows. `is_proven` False: there are no tokens, anybody may be anybody."""

    actor: str
    role: Role
    is_proven: bool

    def require(self, role: Role) -> None:
        """Forbidden unless the role allows it."""
        if not self.role.includes(role):
            raise Forbidden(
                f"{self.actor} has the role {self.role}; this needs {role}",
                next_step=f"use the token of somebody who has it, or change console.tokens: {self.actor}:{role}:…",
            )

    def acting_as(self, actor: str | None) -> str:
        """Who is audited. Forbidden for another name than the token's."""
        if actor is None or actor == self.actor:
            return self.actor
        if self.is_proven:
            raise Forbidden(
                f"the token is {self.actor}'s, and cannot act as {actor[:80]!r}",
                next_step="leave `actor` out; the token says who acts",
            )
        return actor


class Authenticator:
    """Finds the principal of a request. Tokens are read once, and kept as keyed hashes."""

    def __init__(self, settings: ConsoleSettings, environ: Mapping[str, str] = os.environ) -> None:
        self._key = os.urandom(32)
        self._known = [
            (self._digest(entry.secret.read(environ)), Principal(entry.actor, entry.role, is_proven=True))
            for entry in settings.token_entries()
        ]

    def principal(self, authorization: str | None) -> Principal | None:
        """Whoever the header proves; None: nobody."""
        if not self._known:
            return Principal(ANONYMOUS, Role.ADMIN, is_proven=False)
        user, token = _credentials(authorization or "")
        digest = self._digest(token)
        found: Principal | None = None
        for known, principal in self._known:  # all of them, whichever fits: time tells nothing
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None or (user is not None and user != found.actor):
            return None
        return found

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode("utf-8", "surrogateescape"), hashlib.sha256)


def _credentials(authorization: str) -> tuple[str | None, str]:
    """(user or None, token) of the header's value; an empty token where there is none."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":  # headers are read byte by byte; a token's bytes are UTF-8
        return None, value.strip().encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    if scheme.lower() != "basic":
        return None, ""
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None, ""
    user, _, token = text.partition(":")
    return user, token

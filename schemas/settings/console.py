"""Settings of the console: where it listens, who may do what, and how much it takes on at once."""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AfterValidator, model_validator

from .secrets import Secret
from .section import Section, refuse, setting

__all__ = ["ConsoleSettings", "Role", "TokenEntry", "is_loopback", "parse_token_entry"]

_ACTOR: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class Role(StrEnum):
    """What somebody may do; each role may do what those before it may."""

    READ = "read"
    """Look at everything, secrets hidden."""
    OPERATE = "operate"
    """Submit tasks, command them, redrive dead letters."""
    ADMIN = "admin"
    """Purge dead letters, command many tasks at once, see original bytes with their secrets."""

    def includes(self, other: Role) -> bool:
        """Whether it may do what `other` may."""
        order = tuple(Role)
        return order.index(self) >= order.index(other)


class TokenEntry(NamedTuple):
    """Who proves by which secret to be whom, and what that one may do."""

    actor: str
    role: Role
    secret: Secret


def parse_token_entry(text: str) -> TokenEntry:
    """The entry in `ACTOR:ROLE:REFERENCE`, as `ada:operate:env:ADA_TOKEN`. ValueError says what is wrong."""
    actor, _, rest = text.strip().partition(":")
    role, _, reference = rest.partition(":")
    if not _ACTOR.fullmatch(actor):
        raise ValueError(f"{actor[:80]!r} is no actor's name; write letters, digits, _, ., @ and -")
    if role not in tuple(Role):
        raise ValueError(f"{role[:80]!r} is no role; write read, operate or admin")
    try:
        return TokenEntry(actor, Role(role), Secret(reference))
    except ValueError:
        raise ValueError(
            "write ACTOR:ROLE:env:NAME or ACTOR:ROLE:file:/path, never the token itself"
        ) from None


def _check_tokens(entries: tuple[str, ...]) -> tuple[str, ...]:
    actors = set()
    for each in entries:
        try:
            entry = parse_token_entry(each)
        except ValueError as error:
            raise refuse("bad_token", str(error)) from None
        if entry.actor in actors:
            raise refuse("twice", f"actor {entry.actor} has two tokens; keep one")
        actors.add(entry.actor)
    return entries


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for each in hosts:
        if not _HOST.fullmatch(each):
            raise refuse(
                "bad_host", f"{each[:80]!r} is no host name; write name or name:port, without http://"
            )
    return hosts


class ConsoleSettings(Section):
    """The HTTP API and the pages."""

    host: str = setting(
        "127.0.0.1",
        "Address to listen on. Another than a loopback address needs `tokens`.",
        min_length=1,
    )
    port: int = setting(8080, "Port to listen on.", zero="any free one, which is logged", ge=0, le=65_535)
    tokens: Annotated[tuple[str, ...], AfterValidator(_check_tokens)] = setting(
        (),
        "Who may do what: ACTOR:ROLE:REFERENCE, as ada:operate:env:ADA_TOKEN; roles read, operate, admin. Without "
        "any, whoever reaches the port may do everything.",
    )
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(_check_hosts)] = setting(
        (),
        "Names under which browsers reach it, besides `host`, localhost and loopback addresses; name or name:port.",
    )
    concurrent_requests: int = setting(
        64, "Requests that are worked on at once; more are answered 503.", zero="refused", ge=1
    )
    event_streams: int = setting(
        200, "Streams of events that are open at once; more are answered 503.", zero="refused", ge=1
    )
    wait_seconds: float = setting(
        30.0, "Longest time that a request may wait for an outcome.", zero="nobody can wait", ge=0, le=300
    )
    stale_seconds: float = setting(
        10.0,
        "A projection that is further behind is passed over: single tasks are then read from the log.",
        zero="refused",
        gt=0,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.tokens and not is_loopback(self.host):
            raise refuse(
                "open_to_all",
                f"host {self.host} can be reached by others: set console.tokens, or listen on 127.0.0.1",
            )
        return self

    def token_entries(self) -> tuple[TokenEntry, ...]:
        """The entries of `tokens`."""
        return tuple(map(parse_token_entry, self.tokens))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener at this address."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

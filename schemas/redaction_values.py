"""Which text holds secrets, whatever its key is called: tokens, keys and cards that show by their form.

Runs on whatever strangers send, at every exit, so every pattern is linear: it starts where a run of characters
starts (look-behind), gives nothing back (possessive), or is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["is_card_number", "mask_secrets"]

_PEM: Final = re.compile(r"-----BEGIN [^-\r\n]{1,64}-----.*?(?:-----END [^-\r\n]{1,64}-----|\Z)", re.DOTALL)
_JWT: Final = re.compile(r"(?<![\w-])(?=[\w-]++\.)([\w-]*?)eyJ[\w-]{5,}+(?:\.[\w-]*+){1,4}")
_BEARER: Final = re.compile(r"(\bbearer(?:\s|%20|[:=])+)([A-Za-z0-9._~+/=-]++)", re.IGNORECASE)
_BASIC: Final = re.compile(r"(\bauthorization\W{1,8}basic(?:\s|%20)+)([A-Za-z0-9._~+/=-]++)", re.IGNORECASE)
_CREDENTIALS: Final = re.compile(r"(://[^\s/:@?#]{0,128}:)[^\s/@]{1,256}(?=@)")
_CLOUD: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}+|GOCSPX-[\w-]{20,}+"  # Google
    r"|AccountKey=[A-Za-z0-9+/=]{20,}+"  # Azure
    r"|gh[opsru]_[A-Za-z0-9]{36,}+|github_pat_\w{22,}+|glpat-[\w-]{20,}+"  # GitHub, GitLab
    r"|xox[abeoprs]-[\w-]{10,}+|xapp-[\w-]{10,}+"  # Slack
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/=]{16,}+"  # Stripe
    r"|SG\.[\w-]{16,}+\.[\w-]{16,}+"  # SendGrid
    r"|sk-[\w-]{20,}+|hf_[A-Za-z0-9]{30,}+"  # model providers
    r"|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}+"  # package registries
    r"|hv[bs]\.[\w-]{20,}+|do[opr]_v1_[a-f0-9]{64}"  # Vault, DigitalOcean
    r")"
)

_LONG_WORD: Final = re.compile(r"[\w.+/=-]{15}")
"""The shortest of them has more; most text has none."""

_KEY: Final = re.compile(
    r"(?<![\w.-])(?P<key>[\w.-]++)(?:\\*+[\"'`])?\]?\s{0,4}(?:=>|:=|==|=|:|%3[AaDd])\s{0,4}(?=\S)"
    r"|(?<![\w.-])--(?P<flag>[A-Za-z][\w-]*+)\s{1,4}(?=[^\s-])"
)
_OPENING: Final = re.compile(r"[bBfFrRuU]{0,2}(?P<slashes>\\*+)(?P<quote>[\"'`])")
_BARE: Final = re.compile(r"[^\s,;&()\[\]{}\"'<>|`]++")
_BRACKETS: Final = {"(": ")", "[": "]", "{": "}"}
_NOTHING: Final = frozenset({"null", "None", "nil"})

_DIGITS: Final = re.compile(r"\d(?:[ .\-\u00a0]?\d){12,}+")
_UNIQUE_IDS: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})(?![0-9A-Za-z])"
)
_ISSUERS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12,15}"  # Amex, Diners, JCB
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|62\d{14,17}"  # Discover, UnionPay
    r"|(?:50|5[6-8]|6\d)\d{11,17}"  # Maestro
)
_CARD_LENGTHS: Final = range(13, 20)


def mask_secrets(text: str, is_secret_name: Callable[[str], bool], mask: str) -> str:
    """The text with every secret replaced by `mask`. is_secret_name: whether `name=value` hides the value."""
    if "-----BEGIN" in text:
        text = _PEM.sub(lambda _: mask, text)
    if "eyJ" in text:
        text = _JWT.sub(lambda found: found[1] + mask, text)
    small = text.casefold()
    if "bearer" in small:
        text = _BEARER.sub(lambda found: found[1] + mask if _is_token(found[2]) else found[0], text)
    if "basic" in small:
        text = _BASIC.sub(lambda found: found[1] + mask, text)
    if _LONG_WORD.search(text) is not None:
        text = _CLOUD.sub(lambda _: mask, text)
    if "://" in text:
        text = _CREDENTIALS.sub(lambda found: found[1] + mask, text)
    if "=" in text or ":" in text or "--" in text or "%3" in text:
        text = "".join(_assignments(text, is_secret_name, mask))
    return _mask_cards(text, mask)


def is_card_number(digits: str) -> bool:
    """Whether the digits are a payment card's: an issuer's prefix and length, and the Luhn checksum."""
    return (
        len(digits) in _CARD_LENGTHS
        and _ISSUERS.fullmatch(digits) is not None
        and _luhn(digits)(0, len(digits))
    )


def _is_token(text: str) -> bool:
    """Not a word of a sentence ("missing bearer token.")."""
    return len(text) >= 8 or not text.rstrip(".-").isalpha()


# --------------------------------------------------------------------------------------- name = value


def _assignments(text: str, is_secret_name: Callable[[str], bool], mask: str) -> Iterator[str]:
    """The text in pieces, with the values of secret names replaced."""
    position = kept = 0
    while (found := _KEY.search(text, position)) is not None:
        position = found.end()
        name = found["key"] or found["flag"]
        if not is_secret_name(name.strip("-.")):
            position = max(found.end("key"), found.end("flag"))
            continue
        start, end, after = _value_span(text, position)
        if end > start and text[start:end] not in _NOTHING:
            yield text[kept:start]
            yield mask
            kept = end
        position = max(after, position)
    yield text[kept:]


def _value_span(text: str, start: int) -> tuple[int, int, int]:
    """Where a value begins and ends, and where to go on: between quotes, up to its closing bracket, or one word."""
    opening = _OPENING.match(text, start)
    if opening is not None:
        closing = opening["slashes"] + opening["quote"]
        after = _quote_end(text, opening.end(), opening["quote"], len(opening["slashes"]))
        is_closed = after - len(closing) >= opening.end() and text.endswith(closing, 0, after)
        return opening.end(), after - len(closing) if is_closed else after, after
    if text[start] in _BRACKETS:
        end = _bracket_end(text, start)
        return start, end, end
    bare = _BARE.match(text, start)
    end = start if bare is None else bare.end()
    if end > start and text[end : end + 1] == "(":
        end = _bracket_end(text, end)
    return start, end, end


def _quote_end(text: str, start: int, quote: str, slashes: int) -> int:
    """After the closing quote: one with exactly as many backslashes before it as the opening one has."""
    position = start
    while (position := text.find(quote, position)) >= 0:
        before = position
        while before > start and text[before - 1] == "\\":
            before -= 1
        count = position - before
        if count == slashes or (slashes == 0 and count % 2 == 0):
            return position + 1
        position += 1
    return len(text)


def _bracket_end(text: str, start: int) -> int:
    """After the bracket that closes the one at `start`; brackets in quotes do not count."""
    closing: list[str] = []
    position = start
    while position < len(text):
        each = text[position]
        if each in "\"'" and (slashes := _OPENING.match(text, position)) is not None:
            position = _quote_end(text, position + 1, each, len(slashes["slashes"]))
            continue
        if each in _BRACKETS:
            closing.append(_BRACKETS[each])
        elif closing and each == closing[-1]:
            closing.pop()
            if not closing:
                return position + 1
        position += 1
    return len(text)


# ---------------------------------------------------------------------------------------- card numbers


def _mask_cards(text: str, mask: str) -> str:
    if _DIGITS.search(text) is None:
        return text
    pieces, kept = [], 0
    for found in _UNIQUE_IDS.finditer(text):
        pieces += [
            _DIGITS.sub(lambda each: _without_cards(each[0], mask), text[kept : found.start()]),
            found[0],
        ]
        kept = found.end()
    pieces.append(_DIGITS.sub(lambda each: _without_cards(each[0], mask), text[kept:]))
    return "".join(pieces)


def _without_cards(text: str, mask: str) -> str:
    """Digits in groups: any neighbouring groups that together are a card number are replaced."""
    places = [position for position, each in enumerate(text) if each.isdigit()]
    digits = "".join(str(int(text[position])) for position in places)
    starts = [at for at, place in enumerate(places) if at == 0 or place - places[at - 1] > 1]
    ends = {*starts[1:], len(places)}
    is_valid = _luhn(digits)
    result, kept, free = "", 0, 0
    for start in starts:
        if start < free:
            continue
        for length in reversed(_CARD_LENGTHS):
            end = start + length
            if end in ends and is_valid(start, end) and _ISSUERS.fullmatch(digits, start, end):
                result += text[kept : places[start]] + mask
                kept, free = places[end - 1] + 1, end
                break
    return result + text[kept:]


def _luhn(digits: str) -> Callable[[int, int], bool]:
    """A check of any slice in constant time: running sums with every even, and with every odd, digit doubled."""
    sums: tuple[list[int], list[int]] = ([0], [0])
    for position, each in enumerate(digits):
        value = int(each)
        doubled = value * 2 - 9 if value > 4 else value * 2
        for parity in (0, 1):
            sums[parity].append(sums[parity][-1] + (doubled if position % 2 == parity else value))

    def is_valid(start: int, end: int) -> bool:
        running = sums[end % 2]
        return (running[end] - running[start]) % 10 == 0

    return is_valid

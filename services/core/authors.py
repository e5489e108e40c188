"""Who a message says that it is from: the addresses of its From field (RFC 5322 section 3.6.2). Pure.

Its own: the standard library's reading takes the first address out of nearly anything, and a receiver may show another.
"""

from __future__ import annotations

import re
from typing import Final

from services.core.address import Address, parse
from services.core.errors import BadAddress
from services.core.headers import fields, unfolded

FIELD_MOST: Final = 4_096  # octets that are looked at
AUTHORS_MOST: Final = 10

_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_ADDRESS: Final = rf'(?:{_QUOTED}|[^\s"<>@,:;()\\\[\]]+)@[^\s"<>@,:;()\\\[\]]+'
_MAILBOX: Final = re.compile(
    rf'[ \t]*(?:(?P<phrase>(?:{_QUOTED}|[^"<>,:;\\])*)<[ \t]*(?P<angle>{_ADDRESS})[ \t]*>|(?P<bare>{_ADDRESS}))[ \t]*'
)
_PIECE: Final = re.compile(rf"{_QUOTED}|\\.|.", re.DOTALL)
_ANY: Final = re.compile(rf"{_ADDRESS}|{_QUOTED}")


def authors_of(header: bytes) -> tuple[Address, ...]:
    """Return the addresses of the one From field of a header block, none when there isn't one that can be read.

    An address that stands where a name should is one of them: some mail programs show it instead. A message without a
    From field, or with several, is read differently by everybody who reads it.
    """
    found = [field for field in fields(header) if field.name == b"from"]
    if len(found) != 1 or found[0].end - found[0].value > FIELD_MOST:
        return ()
    text = unfolded(header[found[0].value : found[0].end]).decode("utf-8", "replace")
    said = _mailboxes(text)
    try:
        return tuple(dict.fromkeys(map(parse, said))) if len(said) <= AUTHORS_MOST else ()
    except BadAddress:
        return ()


def _mailboxes(text: str) -> list[str]:
    """Return the addresses as written, those that stand as names last; none for what is no list of them."""
    plain = _without_comments(text)
    if plain is None:
        return []
    said: list[str] = []
    beside: list[str] = []
    at = 0
    while True:
        match = _MAILBOX.match(plain, at)
        if match is None:
            return []
        said.append(match["angle"] or match["bare"])
        beside += [each for each in _ANY.findall(match["phrase"] or "") if not each.endswith('"')]
        at = match.end()
        if at == len(plain):
            return said + beside
        if plain[at] != ",":
            return []
        at += 1


def _without_comments(text: str) -> str | None:
    """Return the text without comments (RFC 5322 section 3.2.2), None when one never ends."""
    depth = 0
    kept: list[str] = []
    for piece in _PIECE.findall(text):
        if piece == "(":
            depth += 1
        elif piece == ")" and depth:
            depth -= 1
        elif not depth:
            kept.append(piece)
    return None if depth else "".join(kept)

"""What may be asked of the directory service, sealed with a key that both sides have. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from services.core.wrapping import derived

PATH: Final = "/ask"
ASK: Final = "ask 1"  # what a sealed question is about
ANSWER: Final = "answer 1 "  # and an answer: followed by the question's nonce, so that it answers no other
FRESH: Final = 60.0  # seconds for which a question is one: clocks differ, and what is older was kept by somebody


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Who has this address and password; without an address, who there is."""

    customer: str
    source: str = ""  # the name of one of the customer's directories; empty: all
    address: str = ""  # canonical
    password: str = ""
    at: float = 0.0
    nonce: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A user or a group of a directory."""

    id: str  # a hash of what the directory calls it
    addresses: tuple[str, ...]  # canonical, in the customer's domains, the first one first
    name: str = ""
    group: bool = False
    members: tuple[str, ...] = ()  # of a group: an address of each member that has one


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    entries: tuple[Entry, ...] = ()
    source: str = ""  # the directory that has the entry
    away: str = ""  # why it can't be told now, one line
    refused: str = ""  # why never, one line


def asking_key(master: bytes) -> bytes:
    """Return the key that questions and answers are sealed with."""
    return derived(master, "asking")

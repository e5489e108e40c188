"""Signing what goes out: the last thing that is done to a message, once all our own fields are there."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from schemas.events import Received
from services.core import dkim
from services.core.authors import authors_of
from services.core.clock import Clock
from services.core.errors import KeyDestroyed, ObjectCorrupt, StoreUnavailable
from services.delivery.session import Letter
from services.runtime.dkim_keys import DkimKeys

log = logging.getLogger("gatepost.delivery")

IN_LOOP: Final = 131_072  # octets of a message that is signed in the event loop; a larger one in a thread

Signs = Callable[[Received, Letter], Awaitable[Letter]]


class Signing:
    """Signs with the keys of the domain in From, all that are in use."""

    def __init__(self, keys: DkimKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def __call__(self, received: Received, letter: Letter) -> Letter:
        """Return the letter with its signatures on top; as it is, where its domain has no keys in use.

        Raises StoreUnavailable where the keys can't be had or opened: it waits rather than go without.
        """
        authors = authors_of(b"".join(letter.parts[:-1]))
        if not authors:
            return letter
        try:
            keys = await self._keys.signing(received.customer, authors[0].domain)
        except (KeyDestroyed, ObjectCorrupt) as error:
            log.error("id=%s domain=%s event=no-signing-key error=%s", received.id, authors[0].domain, error)
            raise StoreUnavailable(f"the signing keys of {authors[0].domain} can't be opened") from error
        if not keys:
            return letter
        now = self._clock.now()
        if letter.size > IN_LOOP:
            return await asyncio.to_thread(signed, letter, keys, now)
        return signed(letter, keys, now)


def signed(letter: Letter, keys: Sequence[dkim.Key], now: float) -> Letter:
    """Return the letter with a signature by each key on top. Its last part begins with the empty line, or is empty."""
    body = memoryview(letter.parts[-1])
    if body and bytes(body[:2]) != b"\r\n":
        return letter  # no header block that could be signed
    header = b"".join(letter.parts[:-1])
    digest = dkim.body_hash([body[2:]])
    top = b"".join(dkim.sign(key, header, digest, now) for key in keys)
    return dataclasses.replace(letter, parts=[top, *letter.parts], size=letter.size + len(top))

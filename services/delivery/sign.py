"""Signing what goes out, and sealing what is changed on its way in: the last thing that is done to a message."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from schemas.events import Branch, Disposition, Received
from services.core import arc, dkim
from services.core.authors import authors_of
from services.core.clock import Clock
from services.core.compose import results_text
from services.core.direction import outbound
from services.core.errors import KeyDestroyed, ObjectCorrupt, StoreUnavailable
from services.delivery.session import Letter
from services.runtime.dkim_keys import DkimKeys

log = logging.getLogger("gatepost.delivery")

IN_LOOP: Final = 131_072  # octets of a message that is signed in the event loop; a larger one in a thread

Signs = Callable[[Disposition, Branch, Letter], Awaitable[Letter]]


class Signing:
    """Signs with the keys of the domain in From, all that are in use; seals with those of the recipients' domain."""

    def __init__(self, keys: DkimKeys, clock: Clock, hostname: str) -> None:
        """`hostname` is the name under which we say what was seen of a message."""
        self._keys = keys
        self._clock = clock
        self._hostname = hostname

    async def __call__(self, disposition: Disposition, branch: Branch, letter: Letter) -> Letter:
        """Return the letter with its signatures or its seal on top; as it is, where there are no keys in use.

        Raises StoreUnavailable where the keys for a signature can't be had or opened: it waits rather than go without.
        """
        received = disposition.received
        if outbound(received):
            return await self._signed(received, letter)
        changes = branch.tag_subject or branch.redirect_to or branch.stamp or branch.strip
        if changes and not received.own and not received.bounce_of:
            return await self._sealed(disposition, letter)
        return letter

    async def _sealed(self, disposition: Disposition, letter: Letter) -> Letter:
        received = disposition.received
        try:
            keys = await self._keys.signing(received.customer, received.domain)
        except (KeyDestroyed, ObjectCorrupt, StoreUnavailable) as error:  # a seal helps; it is nothing to wait for
            log.warning("id=%s domain=%s event=not-sealed error=%s", received.id, received.domain, error)
            return letter
        key = next((each for each in keys if each.algorithm == dkim.RSA), None)  # what every receiver can verify
        if key is None:
            return letter
        results = disposition.auth_results
        seen = next((text.partition(" ")[0] for method, text in results if method == "arc"), "none")
        said = results_text(results, self._hostname)
        make = partial(sealed, letter, key, said, seen, self._clock.now())
        return await asyncio.to_thread(make) if letter.size > IN_LOOP else make()

    async def _signed(self, received: Received, letter: Letter) -> Letter:
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
    return _topped(letter, lambda header, digest: b"".join(dkim.sign(key, header, digest, now) for key in keys))


def sealed(letter: Letter, key: dkim.Key, results: str, seen: str, now: float) -> Letter:
    """Return the letter with an ARC set on top, where one may be added."""
    return _topped(letter, lambda header, digest: arc.seal(key, header, digest, results, seen, now))


def _topped(letter: Letter, make: Callable[[bytes, str], bytes]) -> Letter:
    """Return the letter with the fields on top that are made of its header block and the digest of its body."""
    body = memoryview(letter.parts[-1])
    if body and bytes(body[:2]) != b"\r\n":
        return letter  # no header block that could be signed
    top = make(b"".join(letter.parts[:-1]), dkim.body_hash([body[2:]]))
    return dataclasses.replace(letter, parts=[top, *letter.parts], size=letter.size + len(top)) if top else letter

"""Parsed mails of a worker: a message's scanners come at nearly the same time, and it is fetched and parsed once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from services.core.errors import ObjectCorrupt
from services.core.stored import unpack
from services.runtime.store import Store
from services.scanners.mail import Mail


class MailCache:
    """The most recently used mails, up to `limit` octets by weight. A mail larger than that is used and not kept.

    A mail grows while its archives are unpacked: `settle` weighs it again.
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._held = 0
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        self._weights: dict[str, int] = {}
        self._fetching: dict[str, asyncio.Task[Mail]] = {}

    async def get(self, key: str, message: str) -> Mail:
        """Return the mail under the key; raise ObjectNotFound, StoreUnavailable, or ObjectCorrupt."""
        known = self._mails.get(key)
        if known is not None:
            self._mails.move_to_end(key)
            return known
        task = self._fetching.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(key, message), name=f"fetch-{message}")
            self._fetching[key] = task
            task.add_done_callback(lambda done: self._fetched(key, done))
        return await asyncio.shield(task)  # a scanner that is out of time doesn't take the mail from the others

    def settle(self, key: str) -> None:
        """Weigh the mail under the key as it is now, and let go of what is too much: after each scan of it."""
        mail = self._mails.get(key)
        if mail is None:
            return
        weight = mail.weight
        self._held += weight - self._weights[key]
        self._weights[key] = weight
        if weight > self._limit:
            self._drop(key)
        self._make_room()

    async def close(self) -> None:
        """End the fetches under way."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, key: str, message: str) -> Mail:
        received, raw = unpack(await self._store.get(key))
        if received.id != message:
            raise ObjectCorrupt(f"the object under {key} is that of another message")
        return Mail(received, raw)

    def _fetched(self, key: str, done: asyncio.Task[Mail]) -> None:
        self._fetching.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return  # those who waited heard it; the next one tries again
        mail = done.result()
        if mail.weight > self._limit:
            return
        self._mails[key] = mail
        self._weights[key] = mail.weight
        self._held += mail.weight
        self._make_room()

    def _make_room(self) -> None:
        while self._held > self._limit and self._mails:
            self._drop(next(iter(self._mails)))

    def _drop(self, key: str) -> None:
        del self._mails[key]
        self._held -= self._weights.pop(key)

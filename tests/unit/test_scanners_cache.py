"""Parsed mails that a worker keeps: by weight, which grows when archives are unpacked."""

from __future__ import annotations

import os

from services.core.stored import pack
from services.runtime.fakes_store import MemoryStore
from services.scanners.cache import MailCache
from tests.corpora.files import zipped
from tests.corpora.wrappings import in_base64
from tests.mails import crlf
from tests.samples import received


async def test_a_mail_that_grew_is_weighed_again() -> None:
    store = MemoryStore()
    keys = []
    for name in ("one", "two"):
        raw = crlf(in_base64(zipped((name, b"\0" * 100_000)), "a.zip"))
        event = received(size=len(raw))
        await store.put(event.key, [pack(event), raw])
        keys.append((event.key, event.id))
    cache = MailCache(store, 150_000)
    first, second = [await cache.get(*key) for key in keys]
    assert await cache.get(*keys[0]) is first
    assert sum(len(item.data) for item in second.contents) > 100_000
    cache.settle(keys[1][0])
    assert await cache.get(*keys[1]) is second  # the one used last stays
    assert sum(len(item.data) for item in first.contents) > 100_000
    cache.settle(keys[0][0])
    assert await cache.get(*keys[0]) is not first  # both together are too much
    await cache.close()


async def test_a_mail_that_is_too_much_by_itself_is_let_go() -> None:
    store = MemoryStore()
    raw = crlf(in_base64(zipped(("a", os.urandom(1000) * 1000)), "a.zip"))
    event = received(size=len(raw))
    await store.put(event.key, [pack(event), raw])
    cache = MailCache(store, 200_000)
    mail = await cache.get(event.key, event.id)
    list(mail.contents)
    cache.settle(event.key)
    assert await cache.get(event.key, event.id) is not mail
    await cache.close()

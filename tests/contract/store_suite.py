"""What every Store keeps. A test module subclasses StoreContract and gives it a fixture `store` that is empty."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from services.core.errors import BadKey, ObjectConflict, ObjectNotFound, StoreUnavailable
from services.runtime.store import Store

KEY = "mail/acme/7Q/01JD0000000000000000000A7Q"
ALL_OCTETS = bytes(range(256))
BAD_KEYS = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/./b",
    ".tmp/a",
    "a b",
    "a\n",
    "a\x00b",
    "ä",
    "a\\b",
    "x" * 300,
]


async def listed(store: Store, prefix: str = "") -> dict[str, int]:
    """Return key → size of what is listed; a key listed twice fails."""
    found: dict[str, int] = {}
    async for stat in store.list(prefix):
        assert stat.key not in found
        found[stat.key] = stat.size
    return found


class StoreContract:
    async def test_returns_the_parts_joined(self, store: Store) -> None:
        await store.put(KEY, [b"head\r\n", memoryview(b"--body--")[2:6], b"", ALL_OCTETS])
        assert await store.get(KEY) == b"head\r\nbody" + ALL_OCTETS

    @pytest.mark.parametrize("parts", [[], [b""], [b"", memoryview(b"")]])
    async def test_an_empty_object_is_an_object(self, store: Store, parts: list[bytes | memoryview]) -> None:
        await store.put(KEY, parts)
        assert await store.get(KEY) == b""
        assert await listed(store) == {KEY: 0}

    async def test_a_long_message_in_many_parts(self, store: Store) -> None:
        body = os.urandom(9_000_011)
        view = memoryview(body)
        await store.put(KEY, [b"head", *(view[at : at + 4096] for at in range(0, len(body), 4096))])
        assert await store.get(KEY) == b"head" + body

    async def test_a_long_message_in_one_part(self, store: Store) -> None:
        body = os.urandom(3_000_000)
        await store.put(KEY, [memoryview(body)])
        assert await store.get(KEY) == body

    async def test_the_same_bytes_again_succeed(self, store: Store) -> None:
        await store.put(KEY, [b"he", b"ad"])
        await store.put(KEY, [b"head"])
        assert await store.get(KEY) == b"head"

    @pytest.mark.parametrize("other", [b"heaD", b"hea", b"head.", b""])
    async def test_other_bytes_conflict_and_change_nothing(self, store: Store, other: bytes) -> None:
        await store.put(KEY, [b"head"])
        with pytest.raises(ObjectConflict):
            await store.put(KEY, [other])
        assert await store.get(KEY) == b"head"
        assert await listed(store) == {KEY: 4}

    async def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        with pytest.raises(ObjectNotFound):
            await store.get(KEY)
        await store.put(KEY, [b"head"])
        with pytest.raises(ObjectNotFound):
            await store.get(f"{KEY}B")
        with pytest.raises(ObjectNotFound):
            await store.get("mail/acme")

    async def test_deleted_is_gone_and_its_key_is_free(self, store: Store) -> None:
        await store.put(KEY, [b"head"])
        await store.delete(KEY)
        with pytest.raises(ObjectNotFound):
            await store.get(KEY)
        assert await listed(store) == {}
        await store.put(KEY, [b"other"])
        assert await store.get(KEY) == b"other"

    async def test_deleting_what_is_not_there_is_fine(self, store: Store) -> None:
        await store.delete(KEY)
        await store.put(KEY, [b"head"])
        await store.delete("mail/acme/7Q")
        assert await store.get(KEY) == b"head"

    async def test_lists_by_whole_segments(self, store: Store) -> None:
        keys = ["mail/acme/7Q/A", "mail/acme/8R/B", "mail/acme2/7Q/C", "mail/ac/7Q/D", "other/E"]
        for key in keys:
            await store.put(key, [key.encode()])
        assert await listed(store) == {key: len(key) for key in keys}
        assert await listed(store, "mail") == {key: len(key) for key in keys[:4]}
        assert set(await listed(store, "mail/acme")) == set(keys[:2])
        assert set(await listed(store, "mail/acme/")) == set(keys[:2])
        assert await listed(store, "mail/a") == {}
        assert await listed(store, "mail/acme/7Q/A") == {}
        assert await listed(store, "none/such") == {}

    async def test_lists_when_it_was_stored(self, store: Store) -> None:
        before = time.time()
        await store.put(KEY, [b"head"])
        [stat] = [stat async for stat in store.list("mail")]
        assert before - 2 <= stat.modified <= time.time() + 2  # a server rounds, and has a clock of its own

    async def test_lists_more_than_a_page(self, store: Store) -> None:
        keys = [f"mail/acme/{number % 40:02d}/{number:05d}" for number in range(1_100)]
        for at in range(0, len(keys), 50):
            await asyncio.gather(*(store.put(key, [b"x"]) for key in keys[at : at + 50]))
        assert sorted(await listed(store)) == sorted(keys)

    async def test_a_listing_survives_deletes(self, store: Store) -> None:
        for number in range(30):
            await store.put(f"mail/acme/{number:02d}/A", [b"x"])
        seen = set()
        async for stat in store.list(""):
            seen.add(stat.key)
            for number in range(0, 30, 2):
                await store.delete(f"mail/acme/{number:02d}/A")
        assert {f"mail/acme/{number:02d}/A" for number in range(1, 30, 2)} <= seen

    @pytest.mark.parametrize("size", [0, 1, 300_000, 5_242_870, 5_242_880, 13_000_011])
    async def test_an_upload_becomes_one_object_for_each_key(self, store: Store, size: int) -> None:
        body = os.urandom(size)
        upload = store.begin(64)
        for at in range(0, size, 700_001):
            await upload.write([body[at : at + 400_000], b"", memoryview(body)[at + 400_000 : at + 700_001]])
        assert await listed(store) == {}
        heads = {
            KEY: b"h" * 64,
            f"{KEY}B": b"i" * 64,
            "mail/zeta/AA/C": b"longer than the room left for it" * 3,
            "d": b"",
        }
        await upload.commit(list(heads.items()))
        assert await listed(store) == {key: len(head) + size for key, head in heads.items()}
        upload.discard()
        upload.discard()
        for key, head in heads.items():
            assert await store.get(key) == head + body
            await store.delete(key)
        assert await listed(store) == {}

    async def test_an_upload_that_is_discarded_leaves_nothing(self, store: Store) -> None:
        never, begun, used = store.begin(10), store.begin(10), store.begin(10)
        await begun.write([b"x" * 100_000])
        await used.write([b"y"])
        for upload in (never, begun, used):
            upload.discard()
        assert await listed(store) == {}
        with pytest.raises(StoreUnavailable):
            await used.write([b"z"])
        with pytest.raises(StoreUnavailable):
            await used.commit([(KEY, b"head")])
        assert await listed(store) == {}

    async def test_a_write_that_is_cancelled_can_be_discarded(self, store: Store) -> None:
        for number in range(8):
            upload = store.begin(10)
            task = asyncio.create_task(upload.write([os.urandom(600_000)] * 4))
            await asyncio.sleep(number / 4000)
            task.cancel()
            await asyncio.wait([task])
            upload.discard()
        assert await listed(store) == {}

    async def test_uploads_at_once(self, store: Store) -> None:
        async def one(number: int) -> None:
            upload = store.begin(4)
            body = bytes([number]) * 6_000_000
            for at in range(0, len(body), 1_000_000):
                await upload.write([body[at : at + 1_000_000]])
            await upload.commit([(f"mail/acme/{number:02d}/A", b"head")])
            upload.discard()
            assert await store.get(f"mail/acme/{number:02d}/A") == b"head" + body

        await asyncio.gather(*(one(number) for number in range(8)))

    async def test_an_upload_takes_only_keys(self, store: Store) -> None:
        upload = store.begin(4)
        await upload.write([b"x"])
        with pytest.raises(BadKey):
            await upload.commit([("fine", b"head"), ("../a", b"head")])
        upload.discard()
        assert await listed(store) == {}

    @pytest.mark.parametrize("key", BAD_KEYS)
    async def test_refuses_what_is_no_key(self, store: Store, key: str) -> None:
        with pytest.raises(BadKey):
            await store.put(key, [b"x"])
        with pytest.raises(BadKey):
            await store.get(key)
        with pytest.raises(BadKey):
            await store.delete(key)
        assert await listed(store) == {}

    @pytest.mark.parametrize("prefix", ["..", "mail/..", ".tmp", "mail//", "/mail", "ma*"])
    async def test_refuses_what_is_no_prefix(self, store: Store, prefix: str) -> None:
        with pytest.raises(BadKey):
            await listed(store, prefix)

    async def test_the_same_bytes_at_once_all_succeed(self, store: Store) -> None:
        await asyncio.gather(*(store.put(KEY, [b"he", b"ad"]) for _ in range(16)))
        assert await store.get(KEY) == b"head"
        assert await listed(store) == {KEY: 4}

    async def test_of_other_bytes_at_once_one_wins(self, store: Store) -> None:
        results = await asyncio.gather(
            *(store.put(KEY, [b"%d" % number]) for number in range(8)), return_exceptions=True
        )
        winners = [number for number, result in enumerate(results) if result is None]
        assert len(winners) == 1
        assert [type(result) for result in results if result is not None] == [ObjectConflict] * 7
        assert await store.get(KEY) == b"%d" % winners[0]

    async def test_a_put_that_is_cancelled_is_whole_or_not_there(self, store: Store) -> None:
        body = os.urandom(400_000)
        for number in range(12):
            task = asyncio.create_task(store.put(f"mail/acme/7Q/{number:02d}", [body]))
            await asyncio.sleep(number / 4000)
            task.cancel()
            await asyncio.wait([task])
        for key, size in (await listed(store)).items():
            assert size == len(body)
            assert await store.get(key) == body

    async def test_a_check_leaves_nothing_behind(self, store: Store) -> None:
        await store.check()
        await store.check()
        assert await listed(store) == {}

    async def test_closed_it_answers_no_more(self, store: Store) -> None:
        await store.put(KEY, [b"head"])
        await store.close()
        for call in (store.put("a", [b"x"]), store.get(KEY), store.delete(KEY), store.check(), listed(store)):
            with pytest.raises(StoreUnavailable):
                await call
        await store.close()

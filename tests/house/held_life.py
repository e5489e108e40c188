"""A held message's whole life in a running Gatepost: held, told of, released, refused, deleted, expired, and gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import text

from services.core.errors import ObjectNotFound
from services.runtime.database import Database, database_url
from services.runtime.open_store import open_store
from tests.house.gatepost import House
from tests.house.sender import EICAR, GTUBE, plain, send, with_attachment
from tests.house.sink import Sink

CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
    quarantine:
      digest: {{hours: [{hours}], language: it}}
"""
ENVIRON = {"GATEPOST_SWEEP_SECONDS": "0.5"}
HELD = ("by-digest", "by-api", "to-delete", "to-expire")
WITHIN = 60.0  # seconds; a machine that is shared takes its time


def configured(folder: Path, sink: Sink) -> list[str]:
    """Return the arguments of a Gatepost that relays to the sink and sends digests every hour."""
    config = folder / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port, hours=", ".join(map(str, range(24)))))
    return ["--config", str(config)]


async def life(house: House, sink: Sink, environ: dict[str, str]) -> None:
    """Live it."""
    token = (await house.gatepost("tokens", "create", "--role", "administrator", "--customer", "example")).out.strip()
    originals = {name: plain(name, f"{GTUBE}\r\nonly {name}\r\n") for name in HELD}
    for octets in originals.values():
        assert (await send(house.port, octets)).code == 250
    assert (await send(house.port, with_attachment("infected", "eicar.com", EICAR))).code == 250
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        api = f"{house.api}/v1/customers/example/messages"

        async def shown(**params: str) -> dict[str, Any]:
            async with session.get(api, params={"everything": "true", **params}) as answer:
                assert answer.status == 200, await answer.text()
                return {message["subject"]: message for message in (await answer.json())["messages"]}

        async def until(true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
            deadline = time.monotonic() + WITHIN
            while not true(found := await shown()):
                assert time.monotonic() < deadline, found
                await asyncio.sleep(0.1)
            return found

        async def post(subject: str, what: str) -> None:
            async with session.post(f"{api}/{held[subject]['id']}/{what}", json={}) as answer:
                assert answer.status == 202, await answer.text()

        held = await until(lambda found: len(found) == len(HELD) + 1)
        assert {message["state"] for message in held.values()} == {"held"}
        objects = await until_enciphered(house, environ)
        assert len([key for key in objects if key.startswith("quarantine/")]) == len(HELD) + 1

        await digest(house, sink, session)
        await post("by-api", "release")
        await post("to-delete", "delete")
        await post("infected", "release")
        found = await until(lambda found: found["by-api"]["final"] == "delivered")
        await until(lambda found: found["infected"]["state"] == "release-stopped")
        found = await until(lambda found: found["by-digest"]["final"] == "delivered")
        assert found["to-delete"]["state"] == "deleted"
        for name in ("by-api", "by-digest"):
            (arrival,) = [each for each in sink.arrivals if each.header("Subject") == name]
            assert arrival.content.endswith(originals[name]), name  # the original octets, under our own fields
        await expire(house)
        await until(lambda found: all(found[name]["state"] == "expired" for name in ("to-expire", "infected")))
    deadline = time.monotonic() + WITHIN
    while left := list(await lying(house, environ)):  # no object, no body, and no key of the customer
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.2)
    said = await house.gatepost("ledger", "--objects", "--json")
    assert said.code == 0, said
    balance = json.loads(said.out)
    assert (balance["balanced"], balance["objects"], balance["keys"]) == (True, 0, 0), balance


async def digest(house: House, sink: Sink, session: aiohttp.ClientSession) -> None:
    """Wait for the digest, open its link for `by-digest` twice, and press its button."""
    deadline = time.monotonic() + WITHIN
    while True:
        told = [each for each in sink.arrivals if b"/held/" in each.content]
        link = next((found for each in told if (found := link_of(each.content)) is not None), None)
        if link is not None:
            break
        assert time.monotonic() < deadline, [each.header("Subject") for each in sink.arrivals]
        await asyncio.sleep(0.1)
    assert link.startswith(house.pages)
    for _ in range(2):
        async with session.get(link) as answer:
            assert answer.status == 200
            assert "only by-digest" in await answer.text()
    assert not [each for each in sink.arrivals if each.header("Subject") == "by-digest"]
    async with session.post(link, data={"action": "release"}) as answer:
        assert answer.status == 202


def link_of(content: bytes) -> str | None:
    """Return the link of `by-digest` in a digest's plain text."""
    found = re.search(rb"Oggetto: by-digest\r\n(?:[^\r\n]+\r\n){0,4}?(http\S+/held/\S+)", content)
    return found[1].decode() if found else None


async def lying(house: House, environ: dict[str, str]) -> dict[str, bytes]:
    """Return every object of the store."""
    store = await open_store(house.site.store, environ)
    try:
        found = {}
        for prefix in ("mail", "quarantine", "released", "keys"):
            for key in [stat.key async for stat in store.list(prefix)]:
                with contextlib.suppress(ObjectNotFound):  # it went while we looked
                    found[key] = await store.get(key)
        return found
    finally:
        await store.close()


async def until_enciphered(house: House, environ: dict[str, str]) -> dict[str, bytes]:
    """Return the store's objects once none is readable: the one that came in goes after its copy is in the index."""
    deadline = time.monotonic() + WITHIN
    while True:
        objects = await lying(house, environ)
        if not any(b"only by-api" in octets for octets in objects.values()):
            return objects
        assert time.monotonic() < deadline, sorted(objects)
        await asyncio.sleep(0.1)


async def expire(house: House) -> None:
    """Let the time of everything that is held be up: what is done about it is Gatepost's."""
    database = Database(database_url(house.site.database))
    async with database.writing() as connection:
        await connection.execute(text("UPDATE quarantine_held SET expires_at = 1"))
    await database.close()

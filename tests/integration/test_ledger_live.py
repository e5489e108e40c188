"""Mail of every kind through a whole Gatepost: the ledger accounts for each message and each object."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from pathlib import Path

from schemas.catalog import PARTITIONS
from schemas.events import Outcome, State
from services.core.ids import message_id
from services.runtime.kafka import KafkaBus
from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.gatepost import House, until
from tests.house.held_life import ENVIRON, configured
from tests.house.sender import GTUBE, plain, send
from tests.house.sink import Sink

NOBODY = "nobody@example.test"


async def test_all_that_goes_through_balances(tmp_path: Path, sink: Sink) -> None:
    sink.refuse = lambda recipient: "550 5.1.1 no such user" if recipient == NOBODY else None
    arguments = configured(tmp_path, sink)
    cut = {"GATEPOST_PARTITIONS": str(PARTITIONS)}  # as this process, which writes into the topics itself
    async with House(tmp_path / "data", free_ports(1)[0], *arguments, environ={**ENVIRON, **cut}) as house:
        assert (await send(house.port, plain("fine"))).code == 250
        assert (await send(house.port, plain("to nobody"), [NOBODY])).code == 250
        for name in ("let go", "stays", "slips"):
            assert (await send(house.port, plain(name, f"{GTUBE}\r\nonly {name}\r\n"))).code == 250

        async def traced(subject: str) -> dict[str, object]:
            answer = await house.gatepost("trace", "--json", "--subject", subject)
            assert answer.code == 0, answer.err
            return next(map(json.loads, answer.out.splitlines()), {})

        deadline = time.monotonic() + 60
        while (held := await traced("let go")).get("recipients") != {"bob@example.test": "held"}:
            assert time.monotonic() < deadline, held
        await until(lambda: any(b"/held/" in each.content for each in sink.arrivals), 60)  # the digest
        released = await house.gatepost("quarantine", "release", str(held["id"]))
        assert released.code == 0, released.err
        await eventually(lambda: any(each.header("Subject") == "let go" for each in sink.arrivals), 60.0)

        deadline = time.monotonic() + 60
        while True:
            answer = await house.gatepost("ledger", "--objects", "--young", "0", "--json")
            found = json.loads(answer.out)
            account = found["customers"]["example"]
            if account["in_flight"].get("held") == 2 and account["ended"].get("bounced") == 1 and found["objects"] < 4:
                break
            assert time.monotonic() < deadline, found
        assert (answer.code, found["named"]) == (0, []), found
        assert account["messages"] >= 6, found  # five that came in, and a digest

        ids = {name: str((await traced(name))["id"]) for name in ("fine", "stays", "slips")}
        unknown = message_id(time.time(), os.urandom)
        await go_wrong(house, ids, unknown)
        answer = await house.gatepost("ledger", "--objects", "--young", "0", "--json")
        found = json.loads(answer.out)
        assert answer.code == 1
        assert {(each["id"], each["fault"]) for each in found["named"]} == {
            (ids["fine"], "two-outcomes"),
            (ids["stays"], "no-object"),
            (ids["slips"], "lost"),
            (unknown, "not-accepted"),
        }, found
        assert found["customers"]["example"]["lost"] == 1
        later = await house.gatepost("ledger", "--objects", "--since", "1s", "--json")
        assert (later.code, json.loads(later.out)["named"]) == (0, []), later  # all of it was accepted before


async def go_wrong(house: House, ids: dict[str, str], unknown: str) -> None:
    """Do to four messages what no message may come to."""
    objects = [path for path in (house.data / "objects").rglob("*") if path.is_file() and ids["stays"] in str(path)]
    assert objects
    for path in objects:
        path.unlink()
    with contextlib.closing(sqlite3.connect(house.data / "gatepost.db")) as index:
        assert index.execute("DELETE FROM quarantine_held WHERE id = ?", (ids["slips"],)).rowcount == 1
        index.commit()
    bus = KafkaBus(house.site.kafka, "ledger-test")
    try:
        await bus.publish(ended(message, State.BOUNCED) for message in (ids["fine"], unknown))
    finally:
        await bus.close()


def ended(message: str, state: State) -> Outcome:
    return Outcome(
        id=message,
        customer="example",
        key=message,
        recipients=("bob@example.test",),
        total=1,
        state=state,
        at=time.time(),
        received_at=time.time(),
    )

"""Mail of every kind through a whole Gatepost: the ledger accounts for each message and each object."""

from __future__ import annotations

import json
import time
from pathlib import Path

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
    async with House(tmp_path / "data", free_ports(1)[0], *arguments, environ=ENVIRON) as house:
        assert (await send(house.port, plain("fine"))).code == 250
        assert (await send(house.port, plain("to nobody"), [NOBODY])).code == 250
        for name in ("let go", "stays"):
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
            if account["in_flight"].get("held") == 1 and account["ended"].get("bounced") == 1 and found["objects"] < 3:
                break
            assert time.monotonic() < deadline, found
        assert (answer.code, found["named"]) == (0, []), found
        assert account["messages"] >= 5, found  # four that came in, and a digest

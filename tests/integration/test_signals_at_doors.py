"""A harvester that goes from door to door: no door sees enough of it, and together they shut it out."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.gatepost import House

CONFIG = """
customers:
  - id: acme
    domains: [{name: acme.test, relay: ["127.0.0.1:9"], recipients: [ann]}]
"""
SETTINGS = {
    "GATEPOST_SIGNALS_HARVEST_ADDRESS": "10",
    "GATEPOST_INGRESS_EXEMPT": "192.0.2.1",  # so that the loopback address is a client like others
    "GATEPOST_INGRESS_GREET_PAUSE": "0",
    "GATEPOST_INGRESS_REVERSE_DNS": "false",
    "GATEPOST_INGRESS_HARVEST_PER_ADDRESS": "1000",
    "GATEPOST_INGRESS_HARVEST_PER_NETWORK": "1000",
    "GATEPOST_INGRESS_HARVEST_PER_SENDER": "1000",
}


async def ask(port: int, *recipients: str) -> list[int]:
    """Return the code that each RCPT gets at the door."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            codes = [await said(reader)]
            commands = ("EHLO mx.sender.test", "MAIL FROM:<a@sender.test>", *(f"RCPT TO:<{r}>" for r in recipients))
            for command in commands:
                writer.write(f"{command}\r\n".encode())
                codes.append(await said(reader))
            return codes[3:]
    finally:
        writer.close()


async def said(reader: asyncio.StreamReader) -> int:
    while (line := await reader.readline())[3:4] == b"-":
        pass
    return int(line[:3] or b"0")


async def test_a_harvester_spread_over_two_doors_is_shut_out_of_both(tmp_path: Path) -> None:
    first, second, mailbox = free_ports(3)
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG)
    arguments = ("--config", str(config), "--mailbox-port", str(mailbox))
    async with House(tmp_path / "data", first, *arguments, environ=SETTINGS) as house:
        environ = {
            **os.environ,
            **SETTINGS,
            "GATEPOST_KAFKA": house.site.kafka,
            "GATEPOST_STORE": house.site.store,
            "GATEPOST_PARTITIONS": str(house.site.partitions),
            "GATEPOST_INGRESS_PORT": str(second),
        }
        door = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.ingress", env=environ)
        try:

            async def is_open() -> bool:
                try:
                    return await ask(second, "ann@acme.test") == [250]
                except (OSError, asyncio.IncompleteReadError, IndexError):
                    return False

            await eventually(is_open, 30)
            assert await ask(first, "ann@acme.test") == [250]
            for port in (first, second):
                assert await ask(port, *(f"guess{n}@acme.test" for n in range(5))) == [550] * 5

            async def is_shut() -> bool:
                await asyncio.sleep(0.5)  # the door counts connections as well
                answers = [await ask(port, "ann@acme.test", "guess@acme.test") for port in (first, second)]
                return all(answer == [450, 450] for answer in answers)  # it can't tell any more who exists

            await eventually(is_shut, 30)
            listed = await house.gatepost("signals")
            assert "harvest-address  127.0.0.1" in listed.out
        finally:
            door.terminate()
            await asyncio.wait_for(door.wait(), 30)

"""A whole Gatepost whose customers' MTAs refuse mail or are away: the sender hears of it, and a person steps in."""

from __future__ import annotations

import asyncio
import email
import email.policy
import getpass
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.gatepost import Answer, House, until
from tests.house.sender import plain, send
from tests.house.sink import Sink
from tests.integration.backing import arguments, environ

CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
      - {{name: other.test, relay: ["127.0.0.1:{away}"], recipients: any}}
"""
FAR = "127.0.0.77"  # the sender's MX, whose port no record can name
SMTP = 25
ZONE = {
    ("far.test.", "MX"): "10 mx.far.test.",
    ("far.test.", "TXT"): '"v=spf1 ip4:127.0.0.0/8 -all"',
    ("mx.far.test.", "A"): FAR,
}


class Names(asyncio.DatagramProtocol):
    """A name server that knows far.test, where mail may come from this machine, and nobody else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = dns.message.make_response(dns.message.from_wire(data))
        reply.flags |= dns.flags.RA
        (question,) = reply.question
        name, rdtype = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        if (record := ZONE.get((name, rdtype))) is not None:
            reply.answer.append(dns.rrset.from_text(name, 300, "IN", rdtype, record))
        elif not any(name == known for known, _ in ZONE):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(reply.to_wire(), addr)


@pytest.fixture
async def away() -> Sink:
    """An MTA that doesn't listen yet."""
    return Sink(free_ports(1)[0])


@pytest.fixture
async def house(tmp_path: Path, sink: Sink, away: Sink) -> AsyncIterator[House]:
    """Gatepost, up, which asks our name server and nobody else."""
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port, away=away.port))
    names, _ = await asyncio.get_running_loop().create_datagram_endpoint(Names, ("127.0.0.1", 0))
    settings = {
        "GATEPOST_DNS": "127.0.0.1:{}".format(names.get_extra_info("sockname")[1]),
        "GATEPOST_INGRESS_REVERSE_DNS": "false",
        "GATEPOST_RELAY_PRIVATE_MX": "true",
        "GATEPOST_QUEUE_REPORT_SECONDS": "0.3",
        "GATEPOST_PROBE_FIRST_SECONDS": "600",  # nothing goes out by itself while a test looks
        **environ(),
    }
    given = ("--config", str(config), *arguments(tmp_path.name))
    try:
        async with House(tmp_path / "data", free_ports(1)[0], *given, environ=settings) as house:
            yield house
        await away.down()
    finally:
        names.close()


async def is_balanced(house: House, **ended: int) -> bool:
    """Return whether all that was accepted has ended, in these ways, and no object is left over."""
    answer = await house.gatepost("ledger", "--objects", "--json")
    found = json.loads(answer.out)
    account = found["customers"]["example"]
    over = account["ended"] == ended and not any(account["in_flight"].values())
    return over and (answer.code, found["balanced"], found["objects"]) == (0, True, 0)


@pytest.mark.skipif(
    os.geteuid() != 0 and int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > SMTP,
    reason="this user may not listen on port 25, which is where an MX host listens",
)
async def test_a_refusal_is_told_to_the_sender_over_its_mx_and_the_ledger_balances(house: House, sink: Sink) -> None:
    sink.refuse = lambda _: "550 5.1.1 no such mailbox"
    far = Sink(SMTP, FAR)
    async with far:
        reply = await send(house.port, plain("refused"), ["bob@example.test"], "alice@far.test")
        assert reply.code == 250
        forged = await send(house.port, plain("forged"), ["bob@example.test"], "alice@nowhere.test")
        assert forged.code == 250
        await until(lambda: far.arrivals, 30)
        await eventually(lambda: is_balanced(house, bounced=2, delivered=1), 30, every=0.2)
    (arrival,) = far.arrivals
    assert (arrival.reverse_path, arrival.recipients) == ("<>", ("alice@far.test",))
    report = email.message_from_bytes(arrival.content, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    _, status, original = report.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    of_recipient = "\n".join(str(part) for part in status.iter_parts())
    for field in ("Final-Recipient: rfc822;bob@example.test", "Action: failed", "Status: 5.1.1", "550 5.1.1 no such"):
        assert field.replace("; ", ";") in of_recipient.replace("; ", ";"), of_recipient
    assert "Subject: refused" in str(original)
    assert "minutes of Monday" not in arrival.content.decode()
    assert not sink.arrivals


async def test_a_person_looks_at_the_queue_and_steps_in(house: House, sink: Sink, away: Sink) -> None:
    where = f"127.0.0.1:{away.port}"

    async def queue(*words: str) -> Answer:
        answer = await house.gatepost("queue", *words)
        assert (answer.code, answer.err) == (0, ""), answer
        return answer

    def lists(*words: str) -> Callable[[], Awaitable[bool]]:
        async def listed() -> bool:
            out = (await queue("list")).out
            return any(where in line and all(word in line for word in words) for line in out.splitlines())

        return listed

    assert (await queue()).out == "Nothing waits.\n"
    for number in range(3):
        assert (await send(house.port, plain(f"waits {number}"), [f"u{number}@other.test"])).code == 250
    assert (await send(house.port, plain("passes"))).code == 250
    await until(lambda: sink.arrivals, 20)
    await eventually(lists("example", "down", " 3 ", "Connection refused"), 20, every=0.2)
    shown: dict[str, str] = {}  # recipient → id

    async def all_shown() -> bool:
        """Look until they are written down: the report may know of them before."""
        lines = (await queue("show", where)).out.splitlines()[1:]
        shown.update({word: line.split()[0] for line in lines for word in line.split() if word.endswith("other.test")})
        return sorted(shown) == [f"u{number}@other.test" for number in range(3)]

    await eventually(all_shown, 20, every=0.2)
    first, second = shown["u0@other.test"], shown["u1@other.test"]
    assert "u0@other.test" in (await queue("show", first)).out

    assert (await queue("hold", where, "--why", "they move house")).out == f"hold: {where} of example\n"
    await eventually(lists("held", " 3 ", f"{getpass.getuser()} (command line): they move house"), 20, every=0.2)
    await away.up()
    await queue("flush", where)
    await queue("fail", first, "--why", "by mistake")
    await eventually(lists("held", " 2 "), 20, every=0.2)
    assert not away.arrivals  # a flush doesn't take a hold back
    await queue("hold", second, "--why", "ask the owner")
    await queue("resume", where)
    await until(lambda: len(away.arrivals) == 1, 20)
    assert away.arrivals[0].recipients == ("u2@other.test",)
    await queue("resume", second)
    await until(lambda: len(away.arrivals) == 2, 20)
    await eventually(lambda: is_balanced(house, delivered=3, bounced=1), 30, every=0.2)
    assert (await queue("list")).out == "Nothing waits.\n"
    for words in (("show", where), ("flush", "nowhere.test:25"), ("fail", first, "--why", "again")):
        answer = await house.gatepost("queue", *words)
        assert answer.code != 0
        assert answer.err.startswith("gatepost: ")
        assert answer.err.count("\n") == 1

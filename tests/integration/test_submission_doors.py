"""The other ways into submission: TLS first (RFC 8314), and client certificates. Neither makes a relay of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from schemas.events import ClientCertificate, Outbound
from services.runtime.ports import free_ports
from tests.dialogs.door import Client, Door, directory, opened
from tests.house.authority import Pair, made

STRANGER = "127.0.0.7"  # no customer's address
PROBES = (  # of nobody's sender, and of another customer's
    ("MAIL FROM:<alice@sender.test>", "550 5.7.1"),
    ("MAIL FROM:<zoe@zeta.test>", "550 5.7.1"),
    ("MAIL FROM:<anna@mx.gatepost.test>", "550 5.7.1"),
    ("MAIL FROM:<@acme.test:alice@sender.test>", "553 5.1.7"),
    ("MAIL FROM:<alice%sender.test@acme.test>", "250"),  # a local part of the customer's own
)


def trusting(client: Pair | None = None) -> ssl.SSLContext:
    """Return a client's context that believes the server, and shows a certificate where it is asked for one."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client is not None:
        context.load_cert_chain(client.file)
    return context


@contextlib.asynccontextmanager
async def door(folder: Path, **changes: object) -> AsyncIterator[tuple[Door, int]]:
    """Serve submission with a certificate of its own, at both ports."""
    (first,) = free_ports(1)
    about = {"cert_folder": str(folder), "tls_port": first, **changes}
    async with opened(changes=about, out=True) as found:
        yield found, first


@contextlib.asynccontextmanager
async def inside(found: Door, first: int, client: Pair | None, *, sealed: bool) -> AsyncIterator[Client]:
    """Connect, come through TLS, and say EHLO."""
    where = ("127.0.0.1", first if sealed else found.port)
    tls = trusting(client)
    reader, writer = await asyncio.open_connection(*where, local_addr=(STRANGER, 0), ssl=tls if sealed else None)
    talk = Client(reader, writer)
    try:
        await talk.until("220")
        if not sealed:
            await talk.send("EHLO c.test\r\nSTARTTLS\r\n")
            await talk.until("220")
            await writer.start_tls(tls)
        await talk.send("EHLO c.test\r\n")
        await talk.until("250 ")
        yield talk
    finally:
        writer.transport.abort()


@pytest.fixture
def ca(tmp_path: Path) -> Pair:
    return made(tmp_path, "ca.acme.test", ca=True)


def knows(found: Door, *certificates: ClientCertificate) -> None:
    """Let acme be known by the certificates, and by nothing else."""
    acme = next(each for each in directory().customers() if each.id == "acme")
    found.directory.apply(msgspec.structs.replace(acme, outbound=Outbound(enabled=True, certificates=certificates)))


async def loaded(found: Door) -> None:
    """Wait until the door asks for what customers have now; a process looks every ten seconds."""
    asking = found.ingress._guards.asking  # type: ignore[attr-defined]  # sooner than by its own clock
    await asking._load()


@pytest.mark.parametrize("sealed", [True, False], ids=["tls-first", "starttls"])
@pytest.mark.parametrize("kind", ["own", "issued", "ca"])
async def test_who_shows_a_certificate_is_known_by_it_and_sends_for_his_customer_alone(
    tmp_path: Path, ca: Pair, kind: str, *, sealed: bool
) -> None:
    client = made(tmp_path, "mta.acme.test", None if kind == "own" else ca)
    listed = {
        "own": ClientCertificate(der=client.text),  # signed by itself
        "issued": ClientCertificate(der=client.text),  # by a CA that nobody named
        "ca": ClientCertificate(der=ca.text, names=("mta.acme.test",)),
    }
    async with door(tmp_path) as (found, first):
        knows(found, listed[kind])
        await loaded(found)
        async with inside(found, first, client, sealed=sealed) as talk:
            for probe, answer in PROBES:
                await talk.send(f"{probe}\r\n")
                assert (await talk.line()).startswith(answer), probe
                await talk.send("RSET\r\n")
                await talk.until("250")
            await talk.send("MAIL FROM:<anna@acme.test>\r\nRCPT TO:<v@far.test>\r\nDATA\r\n")
            await talk.until("354")
            await talk.send("From: anna@acme.test\r\n\r\nx\r\n.\r\n")
            await talk.until("250 2.0.0")
            (event,) = found.received()
            assert event.customer == "acme"
            assert event.submitter.startswith("certificate ")
            assert event.envelope.tls is not None


@pytest.mark.parametrize("sealed", [True, False], ids=["tls-first", "starttls"])
async def test_whom_nothing_makes_known_relays_nothing(tmp_path: Path, ca: Pair, *, sealed: bool) -> None:
    other = made(tmp_path, "mta.elsewhere.test", ca)  # of the customer's CA, with another name
    leaf = made(tmp_path, "mta.acme.test", ca)
    async with door(tmp_path) as (found, first):
        knows(found, ClientCertificate(der=ca.text, names=("mta.acme.test",)), ClientCertificate(der=leaf.text))
        await loaded(found)
        for client in (None, other):
            async with inside(found, first, client, sealed=sealed) as talk:
                for probe in ("<anna@acme.test>", "<alice@sender.test>", "<>", "<anna@acme.test> AUTH=mta@acme.test"):
                    await talk.send(f"MAIL FROM:{probe}\r\nRCPT TO:<v@far.test>\r\n")
                    assert (await talk.line()).startswith("530 5.7.0"), probe
                    assert (await talk.line()).startswith("503"), probe
        assert found.received() == []
        assert found.store.objects == {}


async def test_a_certificate_that_nobody_knows_costs_one_attempt_and_then_a_password_will_do(
    tmp_path: Path, ca: Pair
) -> None:
    unknown = made(tmp_path, "mta.acme.test")  # signed by itself, with the name that the CA would vouch for
    async with door(tmp_path) as (found, first):
        acme = next(each for each in directory().customers() if each.id == "acme")
        listed = (ClientCertificate(der=ca.text, names=("mta.acme.test",)),)
        both = msgspec.structs.replace(acme.outbound, certificates=listed)
        found.directory.apply(msgspec.structs.replace(acme, outbound=both))
        await loaded(found)
        with pytest.raises((ssl.SSLError, AssertionError, ConnectionError)):
            async with inside(found, first, unknown, sealed=True):
                pass
        async with inside(found, first, unknown, sealed=True) as talk:
            await talk.send("MAIL FROM:<anna@acme.test>\r\n")
            await talk.until("530")
            await talk.send("AUTH PLAIN AG10YUBhY21lLnRlc3QAY29ycmVjdCBob3JzZQ==\r\n")
            await talk.until("235")
            await talk.send("MAIL FROM:<anna@acme.test>\r\n")
            await talk.until("250")


async def test_a_session_that_is_taken_up_again_is_known_as_before(tmp_path: Path, ca: Pair) -> None:
    """Debian's Postfix keeps sessions, and a resumed one shows no chain."""
    client = made(tmp_path, "mta.acme.test", ca)
    context = trusting(client)

    def says(port: int, before: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool, str]:
        with (
            socket.create_connection(("127.0.0.1", port), 10, source_address=(STRANGER, 0)) as plain,
            context.wrap_socket(plain, session=before) as tls,
            tls.makefile("rwb") as file,
        ):
            file.readline()
            file.write(b"EHLO c.test\r\nMAIL FROM:<anna@acme.test>\r\n")
            file.flush()
            line = b"250-"
            while line.startswith(b"250-"):
                line = file.readline()
            return tls.session, bool(tls.session_reused), file.readline().decode()

    async with door(tmp_path) as (found, first):
        knows(found, ClientCertificate(der=ca.text, names=("mta.acme.test",)))
        await loaded(found)
        session, reused, answer = await asyncio.to_thread(says, first, None)
        assert (reused, answer[:9]) == (False, "250 2.1.0")
        _, reused, answer = await asyncio.to_thread(says, first, session)
        assert (reused, answer[:9]) == (True, "250 2.1.0")


async def test_nobody_is_asked_where_no_customer_is_known_by_a_certificate(tmp_path: Path) -> None:
    unknown = made(tmp_path, "mta.acme.test")
    async with door(tmp_path) as (found, first), inside(found, first, unknown, sealed=True) as talk:
        await talk.send("MAIL FROM:<anna@acme.test>\r\n")
        await talk.until("530")


async def test_where_tls_comes_first_plain_words_are_not_answered(tmp_path: Path) -> None:
    async with door(tmp_path) as (_, first):
        reader, writer = await asyncio.open_connection("127.0.0.1", first)
        writer.write(b"EHLO c.test\r\nMAIL FROM:<anna@acme.test>\r\n")
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
    assert b"250" not in said
    assert b"220" not in said


async def test_a_balancer_says_whose_connection_it_is_before_tls(tmp_path: Path) -> None:
    """The header and the client's first words come in one piece, or in two."""
    async with door(tmp_path, proxy_from=("127.0.0.1/32",)) as (found, first):
        for pause in (0.0, 0.1):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting().wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            reader, writer = await asyncio.open_connection("127.0.0.1", first)
            header = b"PROXY TCP4 127.0.0.9 127.0.0.1 40000 465\r\n"
            if pause:
                writer.write(header)
                await asyncio.sleep(pause)
                writer.write(outgoing.read())
            else:
                writer.write(header + outgoing.read())
            talk = Talk(reader, writer, tls, incoming, outgoing)
            await talk.until(b"220")
            talk.send(b"EHLO c.test\r\n")
            await talk.until(b"250 ENHANCEDSTATUSCODES")
            talk.send(b"MAIL FROM:<anna@acme.test>\r\nRCPT TO:<v@far.test>\r\nDATA\r\n")
            await talk.until(b"354")
            talk.send(b"From: anna@acme.test\r\n\r\nx\r\n.\r\n")
            await talk.until(b"250 2.0.0")
            writer.transport.abort()
        assert [event.submitter for event in found.received()] == ["127.0.0.9"] * 2


class Talk:
    """TLS by hand over a plain connection: what begins it can come in one piece with something else."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        self._reader, self._writer, self._tls = reader, writer, tls
        self._incoming, self._outgoing = incoming, outgoing
        self._said = b""

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._writer.write(self._outgoing.read())

    async def until(self, wanted: bytes) -> None:
        async with asyncio.timeout(10):
            while wanted not in self._said:
                try:
                    self._said += self._tls.read(65_536)
                    continue
                except ssl.SSLWantReadError:
                    self._writer.write(self._outgoing.read())
                data = await self._reader.read(65_536)
                assert data, f"closed before {wanted!r}: {self._said!r}"
                self._incoming.write(data)
        self._said = self._said.partition(wanted)[2]

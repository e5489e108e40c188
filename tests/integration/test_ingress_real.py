"""The front door with a real folder and a real Kafka behind it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from schemas.catalog import RECEIVED
from services.core.clock import SystemClock
from services.core.signals import Signals
from services.core.stored import unpack
from services.ingress.server import Ingress
from services.runtime.fakes_dns import FakeDns
from services.runtime.kafka import KafkaBus
from services.runtime.open_store import open_store
from tests.dialogs.door import CONFIG, TO_DATA, Client, directory

MESSAGE = b"From: alice@sender.test\r\nTo: anna@acme.test\r\nSubject: signed\r\n\r\n.dot\r\n\xc3\xbc  \r\n\r\nend\r\n"


def signed(message: bytes) -> tuple[bytes, bytes]:
    """Return the message with a DKIM signature on top, and the public key's record."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signature: bytes = dkim.sign(message, b"sel", b"sender.test", pem, canonicalize=(b"simple", b"simple"))
    return signature + message, b"v=DKIM1; p=" + b"".join(public.splitlines()[1:-1])


async def test_what_got_its_250_is_in_the_folder_and_in_kafka_byte_for_byte(kafka: str, tmp_path: Path) -> None:
    message, record = signed(MESSAGE)
    store, bus = await open_store(str(tmp_path / "objects"), {}), KafkaBus(kafka, "test-ingress")
    ingress = Ingress(
        CONFIG,
        store=store,
        bus=bus,
        directory=directory(),
        dns=FakeDns(),
        signals=Signals(),
        clock=SystemClock(),
        entropy=os.urandom,
    )
    port = await ingress.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = Client(reader, writer)
        await client.to_data()
        await client.send(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        answer = await client.until("250 2.0.0 OK id=")
        ids = [answer.partition("id=")[2]]
        await client.send(TO_DATA.removeprefix("EHLO c.test\r\n").replace("DATA", "RCPT TO:<zoe@zeta.test>\r\nDATA"))
        await client.until("354")
        await client.send(b"two\r\n.\r\n")
        ids.append((await client.until("250 2.0.0 OK id=")).partition("id=")[2])
        writer.close()
        events = {record.key: record.event async for record in bus.read(RECEIVED)}
        stored = [stat.key async for stat in store.list("mail")]
        assert {key.rpartition("/")[2] for key in stored} <= events.keys()
        assert len(stored) == 3
        received, kept = unpack(await store.get(next(key for key in stored if key.endswith(ids[0]))))
        assert received == events[ids[0]]
        assert bytes(kept) == message
        assert dkim.verify(bytes(kept), dnsfunc=lambda *_, **__: record)
        assert ids[1] in events
    finally:
        await ingress.close()
        await bus.close()
        await store.close()

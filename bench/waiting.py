"""Waiting messages by the hundred thousand, as a delivery service leaves them in mail.deferred.v1."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterator

from aiokafka import AIOKafkaProducer

from schemas import wire
from schemas.catalog import DEFERRED, partition_of
from schemas.events import Action, Branch, Deferred, Disposition, Envelope, Evidence, Status
from schemas.events import Received as Accepted
from services.core.ids import message_id
from services.core.stored import object_key, pack
from services.runtime.store import Store

BODY = b"From: a@sender.test\r\nSubject: x\r\n\r\n" + b"a line of the message\r\n" * 200
PROBED = 100  # messages at most that go out to see whether the MTA is back
TEMPLATES = 500
STEP = 0.01  # seconds between two messages
BATCH = 1 << 19  # octets
ROUND = 20_000  # messages that are made before they are sent


def disposition(customer: str, domain: str, now: float) -> Disposition:
    """Return a decided message as most are."""
    message = message_id(now, os.urandom)
    to = (f"user{message[-4:].lower()}@{domain}",)
    received = Accepted(
        id=message,
        customer=customer,
        domain=domain,
        key=object_key(customer, message),
        envelope=Envelope(
            reverse_path=f"bounces+{message[-9:].lower()}@mail.sender.test",
            recipients=to,
            client_ip="192.0.2.25",
            client_port=48122,
            helo="mx.sender.test",
            tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        ),
        size=len(BODY),
        received_at=now,
        server="mx.gatepost.test",
        plan=("auth", "content", "virus"),
    )
    return Disposition(
        received=received,
        branches=(Branch(recipients=to, action=Action.DELIVER, rule="default", reason="no rule objects"),),
        status=Status.CLEAN,
        score=0.5,
        evidence=(Evidence(code="HTML_ONLY", text="the message has no plain text part", score=0.5),),
        auth_results=(
            ("spf", "pass smtp.mailfrom=mail.sender.test"),
            ("dkim", f"pass header.d=sender.test header.s=s1 header.b={message[-8:]}"),
            ("dmarc", "pass header.from=sender.test policy.dmarc=reject"),
        ),
        scanners=("auth/1=clean", "content/1=clean", "virus/1=clean"),
        decided_at=now + 0.021,
    )


def deferred(made: Disposition, since: float) -> Deferred:
    """Return what is written of a message that waits for a destination that is down."""
    to = made.branches[0].recipients
    reply = "the destination is down"
    return Deferred(disposition=made, branch=0, recipients=to, attempts=0, since=since, next_at=since + 60, reply=reply)


def records(count: int, first: float) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of so many waiting messages, oldest first; cut from a few hundred, as encoding is slow."""
    templates = []
    for number in range(min(count, TEMPLATES)):
        made = disposition("dead", "dead.test", first + number * STEP)
        head, _, tail = wire.encode(deferred(made, 1e9)).partition(b'"since":1000000000.0')
        templates.append((made.received.id.encode(), head + b'"since":', tail))
    for number in range(count):
        old, head, tail = templates[number % TEMPLATES]
        since = first + number * STEP
        new = message_id(since, os.urandom)
        value = head + b"%.3f" % since + tail
        value = value.replace(old, new.encode())
        for before, end in ((b"user", 4), (b"bounces+", 9)):  # as `disposition` makes them
            value = value.replace(before + old[-end:].lower(), before + new[-end:].lower().encode())
        yield f"{new}/0", value.replace(b"header.b=" + old[-8:], b"header.b=" + new[-8:].encode())


async def fill(address: str, count: int, store: Store) -> float:
    """Put so many waiting messages of the dead customer into the topic; return how many octets one has.

    Only the oldest have an object: no other is ever a probe, and so none is asked for.
    """
    now = time.time() - 86_400
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", max_batch_size=BATCH, max_request_size=1 << 20)
    await producer.start()
    octets = 0
    made: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    for number in range(min(PROBED, count)):
        one = disposition("dead", "dead.test", now - PROBED + number)
        await store.put(one.received.key, [pack(one.received), BODY])
        key = f"{one.received.id}/0"
        value = wire.encode(deferred(one, now - PROBED + number))
        made[partition_of(key, DEFERRED.partitions)].append((key.encode(), value))
    for number, (key, value) in enumerate(records(max(0, count - PROBED), now), 1):
        octets += len(value)
        made[partition_of(key, DEFERRED.partitions)].append((key.encode(), value))
        if number % ROUND == 0:
            await _send(producer, made)
    await _send(producer, made)
    await producer.stop()
    return octets / max(count - PROBED, 1)


async def _send(producer: AIOKafkaProducer, made: dict[int, list[tuple[bytes, bytes]]]) -> None:
    """Send what was made in batches of our own: record by record it would cost five times as much."""
    sent = []
    for partition, pairs in made.items():
        batch = producer.create_batch()
        for key, value in pairs:
            if batch.append(timestamp=None, key=key, value=value) is None:
                sent.append(await producer.send_batch(batch, DEFERRED.name, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        sent.append(await producer.send_batch(batch, DEFERRED.name, partition=partition))
    made.clear()
    await asyncio.gather(*sent)

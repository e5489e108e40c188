"""A million messages wait for one dead destination: memory, restart, and what another customer notices.

    python -m bench.deferred [--count 1000000] [--seconds 15]

Fills mail.deferred.v1 on an embedded broker, starts the delivery service on it, and sends another customer's mail
through it: before (an empty queue) and with the million.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from aiokafka import AIOKafkaProducer

from bench.sink import Sink
from schemas import wire
from schemas.catalog import DEFERRED, partition_of
from schemas.events import Action, Branch, Customer, Deferred, Disposition, Domain, Envelope, Evidence, Host, Status
from schemas.events import Received as Accepted
from services.core.ids import message_id
from services.core.stored import object_key, pack
from services.runtime.broker import running
from services.runtime.kafka import KafkaBus
from services.runtime.open_store import open_store
from services.runtime.provision import make_topics
from services.runtime.store import Store

BODY = b"From: a@sender.test\r\nSubject: x\r\n\r\n" + b"a line of the message\r\n" * 200
PROBED = 100  # messages at most that go out to see whether the MTA is back
ID = re.compile(rb"X-Gatepost: id=([0-9A-Z]{26})")


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


async def fill(address: str, count: int, store: Store) -> float:
    """Put so many waiting messages of the dead customer into the topic; return how many octets one has.

    Only the oldest have an object: no other is ever a probe, and so none is asked for.
    """
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", max_batch_size=1 << 20, linger_ms=20)
    await producer.start()
    octets = 0
    now = time.time()
    for number in range(count):
        at = now - 86_400 + number * 0.01
        made = disposition("dead", "dead.test", at)
        if number < PROBED:
            await store.put(made.received.key, [pack(made.received), BODY])
        entry = Deferred(
            disposition=made,
            branch=0,
            recipients=made.branches[0].recipients,
            attempts=0,
            since=at,
            next_at=at + 60,
            reply="the destination is down",
        )
        value, key = wire.encode(entry), f"{made.received.id}/0"
        octets += len(value)
        await producer.send(DEFERRED.name, value, key.encode(), partition=partition_of(key, DEFERRED.partitions))
    await producer.flush()
    await producer.stop()
    return octets / max(count, 1)


@contextlib.asynccontextmanager
async def delivery(address: str, store: Path) -> AsyncIterator[tuple[int, float]]:
    """Run the service; yield its process id and how long it took to serve."""
    read, write = os.pipe()
    os.set_inheritable(write, True)  # the signature is the library's
    environ = {
        **os.environ,
        "GATEPOST_KAFKA": address,
        "GATEPOST_STORE": str(store),
        "GATEPOST_HOSTNAME": "mx.gatepost.test",
        "GATEPOST_LOG_LEVEL": os.environ.get("GATEPOST_LOG_LEVEL", "ERROR"),
        "GATEPOST_NOTIFY_FD": str(write),
    }
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.delivery", env=environ, pass_fds=(write,)
    )
    os.close(write)
    try:
        if not await asyncio.to_thread(os.read, read, 16):
            raise SystemExit("delivery ended before it was ready")
        yield process.pid, time.perf_counter() - began
    finally:
        os.close(read)
        process.terminate()
        await process.wait()


def memory(pid: int) -> tuple[float, float]:
    """Return the resident memory now and at most, MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[index, return-value]  # they are there


async def others(bus: KafkaBus, store: Store, sink: Sink, seconds: float, rate: float = 20.0) -> list[float]:
    """Send the living customer's mail; return the seconds from decision to arrival of each."""
    sent: dict[bytes, float] = {}
    took: list[float] = []

    def note(at: float, message: bytes) -> None:
        if (match := ID.search(message)) and match[1] in sent:
            took.append(at - sent.pop(match[1]))

    sink.note = note
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        made = disposition("alive", "alive.test", time.time())
        await store.put(made.received.key, [pack(made.received), BODY])
        sent[made.received.id.encode()] = time.perf_counter()
        await bus.publish([made], within=60)
        await asyncio.sleep(1 / rate)
    await asyncio.sleep(2.0)
    if sent:
        raise SystemExit(f"{len(sent)} messages of the other customer did not arrive")
    return took


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--seconds", type=float, default=15.0, help="of each measurement of the other customer")
    options.add_argument("--folder", type=Path, default=None, help="where everything lies meanwhile")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as name:
        folder = Path(name)
        async with running(folder / "broker") as broker, Sink() as sink:
            address = await broker.start()
            await make_topics(address)
            bus = KafkaBus(address, "bench")
            store = await open_store(str(folder / "objects"), {})
            dead = Domain(name="dead.test", relay=(Host(host="127.0.0.1", port=1),))
            alive = Domain(name="alive.test", relay=(Host(host="127.0.0.1", port=sink.port),))
            await bus.publish([Customer(id="dead", domains=(dead,)), Customer(id="alive", domains=(alive,))], within=60)
            head = "| waiting | octets each | ready after | RSS | RSS at most | octets of RSS each | p50 | p95 |"
            print(f"{head}\n|{'---|' * 8}")
            empty = 0.0
            for count in (0, chosen.count):
                octets = await fill(address, count, store)
                async with delivery(address, folder / "objects") as (pid, ready):
                    await others(bus, store, sink, 3.0)
                    took = await others(bus, store, sink, chosen.seconds)
                    now, most = memory(pid)
                    empty = empty or now
                    each = (now - empty) * 1_048_576 / count if count else 0
                    p50, p95 = statistics.median(took) * 1000, statistics.quantiles(took, n=20)[18] * 1000
                    print(
                        f"| {count:,} | {octets:.0f} | {ready:.1f} s | {now:.0f} MB | {most:.0f} MB | {each:.0f} "
                        f"| {p50:.1f} ms | {p95:.1f} ms |",
                        flush=True,
                    )
            await bus.close()
            await store.close()


if __name__ == "__main__":
    asyncio.run(main())

"""What people wait for when 100,000 messages are held, and what sealing costs.

    python -m bench.quarantine [DATABASE-URL] [COUNT]     an empty database; SQLite in a temporary folder by default

Prints the median, best and worst of some pages and searches, and MB/s of encrypting and opening.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import insert, text

from schemas import wire
from schemas.events import Action, Branch, Disposition, Envelope, Received, Status
from services.core.ids import message_id
from services.core.wrapping import KEY
from services.quarantine.decide import Shown, holds
from services.quarantine.index import Index
from services.quarantine.seal import SHARED, decrypted, encrypted
from services.quarantine.search import Query, search
from services.quarantine.tables import HELD, MESSAGES

COUNT = 100_000
ROUNDS = 15
BATCH = 1_000
NOW = 1_760_000_000.0
CUSTOMER = "acme"


def rows_of(number: int) -> tuple[dict[str, object], dict[str, object]]:
    """Return the rows of one held message; one of ten is another customer's."""
    customer = CUSTOMER if number % 10 else "other"
    identity = message_id(NOW + number, number.to_bytes)
    envelope = Envelope(
        reverse_path=f"sender{number % 5_000}@shop{number % 700}.example",
        recipients=(f"user{number % 2_000}@acme.example",),
        client_ip="192.0.2.1",
    )
    received = Received(
        id=identity,
        customer=customer,
        domain="acme.example",
        key=f"mail/{customer}/{identity}",
        envelope=envelope,
        size=40_000,
        received_at=NOW + number,
        server="mx",
        plan=("virus",),
    )
    branch = Branch(recipients=envelope.recipients, action=Action.QUARANTINE, rule="spam", reason="content says spam")
    decided = Disposition(received=received, branches=(branch,), status=Status.SPAM, score=17.5, decided_at=NOW)
    (row,) = holds(decided, Shown(f"Offer number {number} for you", f"Shop {number} <s@x.example>"), NOW + number, 30)
    message = {column.name: getattr(row, column.name) for column in MESSAGES.columns if column.name != "disposition"}
    held = {column.name: getattr(row, column.name) for column in HELD.columns}
    return message | {"disposition": wire.encode(decided).decode()}, held


async def fill(index: Index, count: int) -> None:
    """Put them in."""
    for start in range(0, count, BATCH):
        rows = [rows_of(number) for number in range(start, min(start + BATCH, count))]
        async with index.database.writing() as connection:
            await connection.execute(insert(MESSAGES), [message for message, _ in rows])
            await connection.execute(insert(HELD), [held for _, held in rows])
    async with index.database.writing() as connection:
        await connection.execute(text("ANALYZE"))


async def measure(index: Index, name: str, query: Query) -> None:
    """Print how long one page takes."""
    times, found, cpu = [], 0, time.process_time()
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        page = await search(index.database, query)
        times.append((time.perf_counter() - begun) * 1000)
        found = len(page.rows)
    cpu = (time.process_time() - cpu) / ROUNDS * 1000
    print(
        f"{name:28} {statistics.median(times):7.1f} ms  best {min(times):7.1f}  worst {max(times):7.1f}"
        f"  CPU of this process {cpu:6.1f}  {found:3} rows",
        flush=True,
    )


async def pages(url: str, count: int) -> None:
    """Fill the database and ask what people ask."""
    index = await Index.open(url)
    try:
        await fill(index, count)
        first = await search(index.database, Query(customer=CUSTOMER))
        deep = Query(customer=CUSTOMER)
        for _ in range(20):
            deep = Query(customer=CUSTOMER, after=(await search(index.database, deep)).after, limit=200)
        one = first.rows[-1].recipient
        for name, query in (
            ("newest page", Query(customer=CUSTOMER)),
            ("page 21 of 200", deep),
            ("all states", Query(customer=CUSTOMER, everything=True)),
            ("one user's own", Query(customer=CUSTOMER, recipients=(one,))),
            ("recipient, 45 hits", Query(customer=CUSTOMER, recipient=one)),
            ("sender, 1 of 5,000", Query(customer=CUSTOMER, sender="sender4999@")),
            ("subject, one hit", Query(customer=CUSTOMER, subject=f"number {count // 2 + 1} for")),
            ("subject, none", Query(customer=CUSTOMER, subject="no such subject")),
            ("reason, none", Query(customer=CUSTOMER, reason="virus says")),
            ("date, a thousand seconds", Query(customer=CUSTOMER, held_from=NOW + 100, held_to=NOW + 1_100)),
        ):
            await measure(index, name, query)
    finally:
        await index.close()


def sealing() -> None:
    """Print what encrypting costs."""
    key, shared, octets = os.urandom(KEY), os.urandom(SHARED), os.urandom(25_000_000)
    for name, size in (("5 kB", 5_000), ("25 MB", 25_000_000)):
        rounds = 2_000 if size < 1_000_000 else 5
        begun = time.perf_counter()
        for _ in range(rounds):
            chunks = list(encrypted(key, shared, b"head", octets[:size]))
        middle = time.perf_counter()
        whole = memoryview(b"".join(chunks))
        for _ in range(rounds):
            b"".join(decrypted(key, shared, b"head", whole, 262_144))
        end = time.perf_counter()
        print(
            f"seal {name}: {(middle - begun) / rounds * 1e3:.3f} ms, "
            f"open: {(end - middle) / rounds * 1e3:.3f} ms ({size / (middle - begun) * rounds / 1e6:.0f} MB/s)",
            flush=True,
        )


def main(arguments: list[str]) -> None:
    """Run it."""
    sealing()
    count = int(arguments[1]) if len(arguments) > 1 else COUNT
    with tempfile.TemporaryDirectory() as folder:
        url = arguments[0] if arguments else f"sqlite:///{Path(folder) / 'bench.db'}"
        print(f"{count} held messages, {url.partition(':')[0]}", flush=True)
        asyncio.run(pages(url, count))


if __name__ == "__main__":
    main(sys.argv[1:])

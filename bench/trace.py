"""How fast the trace is searched: a PostgreSQL filled by COPY with as many messages as asked, and the typical searches.

    python -m bench.trace postgresql://USER@HOST:PORT/EMPTY_DATABASE [MESSAGES [DAYS]]

Senders, recipients and words of subjects are as skewed as in real mail: few send most, one newsletter goes to all. What
is timed is `Index.search` as `gatepost trace` and a console call it: the page of 50 with its recipients. The table is
printed as Markdown.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import asyncpg

from bench.ledger import percentile
from schemas import wire
from schemas.events import Evidence, Status, Verdict
from services.core.ids import message_id
from services.trace.index import Index
from services.trace.query import Query
from services.trace.tables import ALL, EVENTS, MESSAGES, RECIPIENTS

CUSTOMERS: Final = 50
RUNS: Final = 40  # of each search
COPIED: Final = 20_000  # rows in one COPY
TEMPLATES: Final = 150_000  # messages that are made by chance; more are copies of them with ids of their own
WITH_EVENTS: Final = 20  # one message in so many has its events too: they are read by id alone
WORDS: Final = (
    *("invoice", "order", "meeting", "report", "update", "your", "account", "delivery", "statement", "offer", "weekly"),
    *("newsletter", "project", "question", "re", "fwd", "reminder", "payment", "ticket", "contract", "agenda", "draft"),
)
NEWSLETTER: Final = "news@big-sender.test"


class Mail:
    """Messages by chance, the same for the same seed."""

    def __init__(self, days: int) -> None:
        self._chance = random.Random(7)  # noqa: S311  # it repeats
        self._days = days
        self._now = time.time()

    def skewed(self, many: int) -> int:
        """Return a number below `many`, small ones far more often."""
        return int(many * self._chance.random() ** 3)

    def recipient(self, customer: int) -> str:
        """Return one of the 400 people of a customer."""
        return f"user{self.skewed(400)}@customer{customer}.test"

    def _verdict(self, message: str, number: int) -> str:
        evidence = (Evidence(code="HTML_ONLY", text="the message has no plain text part", score=0.4),)
        return wire.encode(
            Verdict(
                id=message,
                customer="customer",
                scanner=f"scanner{number}",
                version="1",
                status=Status.CLEAN,
                evidence=evidence,
                scanned_at=self._now,
                origin=0,
            )
        ).decode()

    def message(self) -> tuple[list[Any], list[list[Any]], list[list[Any]]]:
        """Return a row for the messages, rows for its recipients and for its events."""
        chance = self._chance
        at = self._now - chance.random() * self._days * 86_400
        message = message_id(at, chance.randbytes)
        day = int(int(at * 1000) / 1000 // 86_400)
        customer = self.skewed(CUSTOMERS)
        refused = chance.random() < 0.2
        mass = chance.random() < 0.05
        domain = f"sender{self.skewed(20_000)}.test"
        sender = NEWSLETTER if mass else f"user{self.skewed(30)}@{domain}"
        subject = "" if refused else " ".join(chance.choices(WORDS, k=4)) + f" {chance.randrange(10**6)}"
        who = f"customer{customer}"
        row = [
            *(day, message, who, f"{who}.test", "unknown-recipient" if refused else "", at, sender, sender),
            *(sender.rpartition("@")[2], f"192.0.{self.skewed(256)}.{self.skewed(256)}", f"mx.{domain}"),
            *(subject, subject, f"{chance.randrange(10**12)}@{domain}", chance.randrange(2_000, 90_000)),
        ]
        recipients = {self.recipient(customer) for _ in range(1 if chance.random() < 0.9 else 3)}
        state = "refused" if refused else chance.choices(["delivered", "bounced", "held"], [95, 2, 3])[0]
        states = [[day, message, each, who, each, state, at + 1e10] for each in sorted(recipients)]
        events = []
        if chance.randrange(WITH_EVENTS) == 0:
            events = [
                [day, message, f"verdict/{n}", who, "Verdict", at + n, self._verdict(message, n)] for n in range(7)
            ]
        return row, states, events


async def fill(connection: asyncpg.Connection[Any], mail: Mail, count: int, days: int) -> None:
    """Put so many messages in. The indexes are made at the end, which is quicker and leaves them no worse."""
    today = int(time.time() // 86_400)
    for day in range(today - days - 1, today + 1):
        for table in ALL:
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table.name}_d{day} PARTITION OF {table.name} "
                f"FOR VALUES FROM ({day}) TO ({day + 1})"
            )
    names = [table.name for table in ALL]
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY($1) AND indexname NOT LIKE '%_pkey'", names
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    there = await connection.fetchval(f"SELECT count(*) FROM {MESSAGES.name}")  # noqa: S608  # our own name
    await _templates(connection, mail, min(count, TEMPLATES) - there)
    for number in range(1, -(-count // TEMPLATES)):
        for table in (MESSAGES, RECIPIENTS):
            columns = [column.name for column in table.columns if column.name not in {"day", "id"}]
            ident = f"substr(id, 1, 10) || upper(substr(md5(id || '{number}'), 1, 16))"
            await connection.execute(
                f"INSERT INTO {table.name} (day, id, {', '.join(columns)}) "  # noqa: S608  # our own names
                f"SELECT day, {ident}, {', '.join(columns)} FROM {table.name}_templates ON CONFLICT DO NOTHING"
            )
        print(f"\r{(number + 1) * TEMPLATES} messages", end="", file=sys.stderr, flush=True)
    print("\nindexes", file=sys.stderr, flush=True)
    for index in indexes:
        await connection.execute(index["indexdef"].replace(" ON ONLY ", " ON "))
    await connection.execute("ANALYZE")


async def _templates(connection: asyncpg.Connection[Any], mail: Mail, count: int) -> None:
    done = 0
    while done < count:
        rows: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for _ in range(min(COPIED, count - done)):
            message, recipients, events = mail.message()
            rows[0].append(message)
            rows[1].extend(recipients)
            rows[2].extend(events)
        for table, part in zip((MESSAGES, RECIPIENTS, EVENTS), rows, strict=True):
            await connection.copy_records_to_table(
                table.name, records=part, columns=[column.name for column in table.columns]
            )
        done += len(rows[0])
        print(f"\r{done} messages", end="", file=sys.stderr, flush=True)
    for table in (MESSAGES, RECIPIENTS):
        await connection.execute(f"DROP TABLE IF EXISTS {table.name}_templates")
        await connection.execute(f"CREATE UNLOGGED TABLE {table.name}_templates AS SELECT * FROM {table.name}")  # noqa: S608  # our own names


def searches(mail: Mail) -> Iterator[tuple[str, Query]]:
    """Yield the searches, each run with another person, sender or word."""
    now = time.time()
    for _ in range(RUNS):
        number = mail.skewed(CUSTOMERS)
        customer = f"customer{number}"
        week = now - 7 * 86_400
        yield "the newest of a customer", Query(customer=customer)
        yield "a recipient", Query(customer=customer, recipient=mail.recipient(number))
        yield "a recipient, all customers", Query(customer=None, recipient=mail.recipient(number))
        yield "a recipient nobody has", Query(customer=customer, recipient="nobody@nowhere.test")
        sender = f"user{mail.skewed(30)}@sender{mail.skewed(20_000)}.test"
        yield "a sender", Query(customer=customer, sender=sender)
        yield "a sender, all customers", Query(customer=None, sender=sender)
        yield "the newsletter, a customer", Query(customer=customer, sender=NEWSLETTER)
        yield "the newsletter, all customers, a week", Query(customer=None, sender=NEWSLETTER, since=week)
        yield "the newsletter, all customers", Query(customer=None, sender=NEWSLETTER)
        yield "a sender's domain", Query(customer=customer, sender=f"@sender{mail.skewed(20_000)}.test")
        yield "a sender's domain, all customers", Query(customer=None, sender=f"@sender{mail.skewed(20_000)}.test")
        yield "a client", Query(customer=customer, client=f"192.0.{mail.skewed(256)}.{mail.skewed(256)}")
        yield "a client, all customers", Query(customer=None, client=f"192.0.{mail.skewed(256)}.{mail.skewed(256)}")
        yield "a customer's domain, all customers", Query(customer=None, recipient=f"@customer{number}.test")
        yield "a word of a subject", Query(customer=customer, subject=WORDS[mail.skewed(len(WORDS))])
        yield "a rare part of a subject", Query(customer=customer, subject=f"{mail.skewed(10**6):06d}")
        yield "sender and recipient", Query(customer=customer, sender=sender, recipient=mail.recipient(number))
        yield "refused, a customer, a week", Query(customer=customer, refused=True, since=week)
        yield "held, all customers", Query(customer=None, state="held")
        yield "deferred, all customers: none", Query(customer=None, state="deferred")
        yield "bounced, a customer", Query(customer=customer, state="bounced")
        yield "held, a customer, a week", Query(customer=customer, state="held", since=week)


async def main(url: str, count: int, days: int) -> None:
    """Fill, search, and print the table."""
    mail = Mail(days)
    index = await Index.open(url)
    connection = await asyncpg.connect(url)
    try:
        there = await connection.fetchval(f"SELECT count(*) FROM {MESSAGES.name}")  # noqa: S608  # our own name
        if there < count:
            await fill(connection, mail, count, days)
        rows = [await connection.fetchval(f"SELECT count(*) FROM {table.name}") for table in ALL]  # noqa: S608  # as above
        version = await connection.fetchval("SHOW server_version")
        taken: dict[str, list[float]] = {}
        found: dict[str, int] = {}
        for name, query in searches(mail):
            began = time.perf_counter()
            page = await index.search(query)
            taken.setdefault(name, []).append((time.perf_counter() - began) * 1000)
            found[name] = found.get(name, 0) + len(page)
            if page and name == "the newest of a customer":
                began = time.perf_counter()
                await index.search(Query(customer=query.customer, before=page[-1].id))
                taken.setdefault("its next page", []).append((time.perf_counter() - began) * 1000)
                began = time.perf_counter()
                await index.get(page[0].id, query.customer)
                await index.events(page[0].id, query.customer)
                taken.setdefault("one message by its id", []).append((time.perf_counter() - began) * 1000)
    finally:
        await connection.close()
        await index.close()
    held = f"{rows[0]} messages and refusals over {days} days, {rows[1]} recipients, {rows[2]} events"
    print(f"PostgreSQL {version}; {held}")
    print(f"load of the machine (1 min): {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| search | lines found, mean | p50 ms | p95 ms | first ms |\n|---|---|---|---|---|")
    for name, times in taken.items():
        ordered = sorted(times)
        lines = f"{found[name] / len(times):.0f}" if name in found else ""
        p50, p95 = percentile(ordered, 0.5), percentile(ordered, 0.95)
        print(f"| {name} | {lines} | {p50:.1f} | {p95:.1f} | {times[0]:.1f} |")


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1],
            int(sys.argv[2]) if len(sys.argv) > 2 else 5_000_000,
            int(sys.argv[3]) if len(sys.argv) > 3 else 90,
        )
    )

"""How fast dashboard, searches and reports answer: the console over a PostgreSQL with many customers' mail.

    python -m bench.console postgresql://USER@HOST:PORT/EMPTY_DATABASE [CUSTOMERS [MESSAGES_EACH]]

Every customer gets as many messages as asked over 90 days, and the tallies of each hour of these days; what is over is
summed up as the trace does it. A database that was filled before is used as it is: filling 10 million takes half an
hour. What is timed is a request to the application: session, licence, queries, drawing, rendering; the network alone
is left out. Each line has another customer each time. The table is printed as Markdown.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import delete

from bench.ledger import percentile
from services.console.roles import Role
from services.console.tables import METADATA
from services.core.clock import ManualClock
from services.trace.decide import DAY
from services.trace.index import Index
from services.trace.rollup import BY_HOUR
from services.trace.tables import EVENTS, MESSAGES, RECIPIENTS, TALLIES
from services.trace.tally import EVERYBODY, HOUR, Kind
from tests.house.asgi import Browser
from tests.house.console import ConsoleHouse, console_house

DAYS: Final = 90
RUNS: Final = 20  # of each page
PEOPLE: Final = 8  # customers that somebody looks at: the pages of all others cost the same
# kind, name, and how many of a customer's messages in a thousand
KINDS: Final = (
    *((Kind.IN, "", 800), (Kind.MESSAGES, "", 700), (Kind.OCTETS, "", 20_000_000), (Kind.ENDED, "delivered", 700)),
    *(
        (Kind.HELD, "content", 60),
        (Kind.HELD, "virus", 8),
        (Kind.DELETED, "rules", 5),
        (Kind.REFUSED, "reputation", 90),
    ),
    *((Kind.REFUSED, "unknown-recipient", 60), (Kind.THREAT, "spam", 60), (Kind.THREAT, "phishing", 20)),
    *((Kind.THREAT, "virus", 8), (Kind.LATENCY, "500", 500), (Kind.LATENCY, "1000", 190), (Kind.LATENCY, "10000", 9)),
)
PAGES: Final = (
    *("/c/{who}/dashboard?days=1", "/c/{who}/dashboard?days=7", "/c/{who}/dashboard?days=30"),
    *("/c/{who}/dashboard?days=90", "/dashboard?days=1", "/dashboard?days=90", "/c/{who}/messages"),
    *("/c/{who}/messages?recipient=user{n}@{who}.test", "/c/{who}/messages?sender=user{n}@sender{n}.test"),
    *("/c/{who}/messages?subject=invoice", "/c/{who}/messages?subject=number+{n}7", "/c/{who}/messages?state=held"),
    *("/c/{who}/messages?kind=refused", "/c/{who}/reports?days=30", "/c/{who}/reports?days=90"),
)


async def fill(connection: asyncpg.Connection[Any], customers: int, each: int, now: float) -> None:
    """Put the mail in. What differs from message to message follows from its number.

    A day's table is filled before it is a partition: its indexes are then made once, from all of its rows.
    """
    hour = int(now // HOUR)
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # an id begins with its time in ms, five bits a letter
    moment = " || ".join(
        f"substr('{letters}', (((at * 1000)::bigint >> {shift}) & 31)::int + 1, 1)" for shift in range(45, -1, -5)
    )
    # Each customer has its own time of the second: ids of one moment would else stand in the order of their digests.
    numbered = (
        "SELECT c, n, day, at, 'customer' || c AS who, {moment} || upper(substr(md5(c || '/' || n), 1, 16)) AS id "  # noqa: S608  # numbers of our own
        f"FROM (SELECT c, n, {now} - {DAYS} * 86400.0 * n / {each} + c / 1000.0 AS at "
        f"FROM generate_series(0, {customers - 1}) c, generate_series({{first}}, {{last}}) n) one, "
        "LATERAL (SELECT floor(at / 86400)::int AS day) of WHERE day = {day}"
    )
    message = (
        "SELECT day, id, who, who || '.test', CASE WHEN n % 7 = 0 THEN 'reputation' ELSE '' END, at, "
        "'user' || n % 997 || '@sender' || n % 997 || '.test', 'user' || n % 997 || '@sender' || n % 997 || '.test', "
        "'sender' || n % 997 || '.test', '192.0.2.' || n % 250, 'mx', 'Invoice number ' || n, 'invoice number ' || n, "
        "n || '@x', 20000"
    )
    state = "CASE WHEN n % 7 = 0 THEN 'refused' WHEN n % 50 = 0 THEN 'held' ELSE 'delivered' END"
    person = "'user' || n % 400 || '@' || who || '.test'"
    recipient = f"SELECT day, id, {person}, who, {person}, {state}, at"
    for day in range(int(now // 86_400) - DAYS - 1, int(now // 86_400) + 2):
        first, last = (int((now - second) * each / DAYS / 86_400) for second in ((day + 1) * 86_400, day * 86_400))
        rows = numbered.format(moment=moment, first=max(1, first - 1), last=min(each, last + 1), day=day)
        async with connection.transaction():
            for table, row in ((MESSAGES, message), (RECIPIENTS, recipient), (EVENTS, "")):
                name = f"{table.name}_d{day}"
                await connection.execute(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS)")
                if row:
                    columns = ", ".join(column.name for column in table.columns)
                    filled = f"INSERT INTO {name} ({columns}) {row} FROM ({rows}) mail ORDER BY id"  # as above
                    await connection.execute(filled)
                await connection.execute(
                    f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ({day}) TO ({day + 1})"
                )
        print(f"filled day {day}", file=sys.stderr)
    names = ", ".join(column.name for column in TALLIES.columns)
    for kind, name, share in KINDS:
        count = max(1, each * share // 1_000 // (DAYS * 24))
        for who, last, many in (("'customer' || c", customers - 1, count), (f"'{EVERYBODY}'", 0, count * customers)):
            await connection.execute(
                f"INSERT INTO {TALLIES.name} ({names}) SELECT {who}, h, '{kind.value}', '{name}', {many} "  # noqa: S608  # as above
                f"FROM generate_series(0, {last}) c, generate_series({hour - DAYS * 24}, {hour}) h"
            )
    await connection.execute("VACUUM ANALYZE")  # as autovacuum leaves it


async def sum_up(index: Index, today: int) -> None:
    """Do what the trace does every ten minutes with what is over."""
    while await index.roll_up(today - BY_HOUR):
        pass
    while await index.count_tops(today):
        pass


async def visitors(house: ConsoleHouse, customers: int) -> dict[str, Browser]:
    """Return a browser for each of some customers, and the operator's; who came in an earlier run is taken out."""
    async with house.book.database.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            await connection.execute(delete(table))
    found = {"": await house.person(Role.OPERATOR, "")}
    for number in range(0, customers, max(1, customers // PEOPLE)):
        name = f"customer{number}"
        await house.customer(name)
        found[name] = await house.person(Role.OWNER, name)
    return found


async def main(url: str, customers: int, each: int) -> None:
    """Fill, ask, and print the table."""
    now = ManualClock().now()
    index = await Index.open(url)
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval(f"SELECT count(*) FROM {TALLIES.name}"):  # noqa: S608  # our own name
            await fill(connection, customers, each, now)
        await sum_up(index, int(now // DAY))
        rows = [await connection.fetchval(f"SELECT count(*) FROM {table.name}") for table in (MESSAGES, TALLIES)]  # noqa: S608  # as above
        version = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
        await index.close()
    taken: dict[str, list[float]] = {}
    weight: dict[str, int] = {}
    chance = random.Random(7)  # noqa: S311  # it repeats
    with tempfile.TemporaryDirectory() as folder:
        async with console_house(Path(folder), url) as house:
            known = await visitors(house, customers)
            names = [name for name in known if name]
            for page in PAGES * RUNS:
                who = chance.choice(names) if "{who}" in page else ""
                browser = known[who]
                began = time.perf_counter()
                answer = await browser.get(page.format(who=who, n=chance.randrange(300)))
                taken.setdefault(page, []).append((time.perf_counter() - began) * 1_000)
                if answer.status != 200:
                    raise SystemExit(f"{page}: {answer.status}")
                weight[page] = max(weight.get(page, 0), len(answer.text.encode()))
    print(f"PostgreSQL {version}; {customers} customers, {rows[0]} messages over {DAYS} days, {rows[1]} tallies")
    print(f"load of the machine (1 min): {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| page | p50 ms | p95 ms | first ms | octets |\n|---|---|---|---|---|")
    for page, times in taken.items():
        ordered = sorted(times)
        p50, p95 = percentile(ordered, 0.5), percentile(ordered, 0.95)
        shown = page.replace("{who}", "…").replace("{n}", "…")
        print(f"| {shown} | {p50:.0f} | {p95:.0f} | {times[0]:.0f} | {weight[page]} |")


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1],
            int(sys.argv[2]) if len(sys.argv) > 2 else 200,
            int(sys.argv[3]) if len(sys.argv) > 3 else 50_000,
        )
    )

"""Reports: read on the page, and sent by themselves, once for each day, week or month."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, cast

from sqlalchemy import Row, delete, func, insert, select, update

from services.console import models, traffic_models
from services.console.book import Author, Book
from services.console.caller import Caller, NotFound, Refused, allowed, standing_state
from services.console.figures import figured, window
from services.console.licence import State
from services.console.looks import looking
from services.console.periods import PERIODS, last_period
from services.console.roles import Act, Role, may
from services.console.tables import ACCOUNTS
from services.console.tables import REPORTS as ROWS
from services.console.traffic_models import Depth, Period
from services.trace.index import Index
from services.trace.tally import HOUR

log = logging.getLogger("gatepost.console")

TOPS: Final = 20
SCHEDULES_MOST: Final = 20  # of a customer
EVERY: Final = 300.0  # seconds between looks for what is due
STEPS: Final[Mapping[int, int]] = {1: 1, 7: 24, 30: 24, 90: 168, 365: 720}  # days → hours of a line of the traffic
OF_PERIOD: Final[Mapping[Period, int]] = {"daily": 1, "weekly": 24, "monthly": 24}
NOTHING_WAITS: Final = Depth(messages=0, oldest=0.0, down=0)


class Reporter:
    """Makes reports."""

    def __init__(self, trace: Index, promise: float) -> None:
        self._trace = trace
        self._promise = promise

    async def report(self, customer: str, since: int, until: int, step: int) -> traffic_models.Report:
        """Return the report of these hours since the epoch; raises DatabaseUnavailable."""
        sums = await self._trace.tallies(customer, since, until, step)
        senders, recipients = await self._trace.tops(customer, since * HOUR, until * HOUR, TOPS)
        return traffic_models.Report(
            customer=customer,
            figures=figured(sums, range(since, until, step), self._promise, NOTHING_WAITS),
            senders=[traffic_models.Top(address=top.address, count=top.count) for top in senders],
            recipients=[traffic_models.Top(address=top.address, count=top.count) for top in recipients],
        )

    async def of_period(self, customer: str, period: Period, since: float, until: float) -> traffic_models.Report:
        """Return the report of a day, a week or a month."""
        return await self.report(customer, int(since // HOUR), int(until // HOUR), OF_PERIOD[period])


class Reports:
    """Operations on reports."""

    def __init__(self, book: Book, reporter: Reporter) -> None:
        self.book = book
        self._reporter = reporter

    @allowed(Act.REPORTS_SHOW)
    async def report(
        self,
        caller: Caller,  # noqa: ARG002 - `allowed` reads it
        customer: str,
        days: traffic_models.ReportDays = 30,
    ) -> traffic_models.Report:
        """Traffic, threats, top senders and recipients, viruses and latency over the last days."""
        since, until, step = window(self.book.clock.now(), days, STEPS)
        return await self._reporter.report(customer, since, until, step)

    @allowed(Act.REPORTS_SHOW)
    async def schedules(self, caller: Caller, customer: str) -> traffic_models.Schedules:  # noqa: ARG002 - as above
        """The reports that a customer has sent by mail."""
        asked = select(ROWS, ACCOUNTS.c.address).join(ACCOUNTS, ACCOUNTS.c.id == ROWS.c.account)
        async with self.book.reading() as connection:
            rows = (await connection.execute(asked.where(ROWS.c.customer == customer).order_by(ROWS.c.id))).all()
        return traffic_models.Schedules(schedules=[_shown(row) for row in rows])

    @allowed(Act.REPORTS_CHANGE)
    async def add_schedule(
        self, caller: Caller, customer: str, body: traffic_models.NewSchedule
    ) -> traffic_models.Schedule:
        """Have a report sent to an account at the end of each day, week or month."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            asked = select(ACCOUNTS).where(
                ACCOUNTS.c.id == body.account, ACCOUNTS.c.customer == customer, ACCOUNTS.c.closed_at == 0
            )
            account = (await change.connection.execute(asked)).first()
            if account is None:
                raise NotFound(body.account)
            if not may(Role(account.role), Act.REPORTS_SHOW):
                raise Refused("report.role")
            mine = ROWS.c.customer == customer
            there = select(ROWS.c.id).where(mine, ROWS.c.account == body.account, ROWS.c.period == body.period)
            if await change.connection.scalar(there) is not None:
                raise Refused("report.there")
            if (
                await change.connection.scalar(select(func.count()).select_from(ROWS).where(mine)) or 0
            ) >= SCHEDULES_MOST:
                raise Refused("report.many", most=SCHEDULES_MOST)
            identity = change.new_id()
            row = {
                "id": identity,
                "customer": customer,
                "account": body.account,
                "period": body.period,
                "made_at": change.now,
                "until": last_period(body.period, change.now)[1],  # the first one is of the period that is under way
            }
            await change.connection.execute(insert(ROWS), [row])
            await change.note(customer, "report-added", account.address, after={"period": body.period})
        return traffic_models.Schedule(id=identity, account=body.account, address=account.address, period=body.period)

    @allowed(Act.REPORTS_CHANGE)
    async def remove_schedule(self, caller: Caller, customer: str, schedule: str) -> models.Empty:
        """Have a report sent no more."""
        one = (ROWS.c.customer == customer, ROWS.c.id == schedule)
        async with self.book.change(caller.author) as change:
            row = (await change.connection.execute(select(ROWS).where(*one))).first()
            if row is None:
                raise NotFound(schedule)
            await change.connection.execute(delete(ROWS).where(*one))
            await change.note(customer, "report-removed", row.account, before={"period": row.period})
        return models.Empty()


class Scheduler:
    """Orders the reports that are due: each once for its period, whichever process looks, and however often."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def run(self, stop: asyncio.Event) -> None:
        """Look every now and then, until `stop`."""
        await looking(stop, EVERY, self.order_due, "reports-put-off")

    async def order_due(self) -> int:
        """Order what is due now; return how many that was. Of several periods that were missed, only the last."""
        ordered = 0
        for period in PERIODS:
            begin, end = last_period(period, self._book.clock.now())
            due = select(ROWS).where(ROWS.c.period == period, ROWS.c.until < end).order_by(ROWS.c.id)
            async with self._book.reading() as connection:
                rows = (await connection.execute(due)).all()
            for row in rows:
                ordered += await self._order(row, begin, end)
        return ordered

    async def _order(self, row: Row[Any], begin: float, end: float) -> bool:
        lapsed = await standing_state(self._book, row.customer, self._book.clock) in {State.LAPSED, State.PURGE}
        async with self._book.change(Author("console")) as change:
            mine = (ROWS.c.id == row.id, ROWS.c.until < end)
            taken = await change.connection.execute(update(ROWS).where(*mine).values(until=end))
            if not taken.rowcount or lapsed:  # another process was faster, or there is nothing to be had any more
                return False
            await change.mail("report", row.account, period=row.period, since=begin, until=end)
            await change.note(row.customer, "report-ordered", row.id, after={"period": row.period, "until": end})
        return True


def _shown(row: Row[Any]) -> traffic_models.Schedule:
    period = cast("Period", row.period)  # nothing else was ever written
    return traffic_models.Schedule(id=row.id, account=row.account, address=row.address, period=period)

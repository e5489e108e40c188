"""Makes the mail that a report comes with."""

from __future__ import annotations

import asyncio
from typing import cast

from sqlalchemy import select

from services.console import report
from services.console.book import Book, MailOrder
from services.console.mails import Attachment, Mail, with_report
from services.console.panels import number, percent, seconds
from services.console.reports import Reporter
from services.console.roles import Act, Role, may
from services.console.tables import ACCOUNTS, CUSTOMERS
from services.console.texts import text
from services.console.traffic_models import Period, Report

REPORT = "report"  # the kind of its orders


class ReportMails:
    """From an order to a mail. It writes nothing, and holds no transaction while it draws."""

    def __init__(self, book: Book, reporter: Reporter, base: str) -> None:
        self._book = book
        self._reporter = reporter
        self._base = base

    async def mail(self, order: MailOrder) -> Mail | None:
        """Return the mail, None when whoever it was for may not have it any more. Raises DatabaseUnavailable."""
        asked = select(ACCOUNTS.c.role, ACCOUNTS.c.language, ACCOUNTS.c.customer, CUSTOMERS.c.language.label("own"))
        asked = asked.join(CUSTOMERS, CUSTOMERS.c.id == ACCOUNTS.c.customer)
        async with self._book.reading() as connection:
            row = (
                await connection.execute(asked.where(ACCOUNTS.c.id == order.account, ACCOUNTS.c.closed_at == 0))
            ).first()
        if row is None or not may(Role(row.role), Act.REPORTS_SHOW):
            return None
        period = cast("Period", order.period)  # as it was ordered
        found = await self._reporter.of_period(row.customer, period, order.since, order.until)
        language = row.language or row.own or "en"
        files = await asyncio.to_thread(_files, found, language, self._book.clock.now())
        link = f"{self._base}/c/{row.customer}/reports"
        return with_report(language, report.title_of(found, language), _facts(found, language), files, link)


def _files(found: Report, language: str, now: float) -> list[Attachment]:
    from services.console.report_pdf import pdf  # noqa: PLC0415 - 46 MB, for who never has a report as well

    figures = found.figures
    name = f"{found.customer}-{report.date(figures.since)}-{report.date(figures.until - 1)}"
    return [
        Attachment(f"{name}.pdf", "application/pdf", pdf(found, language, now)),
        Attachment(f"{name}.csv", "text/csv; charset=utf-8", report.sheet(found, language)),
    ]


def _facts(found: Report, language: str) -> list[tuple[str, str]]:
    totals, latency = found.figures.totals, found.figures.latency
    names = ("received", "delivered", "held", "deleted", "refused")
    facts = [(text(f"figure.{name}", language), number(getattr(totals, name))) for name in names]
    if latency.count:
        promise = text("report.promise", language, promise=seconds(latency.promise))
        facts.append((promise, percent(latency.within)))
    return facts

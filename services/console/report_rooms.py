"""The page of reports, as a sheet and as PDF, and those that are sent by themselves."""

from __future__ import annotations

import asyncio

from fastapi import Response

from services.console import models, report, sheets, traffic_models
from services.console.pages import Doors, Frame, Visit, go
from services.console.periods import PERIODS
from services.console.roles import Act, may

SPANS = (1, 7, 30, 90, 365)


class ReportRooms:
    """Each page, and what its forms do."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors
        self._clock = frame.clock

    def open(self) -> None:
        """Add every page."""
        door, of = self._doors.open, "/c/{customer}/reports"
        door(of, self.reports, self.do_reports)
        door(f"{of}.csv", self.sheet)
        door(f"{of}.pdf", self.pdf)

    async def reports(self, visit: Visit) -> Response:
        found = await self._report(visit)
        schedules = await visit.desk.reports.schedules(visit.who, customer=visit.customer)
        accounts: list[models.Account] = []
        if visit.who.may(Act.REPORTS_CHANGE):
            known = await visit.desk.accounts.accounts(visit.who, customer=visit.customer)
            accounts = [each for each in known.accounts if not each.closed and may(each.role, Act.REPORTS_SHOW)]
        return await self._page(
            visit,
            "reports",
            sections=report.sections(found, visit.language),
            what=report.title_of(found, visit.language),
            span=_days(visit),
            spans=SPANS,
            schedules=schedules.schedules,
            accounts=accounts,
            periods=PERIODS,
        )

    async def do_reports(self, visit: Visit) -> Response:
        path = f"/c/{visit.customer}/reports"
        if visit.field("action") == "remove":
            await visit.desk.reports.remove_schedule(
                visit.who, customer=visit.customer, schedule=visit.field("schedule")
            )
            return go(path, "report-removed")
        asked = {"account": visit.field("account"), "period": visit.field("period")}
        body = traffic_models.NewSchedule.model_validate(asked)
        await visit.desk.reports.add_schedule(visit.who, customer=visit.customer, body=body)
        return go(path, "report-added")

    async def sheet(self, visit: Visit) -> Response:
        found = await self._report(visit)
        return _file(visit, "csv", sheets.MEDIA, report.sheet(found, visit.language))

    async def pdf(self, visit: Visit) -> Response:
        found = await self._report(visit)
        made = await asyncio.to_thread(_drawn, found, visit.language, self._clock.now())
        return _file(visit, "pdf", "application/pdf", made)

    async def _report(self, visit: Visit) -> traffic_models.Report:
        return await visit.desk.reports.report(visit.who, customer=visit.customer, days=_days(visit))


def _drawn(found: traffic_models.Report, language: str, now: float) -> bytes:
    from services.console.report_pdf import pdf  # noqa: PLC0415 - 46 MB, for who never has a report as well

    return pdf(found, language, now)


def _file(visit: Visit, kind: str, media: str, octets: bytes) -> Response:
    name = f'attachment; filename="{visit.customer}-report.{kind}"'
    return Response(octets, media_type=media, headers={"Content-Disposition": name})


def _days(visit: Visit) -> traffic_models.ReportDays:
    match visit.query("days"):
        case "1":
            return 1
        case "7":
            return 7
        case "90":
            return 90
        case "365":
            return 365
    return 30

"""The pages of mail: figures, messages, what waits, what is held, reports."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import Response

from services.console import models_mail
from services.console.pages import Doors, Frame, Visit
from services.console.panels import panels

SPANS: Final = (1, 7, 30, 90)


class MailRooms:
    """Each page, and what its forms do."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        door, of = self._doors.open, "/c/{customer}"
        door("/dashboard", self.service)
        door(f"{of}/dashboard", self.dashboard)

    # --- figures

    async def service(self, visit: Visit) -> Response:
        days = _days(visit)
        return await self._figures(visit, days, await visit.desk.figures.service_figures(visit.who, days=days))

    async def dashboard(self, visit: Visit) -> Response:
        days = _days(visit)
        found = await visit.desk.figures.figures(visit.who, customer=visit.customer, days=days)
        return await self._figures(visit, days, found)

    async def _figures(self, visit: Visit, days: int, found: models_mail.Figures) -> Response:
        drawn = await asyncio.to_thread(panels, found, visit.language)
        return await self._page(visit, "figures", found=found, panels=drawn, span=days, spans=SPANS)


def _days(visit: Visit) -> models_mail.Days:
    match visit.query("days"):
        case "1":
            return 1
        case "30":
            return 30
        case "90":
            return 90
    return 7

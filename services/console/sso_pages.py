"""The pages of the way in by the customer's own provider, for accounts and for users alike."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Generic, Protocol

from fastapi import Response
from fastapi.responses import RedirectResponse

from services.console.caller import Refused
from services.console.pages import AnyDoors, AnyVisit, C, D, Renders, go
from services.console.signon_flow import CALLBACK, Flow
from services.console.texts import text


class Begun(Protocol):
    """A session that has begun."""

    @property
    def text(self) -> str:
        """What its cookie says."""
        ...


class WayIn(Protocol):
    """Lets in who comes back from his provider."""

    @property
    def flow(self) -> Flow:
        """The questions to providers."""
        ...

    async def finish(self, step: str, answer: Mapping[str, str], client: str, agent: str) -> Begun:
        """Return a new session; raise Refused for whatever isn't right."""
        ...


class SsoPages(Generic[D, C]):
    """Each page, and what its form does."""

    def __init__(
        self, frame: Renders[D, C], doors: AnyDoors[D, C], way: Callable[[D], WayIn], prefix: str = ""
    ) -> None:
        """`prefix` stands before the templates' names."""
        self._page = frame.page
        self._doors = doors
        self._way = way
        self._prefix = prefix

    def open(self) -> None:
        """Add every page."""
        door = self._doors.open
        door("/sso", self.sso, self.do_sso, anybody=True)
        door(CALLBACK, self.back, anybody=True)
        door("/sso/{organisation}", self.provider, anybody=True)
        door("/sso/{organisation}/start", self.start, anybody=True)

    async def sso(self, visit: AnyVisit[D, C]) -> Response:
        return await self._page(_bare(visit), f"{self._prefix}sso", organisation=visit.field("organisation"))

    async def do_sso(self, visit: AnyVisit[D, C]) -> Response:
        customer = await self._way(visit.desk).flow.customer_of(visit.field("organisation"), visit.client)
        return go(f"/sso/{urllib.parse.quote(customer, safe='')}")

    async def provider(self, visit: AnyVisit[D, C]) -> Response:
        """A link, for a form may lead to ourselves alone; and an address that people can keep."""
        return await self._page(_bare(visit), f"{self._prefix}sso_start", organisation=visit.path("organisation"))

    async def start(self, visit: AnyVisit[D, C]) -> Response:
        try:
            step, url = await self._way(visit.desk).flow.start(visit.path("organisation"), visit.client)
        except Refused as error:
            return await self._refused(visit, error)
        return self._doors.step(RedirectResponse(url, 303), step)

    async def back(self, visit: AnyVisit[D, C]) -> Response:
        answer = {name: visit.request.query_params.get(name, "") for name in visit.request.query_params}
        step, agent = self._doors.step_of(visit), visit.request.headers.get("user-agent", "")
        try:
            session = await self._way(visit.desk).finish(step, answer, visit.client, agent)
        except Refused as error:
            return await self._refused(visit, error)
        return self._doors.begin(go("/"), session.text)

    async def _refused(self, visit: AnyVisit[D, C], error: Refused) -> Response:
        said = text(error.key, visit.language, **error.values)
        bare = dataclasses.replace(_bare(visit), error=said)
        return await self._page(bare, f"{self._prefix}sso", organisation="")


def _bare(visit: AnyVisit[D, C]) -> AnyVisit[D, C]:
    """Return the visit as of somebody who isn't in yet: whoever is in keeps his session until the new one begins."""
    return dataclasses.replace(visit, caller=None)

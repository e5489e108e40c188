"""The pages of senders, protected names, TLS and retention."""

from __future__ import annotations

import dataclasses
from typing import Final

from fastapi import Response

from services.console import mail_models, models
from services.console.caller import NotFound, Refused
from services.console.pages import Doors, Frame, Visit, go
from services.console.rule_form import lines, listed, named
from services.console.texts import text

TLS: Final = ("", "none", "required", "verified")


class MailRooms:
    """Each page, and what its forms do."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        door, of = self._doors.open, "/c/{customer}"
        door(f"{of}/senders", self.senders, self.do_senders)
        door(f"{of}/protection", self.protection, self.do_protection)
        door(f"{of}/hosts", self.hosts, self.do_hosts)
        door(f"{of}/tls", self.tls, self.do_tls)
        door(f"{of}/retention", self.retention, self.do_retention)

    async def senders(self, visit: Visit) -> Response:
        asked = {name: visit.query(name) for name in ("recipient", "text")}
        found = mail_models.Senders(senders=[], more=0)
        try:
            found = await visit.desk.lists.senders(visit.who, customer=visit.customer, **asked)
        except Refused as error:
            visit = dataclasses.replace(visit, error=text(error.key, visit.language, **error.values))
        values = {name: visit.field(name) for name in ("senders", "for", "list")}
        return await self._page(visit, "senders", found=found, asked=asked, values=values)

    async def do_senders(self, visit: Visit) -> Response:
        body = mail_models.SenderChange.model_validate(
            {
                "senders": lines(visit.field("senders")),
                "for": visit.field("for").strip() or "all",
                "list": visit.field("list"),
            }
        )
        await visit.desk.lists.change_senders(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/senders", "senders-changed")

    async def protection(self, visit: Visit) -> Response:
        found = await visit.desk.protections.protection(visit.who, customer=visit.customer)
        values = {
            "persons": listed([(person.name, person.addresses) for person in found.persons]),
            "partners": "\n".join(found.partners),
            "brands": listed([(brand.name, brand.domains) for brand in found.brands]),
            "allowed": "\n".join(found.allowed),
        }
        return await self._page(visit, "protection", values={name: visit.field(name, values[name]) for name in values})

    async def do_protection(self, visit: Visit) -> Response:
        body = mail_models.Protection.model_validate(
            {
                "persons": [{"name": name, "addresses": rest} for name, rest in named(visit.field("persons"))],
                "partners": lines(visit.field("partners")),
                "brands": [{"name": name, "domains": rest} for name, rest in named(visit.field("brands"))],
                "allowed": lines(visit.field("allowed")),
            }
        )
        await visit.desk.protections.set_protection(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/protection", "mail-saved")

    async def tls(self, visit: Visit) -> Response:
        found = await visit.desk.domains.domains(visit.who, customer=visit.customer)
        return await self._page(visit, "tls", domains=[each for each in found.domains if each.relay], levels=TLS)

    async def do_tls(self, visit: Visit) -> Response:
        name = visit.field("domain")
        domain = await visit.desk.domains.domain(visit.who, customer=visit.customer, name=name)
        if visit.form.get("host", []) != [f"{relay.lookup} {relay.host} {relay.port}" for relay in domain.relay]:
            raise Refused("tls.changed")
        chosen = visit.form.get("tls", [])
        if len(chosen) != len(domain.relay):
            raise NotFound("no such form")
        relay = [
            models.Relay.model_validate({**each.model_dump(), "tls": tls})
            for each, tls in zip(domain.relay, chosen, strict=True)
        ]
        body = models.Routing(relay=relay, any_recipient=domain.any_recipient)
        await visit.desk.domains.route_domain(visit.who, customer=visit.customer, name=name, body=body)
        return go(f"/c/{visit.customer}/tls", "mail-saved")

    async def hosts(self, visit: Visit) -> Response:
        found = await visit.desk.protections.hosts(visit.who, customer=visit.customer)
        values = {name: visit.field(name, "\n".join(networks)) for name, networks in found.model_dump().items()}
        return await self._page(visit, "hosts", values=values)

    async def do_hosts(self, visit: Visit) -> Response:
        body = mail_models.Hosts.model_validate(
            {name: lines(visit.field(name)) for name in mail_models.Hosts.model_fields}
        )
        await visit.desk.protections.set_hosts(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/hosts", "mail-saved")

    async def retention(self, visit: Visit) -> Response:
        found = await visit.desk.protections.retention(visit.who, customer=visit.customer)
        values = {name: visit.field(name, f"{value:g}") for name, value in found.model_dump().items()}
        return await self._page(visit, "retention", found=found, values=values)

    async def do_retention(self, visit: Visit) -> Response:
        fields = {name: visit.field(name).strip() for name in mail_models.Retention.model_fields}
        said = {"helpdesk_reads": visit.field("helpdesk_reads") == "yes"}
        body = mail_models.Retention.model_validate({**fields, **said})
        await visit.desk.protections.set_retention(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/retention", "mail-saved")

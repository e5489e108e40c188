"""The administrators' pages of end-user management."""

from __future__ import annotations

import dataclasses

from fastapi import Response

from services.console.caller import NotFound
from services.console.pages import Doors, Frame, Visit, go
from services.console.roles import Act
from services.console.texts import text
from services.console.users import models
from services.console.users.decide import lines_of


class ManagementPages:
    """Each page, and what its forms do."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        of = "/c/{customer}/users"
        self._doors.open(of, self.users, self.do_users)
        self._doors.open(f"{of}/passwords", self.passwords, self.do_passwords)
        self._doors.open(f"{of}/{{user}}", self.user, self.do_user)

    async def users(self, visit: Visit) -> Response:
        return await self._list(visit, "users")

    async def passwords(self, visit: Visit) -> Response:
        return await self._list(visit, "passwords")

    async def _list(self, visit: Visit, template: str) -> Response:
        search, after = visit.query("search"), visit.query("after")
        found = await visit.desk.users.users(visit.who, customer=visit.customer, search=search, after=after)
        return await self._page(
            visit,
            template,
            users=found.users,
            after=found.after,
            search=search,
            ldap=found.ldap,
            form={name: visit.field(name) for name in ("address", "name", "aliases", "members", "csv")},
            report=visit.shown.get("report"),
        )

    async def do_users(self, visit: Visit) -> Response:
        users, who, customer = visit.desk.users, visit.who, visit.customer
        match visit.field("action"):
            case "add":
                body = models.NewEndUser(
                    address=visit.field("address"),
                    kind="group" if visit.field("kind") == "group" else "user",
                    name=visit.field("name"),
                    aliases=lines_of(visit.field("aliases")),
                    members=lines_of(visit.field("members")),
                    language=_language(visit),
                    invite=visit.field("invite") == "yes",
                )
                added = await users.add_user(who, customer=customer, body=body)
                return go(f"/c/{customer}/users/{added.id}", "user-added")
            case "table":
                table = models.EndUsersTable(
                    csv=visit.field("csv"),
                    replace=visit.field("replace") == "yes",
                    invite=visit.field("invite") == "yes",
                )
                return await self._report(visit, await users.import_users(who, customer=customer, body=table))
            case "directory":
                return await self._report(visit, await users.read_users(who, customer=customer))
        raise NotFound("no such action")

    async def _report(self, visit: Visit, done: models.TakenIn) -> Response:
        said = text("users.taken-in", visit.language, added=done.added, changed=done.changed, removed=done.removed)
        if done.left_out:
            said += " " + text("users.left-out", visit.language, addresses=", ".join(done.left_out[:20]))
        return await self.users(dataclasses.replace(visit, form={}, shown={"report": said}))

    async def do_passwords(self, visit: Visit) -> Response:
        users, who, customer = visit.desk.users, visit.who, visit.customer
        path = f"/c/{customer}/users/passwords"
        match visit.field("action"):
            case "link":
                await users.user_link(who, customer=customer, user=visit.field("user"))
                return go(path, "link-sent")
            case "all":
                done = await users.invite_users(who, customer=customer)
                said = text("users.invited", visit.language, count=done.count)
                return await self.passwords(dataclasses.replace(visit, form={}, shown={"report": said}))
        raise NotFound("no such action")

    async def user(self, visit: Visit) -> Response:
        found = await visit.desk.users.user(visit.who, customer=visit.customer, user=visit.path("user"))
        changes = visit.who.may(Act.USERS_CHANGE)
        aliases = [each for each in found.addresses if each != found.address]
        return await self._page(visit, "user", found=found, aliases=aliases, changes=changes)

    async def do_user(self, visit: Visit) -> Response:
        users, who, customer, user = visit.desk.users, visit.who, visit.customer, visit.path("user")
        path = f"/c/{customer}/users/{user}"
        match visit.field("action"):
            case "save":
                group = visit.field("kind") == "group"
                change = models.EndUserChange(
                    name=visit.field("name"),
                    aliases=lines_of(visit.field("aliases")),
                    members=lines_of(visit.field("members")) if group else None,
                    language=_language(visit),
                )
                await users.change_user(who, customer=customer, user=user, body=change)
                return go(path, "user-changed")
            case "close" | "reopen":
                closing = models.EndUserChange(closed=visit.field("action") == "close")
                await users.change_user(who, customer=customer, user=user, body=closing)
                return go(path, "user-changed")
            case "link":
                await users.user_link(who, customer=customer, user=user)
                return go(path, "link-sent")
            case "remove":
                await users.remove_user(who, customer=customer, user=user)
                return go(f"/c/{customer}/users", "user-removed")
        raise NotFound("no such action")


def _language(visit: Visit) -> models.Chosen:
    chosen: dict[str, models.Chosen] = {"en": "en", "it": "it"}
    return chosen.get(visit.field("language"), "")

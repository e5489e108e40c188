"""The REST API of the quarantine. It reads the index, and acts by events alone: what is asked is answered 202."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import delete, insert

from schemas.catalog import SENDERS, key_of
from schemas.events import Act, Audit, Command, Customer, Event
from services.core.address import parse
from services.core.clock import Clock
from services.core.directory import recipient_digest
from services.core.errors import BadAddress, KeyDestroyed, ObjectCorrupt, ObjectNotFound, Temporary
from services.core.ids import is_message_id
from services.core.senders import Senders as Lists
from services.quarantine import ask
from services.quarantine.api import models
from services.quarantine.api.guard import Failures, Guard, secured
from services.quarantine.decide import Held
from services.quarantine.digest import mask_of, members_of
from services.quarantine.digests import chosen_by
from services.quarantine.index import Index
from services.quarantine.preview import preview_of
from services.quarantine.search import PAGE_MOST, search
from services.quarantine.search import Query as Wanted
from services.quarantine.tables import PREFERENCES, WAITING, State
from services.quarantine.tokens import Caller, Role, Tokens
from services.quarantine.vault import Vault
from services.runtime.bus import Bus, Tombstone
from services.runtime.signatures import keywords_of

BODY_MOST: Final = 262_144  # octets of a request
OPERATIONS: Final = {401: {"model": models.Problem}, 403: {"model": models.Problem}, 404: {"model": models.Problem}}
Text = Annotated[str, Query(max_length=200)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the API is made of."""

    index: Index
    vault: Vault
    tokens: Tokens
    bus: Bus
    lists: Lists
    customer: Callable[[str], Customer | None]
    clock: Clock
    failures: int = 10
    passes: bytes | None = None  # the key that passes of the users' console are signed with; None: none is taken


def make_app(parts: Parts) -> FastAPI:
    """Return the application. It makes no link from a Host header, and tells nobody what it is made of."""
    app = FastAPI(
        title="Gatepost quarantine",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses=OPERATIONS,  # type: ignore[arg-type]  # FastAPI's own type is wider than a dict of ints
    )
    app.middleware("http")(_secure)
    app.exception_handler(Temporary)(_busy)
    app.exception_handler(RequestValidationError)(_refused)
    app.include_router(Api(parts).routes())
    return app


async def _secure(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    length = request.headers.get("content-length", "0")
    if request.method in {"POST", "PUT", "PATCH"} and not (length.isdecimal() and int(length) <= BODY_MOST):
        return secured(JSONResponse({"detail": "the body is too long"}, 413))
    if "transfer-encoding" in request.headers:
        return secured(JSONResponse({"detail": "a length is needed"}, 411))
    return secured(await go_on(request))


async def _busy(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"detail": "try again in a moment"}, 503, {"Retry-After": "5"})


async def _refused(_request: Request, error: Exception) -> Response:
    """Say where the mistake is, and not what was written there."""
    where = [".".join(map(str, each["loc"])) + f": {each['msg']}" for each in error.errors()]  # type: ignore[attr-defined]  # the handler's class
    return JSONResponse({"detail": "; ".join(where[:5])}, 422)


class Api:
    """The operations."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._guard = Guard(parts.tokens, Failures(parts.failures, parts.clock), parts.clock, parts.passes)

    def routes(self) -> APIRouter:
        """Return every operation at its path."""
        router = APIRouter(prefix="/v1/customers/{customer}")
        one = "/messages/{message}"
        for method, path, act, call, model in (
            ("GET", "/messages", "list", self.messages, models.Messages),
            ("GET", one, "show", self.message, models.Messages),
            ("GET", f"{one}/preview", "preview", self.preview, models.Preview),
            ("POST", f"{one}/release", "release", self.release, models.Asked),
            ("POST", f"{one}/delete", "delete", self.delete, models.Asked),
            ("POST", f"{one}/report", "report", self.report, models.Asked),
            ("POST", f"{one}/release-to", "release-to", self.release_to, models.Asked),
            ("GET", "/senders", "senders", self.senders, models.Senders),
            ("PUT", "/senders", "senders-of-recipient", self.change_sender, models.Sender),
            ("GET", "/recipients/{address}/digest", "digest", self.digest, models.Digests),
            ("PUT", "/recipients/{address}/digest", "digest-change", self.change_digest, models.Digests),
        ):
            router.add_api_route(
                path,
                _bound(call, self._guard(act)),
                methods=[method],
                response_model=model,
                status_code=202 if model is models.Asked else 200,
                operation_id=call.__name__,
                summary=(call.__doc__ or "").strip().split("\n")[0].rstrip("."),
            )
        return router

    # --- reading

    async def messages(  # noqa: PLR0913, PLR0917  # what can be asked for
        self,
        caller: Caller,
        customer: str,
        state: State | None = None,
        sender: Text = "",
        recipient: Text = "",
        subject: Text = "",
        reason: Text = "",
        reported: Literal["", "clean", "spam", "wanted"] = "",
        held_from: float = 0.0,
        held_to: float = 0.0,
        after: Annotated[str, Query(max_length=1_200)] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 50,
        everything: bool = False,  # a query parameter
    ) -> models.Messages:
        """Held messages, newest first."""
        wanted = Wanted(
            customer=customer,
            recipients=caller.addresses if caller.role is Role.USER else None,
            state=state,
            everything=everything,
            sender=sender,
            recipient=recipient,
            subject=subject,
            reason=reason,
            reported=reported,
            held_from=held_from,
            held_to=held_to,
            after=after,
            limit=limit,
        )
        try:
            page = await search(self._parts.index.database, wanted)
        except ValueError as error:
            raise HTTPException(422, "after: not a cursor") from error
        return models.Messages(messages=self._said(caller, page.rows), after=page.after)

    async def message(self, caller: Caller, customer: str, message: str) -> models.Messages:
        """One message, for each recipient that the caller may see."""
        rows = await self._rows(caller, customer, message)
        return models.Messages(messages=self._said(caller, rows), after="")

    async def preview(self, caller: Caller, customer: str, message: str) -> models.Preview:
        """What can safely be shown of a message."""
        await self._rows(caller, customer, message, waiting=True)
        try:
            octets = await self._parts.vault.open(customer, message)
        except (ObjectNotFound, ObjectCorrupt, KeyDestroyed) as error:
            raise HTTPException(404, "the message can't be read any more") from error
        await self._parts.bus.publish([self._audit(caller, customer, "previewed", message)])
        shown = await asyncio.to_thread(preview_of, octets)
        attachments = [models.Part(name=part.name, type=part.type, size=part.size) for part in shown.attachments]
        return models.Preview(text=shown.text, html=shown.html, attachments=attachments, whole=shown.whole)

    # --- acting

    async def release(self, caller: Caller, customer: str, message: str, body: models.For) -> models.Asked:
        """Deliver a message: the original octets, after one more look for viruses. Or ask somebody who may."""
        if caller.role is Role.USER:
            rows = _chosen(await self._rows(caller, customer, message, waiting=True), body.recipients)
            if not ask.may_release(self._parts.customer(customer), rows[0].status):
                names = tuple(row.recipient for row in rows)
                wish = ask.wish(message, customer, names, caller.name, self._parts.clock.now())
                await self._parts.bus.publish([wish])
                return models.Asked(command=wish.request_id, recipients=list(names), decided="later")
        return await self._end(Command.RELEASE, caller, customer, message, body.recipients)

    async def delete(self, caller: Caller, customer: str, message: str, body: models.For) -> models.Asked:
        """Delete a message for good."""
        return await self._end(Command.DELETE, caller, customer, message, body.recipients)

    async def report(self, caller: Caller, customer: str, message: str, body: models.Report) -> models.Asked:
        """Say that a message is clean or spam, and perhaps remember its sender."""
        rows = _chosen(await self._rows(caller, customer, message), body.recipients)
        names = tuple(row.recipient for row in rows)
        act = Act.REPORT_CLEAN if body.as_ == "clean" else Act.REPORT_SPAM
        asked = ask.request(act, message, customer, names, caller.name, self._parts.clock.now())
        made: list[Event] = [asked]
        if body.remember and rows[0].reverse_path:
            made += [
                self._entry(customer, name, rows[0].reverse_path, caller, approved=body.as_ == "clean")
                for name in names
            ]
        await self._parts.bus.publish(made)
        return models.Asked(command=asked.request_id, recipients=list(names))

    async def release_to(self, caller: Caller, customer: str, message: str, body: models.ReleaseTo) -> models.Asked:
        """Send a copy as an attachment to somebody of the organisation; the message stays held."""
        await self._rows(caller, customer, message, waiting=True)
        try:
            to = ask.mine(self._customer(customer), body.to)
        except BadAddress as error:
            raise HTTPException(422, f"to: {error}") from error
        asked = ask.request(Act.RELEASE_TO, message, customer, (), caller.name, self._parts.clock.now(), to)
        await self._parts.bus.publish([asked, self._audit(caller, customer, "released-to", message)])
        return models.Asked(command=asked.request_id, recipients=[to])

    async def _end(
        self, action: Command, caller: Caller, customer: str, message: str, recipients: Sequence[str]
    ) -> models.Asked:
        rows = _chosen(await self._rows(caller, customer, message, waiting=True), recipients)
        names = tuple(row.recipient for row in rows)
        asked = ask.command(action, message, customer, names, caller.name, self._parts.clock.now())
        await self._parts.bus.publish([asked])
        return models.Asked(command=asked.command_id, recipients=list(names))

    # --- lists and choices

    async def senders(self, caller: Caller, customer: str) -> models.Senders:
        """Approved and blocked senders; a user sees those of his own addresses and of everybody."""
        known = self._customer(customer)
        own = None
        if caller.role is Role.USER:
            own = {recipient_digest(known.salt, address): address for address in caller.addresses}
        found = [
            models.Sender(
                sender=entry.sender,
                for_=(own or {}).get(entry.whom) or ask.shown_whom(entry.whom),
                list_="approved" if entry.approved else "blocked",
                by="" if caller.role is Role.USER else entry.by,
                at=entry.at,
            )
            for entry in self._parts.lists.of(customer)
            if own is None or entry.whom in own or entry.whom.startswith(("@", "*"))
        ]
        return models.Senders(senders=sorted(found, key=lambda each: (each.for_, each.sender)))

    async def change_sender(self, caller: Caller, customer: str, body: models.SenderChange) -> models.Sender:
        """Approve or block a sender, or take it out of the lists."""
        one = not body.for_.startswith("@") and body.for_ != "all"
        if not one and caller.role not in (Role.ADMINISTRATOR, Role.OWNER):
            raise HTTPException(403, "this token's role may not do this")
        if one:
            self._own(caller, body.for_)
        entry = self._entry(customer, body.for_, body.sender, caller, approved=body.list_ == "approved")
        gone = Tombstone(SENDERS, key_of(entry))
        audit = self._audit(caller, customer, f"sender-{body.list_}", ask.shown_whom(entry.whom))
        await self._parts.bus.publish([gone if body.list_ == "remove" else entry, audit])
        return models.Sender(
            sender=entry.sender,
            for_=ask.shown_whom(entry.whom),
            list_="approved" if entry.approved else "blocked",
            by=entry.by,
            at=entry.at,
        )

    async def digest(self, caller: Caller, customer: str, address: str) -> models.Digests:
        """What a recipient chose for his digests."""
        name = self._own(caller, self._mine(customer, address))
        plan = self._customer(customer).digest
        choice = await chosen_by(self._parts.index.database, customer, plan, name)
        return models.Digests.model_validate(
            {
                "language": choice.language,
                "digest": choice.wanted,
                "hours": members_of(choice.hours, 24),
                "days": members_of(choice.days, 7),
                "offered": list(plan.hours),
                "timezone": plan.timezone,
            }
        )

    async def change_digest(self, caller: Caller, customer: str, address: str, body: models.Digest) -> models.Digests:
        """Choose a language, hours and days, or no digests."""
        name = parse(self._own(caller, self._mine(customer, address))).canonical
        row = {
            "customer": customer,
            "recipient": name,
            "language": body.language,
            "digest": int(body.digest),
            "hours": mask_of(body.hours),
            "days": mask_of(body.days),
        }
        own = (PREFERENCES.c.customer == customer, PREFERENCES.c.recipient == name)
        async with self._parts.index.database.writing() as connection:
            await connection.execute(delete(PREFERENCES).where(*own))
            await connection.execute(insert(PREFERENCES), [row])
        return await self.digest(caller, customer, address)

    # --- helpers

    def _said(self, caller: Caller, rows: Sequence[Held]) -> list[models.Message]:
        """Return the rows as this caller is told of them."""
        known = self._parts.customer(rows[0].customer) if rows else None
        return [
            models.Message.of(row, asks=caller.role is Role.USER and not ask.may_release(known, row.status))
            for row in rows
        ]

    async def _rows(self, caller: Caller, customer: str, message: str, *, waiting: bool = False) -> list[Held]:
        """Return the rows that the caller may act on; 404 when there are none, whoever else has some."""
        rows = await self._parts.index.get(message, customer) if is_message_id(message) else []
        if caller.role is Role.USER:
            rows = [row for row in rows if row.recipient.lower() in caller.addresses]
        rows = [row for row in rows if not waiting or row.state in WAITING]
        if not rows:
            raise HTTPException(404, "not found")
        return rows

    def _customer(self, customer: str) -> Customer:
        known = self._parts.customer(customer)
        if known is None:
            raise HTTPException(404, "not found")
        return known

    def _mine(self, customer: str, address: str) -> str:
        try:
            return ask.mine(self._customer(customer), address)
        except BadAddress as error:
            raise HTTPException(404, "not found") from error

    def _own(self, caller: Caller, address: str) -> str:
        """Return the address; 403 when it is not one of a user's own, or the role acts for nobody."""
        if caller.role is Role.USER and address.lower() not in caller.addresses:
            raise HTTPException(403, "not one of this token's addresses")
        return address

    def _entry(self, customer: str, whom: str, sender: str, caller: Caller, *, approved: bool) -> Any:  # noqa: ANN401
        known, now = self._customer(customer), self._parts.clock.now()
        try:
            return ask.sender_entry(known, whom, sender, approved=approved, by=caller.name, now=now)
        except BadAddress as error:
            raise HTTPException(422, str(error)) from error

    def _audit(self, caller: Caller, customer: str, what: str, subject: str) -> Audit:
        return Audit(customer=customer, what=what, subject=subject, by=caller.name, at=self._parts.clock.now())


def _chosen(rows: Sequence[Held], recipients: Sequence[str]) -> Sequence[Held]:
    wanted = {name.lower() for name in recipients}
    chosen = [row for row in rows if not wanted or row.recipient.lower() in wanted]
    if not chosen:
        raise HTTPException(404, "not found")
    return chosen


def _bound(call: Callable[..., Any], guard: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operation with its caller from the guard: there is no way to add one without."""

    @functools.wraps(call)
    async def operation(**values: Any) -> Any:  # noqa: ANN401  # whatever the operation takes
        return await call(**values)

    signature = keywords_of(call, caller=Annotated[Caller, Depends(guard)])
    operation.__signature__ = signature  # type: ignore[attr-defined]  # what FastAPI reads
    return operation

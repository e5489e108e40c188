"""What a held message says, for an administrator: the quarantine's safe preview, asked for with a pass of a minute.

The console holds no key to held mail. Each look is on the audit log before anything is shown.
"""

from __future__ import annotations

import urllib.parse

import msgspec

from services.console import traffic_models
from services.console.book import Book, settings_of
from services.console.caller import Caller, Forbidden, NotFound, allowed
from services.console.customers import found
from services.console.held import held_rows
from services.console.roles import Act, Role
from services.console.users.held import ApiUnavailable, Transport
from services.core.clock import Clock
from services.core.ids import is_message_id
from services.quarantine.passes import SECONDS, Pass, issue, pass_key
from services.quarantine.tokens import Role as ApiRole


class Reader:
    """Asks the quarantine's API for a message's preview."""

    def __init__(self, master: bytes, transport: Transport, clock: Clock) -> None:
        self._key = pass_key(master)
        self._transport = transport
        self._clock = clock

    async def preview(self, caller: Caller, customer: str, message: str) -> traffic_models.HeldText:
        """Return what can safely be shown; raise NotFound, or ApiUnavailable."""
        role = ApiRole.HELPDESK if caller.role is Role.HELPDESK else ApiRole.ADMINISTRATOR
        who = Pass(customer, (), caller.address, self._clock.now() + SECONDS, role.value, message)
        shown = issue(self._key, who)
        path = "/".join(urllib.parse.quote(each, safe="") for each in (customer, "messages", message, "preview"))
        headers = {"Authorization": f"Bearer {shown}"}
        reply = await self._transport("GET", f"/v1/customers/{path}", headers, b"")
        if reply.status in {403, 404}:
            raise NotFound("it can't be read any more")
        if reply.status != 200:  # noqa: PLR2004 - OK
            raise ApiUnavailable(f"the quarantine's API answered {reply.status}")
        try:
            return traffic_models.HeldText.model_validate(msgspec.json.decode(reply.octets))
        except ValueError as error:  # of either library
            raise ApiUnavailable("its answer can't be read") from error


class HeldReading:
    """The operation of looking into held mail."""

    def __init__(self, book: Book, reader: Reader | None) -> None:
        self.book = book
        self._reader = reader

    async def may_read(self, caller: Caller, customer: str) -> bool:
        """Return whether the caller may look into held mail: the help desk only where the customer says so."""
        if self._reader is None or not caller.may(Act.HELD_READ):
            return False
        if caller.role is not Role.HELPDESK:
            return True
        async with self.book.reading() as connection:
            return settings_of(await found(connection, customer)).helpdesk_reads

    @allowed(Act.HELD_READ, limited=True)
    async def read_held(self, caller: Caller, customer: str, message: str) -> traffic_models.HeldText:
        """What can safely be shown of a held message, of which at least one recipient is the caller's to decide on.

        Raises ApiUnavailable while the quarantine doesn't answer.
        """
        if self._reader is None:
            raise NotFound("held mail can't be read here")
        if not await self.may_read(caller, customer):
            raise Forbidden(Act.HELD_READ.value)
        if not is_message_id(message) or not await held_rows(self.book, caller, customer, [message]):
            raise NotFound("nothing of it is held")
        async with self.book.change(caller.author) as change:
            await change.note(customer, "held-read", message)
        return await self._reader.preview(caller, customer, message)

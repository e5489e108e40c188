"""A user's held mail, through the quarantine's API: he shows a pass, good for a minute and his addresses alone."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final, Protocol

import aiohttp
import msgspec
import yarl

from services.console.caller import NotFound, Refused
from services.console.users.signin import User
from services.core.address import quote
from services.core.clock import Clock
from services.core.errors import Temporary
from services.quarantine.passes import SECONDS, Pass, issue, pass_key

WITHIN: Final = 30.0  # seconds
ANSWER_MOST: Final = 16 << 20  # octets: a preview with its pictures is the longest
PAGE: Final = 50
ADDRESSES_MOST: Final = 12_000  # octets of the addresses in a pass, which travels in a header
Query = Mapping[str, str]


class ApiUnavailable(Temporary):
    """The quarantine's API doesn't answer, or not as it should."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API."""

    status: int
    octets: bytes


class Transport(Protocol):
    """Carries a question to the API."""

    async def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Return the reply; raise ApiUnavailable when there is none."""
        ...


class Http:
    """The transport that there really is."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self._base = base.rstrip("/")
        self._session = session

    async def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """See Transport."""
        limit = aiohttp.ClientTimeout(total=WITHIN)
        url = yarl.URL(self._base + path, encoded=True)
        try:
            async with self._session.request(
                method, url, headers=headers, data=body or None, timeout=limit, allow_redirects=False
            ) as response:
                if (response.content_length or 0) > ANSWER_MOST:
                    raise ApiUnavailable("its answer is too long")
                return Reply(response.status, await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnavailable(f"the quarantine's API does not answer: {type(error).__name__}") from error


class HeldMail:
    """What a user may do with his held mail. Every method raises NotFound, Refused, or ApiUnavailable."""

    def __init__(self, master: bytes, transport: Transport, clock: Clock) -> None:
        self._key = pass_key(master)
        self._transport = transport
        self._clock = clock

    async def messages(self, user: User, query: Query) -> dict[str, Any]:
        """Return a page of what is held for him, newest first."""
        asked = {name: value for name, value in query.items() if value}
        return await self._ask(user, "GET", f"/messages?{urllib.parse.urlencode({**asked, 'limit': str(PAGE)})}")

    async def message(self, user: User, message: str) -> list[dict[str, Any]]:
        """Return one message, for each of his addresses that it is held for."""
        found = await self._ask(user, "GET", _of(message))
        return list(found["messages"])

    async def preview(self, user: User, message: str) -> dict[str, Any]:
        """Return what can safely be shown of a message."""
        return await self._ask(user, "GET", f"{_of(message)}/preview")

    async def release(self, user: User, message: str) -> bool:
        """Release a message for all his addresses; return False when it was only asked for, as policy says."""
        return bool((await self._ask(user, "POST", f"{_of(message)}/release", {}))["decided"] == "now")

    async def delete(self, user: User, message: str) -> None:
        """Delete a message for all his addresses."""
        await self._ask(user, "POST", f"{_of(message)}/delete", {})

    async def report(self, user: User, message: str, said: str, *, remember: bool) -> None:
        """Say that a message is clean or spam; `remember` approves or blocks its sender for his addresses."""
        await self._ask(user, "POST", f"{_of(message)}/report", {"as": said, "remember": remember})

    async def senders(self, user: User) -> list[dict[str, Any]]:
        """Return the entries that count for his mail: his own, and his organisation's."""
        return list((await self._ask(user, "GET", "/senders"))["senders"])

    async def change_sender(self, user: User, address: str, sender: str, listed: str) -> None:
        """Approve or block a sender for one of his addresses, or remove the entry."""
        body = {"sender": sender, "for": spelled(address), "list": listed}
        await self._ask(user, "PUT", "/senders", body)

    async def digest(self, user: User, address: str) -> dict[str, Any]:
        """Return what was chosen for the digests of one of his addresses."""
        return await self._ask(user, "GET", f"/recipients/{_quoted(spelled(address))}/digest")

    async def change_digest(self, user: User, address: str, choice: Mapping[str, Any]) -> None:
        """Choose for one of his addresses."""
        await self._ask(user, "PUT", f"/recipients/{_quoted(spelled(address))}/digest", choice)

    async def _ask(self, user: User, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        addresses = _fitting(user.addresses)
        shown = issue(self._key, Pass(user.customer, addresses, user.address, self._clock.now() + SECONDS))
        octets = b"" if body is None else msgspec.json.encode(body)
        headers = {"Authorization": f"Bearer {shown}", "Content-Type": "application/json"}
        reply = await self._transport(method, f"/v1/customers/{_quoted(user.customer)}{path}", headers, octets)
        match reply.status:
            case 200 | 202:
                try:
                    found: dict[str, Any] = msgspec.json.decode(reply.octets, type=dict)
                except msgspec.DecodeError as error:
                    raise ApiUnavailable("its answer can't be read") from error
                return found
            case 403 | 404:
                raise NotFound("not this user's, or not there")
            case 422:
                raise Refused("users.not-understood")
        raise ApiUnavailable(f"the quarantine's API answered {reply.status}")


def _fitting(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Return the addresses as a pass names them: as many as fit into a header."""
    found: list[str] = []
    room = ADDRESSES_MOST
    for each in addresses:
        name = spelled(each).lower()
        room -= len(name.encode()) + 3
        if room < 0:
            break
        found.append(name)
    return tuple(found)


def spelled(canonical: str) -> str:
    """Return a canonical address as SMTP writes it."""
    local, _, domain = canonical.rpartition("@")
    return f"{quote(local)}@{domain}"


def _of(message: str) -> str:
    return f"/messages/{_quoted(message)}"


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")

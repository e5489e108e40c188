"""LDAP over a wire: bind, StartTLS, and searches page by page (RFC 4511, RFC 2696). Protocol by sansldap.

An answer that is cut short is a failure, never a smaller directory: every search ends with a result of success, or
raises.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

from sansldap import (
    BindResponse,
    ExtendedOperations,
    ExtendedResponse,
    FilterPresent,
    LDAPClient,
    LDAPControl,
    LDAPFilter,
    LDAPMessage,
    LDAPResult,
    LDAPResultCode,
    PagedResultControl,
    ProtocolError,
    SearchResultDone,
    SearchResultEntry,
    SearchScope,
)

from services.core.errors import DirectoryRefused, DirectoryUnavailable
from services.directory.wire import Wire

SLICE: Final = 2_048  # octets decoded at a time: about 3 ms, after which others have their turn
MESSAGE_MOST: Final = 4 * 1_048_576  # octets of one message
PAGED: Final = "1.2.840.113556.1.4.319"

_TEMPORARY: Final = {LDAPResultCode.BUSY, LDAPResultCode.UNAVAILABLE}
_NOT_TAKEN: Final = {  # a wrong password, or an entry that has none, isn't there, or is locked
    LDAPResultCode.INVALID_CREDENTIALS,
    LDAPResultCode.NO_SUCH_OBJECT,
    LDAPResultCode.INVALID_DN_SYNTAX,
    LDAPResultCode.INAPPROPRIATE_AUTHENTICATION,
    LDAPResultCode.UNWILLING_TO_PERFORM,
    LDAPResultCode.INSUFFICIENT_ACCESS_RIGHTS,
    LDAPResultCode.CONSTRAINT_VIOLATION,
}
_MEANINGS: Final = {
    LDAPResultCode.INVALID_CREDENTIALS: "it does not take the bind DN with this password",
    LDAPResultCode.NO_SUCH_OBJECT: "there is nothing at the base DN, or nothing that we may see",
    LDAPResultCode.INSUFFICIENT_ACCESS_RIGHTS: "the bind DN may not read there",
    LDAPResultCode.SIZE_LIMIT_EXCEEDED: "it cuts the answer at its size limit",
    LDAPResultCode.TIME_LIMIT_EXCEEDED: "it cuts the answer at its time limit",
    LDAPResultCode.REFERRAL: "it refers to another server; name that one",
}


class Session:
    """One LDAP session. Every method raises DirectoryUnavailable or DirectoryRefused."""

    def __init__(self, wire: Wire, answer_seconds: float) -> None:
        self._wire = wire
        self._answer_seconds = answer_seconds
        self._client = LDAPClient()
        self._messages: deque[LDAPMessage] = deque()
        self._unread = 0  # octets since the last whole message

    @property
    def wire(self) -> Wire:
        """The connection below."""
        return self._wire

    async def request_tls(self) -> None:
        """Ask for TLS (RFC 4511 section 4.14) and return when the server has agreed to begin it."""
        self._client.extended_request(ExtendedOperations.LDAP_START_TLS.value)
        # Octet by octet, so that what somebody on the way may have put behind the answer stays on the wire, where
        # `Wire.start_tls` finds it: taken in here it would be read as if it had come through TLS.
        message = await self._answer(1)
        if not isinstance(message, ExtendedResponse):
            raise DirectoryUnavailable("the server answers something else than was asked")
        _check(message.result, "StartTLS")

    async def bind(self, name: str, password: str) -> None:
        """Bind with a password. An empty one would be a bind as nobody that looks like success (RFC 4513, 5.1.2)."""
        if not password:
            raise DirectoryRefused("the password is empty")
        self._client.bind_simple(name, password)
        message = await self._answer()
        if not isinstance(message, BindResponse):
            raise DirectoryUnavailable("the server answers something else than was asked")
        _check(message.result, "bind")

    async def takes(self, name: str, password: str) -> bool:
        """Return whether the entry takes the password: the session is that entry's then. An empty one is never taken.

        Raises DirectoryUnavailable when the server can't tell.
        """
        if not password:
            return False
        self._client.bind_simple(name, password)
        message = await self._answer()
        if not isinstance(message, BindResponse):
            raise DirectoryUnavailable("the server answers something else than was asked")
        if message.result.result_code in _NOT_TAKEN:
            return False
        _check(message.result, "bind")
        return True

    async def root(self, attributes: Sequence[str]) -> dict[str, list[str]]:
        """Return attributes of the root entry (RFC 4512 section 5.1), lower-case names."""
        self._client.search_request(
            "", scope=SearchScope.BASE, filter=FilterPresent("objectClass"), attributes=list(attributes)
        )
        found: dict[str, list[str]] = {}
        while not isinstance(message := await self._answer(), SearchResultDone):
            if isinstance(message, SearchResultEntry):
                for attribute in message.attributes:
                    found[attribute.name.lower()] = [value.decode(errors="replace") for value in attribute.values]
        _check(message.result, "the root entry")
        return found

    async def search(
        self, base: str, condition: LDAPFilter, attributes: Sequence[str], page: int
    ) -> AsyncIterator[SearchResultEntry]:
        """Yield every entry under the base that meets the condition; `page` of 0 asks for all at once."""
        cookie = b""
        while True:
            controls: list[LDAPControl] = [PagedResultControl(critical=True, size=page, cookie=cookie)] if page else []
            self._client.search_request(base, filter=condition, attributes=list(attributes), controls=controls)
            while not isinstance(message := await self._answer(), SearchResultDone):
                if isinstance(message, SearchResultEntry):
                    yield message
            _check(message.result, "search")
            cookies = [control.cookie for control in message.controls if isinstance(control, PagedResultControl)]
            cookie = cookies[0] if cookies else b""
            if not cookie:
                return

    def close(self) -> None:
        """Say good-bye and drop the connection."""
        self._client.unbind()
        self._wire.write(self._client.data_to_send())
        self._wire.close()

    async def _answer(self, limit: int = SLICE) -> LDAPMessage:
        """Send what is due and return the next message."""
        if data := self._client.data_to_send():
            self._wire.write(data)
        while not self._messages:
            try:
                async with asyncio.timeout(self._answer_seconds):
                    data = await self._wire.read(limit)
            except TimeoutError as error:
                raise DirectoryUnavailable(f"no answer within {self._answer_seconds:g} s") from error
            self._unread += len(data)
            if self._unread > MESSAGE_MOST:
                raise DirectoryRefused(f"a message over {MESSAGE_MOST // 1_048_576} MB")
            try:
                self._messages.extend(self._client.receive(data))
            except (ProtocolError, IndexError) as error:  # sansldap indexes into an integer of no octets
                raise DirectoryUnavailable("the server doesn't speak LDAP, or ends the session") from error
            if self._messages:
                self._unread = 0
            await asyncio.sleep(0)
        return self._messages.popleft()


def _check(result: LDAPResult, asked: str) -> None:
    """Raise for anything but success. The server's own text is left out: it may name people."""
    code = result.result_code
    if code == LDAPResultCode.SUCCESS:
        return
    text = f"{asked}: {_MEANINGS.get(code, f'the server says {code.name}')}"
    raise DirectoryUnavailable(text) if code in _TEMPORARY else DirectoryRefused(text)

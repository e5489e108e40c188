"""One SMTP connection to a customer's MTA (RFC 5321), on aiosmtplib.

aiosmtplib's own `sendmail` loses what each recipient was told when DATA is refused, rewrites odd addresses and refuses
the null sender; so the commands are sent one by one, and each recipient's answer is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Protocol, cast

import aiosmtplib

from services.core.address import Address, parse
from services.core.errors import BadAddress
from services.delivery.config import DeliveryConfig
from services.delivery.decide import Kind, Reply, Stage
from services.delivery.dots import BLOCK, blocks

QUIT_WITHIN: Final = 2.0  # seconds for a farewell: nothing depends on it
EARLY_WITHIN: Final = 1.0  # seconds for the reply of a host that stopped taking the message
SERVICE_CLOSING: Final = 421
TOO_MANY: Final = (452, 552)  # to RCPT, after some were taken: the rest goes in a further transaction
GO_AHEAD: Final = 354

# OSError covers ssl.SSLError, ConnectionError and TimeoutError.
FAILURES = (aiosmtplib.SMTPException, OSError)


class _Lost(Exception):  # noqa: N818 - control flow inside this module
    """The connection is of no use any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Letter:
    """What one transaction carries."""

    reverse_path: str
    recipients: tuple[str, ...]
    parts: Sequence[bytes | memoryview]
    size: int  # octets of the parts
    eight_bit: bool
    utf8_header: bool = False
    removed: tuple[str, ...] = ()  # names of the attachments that are not in it any more


@dataclasses.dataclass(frozen=True, slots=True)
class Transaction:
    """What the host answered. Either each recipient has a reply, or `broken` says why the host never got so far."""

    replies: dict[str, Reply]
    broken: Reply | None = None  # nothing was accepted: another connection or host may do better
    closing: Reply | None = None  # the host said that it goes away (421)
    reusable: bool = True


class Session(Protocol):
    """A connection that is greeted and ready. Fakes implement this."""

    tls: str  # version and cipher, empty for plain text

    async def reset(self) -> bool:
        """Return whether the connection still lives and has forgotten the last transaction."""
        ...

    async def send(self, letter: Letter) -> Transaction:
        """Send the letter; every failure is in what is returned."""
        ...

    async def quit(self) -> None:
        """Say farewell and close; never fails."""
        ...

    def close(self) -> None:
        """Drop the connection at once."""
        ...


class SmtpSession:
    """A Session over aiosmtplib."""

    def __init__(self, smtp: aiosmtplib.SMTP, config: DeliveryConfig, tls: str) -> None:
        self.tls = tls
        self._smtp = smtp
        self._config = config
        self._writer: asyncio.StreamWriter | None = None

    async def reset(self) -> bool:
        """See Session."""
        try:
            return (await self._command(Stage.MAIL, b"RSET")).code // 100 == 2  # noqa: PLR2004 - the 2yz replies
        except _Lost:
            return False

    async def quit(self) -> None:
        """See Session."""
        with contextlib.suppress(*FAILURES):
            await self._smtp.quit(timeout=QUIT_WITHIN)
        self.close()

    def close(self) -> None:
        """See Session."""
        self._smtp.close()

    async def send(self, letter: Letter) -> Transaction:
        """See Session."""
        addresses, replies = _readable(letter)
        if (unfit := self._unfit(letter, addresses)) is not None:
            return Transaction({**replies, **dict.fromkeys(addresses, unfit)})
        pending = list(addresses)
        while pending:
            try:
                rest = await self._transaction(letter, addresses, pending, replies)
            except _Lost as lost:
                self.close()
                reply = _reply_of(lost)
                if reply.stage is Stage.MAIL and not any(r in replies for r in addresses):
                    return Transaction({}, broken=reply, reusable=False)
                for recipient in pending:
                    replies.setdefault(recipient, dataclasses.replace(reply, ambiguous=False))
                return Transaction(replies, closing=reply if reply.code == SERVICE_CLOSING else None, reusable=False)
            pending = rest
        return Transaction(replies)

    def _unfit(self, letter: Letter, addresses: dict[str, Address]) -> Reply | None:
        """Return the reply that the host would have to give, where its EHLO already says so."""
        if self._utf8(letter, addresses) and not self._smtp.supports_extension("smtputf8"):
            return Reply(550, "5.6.7 the destination does not take internationalised mail (SMTPUTF8)", Stage.MAIL)
        # Converting would change the octets, and break signatures: it is returned instead (RFC 6152 section 3).
        strict = not self._config.relay_send_eight_bit
        if strict and letter.eight_bit and not self._smtp.supports_extension("8bitmime"):
            return Reply(554, "5.6.3 the destination does not take eight-bit mail (8BITMIME)", Stage.MAIL)
        limit = self._smtp.esmtp_extensions.get("size", "").strip()
        if limit.isdecimal() and 0 < int(limit) < letter.size:
            return Reply(552, f"5.3.4 {letter.size} octets; the destination takes {limit}", Stage.MAIL)
        return None

    @staticmethod
    def _utf8(letter: Letter, addresses: dict[str, Address]) -> bool:
        return (
            letter.utf8_header
            or not letter.reverse_path.isascii()
            or any(not address.ascii for address in addresses.values())
        )

    async def _transaction(
        self, letter: Letter, addresses: dict[str, Address], pending: list[str], replies: dict[str, Reply]
    ) -> list[str]:
        """Put each recipient's reply into `replies`, and return those that the host wants in a further transaction."""
        parameters = []
        if self._smtp.supports_extension("size"):
            parameters.append(b"SIZE=%d" % letter.size)
        if letter.eight_bit and self._smtp.supports_extension("8bitmime"):
            parameters.append(b"BODY=8BITMIME")
        if self._utf8(letter, addresses):
            parameters.append(b"SMTPUTF8")
        sender = await self._command(Stage.MAIL, b"MAIL", b"FROM:<%s>" % letter.reverse_path.encode(), *parameters)
        if not _fine(sender):
            replies.update(dict.fromkeys(pending, sender))
            return []
        accepted, rest = await self._recipients(addresses, pending, replies)
        if accepted:
            try:
                final = await self._data(letter)
            except _Lost as lost:
                # What became of the others is known; only these hang on the lost answer.
                replies.update(dict.fromkeys(accepted, _reply_of(lost)))
                raise
            replies.update(dict.fromkeys(accepted, final))
        return rest

    async def _recipients(
        self, addresses: dict[str, Address], pending: list[str], replies: dict[str, Reply]
    ) -> tuple[list[str], list[str]]:
        """Return who is accepted and who is to come in a further transaction; refusals go into `replies`."""
        accepted: list[str] = []
        rest: list[str] = []
        for recipient in pending:
            path = recipient if recipient.isascii() else str(addresses[recipient])
            reply = await self._command(Stage.RCPT, b"RCPT", b"TO:<%s>" % path.encode())
            if _fine(reply):
                accepted.append(recipient)
            elif accepted and reply.code in TOO_MANY and reply.kind is Kind.TEMPORARY:
                rest.append(recipient)
            else:
                replies[recipient] = reply
        return accepted, rest

    async def _data(self, letter: Letter) -> Reply:
        start = await self._command(Stage.DATA, b"DATA")
        if start.code != GO_AHEAD:
            return start
        protocol = self._smtp.protocol
        if protocol is None:
            raise _lost(0, "connection lost after DATA", Stage.DATA)
        if letter.size <= BLOCK:
            try:
                protocol.write(b"".join(blocks(letter.parts)))
            except FAILURES as error:
                raise _lost(0, f"{failure_name(error)} after DATA", Stage.DATA) from error
            answer = protocol.read_response(timeout=self._config.relay_reply_seconds)
            return await self._answered(Stage.FINAL, answer, ambiguous=True)
        return await self._stream(letter, protocol)

    async def _stream(self, letter: Letter, protocol: aiosmtplib.protocol.SMTPProtocol) -> Reply:
        """Send a large message block by block, and hear a host that answers before the end."""
        if self._writer is None:
            # aiosmtplib's protocol has the flow control that StreamWriter.drain waits for. The writer lives as long as
            # the session: collected earlier, it would close the connection.
            transport = cast("asyncio.WriteTransport", self._smtp.transport)
            self._writer = asyncio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())
        answer = asyncio.ensure_future(protocol.read_response(timeout=None))
        try:
            whole = await self._pour(letter, self._writer, answer)
            if not whole:
                await asyncio.wait({answer}, timeout=EARLY_WITHIN)
                if not answer.done():
                    raise _lost(0, "the connection took no data in time", Stage.DATA)
            stage = Stage.FINAL if whole else Stage.DATA
            reply = await self._answered(stage, self._awaited(answer), ambiguous=whole)
        finally:
            await _discard(answer)
        if not whole:
            # In the middle of a message there is no way back to commands: the reply counts, the connection ends.
            raise _lost(reply.code, reply.text, Stage.DATA)
        return reply

    async def _awaited(self, answer: asyncio.Future[aiosmtplib.SMTPResponse]) -> aiosmtplib.SMTPResponse:
        async with asyncio.timeout(self._config.relay_reply_seconds):
            return await answer

    async def _pour(
        self, letter: Letter, writer: asyncio.StreamWriter, answer: asyncio.Future[aiosmtplib.SMTPResponse]
    ) -> bool:
        """Return whether all of the message went out before the host answered."""
        for block in blocks(letter.parts):
            if answer.done() or writer.is_closing():
                return False
            writer.write(block)
            drained = asyncio.ensure_future(writer.drain())
            either: set[asyncio.Future[Any]] = {drained, answer}
            await asyncio.wait(either, timeout=self._config.relay_block_seconds, return_when=asyncio.FIRST_COMPLETED)
            if not drained.done():
                await _discard(drained)
                return False
            if drained.exception() is not None:
                return False
            await asyncio.sleep(0)
        return True

    async def _command(self, stage: Stage, *words: bytes) -> Reply:
        reply = await self._answered(
            stage, self._smtp.execute_command(*words, timeout=self._config.relay_command_seconds)
        )
        if reply.code == SERVICE_CLOSING:
            raise _lost(reply.code, reply.text, stage)
        return reply

    async def _answered(
        self, stage: Stage, answer: Awaitable[aiosmtplib.SMTPResponse], *, ambiguous: bool = False
    ) -> Reply:
        """Return the reply; raise _Lost when there is none that can be read."""
        try:
            response = await answer
        except aiosmtplib.SMTPResponseException as error:
            raise _lost(0, f"unreadable reply: {error.message}", stage, ambiguous=ambiguous) from error
        except FAILURES as error:
            raise _lost(0, f"{failure_name(error)} in {stage.value}", stage, ambiguous=ambiguous) from error
        if ambiguous and response.code == SERVICE_CLOSING:
            raise _lost(response.code, response.message, stage)
        return Reply(response.code, response.message, stage)


async def _discard(future: asyncio.Future[Any]) -> None:
    future.cancel()
    await asyncio.wait({future})
    if not future.cancelled():
        future.exception()  # looked at, so that nothing complains that nobody did


def _lost(code: int, text: str, stage: Stage, *, ambiguous: bool = False) -> _Lost:
    return _Lost(Reply(code, text, stage, ambiguous))


def _reply_of(lost: _Lost) -> Reply:
    return cast("Reply", lost.args[0])


def _fine(reply: Reply) -> bool:
    return reply.code // 100 == 2  # noqa: PLR2004 - the 2yz replies


def failure_name(error: BaseException) -> str:
    """Return what a failure of the connection means, in words for a log."""
    return "no reply in time" if isinstance(error, TimeoutError) else f"connection lost ({type(error).__name__})"


def _readable(letter: Letter) -> tuple[dict[str, Address], dict[str, Reply]]:
    """Return the recipients that can be written into a command, and replies for those that can't."""
    addresses: dict[str, Address] = {}
    replies: dict[str, Reply] = {}
    if letter.reverse_path and not _is_address(letter.reverse_path):
        refusal = Reply(501, "5.1.7 not a reverse-path that SMTP can carry", Stage.MAIL)
        return {}, dict.fromkeys(letter.recipients, refusal)
    for recipient in letter.recipients:
        try:
            addresses[recipient] = parse(recipient)
        except BadAddress:
            replies[recipient] = Reply(501, "5.1.3 not an address that SMTP can carry", Stage.RCPT)
    return addresses, replies


def _is_address(text: str) -> bool:
    try:
        parse(text)
    except BadAddress:
        return False
    return True

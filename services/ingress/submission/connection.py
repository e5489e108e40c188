"""The commands of a submission session: those of any SMTP session, and AUTH (RFC 4954)."""

from __future__ import annotations

import asyncio
import logging
import ssl

from services.core import replies
from services.core.replies import Reply
from services.ingress import decide
from services.ingress.connection import Connection
from services.ingress.front import Front
from services.ingress.inlet import Interrupted, LineTooLong
from services.ingress.submission import sasl
from services.ingress.submission.guards import Submitter
from services.ingress.submission.passwords import Busy

log = logging.getLogger("gatepost.submission")


class SubmissionConnection(Connection):
    """Speaks with one client of a customer, or with somebody who would like to be one."""

    _visitor: Submitter

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._verbs["AUTH"] = self._auth

    def _tls(self) -> ssl.SSLContext | None:
        return None if self._front.tls is None else self._visitor.tls() or self._front.tls

    async def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if (refusal := self._why_no_auth()) is not None:
            self._mistake(refusal)
            return
        try:
            match mechanism.upper():
                case "PLAIN":
                    credentials = sasl.plain(sasl.decoded(initial or await self._respond(replies.CHALLENGE)))
                case "LOGIN":
                    name = sasl.name_of(sasl.decoded(initial or await self._respond(replies.ASKS_NAME)))
                    password = sasl.decoded(await self._respond(replies.ASKS_PASSWORD))
                    credentials = sasl.Credentials(name, password)
                case _:
                    self._mistake(replies.NO_MECHANISM)
                    return
        except (sasl.BadResponse, LineTooLong):
            self._mistake(replies.BAD_RESPONSE)
        except _Cancelled:
            self._mistake(replies.AUTH_CANCELLED)
        except Interrupted:
            return  # the server has its last word already
        except TimeoutError:
            self._finish(replies.TOO_SLOW)
        else:
            await self._sign_in(credentials)

    def _why_no_auth(self) -> Reply | None:
        if not self._client.helo:
            return replies.HELO_FIRST
        if self._client.tls is None:
            return replies.ENCRYPTION_FIRST
        if self._visitor.account or self._sender is not None:
            return replies.AUTH_NOT_NOW
        return None

    async def _respond(self, challenge: Reply) -> str:
        """Return the client's answer; raise _Cancelled, Interrupted, LineTooLong, TimeoutError, or ConnectionError."""
        self._say_raw(f"{challenge.code} {challenge.text}")
        line = await self._wait_for_line(None)
        if line is None:
            raise ConnectionResetError("end of input within AUTH")
        text = line.rstrip(b"\r\n").decode("ascii", "replace")
        if text == "*":
            raise _Cancelled
        return text or "="

    async def _sign_in(self, credentials: sasl.Credentials) -> None:
        await self._flush()
        try:
            right = await self._visitor.sign_in(credentials)
        except Busy:
            self._say(replies.AUTH_UNAVAILABLE)
            return
        if right:
            log.info("event=signed-in account=%s client=%s", credentials.name, self._client.ip)
            self._say(replies.SIGNED_IN)
            return
        name = decide.printable(credentials.name)
        log.warning("event=auth-failed account=%s client=%s", name, self._client.ip)
        await asyncio.sleep(self._config.tarpit)
        self._front.refused(decide.Refusal(replies.BAD_CREDENTIALS, "bad-credentials"), self._client)
        self._mistake(replies.BAD_CREDENTIALS)


class _Cancelled(Exception):  # noqa: N818  # control flow inside this module
    """The client gave up (RFC 4954 section 4)."""

"""The commands of one SMTP connection (RFC 5321 section 4.1): what each does with the transaction, and its answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Final

from services.core import replies
from services.core.replies import Reply
from services.ingress import decide
from services.ingress.commands import BadCommand, parse_command, parse_helo
from services.ingress.front import Front
from services.ingress.receiving import Receiving

_FOR_GOOD: Final = 500  # and above: RFC 5321 section 4.2.1


class Connection(Receiving):
    """Speaks RFC 5321 with one client."""

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._errors = 0
        self._verbs: dict[str, Callable[[str], Awaitable[None]]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
            "STARTTLS": self._starttls,
            "VRFY": self._vrfy,
            "EXPN": self._not_implemented,
            "HELP": self._help,
            "AUTH": self._not_implemented,
            "BDAT": self._bdat,
            "ETRN": self._not_implemented,
            "TURN": self._not_implemented,
        }

    async def _execute(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            # What follows may be what another server smuggled in: nothing of it is read.
            self._finish(replies.BARE_LINE_END)
            self._front.refused(decide.Refusal(replies.BARE_LINE_END, "bare-line-end"), self._client)
            return
        try:
            verb, argument = parse_command(line[:-2])
        except BadCommand:
            self._mistake(replies.BAD_SYNTAX)
            return
        if verb == "PROXY" and not self._client.helo:
            refusal = decide.Refusal(replies.PROXY_REFUSED, "forged-proxy")
            self._front.refused(refusal, self._client)
            self._finish(refusal.reply)
            return
        action = self._verbs.get(verb)
        if action is None:
            self._mistake(replies.UNKNOWN_COMMAND)
            return
        await action(argument)

    def _mistake(self, reply: Reply) -> None:
        """Say no, and count it: a client that makes nothing but mistakes is no mail server."""
        self._errors += 1
        if self._visitor.mistaken() or self._errors >= self._config.max_errors:
            refusal = decide.Refusal(replies.TOO_MANY_ERRORS, "too-many-errors")
            self._front.refused(refusal, self._client)
            self._finish(refusal.reply)
        else:
            self._say(reply)

    def _idle(self, reply: Reply) -> None:
        """Answer a command that moves no mail; after many of them each counts as a mistake."""
        self._idle_commands += 1
        if self._idle_commands > self._config.max_idle_commands:
            self._mistake(reply)
        else:
            self._say(reply)

    async def _ehlo(self, argument: str) -> None:
        if not self._greet(argument, esmtp=True):
            return
        lines = [
            self._config.hostname,
            f"SIZE {self._config.max_size}",
            "8BITMIME",
            "SMTPUTF8",
            "PIPELINING",
            "CHUNKING",
            *(["STARTTLS"] if self._front.tls is not None and self._client.tls is None else []),
            *self._front.door.offers(self._client),
        ]
        self._say_raw("\r\n".join([*(f"250-{line}" for line in lines), "250 ENHANCEDSTATUSCODES"]))

    async def _helo(self, argument: str) -> None:
        if self._greet(argument, esmtp=False):
            self._say_raw(f"250 {self._config.hostname}")

    def _greet(self, argument: str, *, esmtp: bool) -> bool:
        try:
            name = parse_helo(argument)
        except BadCommand:
            self._mistake(replies.BAD_ARGUMENT)
            return False
        self._idle_commands += 1
        if self._idle_commands > self._config.max_idle_commands:
            self._mistake(replies.BAD_SYNTAX)
            return False
        if self._inlet.waiting() and not self._visitor.wanted:  # RFC 2920 section 3.1: EHLO ends a group of commands
            self._out_of_turn("early-pipelining")
            return False
        self._client = dataclasses.replace(self._client, helo=name, esmtp=esmtp)
        self._reset()
        return True

    async def _starttls(self, argument: str) -> None:
        if argument:
            self._mistake(replies.NO_ARGUMENT)
        elif self._client.tls is not None:
            self._mistake(replies.TLS_ALREADY)
        elif self._front.tls is None:
            self._mistake(replies.NO_TLS)
        else:
            self._say(replies.READY_FOR_TLS)
            await self._upgrade(self._tls())

    async def _mail(self, argument: str) -> None:
        if not self._client.helo:
            self._mistake(replies.HELO_FIRST)
            return
        if self._sender is not None:
            self._mistake(replies.NESTED_MAIL)
            return
        sender = self._front.door.sender(argument, self._visitor)
        if isinstance(sender, decide.Refusal):
            self._refuse(sender, reverse_path=_said(argument))
            return
        refusal = await self._visitor.judge(self._client.helo)
        if refusal is not None:
            self._front.refused(refusal, self._client, reverse_path=sender.reverse_path)
            self._finish(refusal.reply)
            return
        await self._slowly()
        if (refusal := self._visitor.transaction()) is not None:
            self._refuse(refusal, reverse_path=sender.reverse_path)
            return
        self._client = dataclasses.replace(self._client, front=self._visitor.reputation.evidence)
        self._sender = dataclasses.replace(sender, at=self._front.now())
        self._say(replies.SENDER_OK)

    async def _rcpt(self, argument: str) -> None:
        if self._sender is None:
            self._mistake(replies.MAIL_FIRST)
            return
        if self._chunked is not None:
            self._mistake(replies.CHUNKS_BEGUN)
            return
        await self._slowly()
        path = self._sender.reverse_path
        answer = self._front.door.recipient(argument, self._sender, len(self._accepted), self._visitor)
        if isinstance(answer, decide.Accepted):
            self._visitor.asked(path, exists=True)
            answer = self._visitor.takes(answer, path)
        elif answer.reply is replies.UNKNOWN_RECIPIENT:
            self._visitor.asked(path, exists=False)
        if isinstance(answer, decide.Refusal):
            await self._slowly(always=answer.reply is replies.NOT_NOW)
            self._refuse(answer, reverse_path=path, recipient=_said(argument))
            return
        self._accepted.setdefault(answer.address, answer)
        self._say(replies.RECIPIENT_OK)

    async def _slowly(self, *, always: bool = False) -> None:
        """Keep a client with a bad name waiting: its time costs it more than us."""
        if always or self._visitor.slow:
            await self._flush()
            await asyncio.sleep(self._config.tarpit)

    def _refuse(self, refusal: decide.Refusal, *, reverse_path: str = "", recipient: str = "") -> None:
        self._front.refused(refusal, self._client, reverse_path=reverse_path, recipient=recipient)
        if not refusal.reason and refusal.reply is not replies.UNAVAILABLE:
            self._mistake(refusal.reply)
            return
        # Who is put off, or has the others delivered first, may be a good sender; a harvester is not.
        if recipient and (refusal.reply.code >= _FOR_GOOD or refusal.reply is replies.NOT_NOW):
            self._refused_recipients += 1
        if self._refused_recipients >= self._config.max_refused_recipients:
            self._finish(replies.TOO_MANY_ERRORS)
        else:
            self._say(refusal.reply)

    async def _rset(self, argument: str) -> None:
        if argument:
            self._mistake(replies.NO_ARGUMENT)
            return
        self._reset()
        self._idle(replies.OK)

    async def _noop(self, argument: str) -> None:  # noqa: ARG002  # RFC 5321 section 4.1.1.9: a text, and ignored
        self._idle(replies.OK)

    async def _quit(self, argument: str) -> None:
        if argument:
            self._mistake(replies.NO_ARGUMENT)
        else:
            self._finish(replies.BYE)

    async def _vrfy(self, argument: str) -> None:
        """Say the same whether or not the address exists."""
        if argument:
            self._idle(replies.CANNOT_VERIFY)
        else:
            self._mistake(replies.BAD_ARGUMENT)

    async def _help(self, argument: str) -> None:  # noqa: ARG002  # one answer for all topics
        self._idle(replies.HELP)

    async def _not_implemented(self, argument: str) -> None:  # noqa: ARG002  # not for any argument
        self._mistake(replies.NOT_IMPLEMENTED)


def _said(argument: str) -> str:
    """Return what MAIL or RCPT named, as the client wrote it."""
    return argument.partition(":")[2].strip()

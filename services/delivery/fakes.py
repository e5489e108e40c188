"""An MTA in memory, in the place of `dial.SmtpDial`. It passes the contract tests that real connections pass."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

from schemas.events import Host
from services.delivery.decide import Kind, Reply, Stage
from services.delivery.dial import Unreachable
from services.delivery.session import SERVICE_CLOSING, TOO_MANY, Letter, Session, Transaction

Answer = tuple[int, str]


@dataclasses.dataclass(slots=True)
class Manners:
    """How an MTA behaves. Tests change it while it runs."""

    up: bool = True  # False: connections are refused
    greeting: Answer = (220, "mta.test ready")
    extensions: tuple[str, ...] = ("SIZE 52428800", "8BITMIME", "SMTPUTF8")
    mail: Answer = (250, "2.1.0 fine")
    recipients: Mapping[str, Answer] = dataclasses.field(default_factory=dict)  # others are fine
    most_recipients: int = 1_000  # of a transaction; further ones get 452 4.5.3
    data: Answer = (354, "go ahead")
    final: Answer = (250, "2.0.0 taken")
    hang_up: Stage | None = None  # the connection is cut where this reply would come
    cuts_kept: bool = False  # a connection that was used before is cut at MAIL
    takes: bool = True  # False: with `hang_up` at the final reply, the message is not kept


@dataclasses.dataclass(frozen=True, slots=True)
class Arrived:
    """A message that an MTA took."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes
    parameters: frozenset[str] = frozenset()  # of MAIL, upper case


class MemoryMta:
    """One MTA: a Dial for every host that it is given to."""

    def __init__(self, manners: Manners | None = None) -> None:
        self.manners = manners or Manners()
        self.arrived: list[Arrived] = []
        self.connections = 0
        self.refused = 0  # attempts that got no session
        self.most_at_once = 0
        self.held: asyncio.Event | None = None  # set: every final reply waits for it
        self.open = 0

    async def __call__(self, host: Host) -> Session:  # noqa: ARG002 - one MTA, whatever its name
        """As Dial."""
        await asyncio.sleep(0)
        code, text = self.manners.greeting
        if not self.manners.up or code // 100 != 2:  # noqa: PLR2004 - the 2yz replies
            self.refused += 1
            raise Unreachable(f"{code} {text}" if self.manners.up else "refused, by order of the test")
        self.connections += 1
        self.open += 1
        self.most_at_once = max(self.most_at_once, self.open)
        return MemorySession(self)


class MemorySession:
    """One connection to a MemoryMta."""

    tls = ""

    def __init__(self, mta: MemoryMta) -> None:
        self._mta = mta
        self._alive = True
        self._kept = False

    async def reset(self) -> bool:
        """As Session."""
        await asyncio.sleep(0)
        self._kept = True
        return self._alive and self._mta.manners.up

    async def quit(self) -> None:
        """As Session."""
        self.close()

    def close(self) -> None:
        """As Session."""
        if self._alive:
            self._mta.open -= 1
        self._alive = False

    async def send(self, letter: Letter) -> Transaction:
        """As Session."""
        await asyncio.sleep(0)
        manners = self._mta.manners
        cut = not manners.up or manners.hang_up is Stage.MAIL or (manners.cuts_kept and self._kept)
        if cut or manners.mail[0] == SERVICE_CLOSING:
            self.close()
            code, text = (0, "connection lost, by order of the test") if cut else manners.mail
            return Transaction({}, broken=Reply(code, text, Stage.MAIL), reusable=False)
        mail = Reply(*manners.mail, Stage.MAIL)
        if mail.code // 100 != 2:  # noqa: PLR2004 - the 2yz replies
            return Transaction(dict.fromkeys(letter.recipients, mail))
        replies: dict[str, Reply] = {}
        pending = list(letter.recipients)
        while pending:
            accepted, rest = self._recipients(pending, replies)
            if self._alive and accepted:
                await self._data(letter, accepted, replies)
            if not self._alive:
                last = next(reversed(replies.values()))
                for recipient in pending:
                    replies.setdefault(recipient, dataclasses.replace(last, ambiguous=False))
                return Transaction(replies, closing=last if last.code == SERVICE_CLOSING else None, reusable=False)
            pending = rest
        return Transaction(replies)

    def _recipients(self, pending: list[str], replies: dict[str, Reply]) -> tuple[list[str], list[str]]:
        manners = self._mta.manners
        accepted: list[str] = []
        rest: list[str] = []
        for recipient in pending:
            fine = (250, "2.1.5 fine") if len(accepted) < manners.most_recipients else (452, "4.5.3 too many")
            reply = _reply(manners, Stage.RCPT, manners.recipients.get(recipient, fine))
            if manners.hang_up is Stage.RCPT or reply.code == SERVICE_CLOSING:
                self.close()
                replies.update({name: reply for name in pending if name not in replies})
                return [], []
            if reply.code // 100 == 2:  # noqa: PLR2004 - the 2yz replies
                accepted.append(recipient)
            elif accepted and reply.code in TOO_MANY and reply.kind is Kind.TEMPORARY:
                rest.append(recipient)
            else:
                replies[recipient] = reply
        return accepted, rest

    async def _data(self, letter: Letter, accepted: list[str], replies: dict[str, Reply]) -> None:
        manners = self._mta.manners
        start = _reply(manners, Stage.DATA, manners.data)
        if start.code != 354:  # noqa: PLR2004 - the one reply that goes on
            replies.update(dict.fromkeys(accepted, start))
            if manners.hang_up is Stage.DATA or start.code == SERVICE_CLOSING:
                self.close()
            return
        if self._mta.held is not None:
            await self._mta.held.wait()
        manners = self._mta.manners
        final = _reply(manners, Stage.FINAL, manners.final)
        lost = manners.hang_up is Stage.FINAL
        if manners.takes and (lost or final.code // 100 == 2):  # noqa: PLR2004 - the 2yz replies
            content = b"".join(letter.parts)
            self._mta.arrived.append(Arrived(letter.reverse_path, tuple(accepted), content))
        replies.update(dict.fromkeys(accepted, dataclasses.replace(final, ambiguous=lost)))
        if lost or final.code == SERVICE_CLOSING:
            self.close()


def _reply(manners: Manners, stage: Stage, answer: Answer) -> Reply:
    if manners.hang_up is stage:
        return Reply(0, "connection lost, by order of the test", stage)
    return Reply(*answer, stage)

"""What the directory service is asked: whether a password opens somebody's entry, and who there is.

LDAP is spoken there alone, where the secrets of customers' directories and the ways to them are. It answers only who
has the users' key, and both question and answer are sealed with it: a password crosses the cluster's network in it.
"""

from __future__ import annotations

import os
from typing import Final, Protocol

import aiohttp
import msgspec

from services.console.users.decide import Person
from services.console.users.tables import Kind
from services.core.asked import ANSWER, ASK, PATH, Answer, Question, asking_key
from services.core.clock import Clock
from services.core.errors import DirectoryRefused, DirectoryUnavailable, KeyDestroyed, Permanent
from services.core.wrapping import unwrap, wrap

WITHIN: Final = 45.0  # seconds; a whole directory takes longer than one entry
ANSWER_MOST: Final = 64 << 20  # octets


class Asked(Protocol):
    """Answers questions about customers' directories."""

    async def ask(self, question: Question) -> Answer:
        """Return the answer. Raises DirectoryUnavailable, DirectoryRefused."""
        ...


class TooMany(Permanent):  # the name says what it is
    """A read would take away more users than a directory loses by itself."""

    def __init__(self, gone: int, before: int) -> None:
        super().__init__(f"{gone} of {before} users would go")
        self.gone = gone
        self.before = before

    @classmethod
    def check(cls, gone: int, before: int, share: float) -> None:
        """Raise it, unless so few go: one may always, but for the last."""
        if gone and (gone == before or gone > max(1, int(before * share))):
            raise cls(gone, before)


class NoDirectory:
    """Where no users' key is set: nobody can be asked."""

    async def ask(self, question: Question) -> Answer:  # noqa: ARG002  # the port's
        """See Asked."""
        raise DirectoryUnavailable("GATEPOST_USERS_KEY is not set")


class DirectoryService:
    """Asks over HTTP."""

    def __init__(self, url: str, master: bytes, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._url = url.rstrip("/") + PATH
        self._key = asking_key(master)
        self._session = session
        self._clock = clock

    async def ask(self, question: Question) -> Answer:
        """See Asked."""
        question = msgspec.structs.replace(question, at=self._clock.now(), nonce=os.urandom(16).hex())
        sealed = wrap(self._key, msgspec.json.encode(question), ASK, os.urandom)
        try:
            limit = aiohttp.ClientTimeout(total=WITHIN)
            async with self._session.post(self._url, data=sealed, timeout=limit) as response:
                if response.status != 200:  # noqa: PLR2004  # HTTP's own
                    raise DirectoryUnavailable(f"the directory service answered {response.status}")
                if (response.content_length or 0) > ANSWER_MOST:
                    raise DirectoryUnavailable("the directory service's answer is too long")
                octets = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DirectoryUnavailable(f"the directory service does not answer: {type(error).__name__}") from error
        try:
            answer = msgspec.json.decode(unwrap(self._key, octets, ANSWER + question.nonce), type=Answer)
        except (KeyDestroyed, msgspec.DecodeError) as error:
            raise DirectoryUnavailable("the directory service has another users' key") from error
        if answer.away:
            raise DirectoryUnavailable(answer.away)
        if answer.refused:
            raise DirectoryRefused(answer.refused)
        return answer


async def listed(directory: Asked, customer: str, source: str) -> list[Person]:
    """Return who has an address in one of a customer's directories."""
    answer = await directory.ask(Question(customer=customer, source=source))
    return [
        Person(
            address=entry.addresses[0],
            kind=Kind.GROUP if entry.group else Kind.USER,
            name=entry.name,
            aliases=frozenset(entry.addresses[1:]),
            members=frozenset(entry.members) if entry.group else None,
            entry=entry.id,
        )
        for entry in answer.entries
        if entry.addresses
    ]


async def bound(directory: Asked, customer: str, address: str, password: str) -> tuple[str, Person] | None:
    """Return the source and the person whose entry has the address and takes the password, None when there is none."""
    answer = await directory.ask(Question(customer=customer, address=address, password=password))
    if not answer.entries:
        return None
    entry = answer.entries[0]
    rest = frozenset(entry.addresses) - {address}
    first = entry.addresses[0] if entry.addresses else address
    return answer.source, Person(address=first, name=entry.name, aliases=(rest | {address}) - {first}, entry=entry.id)

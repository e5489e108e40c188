"""Where the consoles ask: one question a request, sealed with the users' key, and answered sealed.

Only this service has the secrets of customers' directories and a way to them; only who has the key can ask, and only
about a customer that there is. A password is in the sealed question, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from aiohttp import web

from schemas.events import Customer, LdapSource
from services.core.asked import ANSWER, ASK, FRESH, PATH, Answer, Entry, Question, asking_key
from services.core.clock import Clock
from services.core.directory_entries import addresses
from services.core.errors import DirectoryRefused, DirectoryUnavailable, KeyDestroyed, StartError
from services.core.wrapping import unwrap, wrap
from services.directory.config import DirectoryConfig
from services.directory.decide import entry_hash
from services.directory.port import Found, People

log = logging.getLogger("gatepost.directory")

QUESTION_MOST: Final = 16_384  # octets
AT_ONCE: Final = 16  # questions; who comes beyond waits
NONCES_MOST: Final = 100_000
NAME_MOST: Final = 200  # characters


class AskingDesk:
    """Opens questions and seals answers."""

    def __init__(self, master: bytes, people: People, customer: Callable[[str], Customer | None], clock: Clock) -> None:
        self._key = asking_key(master)
        self._people = people
        self._customer = customer
        self._clock = clock
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._seen: OrderedDict[str, float] = OrderedDict()

    async def answered(self, sealed: bytes) -> bytes | None:
        """Return the sealed answer; None for what isn't a question of somebody who has the key, or was asked before."""
        try:
            question = msgspec.json.decode(unwrap(self._key, sealed, ASK), type=Question)
        except (KeyDestroyed, msgspec.DecodeError):
            return None
        if not self._new(question):
            return None
        async with self._turn:
            try:
                answer = await self._answer(question)
            except DirectoryUnavailable as error:
                answer = Answer(away=str(error))
            except DirectoryRefused as error:
                answer = Answer(refused=str(error))
        log.info(
            "customer=%s event=directory-asked what=%s found=%d problem=%s",
            *(question.customer, "bind" if question.address else "everybody", len(answer.entries)),
            answer.away or answer.refused or "-",
        )
        return wrap(self._key, msgspec.json.encode(answer), ANSWER + question.nonce, os.urandom)

    def _new(self, question: Question) -> bool:
        """Return whether the question is fresh and was never asked: who kept one learns nothing by it later."""
        now = self._clock.now()
        while self._seen and (len(self._seen) > NONCES_MOST or next(iter(self._seen.values())) < now - 2 * FRESH):
            self._seen.popitem(last=False)
        if abs(now - question.at) > FRESH or not question.nonce or question.nonce in self._seen:
            return False
        self._seen[question.nonce] = now
        return True

    async def _answer(self, question: Question) -> Answer:
        customer = self._customer(question.customer)
        if customer is None:
            return Answer(refused="there is no such customer")
        sources = [each for each in customer.directory if question.source in {"", each.name}]
        if not question.address:
            found = [entry for source in sources for entry in await self._everybody(customer, source)]
            return Answer(entries=tuple(found))
        if not question.password:
            return Answer()
        problem: DirectoryUnavailable | None = None
        for source in sources:
            try:
                bound = await self._people.bind(source, question.address, question.password)
            except DirectoryUnavailable as error:
                problem = error
                continue
            entries = () if bound is None else _entries(customer, [bound])
            if any(question.address in entry.addresses for entry in entries):
                return Answer(entries=entries, source=source.name)
        if problem is not None:
            raise problem  # the one that didn't answer may have been the right one
        return Answer()

    async def _everybody(self, customer: Customer, source: LdapSource) -> tuple[Entry, ...]:
        found = await self._people.everybody(source)
        return await asyncio.to_thread(_entries, customer, found)


def _entries(customer: Customer, found: Iterable[Found]) -> tuple[Entry, ...]:
    """Return the entries with an address in the customer's domains; pure, and slow with many."""
    domains = frozenset(domain.name for domain in customer.domains)
    listed = list(found)
    ours: dict[str, list[str]] = {}
    for each in listed:
        # In the order of the attributes: `mail` comes before what else somebody is reached by.
        known = dict.fromkeys(
            address.canonical for value in each.values for address in addresses([value], domains).ours
        )
        ours[each.dn.lower()] = list(known)
    return tuple(
        Entry(
            id=entry_hash(customer.salt, each.id),
            addresses=tuple(ours[each.dn.lower()]),
            name=each.name[:NAME_MOST],
            group=each.group,
            members=tuple(ours[member.lower()][0] for member in each.members if ours.get(member.lower())),
        )
        for each in listed
        if ours[each.dn.lower()]
    )


async def answer(desk: AskingDesk, config: DirectoryConfig, stop: asyncio.Event) -> None:
    """Answer until `stop`; raise StartError, one line, when the port can't be had."""

    async def ask(request: web.Request) -> web.Response:
        said = await desk.answered(await request.read())
        return web.Response(status=403) if said is None else web.Response(body=said)

    app = web.Application(client_max_size=QUESTION_MOST)
    app.router.add_post(PATH, ask)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.directory_host, config.directory_port).start()
        await stop.wait()
    except OSError as error:
        raise StartError(f"port {config.directory_port} can't be used: {error.strerror or error}") from error
    finally:
        await runner.cleanup()

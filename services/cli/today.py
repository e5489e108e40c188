"""The customers of an installation as they are today, and what policy knows beside their rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.catalog import CUSTOMERS, RECIPIENTS, SENDERS
from schemas.events import Customer, SenderEntry
from services.core.directory import Directory
from services.core.directory_groups import asks
from services.core.senders import Senders
from services.replay.decide import Beside
from services.runtime.consume import decode
from services.runtime.window import KafkaWindow, Span


async def today(kafka: str, client: str, candidates: Iterable[Customer] = ()) -> tuple[Mapping[str, Customer], Beside]:
    """Return the customers by id, and their lists and groups; groups are read only if a rule of theirs, or of the
    candidates, asks for one. Raises BusUnavailable, and UnreadableEvent for what no version of ours wrote.
    """
    directory, senders = Directory(), Senders()
    await _read(kafka, client, directory, senders, Span(CUSTOMERS), Span(SENDERS))
    if any(map(asks, (*directory.customers(), *candidates))):
        await _read(kafka, client, directory, senders, Span(RECIPIENTS))

    def groups_of(customer: Customer, address: str) -> Iterable[str]:
        return directory.groups_of(directory.customer(customer.id) or customer, address)  # a candidate has no salt

    return {customer.id: customer for customer in directory.customers()}, Beside(senders, groups_of)


async def _read(kafka: str, client: str, directory: Directory, senders: Senders, *spans: Span) -> None:
    async for raw in KafkaWindow(kafka, client, spans).records():
        record = decode(raw)
        if isinstance(record.event, SenderEntry):
            senders.apply(record.event)
        elif record.topic is SENDERS:
            senders.remove(record.key)
        elif record.event is None:
            directory.remove(record.topic.struct, record.key)
        else:
            directory.apply(record.event)

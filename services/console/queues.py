"""What waits for a customer's MTAs; and orders to delivery, each an event that goes with its audit line."""

from __future__ import annotations

import asyncio

from schemas.catalog import QUEUE_COMMANDS, QUEUES, Topic
from schemas.events import Customer, Order, QueueCommand, QueueState
from services.console import models, traffic_models
from services.console.book import Book
from services.console.caller import Caller, NotFound, allowed
from services.console.roles import Act
from services.core.directory import Directory
from services.delivery.decide import hosts_of, where_of
from services.delivery.orders import Orders
from services.delivery.states import FRESH, Standing, merged
from services.runtime.bus import Bus, Record


class QueueView:
    """What delivery says of its destinations, as the topics have it."""

    def __init__(self) -> None:
        self._states: dict[str, QueueState] = {}
        self._orders = Orders()

    def apply(self, record: Record) -> None:
        """Take in a record of either topic."""
        if isinstance(record.event, QueueCommand):
            self._orders.apply(record.event)
        elif isinstance(record.event, QueueState):
            self._states[record.key] = record.event
        else:
            self._states.pop(record.key, None)

    def standings(self, now: float, customer: str | None = None) -> list[Standing]:
        """Return the destinations of a customer, None: of all, the fullest first."""
        for key in [key for key, state in self._states.items() if state.at < now - 2 * FRESH]:
            del self._states[key]  # left by a process that is gone
        own = [state for state in self._states.values() if customer in {None, state.customer}]
        return merged(own, [hold for hold in self._orders.holds() if customer in {None, hold.customer}], now)

    def depth(self, now: float, customer: str | None = None) -> traffic_models.Depth:
        """Return how much waits."""
        rows = self.standings(now, customer)
        return traffic_models.Depth(
            messages=sum(row.depth for row in rows),
            oldest=min((row.oldest for row in rows if row.oldest), default=0.0),
            down=sum(row.state == "down" for row in rows),
        )


async def follow_queues(bus: Bus, view: QueueView) -> None:
    """Keep the view in step, for ever. Nobody waits for it: until then less waits than is so."""
    async with asyncio.TaskGroup() as tasks:
        for topic in (QUEUES, QUEUE_COMMANDS):
            tasks.create_task(_follow(bus, view, topic), name=f"follow-{topic.name}")


async def _follow(bus: Bus, view: QueueView, topic: Topic) -> None:
    async for record in bus.follow(topic, asyncio.Event()):
        view.apply(record)


class Queues:
    """Operations on what waits."""

    def __init__(self, book: Book, directory: Directory, view: QueueView) -> None:
        self.book = book
        self._directory = directory
        self._view = view

    @allowed(Act.QUEUE_SHOW)
    async def queue(self, caller: Caller, customer: str) -> traffic_models.Queue:  # noqa: ARG002 - `allowed` reads it
        """What waits for a customer's MTAs, by destination."""
        return traffic_models.Queue(destinations=[_shown(row) for row in self._rows(customer)])

    @allowed(Act.QUEUE_CHANGE)
    async def order_queue(self, caller: Caller, customer: str, body: traffic_models.QueueOrder) -> models.Empty:
        """Have a destination tried at once, held, or let go again."""
        row = next((each for each in self._rows(customer) if each.destination == body.destination), None)
        if row is None:
            raise NotFound(body.destination)
        before = {"state": row.state, "waiting": row.depth, "held": row.held}
        async with self.book.change(caller.author) as change:
            command = QueueCommand(
                command_id=change.new_id(),
                action=Order(body.action),
                customer=customer,
                destination=body.destination,
                by=caller.author.name,
                why=body.why,
                at=change.now,
            )
            await change.send(QUEUE_COMMANDS, command.command_id, command)
            after = {"asked": body.action, "why": body.why}
            await change.note(customer, f"queue-{body.action}", body.destination, before=before, after=after)
        return models.Empty()

    def _rows(self, customer: str) -> list[Standing]:
        rows = self._view.standings(self.book.clock.now(), customer)
        idle = destinations_of(self._directory.customer(customer)) - {row.destination for row in rows}
        return rows + [Standing(customer, name, "open", 0, 0.0, "", "") for name in sorted(idle)]


def destinations_of(customer: Customer | None) -> set[str]:
    """Return where mail to a customer's domains goes, as delivery names it: one may be held before anything waits."""
    if customer is None:
        return set()
    return {where_of(hosts_of(customer, domain.name)) for domain in customer.domains if domain.relay}


def _shown(row: Standing) -> traffic_models.Destination:
    return traffic_models.Destination.model_validate(
        {
            "destination": row.destination,
            "state": row.state,
            "waiting": row.depth,
            "oldest": row.oldest,
            "reply": row.reply,
            "held": row.held,
        }
    )

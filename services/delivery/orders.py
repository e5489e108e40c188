"""What people ordered: who is held, what was failed, and since when. Pure.

Commands stay in their topic and come again at each start, in order. A hold lasts until its resume; a fail ends what
waited when it was given, also what is read only later; a flush is over at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.events import Order, QueueCommand
from services.delivery.destination import Destination

FLUSH_WITHIN: Final = 600.0  # seconds in which a flush is still meant


class Orders:
    """The commands that still mean something."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], QueueCommand] = {}  # customer with destination or message
        self._failed: dict[tuple[str, str], QueueCommand] = {}

    def apply(self, command: QueueCommand) -> None:
        """Take in a command, in the order of the topic."""
        target = (command.customer, command.message or command.destination)
        match command.action:
            case Order.HOLD:
                self._held[target] = command
            case Order.RESUME:
                self._held.pop(target, None)
            case Order.FAIL:
                self._failed[target] = command
            case Order.FLUSH:
                pass

    def holds(self) -> list[QueueCommand]:
        """Return every hold that lasts."""
        return list(self._held.values())

    def held_destination(self, destination: Destination) -> QueueCommand | None:
        """Return the hold of the destination, None when it has none."""
        return self._held.get((destination.customer, destination.where))

    def held_message(self, message: str, customer: str | None = None) -> QueueCommand | None:
        """Return the hold of the message, None when it has none."""
        if customer is not None:
            return self._held.get((customer, message))
        return next((held for (_, target), held in self._held.items() if target == message), None)

    def failed(self, message: str, destination: Destination, since: float) -> QueueCommand | None:
        """Return the order by which what waits since then is to end, None when there is none."""
        for target in (message, destination.where):
            command = self._failed.get((destination.customer, target))
            if command is not None and since <= command.at:
                return command
        return None

    def fails(self, command: QueueCommand, since: float) -> bool:
        """Return whether the command ends what waits since then."""
        return command.action is Order.FAIL and since <= command.at

    def lets_go(self, command: QueueCommand) -> bool:
        """Return whether the command lets a message be tried at once."""
        return command.action in {Order.FLUSH, Order.RESUME}

    def act(self, command: QueueCommand, destination: Destination, now: float) -> Iterator[str]:
        """Carry out a command on its destination, and return the keys to end."""
        if command.message or command.destination != destination.where:
            return iter(())
        destination.held = self.held_destination(destination)
        match command.action:
            case Order.FAIL:
                return destination.waiting.walk()
            case Order.RESUME:
                destination.flush()
            case Order.FLUSH if now - command.at < FLUSH_WITHIN:
                destination.flush()
                if destination.health.down:
                    destination.health.probe_at = now
            case _:
                pass
        return iter(())

    @staticmethod
    def reason(command: QueueCommand) -> str:
        """Return what the outcome of a failed message says."""
        return f"5.7.0 ended by {command.by}: {command.why}"

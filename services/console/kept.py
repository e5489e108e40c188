"""Customers that the customers file keeps: shown as they are, and taken over into the console's database."""

from __future__ import annotations

from services.console import models
from services.console.book import Book
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.customers import Customers
from services.console.export import to_yaml
from services.console.roles import Act
from services.core.customers import CustomerSpec
from services.core.directory import Directory
from services.runtime.customers_plan import CONSOLE


class Kept:
    """Operations on customers that are not the console's."""

    def __init__(self, book: Book, customers: Customers, directory: Directory) -> None:
        self.book = book
        self._customers = customers
        self._directory = directory

    @allowed(Act.CUSTOMERS_SHOW)
    async def kept(self, caller: Caller) -> models.KeptCustomers:  # noqa: ARG002 - `allowed` reads it
        """Customers whose settings a file keeps, by id."""
        found = [event for event in self._directory.customers() if event.origin != CONSOLE]
        return models.KeptCustomers(customers=[models.KeptName(id=event.id, name=event.name) for event in found])

    @allowed(Act.CUSTOMERS_SHOW)
    async def kept_customer(self, caller: Caller, customer: str) -> models.KeptCustomer:  # noqa: ARG002 - as above
        """One of them, as the customers file has it; recipients that it lists are known by their digests alone."""
        spec = self._spec(customer)
        listed = self._directory.lists(customer)
        return models.KeptCustomer(id=customer, name=spec.customer.name, yaml=to_yaml([spec]), listed=listed)

    @allowed(Act.CUSTOMERS_CHANGE)
    async def take_over(self, caller: Caller, customer: str) -> models.Empty:
        """Keep the customer here from now on, just as it is: what `gatepost console import` does with the file."""
        spec = self._spec(customer)
        if self._directory.lists(customer):
            raise Refused("kept.listed")
        await self._customers.take_in([spec], caller.author)
        return models.Empty()

    def _spec(self, customer: str) -> CustomerSpec:
        event = self._directory.customer(customer)
        if event is None or event.origin == CONSOLE:
            raise NotFound(customer)
        return CustomerSpec(event)

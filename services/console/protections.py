"""Whom a customer protects, and how long its mail is kept."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from schemas.events import Customer
from services.console import mail_models as models
from services.console.book import Book
from services.console.caller import Caller, Refused, allowed
from services.console.export import protect_tree
from services.console.roles import Act
from services.console.settings import change_settings, current
from services.core.customers import with_lists
from services.core.errors import ConfigError
from services.core.protection import parse_protect
from services.core.tree import Place, node_of

HOSTS = ("allow", "block", "forwarders")
KEPT = ("queue_days", "delay_warning_hours", "quarantine_days", "retention_hours", "helpdesk_reads")


class Protections:
    """Operations on what else a customer chooses for its mail."""

    def __init__(self, book: Book) -> None:
        self.book = book

    @allowed(Act.SETTINGS_SHOW)
    async def protection(self, caller: Caller, customer: str) -> models.Protection:  # noqa: ARG002 - `allowed` reads it
        """Names and domains that somebody who deceives the customer would use."""
        async with self.book.reading() as connection:
            return _protection(await current(connection, customer))

    @allowed(Act.SETTINGS_CHANGE)
    async def set_protection(self, caller: Caller, customer: str, body: models.Protection) -> models.Protection:
        """Put others in their place."""

        def edit(before: Customer) -> Customer:
            tree = body.model_dump(exclude_defaults=True)
            try:
                return msgspec.structs.replace(before, protect=parse_protect(Place("", "", node_of(tree))))
            except ConfigError as error:
                raise Refused("protection.bad", reason=str(error).removeprefix(":1: ")) from error

        async with self.book.change(caller.author) as change:
            return _protection(await change_settings(change, customer, "protection-changed", edit, "protect"))

    @allowed(Act.SETTINGS_SHOW)
    async def hosts(self, caller: Caller, customer: str) -> models.Hosts:  # noqa: ARG002 - as above
        """Hosts that are let in whatever lists say, that nothing is taken from, and that forward others' mail."""
        async with self.book.reading() as connection:
            return _hosts(await current(connection, customer))

    @allowed(Act.SETTINGS_CHANGE)
    async def set_hosts(self, caller: Caller, customer: str, body: models.Hosts) -> models.Hosts:
        """Put others in their place; the doors follow within seconds."""

        def edit(before: Customer) -> Customer:
            tree = {name: [each.strip() for each in networks] for name, networks in body.model_dump().items()}
            try:
                return with_lists(before, Place("", "", node_of(tree)))
            except ConfigError as error:
                raise Refused("hosts.bad", reason=str(error).rpartition("]: ")[2].removeprefix(":1: ")) from error

        async with self.book.change(caller.author) as change:
            return _hosts(await change_settings(change, customer, "hosts-changed", edit, *HOSTS))

    @allowed(Act.SETTINGS_SHOW)
    async def retention(self, caller: Caller, customer: str) -> models.Retention:  # noqa: ARG002 - as above
        """How long mail waits, is held, and is kept for replay."""
        async with self.book.reading() as connection:
            return _retention(await current(connection, customer))

    @allowed(Act.SETTINGS_CHANGE)
    async def set_retention(self, caller: Caller, customer: str, body: models.Retention) -> models.Retention:
        """Choose otherwise. The days that mail waits were promised to what waits already: they only ever grow."""
        async with self.book.change(caller.author) as change:
            return _retention(await change_settings(change, customer, "retention-changed", _kept(body), *KEPT))


def _kept(body: models.Retention) -> Callable[[Customer], Customer]:
    def edit(before: Customer) -> Customer:
        if body.queue_days < before.queue_days:
            raise Refused("retention.promised", days=f"{before.queue_days:g}")
        return msgspec.structs.replace(before, **body.model_dump())

    return edit


def _protection(customer: Customer) -> models.Protection:
    return models.Protection.model_validate(protect_tree(customer.protect))


def _hosts(customer: Customer) -> models.Hosts:
    return models.Hosts.model_validate({name: list(getattr(customer, name)) for name in HOSTS})


def _retention(customer: Customer) -> models.Retention:
    return models.Retention.model_validate({name: getattr(customer, name) for name in KEPT})

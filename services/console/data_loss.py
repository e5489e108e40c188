"""A customer's data-loss rules: changed as a whole, and tried on what the scanner has said of past mail before."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

import msgspec

from schemas.events import Customer, DataRule
from services.console import data_loss_models as models
from services.console.book import Book
from services.console.caller import Caller, Refused, allowed
from services.console.export import data_rule_tree
from services.console.look_back import LookBack
from services.console.roles import Act
from services.console.settings import change_settings, current
from services.core.customer_data_loss import parse_data_loss
from services.core.errors import ConfigError
from services.core.tree import Place, node_of

NEEDLES: Final = ("numbers", "patterns", "words", "files", "unread", "at_least")  # what the scanner looks for


class DataLoss:
    """Operations on data-loss rules."""

    def __init__(self, book: Book, back: LookBack) -> None:
        self.book = book
        self._back = back

    @allowed(Act.OUTBOUND_SHOW)
    async def data_loss(self, caller: Caller, customer: str) -> models.DataLoss:  # noqa: ARG002 - `allowed` reads it
        """What must not leave the customer unseen."""
        async with self.book.reading() as connection:
            return _shown(await current(connection, customer))

    @allowed(Act.OUTBOUND_CHANGE)
    async def set_data_loss(self, caller: Caller, customer: str, body: models.NewDataLoss) -> models.DataLoss:
        """Put other rules in the place of those that were looked at; mail follows them within seconds."""
        async with self.book.reading() as connection:
            rules = await _written(await current(connection, customer), body)
        async with self.book.change(caller.author) as change:
            after = await change_settings(
                change,
                customer,
                "data-loss-changed",
                lambda before: _changed(before, body, rules),
                "outbound",
                said=lambda known: {"data_loss": [data_rule_tree(rule) for rule in known.outbound.data_loss]},
            )
            return _shown(after)

    @allowed(Act.POLICIES_TRY)
    async def try_data_loss(self, caller: Caller, customer: str, body: models.NewDataLoss) -> models.DataLossWhatIf:  # noqa: ARG002 - as above
        """What other rules would have done to what went out in the last seven days, by what was found in it then."""
        async with self.book.reading() as connection:
            now = await current(connection, customer)
        rules = await _written(now, body)
        found = await self._back.look(now, _changed(now, body, rules))
        return models.DataLossWhatIf(found=found, unknown=_unknown(now.outbound.data_loss, rules))


async def _written(known: Customer, body: models.NewDataLoss) -> tuple[DataRule, ...]:
    tree = [_said(rule) for rule in body.rules]
    domains = [domain.name for domain in known.domains]
    try:  # expressions are compiled: not in the loop
        return await asyncio.to_thread(parse_data_loss, Place("", "", node_of(tree)), domains)
    except ConfigError as error:
        raise Refused("dlp.bad", reason=str(error).removeprefix(":1: ")) from error


def _said(rule: models.DataRule) -> dict[str, Any]:
    """Return what a rule says; what is empty says nothing."""
    return {name: value for name, value in rule.model_dump(exclude_defaults=True).items() if value != []}


def _changed(before: Customer, body: models.NewDataLoss, rules: tuple[DataRule, ...]) -> Customer:
    """Return the customer with the rules; raise Refused when others have been saved meanwhile."""
    if body.version != _version(before):
        raise Refused("policy.changed")
    outbound = msgspec.structs.replace(before.outbound, data_loss=rules)
    return msgspec.structs.replace(before, outbound=outbound)


def _unknown(now: tuple[DataRule, ...], then: tuple[DataRule, ...]) -> list[str]:
    """Return the names of rules that looked for something else until now, or are new."""
    sought = {rule.name: [getattr(rule, name) for name in NEEDLES] for rule in now}
    return [rule.name for rule in then if sought.get(rule.name) != [getattr(rule, name) for name in NEEDLES]]


def _version(customer: Customer) -> str:
    return hashlib.sha256(msgspec.json.encode(customer.outbound.data_loss)).hexdigest()[:16]


def _shown(customer: Customer) -> models.DataLoss:
    rules = [models.DataRule.model_validate(msgspec.to_builtins(rule)) for rule in customer.outbound.data_loss]
    return models.DataLoss(rules=rules, version=_version(customer))

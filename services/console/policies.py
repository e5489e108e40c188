"""Policies: a customer's ordered rules, changed as a whole, and tried on what came in before they are."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

import msgspec

from schemas.events import Action, Customer, Rule
from services.console import policy_models as models
from services.console.book import Book
from services.console.caller import Caller, Refused, allowed
from services.console.export import dumped, policy_tree, rule_tree
from services.console.look_back import LookBack
from services.console.models import Yaml
from services.console.policy_parts import merged, part_of
from services.console.roles import Act
from services.console.settings import change_settings, current
from services.core.customers import with_policy
from services.core.errors import ConfigError
from services.core.tree import Place, node_of
from services.policy.defaults import RULES
from services.runtime.yaml_tree import parse_tree

FIELDS: Final = ("rules", "groups", "hold_unscanned", "unscanned")
_NAME: Final = "policy"


class Policies:
    """Operations on policies."""

    def __init__(self, book: Book, back: LookBack) -> None:
        self.book = book
        self._back = back

    @allowed(Act.POLICIES_SHOW, limited=True)
    async def policy(self, caller: Caller, customer: str) -> models.Policy:
        """The rules in their order; Gatepost's own where the customer wrote none.

        Whoever is limited to domains has the rules and groups that are about these alone.
        """
        async with self.book.reading() as connection:
            return _shown(await current(connection, customer), caller)

    @allowed(Act.POLICIES_SHOW, limited=True)
    async def policy_yaml(self, caller: Caller, customer: str) -> Yaml:
        """The same as the customers file has it under `policy`, also where the customer wrote no rules."""
        async with self.book.reading() as connection:
            known = await current(connection, customer)
        if caller.domains is None:
            known = msgspec.structs.replace(known, rules=known.rules or RULES)
        else:
            known = part_of(known, caller.domains)
        return Yaml(yaml=dumped(policy_tree(known)))

    @allowed(Act.POLICIES_CHANGE, limited=True)
    async def set_policy(self, caller: Caller, customer: str, body: models.NewPolicy) -> models.Policy:
        """Put another policy in the place of the one that was looked at; mail follows it within seconds.

        Of whoever is limited to domains it is their part; what becomes of unscanned mail stays as it is.
        """
        written = await self._written(body)
        async with self.book.change(caller.author) as change:
            after = await change_settings(
                change, customer, "policy-changed", lambda before: _changed(before, body, written, caller), *FIELDS
            )
            return _shown(after, caller)

    @allowed(Act.POLICIES_TRY, limited=True)
    async def what_if(self, caller: Caller, customer: str, body: models.NewPolicy) -> models.WhatIf:
        """What a policy would have done to the messages of the last seven days, beside the one that is in force."""
        written = await self._written(body)
        async with self.book.reading() as connection:
            now = await current(connection, customer)
        then = _changed(now, body, written, caller)
        return await self._back.look(now, then, caller.domains)

    async def _written(self, body: models.NewPolicy) -> Place:
        """Return the policy as the customers file would have it."""
        if body.yaml.strip():
            try:
                return await asyncio.to_thread(parse_tree, body.yaml, _NAME)
            except ConfigError as error:
                raise _bad(error) from error
        rules = [_some(rule) for rule in body.rules]
        groups = {"groups": body.groups} if body.groups else {}
        return Place(_NAME, "", node_of({"unscanned": body.unscanned, **groups, "rules": rules}))


def _changed(before: Customer, body: models.NewPolicy, written: Place, caller: Caller) -> Customer:
    """Return the customer with the policy; raise Refused when it is none, or another has been saved meanwhile."""
    if body.version != version_of(before):
        raise Refused("policy.changed")
    bare = msgspec.structs.replace(before, rules=(), groups=(), hold_unscanned=True, unscanned=Action.QUARANTINE)
    if caller.domains is not None:
        bare = part_of(bare, caller.domains)
    try:
        after = with_policy(bare, written)
    except ConfigError as error:
        raise _bad(error) from error
    if caller.domains is not None:
        after = merged(before, after, caller.domains)
    if not before.rules and after.rules == RULES:
        return msgspec.structs.replace(after, rules=())  # nothing was changed in what applies without rules
    return after


def _bad(error: ConfigError) -> Refused:
    return Refused("policy.bad", reason=str(error).removeprefix(f"{_NAME}:1: ").removeprefix(f"{_NAME}:"))


def version_of(customer: Customer) -> str:
    """Return the name of this state of a customer's policy."""
    said = msgspec.json.encode([getattr(customer, name) for name in FIELDS])
    return hashlib.sha256(said).hexdigest()[:16]


def _shown(whole: Customer, caller: Caller) -> models.Policy:
    customer = whole if caller.domains is None else part_of(whole, caller.domains)
    unscanned: models.Unscanned = "hold"
    if not customer.hold_unscanned:
        unscanned = "deliver" if customer.unscanned is Action.DELIVER else "quarantine"
    return models.Policy(
        rules=[_rule(rule) for rule in customer.rules or (RULES if caller.domains is None else ())],
        own=bool(customer.rules) or caller.domains is not None,
        groups={group.name: list(group.members) for group in customer.groups},
        unscanned=unscanned,
        version=version_of(whole),
    )


def _rule(rule: Rule) -> models.Rule:
    tree = rule_tree(rule)
    return models.Rule.model_validate({**tree, "off": rule.off})


def _some(rule: models.Rule) -> dict[str, Any]:
    """Return what a rule says; what is empty says nothing."""
    tree = rule.model_dump(exclude_defaults=True)
    when = {name: each for name, each in tree.get("when", {}).items() if each not in ("", [])}
    tree.pop("when", None)
    return {**tree, **({"when": when} if when else {})}

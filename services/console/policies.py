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
from services.console.licence import DAY
from services.console.models import Yaml
from services.console.roles import Act
from services.console.settings import change_settings, current
from services.core.customers import with_policy
from services.core.directory_groups import Membership, in_none
from services.core.errors import ConfigError
from services.core.ids import born
from services.core.senders import Senders
from services.core.tree import Place, node_of
from services.policy.defaults import RULES
from services.replay.decide import Treatment
from services.replay.whatif import WhatIf
from services.runtime.yaml_tree import parse_tree
from services.trace.index import Index

WITHIN: Final = 8.0  # seconds that one look back may take
BACK: Final = 7 * DAY  # how far it goes
PAGE: Final = 100  # messages that are read and decided together
AT_ONCE: Final = 2  # who look back at the same time
WAITING_MOST: Final = 6  # who do or wait to
FIELDS: Final = ("rules", "groups", "hold_unscanned", "unscanned")
_NAME: Final = "policy"


class Policies:
    """Operations on policies."""

    def __init__(self, book: Book, trace: Index, senders: Senders, groups_of: Membership = in_none) -> None:
        self.book = book
        self._trace = trace
        self._senders = senders
        self._groups_of = groups_of
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._looking = 0

    @allowed(Act.POLICIES_SHOW)
    async def policy(self, caller: Caller, customer: str) -> models.Policy:  # noqa: ARG002 - `allowed` reads it
        """The rules in their order; Gatepost's own where the customer wrote none."""
        async with self.book.reading() as connection:
            return _shown(await current(connection, customer))

    @allowed(Act.POLICIES_SHOW)
    async def policy_yaml(self, caller: Caller, customer: str) -> Yaml:  # noqa: ARG002 - as above
        """The same as the customers file has it under `policy`, also where the customer wrote no rules."""
        async with self.book.reading() as connection:
            known = await current(connection, customer)
        return Yaml(yaml=dumped(policy_tree(msgspec.structs.replace(known, rules=known.rules or RULES))))

    @allowed(Act.POLICIES_CHANGE)
    async def set_policy(self, caller: Caller, customer: str, body: models.NewPolicy) -> models.Policy:
        """Put another policy in the place of the one that was looked at; mail follows it within seconds."""
        written = await self._written(body)
        async with self.book.change(caller.author) as change:
            after = await change_settings(
                change, customer, "policy-changed", lambda before: _changed(before, body, written), *FIELDS
            )
            return _shown(after)

    @allowed(Act.POLICIES_TRY)
    async def what_if(self, caller: Caller, customer: str, body: models.NewPolicy) -> models.WhatIf:  # noqa: ARG002 - as above
        """What a policy would have done to the messages of the last seven days, beside the one that is in force."""
        written = await self._written(body)
        async with self.book.reading() as connection:
            now = await current(connection, customer)
        then = _changed(now, body, written)
        if self._looking >= WAITING_MOST:
            raise Refused("policy.busy")
        self._looking += 1
        try:
            async with self._turn:
                return await self._look_back(now, then)
        finally:
            self._looking -= 1

    async def _look_back(self, now: Customer, then: Customer) -> models.WhatIf:
        clock = self.book.clock
        began, since = clock.monotonic(), clock.now() - BACK
        found = WhatIf()
        page = await self._trace.recorded(now.id, since, "", PAGE)
        while True:
            # In a thread, so that nobody else waits; and the next ones are read meanwhile.
            events = [message.events for message in page]
            looking = asyncio.to_thread(found.look, events, now, then, self._senders, self._groups_of)
            complete = len(page) < PAGE
            if complete or clock.monotonic() - began > WITHIN:
                await looking
                break
            page, _ = await asyncio.gather(self._trace.recorded(now.id, since, page[-1].id, PAGE), looking)
        oldest = since if complete else born(page[-1].id)
        return models.WhatIf(
            messages=found.messages,
            otherwise=found.otherwise,
            since=oldest,
            complete=complete,
            unreadable=found.unreadable,
            seconds=round(clock.monotonic() - began, 2),
            changes=[
                models.WhatIfChange(before=_treated(was), after=_treated(would), recipients=count)
                for (was, would), count in found.changed.most_common()
            ],
            examples=[
                models.WhatIfMessage(
                    id=one.received.id,
                    at=one.received.received_at,
                    sender=one.received.envelope.reverse_path,
                    subject=one.received.subject,
                    recipients=list(one.difference.recipients),
                    before=_treated(one.difference.before),
                    after=_treated(one.difference.after),
                    rule_before=one.difference.before.rule,
                    rule_after=one.difference.after.rule,
                    reason=one.difference.after.reason,
                )
                for some in found.examples.values()
                for one in some
            ],
        )

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


def _changed(before: Customer, body: models.NewPolicy, written: Place) -> Customer:
    """Return the customer with the policy; raise Refused when it is none, or another has been saved meanwhile."""
    if body.version != version_of(before):
        raise Refused("policy.changed")
    bare = msgspec.structs.replace(before, rules=(), groups=(), hold_unscanned=True, unscanned=Action.QUARANTINE)
    try:
        after = with_policy(bare, written)
    except ConfigError as error:
        raise _bad(error) from error
    if not before.rules and after.rules == RULES:
        return msgspec.structs.replace(after, rules=())  # nothing was changed in what applies without rules
    return after


def _bad(error: ConfigError) -> Refused:
    return Refused("policy.bad", reason=str(error).removeprefix(f"{_NAME}:1: ").removeprefix(f"{_NAME}:"))


def version_of(customer: Customer) -> str:
    """Return the name of this state of a customer's policy."""
    said = msgspec.json.encode([getattr(customer, name) for name in FIELDS])
    return hashlib.sha256(said).hexdigest()[:16]


def _shown(customer: Customer) -> models.Policy:
    unscanned: models.Unscanned = "hold"
    if not customer.hold_unscanned:
        unscanned = "deliver" if customer.unscanned is Action.DELIVER else "quarantine"
    return models.Policy(
        rules=[_rule(rule) for rule in customer.rules or RULES],
        own=bool(customer.rules),
        groups={group.name: list(group.members) for group in customer.groups},
        unscanned=unscanned,
        version=version_of(customer),
    )


def _rule(rule: Rule) -> models.Rule:
    tree = rule_tree(rule)
    return models.Rule.model_validate({**tree, "off": rule.off})


def _treated(treatment: Treatment) -> models.Treated:
    return models.Treated(
        action=treatment.action,
        redirect_to=treatment.redirect_to,
        tag_subject=treatment.tag_subject,
        add_headers=list(treatment.add_headers),
        stamp=treatment.stamp,
        strip=list(treatment.strip),
        bcc=list(treatment.bcc),
        notify=list(treatment.notify),
    )


def _some(rule: models.Rule) -> dict[str, Any]:
    """Return what a rule says; what is empty says nothing."""
    tree = rule.model_dump(exclude_defaults=True)
    when = {name: each for name, each in tree.get("when", {}).items() if each not in ("", [])}
    tree.pop("when", None)
    return {**tree, **({"when": when} if when else {})}

"""The part of a policy that is about some domains alone, for accounts that are limited to them. Pure.

A rule is of that part when its recipients say so: each is in one of the domains, or a group whose members all are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from schemas.events import Customer, Group, Rule
from services.console.caller import Refused
from services.core.customer_rules import GROUP
from services.policy.defaults import RULES


def part_of(customer: Customer, domains: Collection[str]) -> Customer:
    """Return the customer with these domains alone, and the rules and groups that are about nothing else."""
    groups = {group.name: group for group in customer.groups}
    return msgspec.structs.replace(
        customer,
        domains=tuple(domain for domain in customer.domains if domain.name in domains),
        rules=tuple(rule for rule in customer.rules if _of_part(rule, groups, domains)),
        groups=tuple(group for group in customer.groups if _inside(group, domains)),
    )


def merged(whole: Customer, part: Customer, domains: Collection[str]) -> Customer:
    """Return the whole with the part in the place of the one that it has.

    Rules keep the places that the part's rules had; further ones stand behind the last of these, and without any before
    all others: the narrower is looked at first. Raises Refused for a rule that is about more than the domains, and for
    the name of another's rule or group.
    """
    before = part_of(whole, domains)
    groups = {group.name: group for group in part.groups}
    for rule in part.rules:
        if not _of_part(rule, groups, domains):
            raise Refused("policy.limits", name=rule.name)
    rules = [rule for rule in whole.rules or RULES if rule not in before.rules]
    others = [group for group in whole.groups if group not in before.groups]
    _unnamed(part.rules, rules)
    _unnamed(part.groups, others)
    _still_named(rules, {group.name for group in (*part.groups, *others)})
    return msgspec.structs.replace(
        whole, rules=tuple(_placed(whole.rules or RULES, before.rules, part.rules)), groups=(*others, *part.groups)
    )


def _placed(whole: Sequence[Rule], old: Sequence[Rule], new: Sequence[Rule]) -> list[Rule]:
    if not old:
        return [*new, *whole]
    waiting, left = list(new), len(old)
    placed: list[Rule] = []
    for rule in whole:
        if rule not in old:
            placed.append(rule)
            continue
        left -= 1
        count = 1 if left else len(waiting)
        placed += waiting[:count]
        del waiting[:count]
    return placed


def _unnamed(new: Sequence[Rule | Group], others: Sequence[Rule | Group]) -> None:
    taken = {each.name for each in others}
    for each in new:
        if each.name in taken:
            raise Refused("policy.taken", name=each.name)


def _still_named(rules: Sequence[Rule], groups: Collection[str]) -> None:
    """Raise Refused when a rule of somebody else's names a group that would be gone."""
    for rule in rules:
        for each in rule.when.recipients:
            if each.startswith(GROUP) and each.removeprefix(GROUP) not in groups:
                raise Refused("policy.group-used", name=each.removeprefix(GROUP))


def _of_part(rule: Rule, groups: Mapping[str, Group], domains: Collection[str]) -> bool:
    def inside(recipient: str) -> bool:
        if not recipient.startswith(GROUP):
            return recipient.rpartition("@")[2] in domains
        group = groups.get(recipient.removeprefix(GROUP))
        return group is not None and _inside(group, domains)

    return bool(rule.when.recipients) and all(map(inside, rule.when.recipients))


def _inside(group: Group, domains: Collection[str]) -> bool:
    return all(member.rpartition("@")[2] in domains for member in group.members)

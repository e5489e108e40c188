"""The part of a policy that is about some domains: what belongs to it, and where it stands in the whole. Pure."""

from __future__ import annotations

import msgspec
import pytest

from schemas.events import Customer, Domain, Group, Match, Rule
from services.console.caller import Refused
from services.console.policy_parts import merged, part_of
from services.policy.defaults import RULES

OWN = frozenset({"own.test"})


def about(name: str, *recipients: str) -> Rule:
    return Rule(name=name, when=Match(recipients=recipients), tag_subject="x")


ALL, MINE, THEIRS = about("all"), about("mine", "@own.test"), about("theirs", "@other.test")
TEAM, MIXED = Group(name="team", members=("a@own.test",)), Group(name="mixed", members=("a@own.test", "b@other.test"))
WHOLE = Customer(
    id="acme",
    domains=tuple(Domain(name=name, relay=()) for name in ("own.test", "other.test")),
    rules=(ALL, MINE, about("both", "@own.test", "@other.test"), about("of-team", "group:team"), THEIRS),
    groups=(TEAM, MIXED),
)


def with_rules(*rules: Rule, groups: tuple[Group, ...] = (TEAM,)) -> Customer:
    return msgspec.structs.replace(part_of(WHOLE, OWN), rules=rules, groups=groups)


def names(customer: Customer) -> list[str]:
    return [rule.name for rule in customer.rules]


def test_a_rule_is_of_the_part_when_all_its_recipients_are_and_a_group_when_all_its_members_are() -> None:
    part = part_of(WHOLE, OWN)
    assert names(part) == ["mine", "of-team"]
    assert [group.name for group in part.groups] == ["team"]
    assert [domain.name for domain in part.domains] == ["own.test"]
    assert merged(WHOLE, part, OWN).rules == WHOLE.rules


def test_rules_keep_their_places_and_further_ones_stand_behind_the_last_of_them() -> None:
    new, other = about("new", "x@own.test"), about("other", "y@own.test")
    assert names(merged(WHOLE, with_rules(new), OWN)) == ["all", "new", "both", "theirs"]
    three = merged(WHOLE, with_rules(new, MINE, other), OWN)
    assert names(three) == ["all", "new", "both", "mine", "other", "theirs"]
    assert names(merged(WHOLE, with_rules(), OWN)) == ["all", "both", "theirs"]


def test_without_any_before_they_stand_first_and_what_protects_stays() -> None:
    bare = msgspec.structs.replace(WHOLE, rules=(), groups=())
    assert merged(bare, with_rules(MINE, groups=()), OWN).rules == (MINE, *RULES)
    kept = msgspec.structs.replace(bare, rules=(ALL, THEIRS))
    assert names(merged(kept, with_rules(MINE, groups=()), OWN)) == ["mine", "all", "theirs"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (with_rules(about("wide")), "limits"),
        (with_rules(about("beyond", "@own.test", "@other.test")), "limits"),
        (with_rules(about("by-group", "group:mixed")), "limits"),
        (with_rules(about("theirs", "@own.test")), "taken"),
        (with_rules(MINE, groups=(TEAM, Group(name="mixed", members=("a@own.test",)))), "taken"),
    ],
)
def test_what_is_about_more_or_has_anothers_name_is_refused(part: Customer, said: str) -> None:
    with pytest.raises(Refused, match=rf"policy\.{said}"):
        merged(WHOLE, part, OWN)


def test_a_group_that_a_rule_of_all_names_stays() -> None:
    whole = msgspec.structs.replace(WHOLE, rules=(about("for-team-and-others", "group:team", "@other.test"), MINE))
    with pytest.raises(Refused, match=r"policy\.group-used"):
        merged(whole, with_rules(MINE, groups=()), OWN)

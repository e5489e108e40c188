"""Groups of a directory: who is in them, and what rules make of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Action, Customer, Group, Match, Outbound, Recipient, Rule
from services.core.customer_rules import parse_rules
from services.core.directory import Directory, recipient_digest
from services.core.directory_groups import group_name, with_groups
from services.core.errors import ConfigError, DirectoryRefused
from services.directory.groups import DEPTH_MOST, TAKEN_MOST, DirectoryGroup, memberships, normal
from services.policy.decide import branches
from services.runtime.yaml_tree import parse_tree
from tests.unit.test_compose import disposition

SALT = "0c" * 16


def made(name: str, *members: str, within: tuple[str, ...] = ()) -> DirectoryGroup:
    return DirectoryGroup(name, frozenset(members), frozenset(within))


def test_members_and_what_entries_say_of_themselves_count_alike() -> None:
    people = {"anna": ["vip"], "ben": [], "cleo": ["elsewhere"], "dora": []}
    groups = {"sales": made("Sales Team", "ben"), "vip": made("VIP", within=("all",)), "all": made("all", "sales")}
    assert memberships(people, groups, ("*",)) == {"anna": ("all", "vip"), "ben": ("all", "sales-team")}
    assert memberships(people, groups, ("sales-team",)) == {"ben": ("sales-team",)}
    assert memberships(people, groups, ()) == {}


def test_a_ring_of_groups_ends_and_so_does_a_long_chain() -> None:
    ring = {"a": made("a", "c", "anna"), "b": made("b", "a"), "c": made("c", "b")}
    assert memberships({"anna": ()}, ring, ("*",)) == {"anna": ("a", "b", "c")}
    chain = {f"g{n}": made(f"g{n}", f"g{n - 1}") for n in range(1, 50)} | {"g0": made("g0", "anna")}
    assert len(memberships({"anna": ()}, chain, ("*",))["anna"]) == DEPTH_MOST + 1


def test_too_many_groups_are_refused() -> None:
    many = {f"g{n}": made(f"g{n}", "anna") for n in range(TAKEN_MOST + 1)}
    with pytest.raises(DirectoryRefused, match="more than 500 groups"):
        memberships({"anna": ()}, many, ("*",))
    assert memberships({"anna": ()}, many, ("g7",)) == {"anna": ("g7",)}


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdefxyz")), max_size=6))
def test_nested_is_what_following_members_downwards_says(tree: dict[str, set[str]]) -> None:
    groups = {name: made(name, *members) for name, members in tree.items()}

    def inside(group: str) -> set[str]:
        seen, todo = set(), [group]
        while todo:
            for member in tree.get(todo.pop(), ()):
                if member not in seen:
                    seen.add(member)
                    todo.append(member)
        return seen

    found = memberships(dict.fromkeys("xyz", ()), groups, ("*",))
    assert {name: set(names) for name, names in found.items()} == {
        person: names for person in "xyz" if (names := {group for group in tree if person in inside(group)})
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Sales", "sales"),
        (" Sales & Marketing (EU) ", "sales-marketing-eu"),
        ("Größe", "grosse"),
        ("Продажи", ""),
        ("***", ""),
        ("x" * 99, "x" * 64),
    ],
)
def test_names_as_rules_write_them(text: str, name: str) -> None:
    assert group_name(text) == name


def test_a_dn_is_one_however_it_is_written() -> None:
    assert normal("CN = Sales , OU=groups,  dc=Acme") == normal("cn=sales,ou=groups,dc=acme")
    assert normal("cn=a\\, b,dc=x") != normal("cn=a,b,dc=x")


# --- rules


def test_a_rule_may_name_any_group_of_the_directory_but_no_nonsense() -> None:
    def rules(whom: str) -> tuple[Rule, ...]:
        return parse_rules(
            parse_tree(f"[{{name: x, when: {{recipients: '{whom}'}}, then: delete}}]", "rules"), ["b.test"]
        )

    assert rules("directory:sales")[0].when.recipients == ("directory:sales",)
    for wrong in ("directory:", "directory:Sales", "directory:a b", "directory:-"):
        with pytest.raises(ConfigError, match="is not directory:NAME"):
            rules(wrong)


CUSTOMER = Customer(
    id="acme",
    salt=SALT,
    rules=(Rule(name="sales", when=Match(recipients=("directory:sales",)), action=Action.QUARANTINE),),
    groups=(Group(name="sales", members=("@b.test",)),),  # of that name too, and another one
)


def directory(**groups: tuple[str, ...]) -> Directory:
    known = Directory()
    known.apply(CUSTOMER)
    for name, names in groups.items():
        known.apply(
            Recipient(customer="acme", digest=recipient_digest(SALT, f"{name}@b.test"), source="csv", groups=names)
        )
    return known


def test_a_rule_for_a_group_meets_its_members_and_nobody_else() -> None:
    received = disposition(envelope={"recipients": ("Ann@b.test", "bob@b.test")}).received
    known = directory(ann=("sales", "staff"), bob=("staff",))
    customer = with_groups(CUSTOMER, received.envelope.recipients, known.groups_of)
    found = {each.recipients: each.action for each in branches(received, {}, customer)}
    assert found == {("Ann@b.test",): Action.QUARANTINE, ("bob@b.test",): Action.DELIVER}
    known.apply(Recipient(customer="acme", digest=recipient_digest(SALT, "ann@b.test"), source="csv"))
    customer = with_groups(CUSTOMER, received.envelope.recipients, known.groups_of)
    assert {each.action for each in branches(received, {}, customer)} == {Action.DELIVER}


def test_nobody_is_looked_up_where_no_rule_asks() -> None:
    def fails(*_: Any) -> tuple[str, ...]:
        raise AssertionError

    customer = Customer(id="acme", outbound=Outbound(), groups=CUSTOMER.groups)
    assert with_groups(customer, ("a@b.test",), fails) is customer

"""What a sync changes, whether it may, and when: decisions over values."""

from __future__ import annotations

import pytest

from schemas.catalog import RECIPIENTS, key_of
from schemas.events import Customer, DirectoryState, Domain, LdapSource, Recipient
from services.core.directory_entries import addresses
from services.directory import decide
from services.runtime.bus import Tombstone

SOURCE = LdapSource(url="ldaps://ldap.acme.test", base="dc=acme", interval_seconds=900.0, full_every=4)


def before(*digests: str, entry: str = "e1") -> dict[str, Recipient]:
    return {each: Recipient(customer="acme", digest=each, source="ldap:x", entry=entry) for each in digests}


def found(*values: str) -> tuple[list[str], int, int]:
    said = addresses([value.encode() for value in values], {"acme.test", "xn--bcher-kva.test"})
    return sorted(map(str, said.ours)), said.foreign, said.unreadable


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("Anna@Acme.TEST",), (["Anna@acme.test"], 0, 0)),
        (("SMTP:a@acme.test", "smtp:b@acme.test"), (["a@acme.test", "b@acme.test"], 0, 0)),
        (("smtp: c@acme.test ",), (["c@acme.test"], 0, 0)),
        (("X500:/o=Acme/cn=a", "sip:a@acme.test", "EUM:1@acme.test;x=y", "x400:c=us"), ([], 0, 0)),
        (("a@elsewhere.test", "smtp:a@acme.onmicrosoft.example"), ([], 2, 0)),
        (("two words@acme.test", "", "anna", "a@acme.test\r\n b@acme.test"), ([], 0, 4)),
        (("j@bücher.test",), (["j@xn--bcher-kva.test"], 0, 0)),
        (('":"@acme.test',), (['":"@acme.test'], 0, 0)),
    ],
)
def test_values_of_attributes_are_addresses_of_the_customer_or_left_out(
    values: tuple[str, ...], expected: tuple[list[str], int, int]
) -> None:
    assert found(*values) == expected


def test_octets_that_are_no_text_are_counted_and_left_out() -> None:
    assert addresses([b"\xff\xfe@acme.test"], {"acme.test"}).unreadable == 1


def test_an_address_of_several_entries_is_nobody_s() -> None:
    assert decide.of_everything({"e1": ["a", "b"], "e2": ["b"], "e3": []}) == {"a": "e1", "b": ""}


def test_changes_replace_what_an_entry_had_and_entries_that_went_lose_theirs() -> None:
    known = {"a": "e1", "b": "e1", "c": "e2", "d": "e3"}
    assert decide.of_changes(known, {"e1": ["a", "x"]}, {"e1", "e3"}) == {"a": "e1", "x": "e1", "d": "e3"}


def test_an_address_that_moves_between_two_changed_entries_is_kept() -> None:
    assert decide.of_changes({"a": "e1"}, {"e1": [], "e2": ["a"]}, {"e1", "e2"}) == {"a": "e2"}


def test_a_shared_address_is_not_let_go_of_by_changes_alone() -> None:
    assert decide.of_changes({"a": "", "b": "e1"}, {"e1": ["b"]}, {"e1"}) == {"a": "", "b": "e1"}
    assert decide.of_changes({"a": "e1"}, {"e2": ["a"]}, {"e1", "e2"}) == {"a": ""}
    assert decide.barren({"a": ""}, {"e1"}) is None  # so that the next sync reads everything


def test_entries_that_nobody_knows_and_that_did_not_change_ask_for_everything() -> None:
    assert not decide.unexplained({"a": "e1"}, {"e2"}, {"e1", "e2", "e3"}, ("e3",))
    assert decide.unexplained({"a": "e1"}, {"e2"}, {"e1", "e2", "moved-in"}, ())


def test_entries_without_an_address_are_remembered_up_to_a_limit() -> None:
    assert decide.barren({"a": "e1"}, {"e1", "e3", "e2"}) == ("e2", "e3")
    assert decide.barren({}, {str(number) for number in range(decide.BARREN_MOST + 1)}) is None


def test_a_change_is_the_difference() -> None:
    planned = decide.change("acme", "ldap:x", before("a", "b", "c"), {"a": "e1", "b": "e2", "d": "e1"})
    assert [each.digest for each in planned.added] == ["d"]
    assert [(each.digest, each.entry) for each in planned.moved] == [("b", "e2")]
    assert planned.removed == (Tombstone(RECIPIENTS, "acme/c/ldap:x"),)
    assert (planned.before, planned.after) == (3, 3)


@pytest.mark.parametrize(
    ("known", "gone", "share", "refused"),
    [
        (100, 20, 0.2, False),
        (100, 21, 0.2, True),
        (100, 1, 0.0, False),  # one may always go
        (100, 2, 0.0, True),
        (4, 1, 0.2, False),
        (2, 1, 0.2, False),
        (1, 1, 1.0, True),  # but not the last
        (100, 100, 1.0, True),
        (0, 0, 0.2, True),  # nothing found at all is a wrong base or filter
    ],
)
def test_a_change_that_takes_too_much_away_is_objected_to(
    known: int, gone: int, share: float, *, refused: bool
) -> None:
    names = [f"{number:02x}" for number in range(known)]
    planned = decide.change("acme", "ldap:x", before(*names), dict.fromkeys(names[gone:], "e1"))
    assert bool(decide.objection(planned, share)) is refused


def state(**changes: object) -> DirectoryState:
    values = {"tried_at": 1_000.0, "mark": "1", "settings": "s", **changes}
    return DirectoryState(customer="acme", source="ldap:x", **values)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("known", "whole"),
    [
        (None, True),
        (state(), False),
        (state(mark=""), True),
        (state(settings="other"), True),
        (state(runs=2), False),
        (state(runs=3), True),
    ],
)
def test_when_everything_is_read(known: DirectoryState | None, *, whole: bool) -> None:
    assert decide.reads_everything(known, SOURCE, "s") is whole


def test_when_the_next_sync_is_due() -> None:
    assert decide.due_at(None, SOURCE, 60.0) == 0.0
    assert decide.due_at(state(), SOURCE, 60.0) == 1_900.0
    assert decide.due_at(state(failing_since=900.0), SOURCE, 60.0) == 1_060.0


def test_whatever_decides_which_addresses_are_kept_changes_the_settings() -> None:
    customer = Customer(id="acme", salt="00", domains=(Domain(name="a.test", relay=()),))
    more = Customer(id="acme", salt="00", domains=(Domain(name="a.test", relay=()), Domain(name="b.test", relay=())))
    base = LdapSource(url="ldaps://ldap.acme.test", base="dc=other")
    hashes = [decide.settings_hash(customer, SOURCE), decide.settings_hash(more, SOURCE)]
    assert len({*hashes, decide.settings_hash(customer, base)}) == 3
    often = LdapSource(url=SOURCE.url, base=SOURCE.base, interval_seconds=1.0)
    assert decide.settings_hash(customer, often) == hashes[0]


def test_keys_of_the_customers_file_are_what_they_were_before_there_were_sources() -> None:
    assert key_of(Recipient(customer="acme", digest="00")) == "acme/00"
    assert key_of(Recipient(customer="acme", digest="00", source="csv")) == "acme/00/csv"

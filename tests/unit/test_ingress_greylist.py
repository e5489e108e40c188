"""Coming again later, on any pod; and bounces that answer nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalog import GREYLIST
from schemas.events import Event, Greylisted
from services.core.address import Address, parse
from services.ingress import bounce
from services.ingress.greylist import KEEP, RETRY_WITHIN, Greylist, digest
from services.runtime.bus import Tombstone

WHO = ("192.0.2.7", "a@b.test", "anna@acme.test")
NOW = 1_700_000_000.0


class Pods:
    """Greylists that hear of each other's changes as the topic brings them."""

    def __init__(self, count: int, most: int = 100) -> None:
        self.log: list[Event | Tombstone] = []
        self.pods = [Greylist(60.0, self.log.append, most) for _ in range(count)]
        self._told = 0

    def tell(self) -> None:
        for item in self.log[self._told :]:
            for pod in self.pods:
                if isinstance(item, Greylisted):
                    pod.apply(item)
                elif isinstance(item, Tombstone):
                    pod.remove(item.key)
        self._told = len(self.log)


def test_who_comes_back_to_another_pod_has_waited_all_the_same() -> None:
    pods = Pods(2)
    one, other = pods.pods
    assert one.waits(*WHO, NOW)
    pods.tell()
    assert other.waits(*WHO, NOW + 59)
    assert not other.waits(*WHO, NOW + 60)
    pods.tell()
    assert not one.waits(*WHO, NOW + 61)
    assert len(pods.log) == 2
    assert one.waits("192.0.2.7", "a@b.test", "bert@acme.test", NOW + 61)
    assert one.waits("198.51.100.7", *WHO[1:], NOW + 61)
    assert not one.waits("192.0.2.200", *WHO[1:], NOW + 61)


def test_a_pass_holds_as_long_as_it_is_used_and_who_comes_too_late_begins_anew() -> None:
    pods = Pods(1)
    (pod,) = pods.pods
    assert pod.waits(*WHO, NOW)
    assert pod.waits(*WHO, NOW + RETRY_WITHIN + 1)
    later = NOW + RETRY_WITHIN + 100
    assert not pod.waits(*WHO, later)
    assert not pod.waits(*WHO, later + KEEP * 0.9)
    assert not pod.waits(*WHO, later + KEEP * 1.8)
    assert pod.waits(*WHO, later + KEEP * 3)


def test_a_late_first_sight_undoes_no_pass() -> None:
    pods = Pods(1)
    (pod,) = pods.pods
    key = digest(*WHO)
    pod.apply(Greylisted(digest=key, first_at=NOW, passed_at=NOW + 60))
    pod.apply(Greylisted(digest=key, first_at=NOW + 1))
    assert not pod.waits(*WHO, NOW + 61)


def test_it_is_bounded_and_a_flood_pushes_out_strangers() -> None:
    pods = Pods(1, most=10)
    (pod,) = pods.pods
    pod.apply(Greylisted(digest=digest(*WHO), first_at=NOW, passed_at=NOW))
    for n in range(50):
        pod.waits(f"10.0.{n}.1", "x@y.test", "anna@acme.test", NOW)
    assert len(pod) == 10
    assert not pod.waits(*WHO, NOW + 1)
    assert sum(isinstance(item, Tombstone) for item in pods.log) == 41


def test_what_expired_is_taken_out_of_the_topic() -> None:
    pods = Pods(1)
    (pod,) = pods.pods
    for n in range(5):
        pod.waits(f"10.0.{n}.1", "x@y.test", "anna@acme.test", NOW + n)
    assert pod.sweep(NOW + RETRY_WITHIN + 2.5) == 3
    assert len(pod) == 2
    gone = [item for item in pods.log if isinstance(item, Tombstone)]
    assert [item.topic for item in gone] == [GREYLIST] * 3


ADDRESS = parse("Anna.Doe@acme.test")
KEY = "a shared secret"


def test_a_tag_holds_for_a_week_for_its_address_and_key_alone() -> None:
    tagged = bounce.tagged(ADDRESS, KEY, NOW)
    assert str(tagged).startswith("prvs=0")
    assert parse(str(tagged)) == tagged
    assert bounce.untagged(tagged) == ADDRESS
    assert bounce.untagged(ADDRESS) == ADDRESS
    assert bounce.valid(tagged, KEY, NOW)
    assert bounce.valid(Address(tagged.local.upper().replace("ANNA.DOE", "Anna.Doe"), tagged.domain), KEY, NOW)
    assert bounce.valid(tagged, KEY, NOW + 7 * bounce.DAY)
    assert not bounce.valid(tagged, KEY, NOW + 8 * bounce.DAY)
    assert not bounce.valid(tagged, KEY, NOW - 1 * bounce.DAY)
    assert not bounce.valid(tagged, "another secret", NOW)
    assert not bounce.valid(Address(tagged.local, "zeta.test"), KEY, NOW)
    assert not bounce.valid(Address(tagged.local.replace("Anna", "Bert"), "acme.test"), KEY, NOW)
    assert not bounce.valid(ADDRESS, KEY, NOW)


def test_days_are_counted_over_the_turn_of_a_thousand() -> None:
    turn = (int(NOW // bounce.DAY) // 1000 + 1) * 1000 * bounce.DAY
    tagged = bounce.tagged(ADDRESS, KEY, turn - 2 * bounce.DAY)
    assert bounce.valid(tagged, KEY, turn + bounce.DAY)
    assert not bounce.valid(tagged, KEY, turn + 6 * bounce.DAY)


@given(st.text(max_size=30))
def test_no_local_part_breaks_it(local: str) -> None:
    assert not bounce.valid(Address(local, "acme.test"), KEY, NOW)
    assert bounce.untagged(Address(local, "acme.test")).domain == "acme.test"


@pytest.mark.parametrize("local", ["prvs=0001abcdef=", "prvs=x001abcdef=a", "prvs=000abcdef=a", "prvs=0001abcdeg=a"])
def test_what_only_looks_like_a_tag_is_none(local: str) -> None:
    assert bounce.untagged(Address(local, "acme.test")) == Address(local, "acme.test")
